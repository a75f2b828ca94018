// Package xdp generates frames for kernel devices, fast enough to overload any receiver that goes
// through the kernel: some 5 million frames a second from one core (BenchmarkCeiling measures it).
//
// The frames come from the kernel itself. An XDP program is run over and over by BPF_PROG_TEST_RUN
// with live frames (Linux 5.18 and newer; the mechanism of xdp-trafficgen in xdp-tools): it writes
// one frame into a page and returns XDP_TX, which puts the page into the peer's receive ring as if it
// had come off a wire. The receiver cannot tell; each frame arrives alone, as from a network card.
//
// Everything that must be exact is done inside the program, because entering and leaving such a run
// takes some 20 ms:
//
//   - pacing: slots of a fixed interval from the start time. Up to [MaxBehind] slots may be caught
//     up with; older ones are skipped and counted. Before the start and from the end on, nothing is
//     sent.
//   - every header byte, Ethernet to frame, on every send: pages come back with whatever the kernel
//     has made of them. Only the payload stays in the page from its first use.
//   - numbers, marks and digest of the frame, and a valid UDP checksum.
//
// The digest of 64 bytes is cheap because most of it is constant: of XXH3's four blocks one is
// prepared, of CRC-32C, which is linear, all bytes but those of the numbers. The checksum is a sum, so
// everything constant, the payload above all, is summed once in Go.
//
//	Config ──► lane images, sums, digest constants ──► array map ◄──► program ──► veth
//	Trial  ──► start, duration, interval ───────────────┘  └──► Report
//
// Only the files program.go and digest_asm.go hold BPF instructions; layout.go says where in the map
// each number is.
//
// The package does NOT retransmit, answer NACKs, drive real network cards (untried; their driver
// must support XDP_REDIRECT), or generate digest mode mac: AES is out of a BPF program's reach, and
// [Open] says so with a *packet.ErrUnavailable.
package xdp
