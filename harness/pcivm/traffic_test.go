package pcivm

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"metronome/harness/vswitch"
	"metronome/system/lane"
	"metronome/system/packet/ethernet"
	"metronome/system/wire"
)

const framesPerLane = 20

// sender is the other end of the cable: who sends lanes, and what there is to send.
type sender struct {
	t      *testing.T
	wire   *Wire
	to     [6]byte // the NIC's address
	lanes  [Lanes][][]byte
	expect [Lanes]lane.Mark // when all of it is there

	queues  int
	queueOf func(pkt []byte, queues int) int // which queue a packet is to take
}

var senderMAC = [6]byte{2, 'S', 0, 0, 0, 1}

func newSender(t *testing.T, w *Wire, to [6]byte) *sender {
	t.Helper()
	s := &sender{t: t, wire: w, to: to, queueOf: hashed}
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("pcivm"))
	must(t, err)
	in, err := NewIngest()
	must(t, err)
	for l := range s.lanes {
		out, err := lane.NewSender(lane.SenderConfig{Cluster: Cluster, Proxy: Proxy, Incarnation: Incarnation,
			Lane: uint16(l), Window: LaneConfig.Window, Arena: LaneConfig.Arena, FrameBytes: wire.MaxFrame}, d)
		must(t, err)
		for i := range framesPerLane {
			value := make([]byte, 8+(31*i+l)%1200)
			_, err := out.Append(&wire.Item{Op: wire.OpPut, Key: fmt.Appendf(nil, "key-%d", i), Value: value})
			must(t, err)
			out.Flush()
		}
		for _, f := range out.Next(make([][]byte, 0, framesPerLane)) {
			s.lanes[l] = append(s.lanes[l], slices.Clone(f))
			in.Frame(f)
		}
		s.expect[l] = in.Lane(Proxy, Incarnation, uint16(l)).Mark()
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// packet puts headers before a frame of a lane; a zero MAC means the group's.
func (s *sender) packet(to netip.AddrPort, mac [6]byte, l int, frame []byte) []byte {
	s.t.Helper()
	if mac == [6]byte{} {
		mac = ethernet.MulticastMAC(to.Addr().As4())
	}
	template, err := ethernet.NewTemplate(ethernet.Flow{SrcMAC: senderMAC, DstMAC: mac, Src: Source, Dst: to,
		Checksum: true})
	must(s.t, err)
	pkt := append(make([]byte, ethernet.HeaderBytes), frame...)
	template.Put(pkt, uint16(l))
	return pkt
}

func (s *sender) send(pkt []byte) {
	s.t.Helper()
	must(s.t, s.wire.Send(pkt))
}

// The frame that is withheld at first, and what else is sent beside whole frames of lanes.
const (
	lateLane, lateFrame = 3, 5
	otherGroups         = 5 // packets to another group
	otherHosts          = 5 // packets to another machine
	badSums             = 3 // packets with a wrong UDP checksum
	badDigests          = 2 // packets whose frame is damaged, under a right checksum
	duplicates          = 4
)

// multicast sends everything but the late frame, the lanes' frames interleaved.
func (s *sender) multicast() {
	s.t.Helper()
	other := netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 77, 9, 9}), Group.Port())
	for range otherGroups {
		s.send(s.packet(other, [6]byte{}, 0, s.lanes[0][0]))
	}
	for range otherHosts {
		s.send(s.packet(Own, [6]byte{2, 'X', 0, 0, 0, 9}, 0, s.lanes[0][0]))
	}
	for i := range badSums {
		pkt := s.packet(Group, [6]byte{}, i, s.lanes[i][0])
		pkt[len(pkt)-1] ^= 1
		s.send(pkt)
	}
	for i := range badDigests {
		f := slices.Clone(s.lanes[i][0])
		f[len(f)-1] ^= 1
		s.send(s.packet(Group, [6]byte{}, i, f))
	}
	for i := range framesPerLane {
		for l := range s.lanes {
			if l != lateLane || i != lateFrame {
				s.send(s.packet(Group, [6]byte{}, l, s.lanes[l][i]))
			}
		}
	}
	for i := range duplicates {
		s.send(s.packet(Group, [6]byte{}, 7, s.lanes[7][i]))
	}
}

// repair sends the late frame as repairs are sent, to the replica alone. That is another flow than the
// lane's: from a port that is taken to the same core.
func (s *sender) repair() {
	s.t.Helper()
	frame := s.lanes[lateLane][lateFrame]
	want := s.queueOf(s.packet(Group, [6]byte{}, lateLane, frame), s.queues)
	for port := range 1000 {
		if pkt := s.packet(Own, s.to, port, frame); s.queueOf(pkt, s.queues) == want {
			s.send(pkt)
			return
		}
	}
	s.t.Fatalf("no port of 1000 leads to queue %d", want)
}

var hash = vswitch.NewToeplitz(vswitch.MicrosoftKey[:])

// hashed foretells the queue that a packet takes by its hash, ruled by the rules of its lane.
func hashed(pkt []byte, queues int) int { return vswitch.Queue(hash.Packet(pkt), queues) }

func ruled(pkt []byte, queues int) int {
	lane := int(binary.BigEndian.Uint16(pkt[ethernet.HeaderBytes-8:])) - int(Source.Port())
	if lane >= Lanes {
		return 0
	}
	return lane % queues
}

// query asks as a switch does who listens.
func (s *sender) query() {
	s.t.Helper()
	s.send(ethernet.Host{MAC: senderMAC}.GeneralQuery(make([]byte, ethernet.MaxIGMP)))
}

// patience bounds waiting for what must come. Nothing is measured with it.
const patience = 2 * time.Minute

// heard waits until the guest says that it listens to the group, or not any more, in so many reports.
func (s *sender) heard(listens bool, reports int) {
	s.t.Helper()
	group := Group.Addr().As4()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		pkt, err := s.wire.Recv()
		must(s.t, err)
		if len(pkt) < ethernet.HeaderBytes || [6]byte(pkt[6:]) != s.to {
			continue
		}
		_ = ethernet.Snoop(pkt, func(g [4]byte, l bool) { // what is no report tells nothing
			if g == group && l == listens {
				reports--
			}
		})
		if reports == 0 {
			return
		}
	}
	s.t.Fatalf("the guest never told that it listens to %v: %v; %d reports are missing", Group, listens, reports)
}
