package quorum

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"metronome/system/edge"
	"metronome/system/edge/local"
	"metronome/system/wire"
)

func TestKeysLieWithinTheCoresBounds(t *testing.T) {
	s := space("edge/")
	for _, key := range []string{"da", "s\x04lampq", "d" + strings.Repeat("k", wire.MaxKey-6),
		"d" + strings.Repeat("k", edge.MaxKey)} {
		in := local.Raw{Key: []byte(key), Value: []byte("value")}
		at, value := s.raw(&in)
		if len(at) > wire.MaxKey {
			t.Errorf("a key of %d bytes lies at one of %d", len(key), len(at))
		}
		out, err := s.parse(at, value)
		if err != nil || !bytes.Equal(out.Key, in.Key) || string(out.Value) != "value" {
			t.Errorf("%.20q: %.20q %q %v", key, out.Key, out.Value, err)
		}
		if gone, value := s.raw(&local.Raw{Key: in.Key}); gone != at || value != nil {
			t.Errorf("%.20q is not removed where it lies", key)
		}
	}
	client, session := strings.Repeat("c", 255), strings.Repeat("s", edge.MaxSession)
	if n := maxSpace + 4 + len(client) + len(session); n > wire.MaxKey {
		t.Errorf("a session's key may have %d bytes", n)
	}
}

// FuzzDecode: whatever lies in the core, decoding it neither panics nor reads outside.
func FuzzDecode(f *testing.F) {
	h := head{at: local.Spot{Place: 7}, first: 3, totals: []byte("totals")}
	t := turn{at: local.Spot{Place: 7}, totals: []byte("totals"), records: []byte("records")}
	l := life{session: 5, base: 9}
	for _, b := range [][]byte{h.encode(), t.encode(), l.encode(), nil, {1, 2, 3}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h head
		if h.decode(b) == nil && !bytes.Equal(h.encode(), b) {
			t.Errorf("head %x", b)
		}
		var l life
		if l.decode(b) == nil && !bytes.Equal(l.encode(), b) {
			t.Errorf("life %x", b)
		}
		var tn turn
		if tn.decode(1, b) == nil {
			var again turn
			if err := again.decode(1, tn.encode()); err != nil || !bytes.Equal(again.records, tn.records) {
				t.Errorf("turn %x", b)
			}
		}
		_, _ = space("e").parse("eD"+string(b[:min(len(b), 32)]), b)
	})
}

// A copy that cannot be built is tried again after pauses that grow, to a bound, and shrink with a success.
func TestPausesBetweenBuilds(t *testing.T) {
	now, fails := time.Unix(1000, 0), errors.New("no room")
	var p pauses
	attempts := 0
	for end := now.Add(10 * time.Minute); now.Before(end); now = now.Add(10 * time.Millisecond) {
		if p.wait(now) == nil {
			attempts++
			p.note(now, fails, 10*time.Millisecond)
		}
	}
	if attempts < 20 || attempts > 40 { // of sixty thousand looks
		t.Errorf("%d attempts in ten minutes", attempts)
	}
	p.note(now, nil, time.Millisecond)
	if err := p.wait(now); err != nil {
		t.Errorf("after a success: %v", err)
	}
	if p.note(now, fails, time.Millisecond); p.wait(now.Add(time.Second)) != nil || p.wait(now) == nil {
		t.Error("a first failure is not followed by a short pause")
	}
}
