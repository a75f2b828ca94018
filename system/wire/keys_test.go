package wire

import (
	"bytes"
	"strings"
	"testing"
)

var keyModes = []Mode{ModeXXH3, ModeCRC32C, ModeMAC, ModeAEAD}

// ringOf is a ring whose keys have the given states, from number first on.
func ringOf(first uint32, states ...KeyState) *Keys {
	k := &Keys{Chain: 7}
	for i, s := range states {
		n := first + uint32(i)
		k.List = append(k.List, Key{Number: n, State: s, Secret: bytes.Repeat([]byte{byte(n + 1)}, 32)})
	}
	return k
}

func digesterOf(t testing.TB, m Mode, k *Keys) *Digester {
	t.Helper()
	d, err := NewDigesterOf(m, k)
	if err != nil {
		t.Fatal(err)
	}
	d.SetSalt(5)
	return d
}

func sealedBy(t testing.TB, d *Digester, number uint64) []byte {
	return secretFrame(t, d, Header{Frame: number}, []byte("value"))
}

// Goal: a receiver opens what is sealed under any key of its ring that is not retired, says which others are
// the fault of a key, and its frames name the active one. Method: every state, in every mode.
func TestKeysOfARing(t *testing.T) {
	for _, m := range keyModes {
		sender := digesterOf(t, m, ringOf(17, KeyActive))
		frame := sealedBy(t, sender, 3)
		var h Header
		if h.Get(frame); h.Mode != m || h.Key != 1 || KeyPlace(frame) != 1 {
			t.Errorf("%v: the frame says %v, key %d", m, h.Mode, h.Key)
		}
		for name, tc := range map[string]struct {
			ring       *Keys
			want, kept Cause
		}{
			"active":                    {ringOf(17, KeyActive), OK, OK},
			"accepted":                  {ringOf(17, KeyAccepted, KeyActive), OK, OK},
			"retired":                   {ringOf(17, KeyRetired, KeyActive), BadKey, OK},
			"not there":                 {ringOf(18, KeyActive), BadKey, BadKey},
			"another of the same place": {ringOf(33, KeyActive), BadDigest, BadDigest},
		} {
			d := digesterOf(t, m, tc.ring)
			o := &Opener{Digest: d}
			if got := o.Open(frame, &h); got != tc.want {
				t.Errorf("%v, %s: %v, not %v", m, name, got, tc.want)
			}
			if got := o.OpenKept(frame, &h); got != tc.kept || d.Knows(frame) != (got == OK) {
				t.Errorf("%v, %s, kept: %v, not %v; known %t", m, name, got, tc.kept, d.Knows(frame))
			}
		}
	}
}

// Goal: what was sealed and opened before a rotation is repaired and journaled after it, byte for byte, even
// if the old key is gone from the ring; the chain goes on; no rotation gives a place away that is in use.
func TestSetKeys(t *testing.T) {
	for _, m := range keyModes {
		d := digesterOf(t, m, ringOf(0, KeyActive))
		frame := sealedBy(t, d, 1)
		o := &Opener{Digest: d}
		var h Header
		if c := o.Open(frame, &h); c != OK {
			t.Fatal(c)
		}
		held, chain := bytes.Clone(o.Opened(frame, &h)), d.Chain(1, &h)
		for _, next := range []*Keys{ringOf(0, KeyActive, KeyAccepted), ringOf(0, KeyAccepted, KeyActive),
			ringOf(0, KeyRetired, KeyActive), ringOf(1, KeyActive)} {
			if err := d.SetKeys(next); err != nil {
				t.Fatal(m, err)
			}
			again := bytes.Clone(held)
			d.Reseal(again)
			if !bytes.Equal(again, frame) || d.Chain(1, &h) != chain {
				t.Errorf("%v: sealed again it is another frame, or its chain is", m)
			}
			Restamp(again, 9, 1, d)
			if c := o.OpenKept(again, &h); c != OK {
				t.Errorf("%v: a repair is not opened: %v", m, c)
			}
		}
		if KeyPlace(sealedBy(t, d, 2)) != 1 || o.Open(frame, &h) != BadKey {
			t.Errorf("%v: the old key is in use", m)
		}
		err := d.SetKeys(ringOf(16, KeyActive))
		if err == nil || !strings.Contains(err.Error(), "the place of key 0") {
			t.Errorf("%v: %v", m, err)
		}
		other := ringOf(1, KeyActive)
		other.Chain++
		if err := d.SetKeys(other); err == nil {
			t.Errorf("%v: another cluster's keys are taken", m)
		}
		mustOpen(t, d, sealedBy(t, d, 4)) // as before what was refused
	}
}

func TestKeysThatCannotBeUsed(t *testing.T) {
	for want, k := range map[string]*Keys{
		"0 keys are active":            ringOf(0, KeyAccepted),
		"2 keys are active":            ringOf(0, KeyActive, KeyActive),
		"keys 0 and 16 have one place": {List: append(ringOf(0, KeyActive).List, ringOf(16, KeyAccepted).List...)},
		"key 1 has state-3":            ringOf(0, KeyActive, 3),
	} {
		if err := k.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
	}
}

// Goal: the same lane and frame under two keys of a ring have nothing in common: a nonce serves once a key.
func TestKeysHaveTheirOwnNonces(t *testing.T) {
	a, b := digesterOf(t, ModeAEAD, ringOf(0, KeyActive)), digesterOf(t, ModeAEAD, ringOf(1, KeyActive))
	f, g := sealedBy(t, a, 1), sealedBy(t, b, 1)
	if bytes.Equal(Items(f), Items(g)) {
		t.Error("one key stream")
	}
	copyOf := bytes.Clone(f)
	copyOf[4] = g[4] // of which the header's digest of the other key knows nothing
	both := digesterOf(t, ModeAEAD, ringOf(0, KeyAccepted, KeyActive))
	var h Header
	if c := (&Opener{Digest: both}).Open(copyOf, &h); c != BadDigest {
		t.Errorf("under another key's number: %v", c)
	}
}

func TestARingAllocatesNothing(t *testing.T) {
	for _, m := range keyModes {
		d := digesterOf(t, m, ringOf(0, KeyAccepted, KeyActive, KeyRetired))
		old := sealedBy(t, digesterOf(t, m, ringOf(0, KeyActive)), 1)
		refused := sealedBy(t, digesterOf(t, m, ringOf(2, KeyActive)), 1)
		now := sealedBy(t, d, 2)
		o := &Opener{Digest: d}
		var h Header
		var n KeyCounts
		if got := testing.AllocsPerRun(100, func() {
			for _, f := range [][]byte{old, now, refused} {
				n.Note(o.Open(f, &h), f)
			}
		}); got > 0 || n[2] == 0 || n[0]+n[1] > 0 {
			t.Errorf("%v: %v allocations, refused %v", m, got, n)
		}
	}
}

// FuzzKeyPlace hands frames of any content to a ring: nothing panics, and only what one of its keys sealed is
// opened.
func FuzzKeyPlace(f *testing.F) {
	for place := range byte(KeyPlaces) {
		f.Add(sealedBy(f, digesterOf(f, ModeAEAD, ringOf(uint32(place), KeyActive)), 1), place)
	}
	f.Fuzz(func(t *testing.T, frame []byte, place byte) {
		d := digesterOf(t, ModeAEAD, ringOf(3, KeyRetired, KeyAccepted, KeyActive))
		if len(frame) > 4 {
			frame = bytes.Clone(frame)
			frame[4] = byte(ModeAEAD) | place<<keyShift
		}
		var h Header
		o := &Opener{Digest: d}
		var n KeyCounts
		cause := o.Open(frame, &h)
		n.Note(cause, frame)
		if kept := o.OpenKept(frame, &h); kept == BadKey && cause != BadKey || cause == OK && kept != OK {
			t.Fatalf("%v off the network, %v kept", cause, kept)
		}
		if cause == OK && (h.Key < 4 || h.Key > 5 || !d.Knows(frame)) {
			t.Fatalf("opened under key %d", h.Key)
		}
	})
}
