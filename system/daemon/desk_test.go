package daemon

import (
	"testing"

	"metronome/system/proxy/resp"
	"metronome/system/wire"
)

// ends collects how operations ended, by tag.
type ends map[uint64]wire.Status

func (e ends) Complete(done []resp.Done) {
	for i := range done {
		e[done[i].Tag] = done[i].Result.Status
	}
}

func put(tag uint64, value int) resp.Op {
	return resp.Op{Tag: tag, Item: wire.Item{Op: wire.OpPut, Key: []byte("k"), Value: make([]byte, value)}}
}

// What does not fit is refused at once and definitely, and so is what comes too late; what waits at the end
// was not executed either, and of what was handed on nobody knows.
func TestDeskRefuses(t *testing.T) {
	d := newDesk(1, 5*requestBytes)
	woken := 0
	d.wake = func() { woken++ }
	got := ends{}
	d.Submit(1, []resp.Op{put(1, 8), put(2, 2*requestBytes), put(3, 8), put(4, 8), put(5, 8)}, got)
	if len(got) != 2 || got[4] != wire.StatusBusy || got[5] != wire.StatusBusy || woken != 1 {
		t.Errorf("at the bound: %v, woken %d times", got, woken)
	}
	d.out, d.in = d.in, nil
	token := d.token(&d.out[0])
	d.Submit(1, []resp.Op{put(6, 8)}, got)
	d.close()
	d.Submit(1, []resp.Op{put(7, 8)}, got)
	for tag, want := range map[uint64]wire.Status{
		1: wire.StatusUnknown, 6: wire.StatusUnavailable, 7: wire.StatusUnavailable,
	} {
		if s, ok := got[tag]; !ok || s != want {
			t.Errorf("operation %d (token %d) ended with %v, %v: want %v", tag, token, s, ok, want)
		}
	}
}
