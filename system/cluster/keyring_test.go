package cluster

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"metronome/system/wire"
)

// Goal: a key file goes through rotations and stays the same cluster's, closed to others, and each step is
// taken at its time only.
func TestRotations(t *testing.T) {
	c := dev(t)
	first, err := c.Ring()
	if err != nil {
		t.Fatal(err)
	}
	id := identity(t, c, r0)
	step := func(do func(*Ring) error, want string) {
		t.Helper()
		r, err := c.ChangeRing(do)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, not %q", err, want)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.Ring()
		if err != nil || !reflect.DeepEqual(r, again) || r.Tag != first.Tag || r.Keys.Chain != first.Keys.Chain {
			t.Fatalf("written %+v, read %+v, %v", r, again, err)
		}
		if err := id.Reload(); err != nil || !reflect.DeepEqual(id.Ring(), again) || id.Tag() != first.Tag {
			t.Fatal(err)
		}
		if info, err := os.Stat(c.Path(c.Secrets.ClusterKeyFile)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	drop := func(r *Ring) error {
		_, err := r.Drop()
		return err
	}
	step((*Ring).Activate, "add one first")
	step((*Ring).Retire, "add and activate a new one first")
	step(drop, "retire one first")
	for n := range uint32(2) {
		step((*Ring).Add, "")
		step((*Ring).Add, "activate it first")
		step((*Ring).Activate, "")
		step((*Ring).Retire, "")
		if r, err := c.Ring(); err != nil || r.Active().Number != n+1 || r.At(int(n)).State != wire.KeyRetired {
			t.Fatalf("after %d rotations: %+v, %v", n+1, r, err)
		}
	}
	step(drop, "")
	r, err := c.Ring()
	if err != nil || len(r.Keys.List) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	for n := range uint32(wire.KeyPlaces - 1) { // that many fit, and numbers go on
		if err := errors.Join(r.Add(), r.Activate(), r.Retire()); err != nil || r.Active().Number != n+3 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if err := r.Add(); err == nil || !strings.Contains(err.Error(), "the place of key 2: retire and drop old") {
		t.Error(err)
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	key := strings.Repeat("5a", keyBytes)
	const head = ringHead + "\ncluster 811f5b5d 0123456789abcdef\n"
	for name, tc := range map[string]struct{ file, want string }{
		"nothing":         {"", "must hold 32 bytes"},
		"two keys":        {key + "\n" + key, "must hold 32 bytes"},
		"no cluster":      {ringHead + "\nkey 0 active " + key, "lacks the line"},
		"cluster twice":   {head + "cluster 811f5b5d 0123456789abcdef", "line 3 is none of"},
		"bad tag":         {ringHead + "\ncluster xyz 0", "line 2 names no tag"},
		"bad number":      {head + "key -1 active " + key, "line 3 has no key's number"},
		"bad state":       {head + "key 0 fine " + key, "none of the states"},
		"short key":       {head + "key 0 active 5a5a", "no key of 32 bytes"},
		"no active key":   {head + "key 0 accepted " + key, "0 keys are active"},
		"one place":       {head + "key 0 active " + key + "\nkey 16 retired " + key, "have one place"},
		"too many":        {head + strings.Repeat("key 0 active "+key+"\n", maxKeys+1), "line 19 is none of"},
		"another version": {"metronome keys 2\n" + key, "must hold 32 bytes"},
		"a word too many": {head + "key 0 active " + key + " x", "line 3 is none of"},
	} {
		_, err := ParseRing("dev", []byte(tc.file))
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "5a5a") {
			t.Errorf("%s: %v, not %q", name, err, tc.want)
		}
	}
	c := dev(t)
	id := identity(t, c, r0)
	other := []byte(hex.EncodeToString(bytes.Repeat([]byte{9}, keyBytes)))
	if err := os.WriteFile(c.Path(c.Secrets.ClusterKeyFile), other, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := id.Reload(); err == nil || !strings.Contains(err.Error(), "is another cluster's now") {
		t.Errorf("another cluster's key is taken: %v", err)
	}
}

// FuzzParseRing: what is read is written and read the same, and errors quote no secrets.
func FuzzParseRing(f *testing.F) {
	key := strings.Repeat("5a", keyBytes)
	f.Add([]byte(key))
	f.Add([]byte(ringHead + "\ncluster 811f5b5d 0123456789abcdef\nkey 0 retired " + key + "\nkey 1 active " +
		key))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRing("dev", b)
		if err != nil {
			return
		}
		again, err := ParseRing("dev", r.encode())
		if err != nil || !reflect.DeepEqual(r, again) || r.Active() == nil {
			t.Fatalf("%+v, %+v, %v", r, again, err)
		}
		if _, err := wire.NewDigesterOf(wire.ModeAEAD, &r.Keys); err != nil {
			t.Fatal(err)
		}
	})
}
