package memory

import (
	"errors"
	"fmt"
	"testing"

	"metronome/system/packet"
)

func TestEveryOtherMemberReceives(t *testing.T) {
	h := NewHub(8, 64)
	a, b, c := h.Join(), h.Join(), h.Join()
	if n, err := a.Send([][]byte{[]byte("one"), []byte("two")}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	buf := make([][]byte, 4)
	for name, p := range map[string]*Port{"b": b, "c": c} {
		n, err := p.Recv(buf)
		if got := fmt.Sprintf("%s", buf[:n]); err != nil || got != "[one two]" {
			t.Errorf("%s received %s, %v", name, got, err)
		}
	}
	if n, _ := a.Recv(buf); n != 0 {
		t.Error("a heard itself")
	}
}

// Frames stay intact until the next Recv, even though the ring wraps meanwhile.
func TestBorrowedFramesSurviveAFullRing(t *testing.T) {
	h := NewHub(2, 8)
	a, b := h.Join(), h.Join()
	send := func(s string) {
		t.Helper()
		if _, err := a.Send([][]byte{[]byte(s)}); err != nil {
			t.Fatal(err)
		}
	}
	send("1")
	buf := make([][]byte, 2)
	if n, _ := b.Recv(buf[:1]); n != 1 {
		t.Fatal("nothing received")
	}
	send("2")
	send("3") // the ring holds the borrowed "1" and "2"
	if string(buf[0]) != "1" || b.Stats().RxDropped != 1 {
		t.Errorf("borrowed %q, dropped %d", buf[0], b.Stats().RxDropped)
	}
	if n, _ := b.Recv(buf); n != 1 || string(buf[0]) != "2" {
		t.Errorf("then received %d, %q", n, buf[0])
	}
}

func TestErrors(t *testing.T) {
	h := NewHub(2, 8)
	a := h.Join()
	if _, err := a.Send([][]byte{make([]byte, 9)}); err == nil {
		t.Error("a frame larger than the hub's was accepted")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Recv(make([][]byte, 1)); !errors.Is(err, packet.ErrClosed) {
		t.Errorf("Recv after Close: %v", err)
	}
	if _, err := a.Send(nil); !errors.Is(err, packet.ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
}
