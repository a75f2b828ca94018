package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"metronome/system/edge"
)

// copyOf builds a copy from nothing, of that incarnation.
func copyOf(t *testing.T, incarnation byte) *Store {
	t.Helper()
	dir := t.TempDir()
	b, err := NewBuilder(Config{Dir: dir}, [16]byte{incarnation})
	if err == nil {
		err = b.Seal(Spot{}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return open(t, Config{Dir: dir})
}

// anyBatch is of one of two devices, or of nobody.
func anyBatch(rng *rand.Rand, marks map[string]uint64) *edge.Batch {
	b := &edge.Batch{Atomic: rng.IntN(4) == 0}
	for range rng.IntN(5) {
		op := put(fmt.Sprint("k", rng.IntN(6)), fmt.Sprint(rng.Uint32()))
		switch rng.IntN(6) {
		case 0:
			op = del(string(op.Key))
		case 1:
			op.IfNoneMatch = edge.Condition{Any: true}
		case 2:
			op.IfMatch = edge.Condition{Any: true}
		}
		b.Ops = append(b.Ops, op)
	}
	if device := fmt.Sprint("d", rng.IntN(3)); device != "d0" {
		prev := marks[device]
		b.Sender = &edge.Sender{Client: device, Session: "q", Epoch: 1, Prev: prev, Last: prev,
			Digest: rng.Uint64()}
		for i := range b.Ops {
			b.Sender.Last++
			b.Ops[i].Seq = b.Sender.Last
		}
		if rng.IntN(3) > 0 { // else it will be sent again, as another batch
			marks[device] = b.Sender.Last
		}
	}
	return b
}

// TestToFollowIsToApply: what is judged at one store and followed at others is what a store would have done
// with the same batches, answers included.
func TestToFollowIsToApply(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng, marks := rand.New(rand.NewPCG(seed, 0)), map[string]uint64{}
	at := time.Unix(1e9, 0)
	plain := open(t, Config{Now: func() time.Time { return at }})
	judge, other := copyOf(t, 1), copyOf(t, 1)
	for place := uint64(1); place <= 60; place++ {
		var batches []*edge.Batch
		for range 1 + rng.IntN(4) {
			batches = append(batches, anyBatch(rng, marks))
		}
		if rng.IntN(3) == 0 { // judging changes nothing
			if _, err := judge.Judge(t.Context(), []*edge.Batch{anyBatch(rng, map[string]uint64{})}, at); err != nil {
				t.Fatal(err)
			}
		}
		turn, err := judge.Judge(t.Context(), batches, at)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range batches {
			out, err := plain.Apply(t.Context(), b)
			if a := turn.Answers[i]; fmt.Sprint(err) != fmt.Sprint(a.Err) || !reflect.DeepEqual(out, a.Outcome) {
				t.Fatalf("seed %d, turn %d: judged %+v %v, applied %+v %v", seed, place, a.Outcome, a.Err, out, err)
			}
		}
		for _, s := range []*Store{judge, other} {
			if err := s.Follow(t.Context(), Spot{Place: place}, turn.Records, turn.Totals); err != nil {
				t.Fatalf("seed %d, turn %d: %v", seed, place, err)
			}
			equal(t, s, plain)
		}
	}
	events, _, err := other.Watch(t.Context(), nil, 1, edge.MaxPage)
	want, _, err2 := plain.Watch(t.Context(), nil, 1, edge.MaxPage)
	if err != nil || err2 != nil || !reflect.DeepEqual(events, want) {
		t.Errorf("watchers see another history: %d events, want %d; %v %v", len(events), len(want), err, err2)
	}
}

func equal(t *testing.T, s, want *Store) {
	t.Helper()
	a, b := s.Status(), want.Status()
	if a.Revision != b.Revision || a.Digest != b.Digest || a.Keys != b.Keys || a.Bytes != b.Bytes {
		t.Fatalf("%+v, want %+v", a, b)
	}
	for _, device := range []string{"d1", "d2"} {
		x, err := s.Session(t.Context(), device, "q")
		y, err2 := want.Session(t.Context(), device, "q")
		if fmt.Sprint(err) != fmt.Sprint(err2) || err == nil && *x != *y {
			t.Fatalf("session of %s: %+v %v, want %+v %v", device, x, err, y, err2)
		}
	}
}

// TestATurnThatDoesNotFitIsRefusedWhole: damage anywhere in it, a place too far, totals of another history.
func TestATurnThatDoesNotFitIsRefusedWhole(t *testing.T) {
	s := copyOf(t, 1)
	turn, err := s.Judge(t.Context(), []*edge.Batch{{Ops: []edge.Op{put("a", "1"), put("b", "2")}},
		batch(1, 0, 1, put("c", "3"))}, time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range turn.Records {
		bad := clone(turn.Records)
		bad[i] ^= 0x10
		if err := s.Follow(t.Context(), Spot{Place: 1}, bad, turn.Totals); !errors.Is(err, edge.ErrDamaged) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for cut := 1; cut < len(turn.Records); cut++ {
		if err := s.Follow(t.Context(), Spot{Place: 1}, turn.Records[:cut], turn.Totals); err == nil {
			t.Fatalf("cut at %d: taken", cut)
		}
	}
	totals := clone(turn.Totals)
	binary.BigEndian.PutUint64(totals[24:], 7) // the digest
	if err := s.Follow(t.Context(), Spot{Place: 1}, turn.Records, totals); !errors.Is(err, edge.ErrDamaged) {
		t.Errorf("other totals: %v", err)
	}
	if err := s.Follow(t.Context(), Spot{Place: 3}, turn.Records, turn.Totals); err == nil {
		t.Error("a place was left out")
	}
	if st := s.Status(); st.Revision != 0 || st.Keys != 0 {
		t.Errorf("something happened: %+v", st)
	}
	want := Spot{Place: 1, Turn: [16]byte{9}}
	if err := s.Follow(t.Context(), want, turn.Records, turn.Totals); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Spot(); err != nil || got != want || s.Status().Keys != 3 {
		t.Errorf("%+v %v %+v", got, err, s.Status())
	}
	again, err := s.Judge(t.Context(), []*edge.Batch{batch(1, 0, 1, put("c", "3"))}, time.Now())
	if err != nil || len(again.Records) != 0 || !again.Answers[0].Outcome.Results[0].Duplicate {
		t.Errorf("a duplicate: %+v %v", again, err)
	}
}

// TestACopyIsBuiltFromChanges: of those of one turn, and records of the next, which comes twice in part.
func TestACopyIsBuiltFromChanges(t *testing.T) {
	s, at := copyOf(t, 7), time.Unix(1e9, 0)
	b, err := NewBuilder(Config{Dir: t.TempDir()}, [16]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := b.Abort(); err != nil {
		t.Fatal(err)
	}
	if b, err = NewBuilder(Config{Dir: dir}, [16]byte{7}); err != nil {
		t.Fatal(err)
	}
	var totals []byte
	for place := uint64(1); place <= 3; place++ {
		turn, err := s.Judge(t.Context(), []*edge.Batch{batch(1, 2*place-2, 2*place-1,
			put(fmt.Sprint("k", place), "v"), put("same", fmt.Sprint(place)))}, at)
		if err != nil {
			t.Fatal(err)
		}
		if place == 1 {
			for _, r := range turn.Changes {
				if err := b.Set(r.Key, r.Value); err != nil {
					t.Fatal(err)
				}
			}
		} else if err := errors.Join(b.Play(turn.Records), b.Play(turn.Records)); err != nil {
			t.Fatal(err)
		}
		totals = turn.Totals
		if err := s.Follow(t.Context(), Spot{Place: place}, turn.Records, totals); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Set([]byte("l0"), nil); err == nil {
		t.Error("a key of the log is none of a copy's")
	}
	if _, err := Open(Config{Dir: dir}); err == nil {
		t.Error("a copy that is not whole opens")
	}
	if err := b.Seal(Spot{Place: 3}, totals); err != nil {
		t.Fatal(err)
	}
	built := open(t, Config{Dir: dir})
	equal(t, built, s)
	if got, err := built.Spot(); err != nil || got.Place != 3 || built.Status().Incarnation[:2] != "07" {
		t.Errorf("%+v %v %+v", got, err, built.Status())
	}
	if sum, err := Verify(t.Context(), Config{Dir: s.cfg.Dir}); err == nil {
		t.Errorf("verified while open: %+v", sum)
	}
	if _, _, err := built.Watch(t.Context(), nil, 1, 10); !errors.Is(err, edge.ErrTrimmed) {
		t.Errorf("it tells changes it has not seen: %v", err)
	}
	state, err := built.Session(t.Context(), "lamp", "q")
	if err != nil || state.Mark != 6 {
		t.Errorf("%+v %v", state, err)
	}
}
