package lane

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"metronome/system/wire"
)

func aeadDigester(t testing.TB, salt uint64) *wire.Digester {
	t.Helper()
	d, err := wire.NewDigester(wire.ModeAEAD, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	d.SetSalt(salt)
	return d
}

// Goal: encrypted lanes carry every item, whoever repairs them, and nobody sees an item on the way. Method:
// a sender, a replica that gets every frame, and one that loses a third and is repaired by either of the two;
// every datagram is searched for what all values begin with.
func TestEncryptedLane(t *testing.T) {
	const secret, items = "nobody may see this", 400
	rng := rand.New(rand.NewPCG(1, 2))
	s, err := NewSender(SenderConfig{Cluster: cluster, Proxy: 1, Incarnation: 1, Window: 1024, Arena: 1 << 20,
		FrameBytes: wire.MaxFrame, Keep: 1024}, aeadDigester(t, 11))
	if err != nil {
		t.Fatal(err)
	}
	whole, other := aeadMember(t), aeadMember(t)
	var want []string
	send := func(frames [][]byte, to ...*member) {
		for _, f := range frames {
			if len(f) > wire.MaxFrame || bytes.Contains(f, []byte(secret)) {
				t.Fatalf("on the wire, %d bytes: %q", len(f), f)
			}
			for _, m := range to {
				if m == whole || f[5]&wire.FlagRepair != 0 || rng.IntN(3) > 0 {
					m.in.Frame(f)
				}
			}
		}
	}
	for n := range items {
		it := wire.Item{Op: wire.OpPut, Key: fmt.Appendf(nil, "key-%d", n),
			Value: append([]byte(secret), make([]byte, rng.IntN(3000))...)}
		if _, err := s.Append(&it); err != nil {
			t.Fatal(err)
		}
		want = append(want, string(it.Key)+"="+string(it.Value))
		if n%7 == 6 || n == items-1 {
			s.Flush()
			send(s.Next(make([][]byte, 0, 64)), whole, other)
			send([][]byte{s.Heartbeat()}, whole, other)
			repairOnce(rng, s, whole, other, send)
		}
	}
	for range 200 {
		repairOnce(rng, s, whole, other, send)
	}
	if whole.r.Mark() != other.r.Mark() || whole.r.Mark().Items != items {
		t.Fatalf("marks %+v and %+v", whole.r.Mark(), other.r.Mark())
	}
	for _, m := range []*member{whole, other} {
		m.consume(t)
		if fmt.Sprint(m.got) != fmt.Sprint(want) {
			t.Error("the items are not those that were sent")
		}
	}
}

func aeadMember(t *testing.T) *member {
	in, err := NewIngest(cluster, aeadDigester(t, 99), Config{Window: 1024, Arena: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Open(1, 1, 1); err != nil {
		t.Fatal(err)
	}
	return &member{in: in, r: in.Lane(1, 1, 0)}
}

// repairOnce repairs the first gap of a replica, from its peer or from the sender.
func repairOnce(rng *rand.Rand, s *Sender, peer, m *member, send func([][]byte, ...*member)) {
	gap := Gap{From: m.r.Mark().Frames, To: m.r.Mark().Frames + 3}
	room := make([][]byte, 0, 8)
	if rng.IntN(2) == 0 {
		room, _ = peer.r.Repair(gap, room)
	} else {
		room, _ = s.Repair(gap, room)
	}
	send(room, m)
}
