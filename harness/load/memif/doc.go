// Package memif sends the frames of an experiment into a memif interface: the generator of arms
// that bypass the kernel. It is open-loop. Every frame has its slot in time; the sender never waits
// for room and never sends late:
//
//   - a frame the ring does not take at its slot is counted as ring full and gone, number and all,
//     as a frame that finds a NIC's ring full is gone;
//   - a sender that fell behind catches up by at most one burst; slots further back are counted as
//     missed and no frame is made for them, so that numbers stay without gaps;
//   - nothing leaves before the start or after the end.
//
// So the offered rate is Emitted over the duration, and a receiver that cannot keep up shows it by
// losing, as it would on a wire. Rate 0 offers bursts back to back.
//
// What is in a frame is the caller's business ([Frames], which package load implements). The port
// is DPDK's, but anything that reserves buffers and transmits them will do: [Port].
//
// The package opens no device and speaks to no terminal; the process around it is cmd/lab's. It
// does not measure latency, and does not pace inside a burst.
package memif
