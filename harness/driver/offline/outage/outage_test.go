package outage

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

var small = Spec{Seed: 5, Count: 2000, Sensors: 7, Value: 32}

func TestTheSameOperationsEverywhere(t *testing.T) {
	deleted, keys := 0, map[string]int{}
	other := small
	other.Seed++
	differ := 0
	for op := range small.All() {
		again := small.At(op.Number)
		if again.Key != op.Key || !bytes.Equal(again.Value, op.Value) || again.Delete != op.Delete {
			t.Fatalf("operation %d is two things", op.Number)
		}
		if other.At(op.Number).Key != op.Key {
			differ++
		}
		keys[op.Key]++
		if op.Delete {
			deleted++
		} else if len(op.Value) != small.Value || NumberOf(op.Value) != op.Number {
			t.Fatalf("operation %d has value %q", op.Number, op.Value)
		}
	}
	if deleted < 10 || deleted > 100 || len(keys) != small.Sensors || differ < 1000 {
		t.Fatalf("%d deletes, %d keys, %d differ by seed", deleted, len(keys), differ)
	}
	for _, v := range []string{"", "short", "not a number"} {
		if NumberOf([]byte(v)) != -1 {
			t.Errorf("%q has a number", v)
		}
	}
}

// executed is what an edge does with all operations, each once and in order.
func executed() (ops []Op) {
	for op := range small.All() {
		ops = append(ops, op)
	}
	return ops
}

func watch(ops []Op) *Witness {
	w := NewWitness(small)
	for _, op := range ops {
		w.Change(op.Key, op.Value, op.Delete)
	}
	return w
}

func TestWitnessAcceptsWhatIsRight(t *testing.T) {
	if w := watch(executed()); w.Twice+w.Disordered+w.Foreign > 0 || w.Puts+w.Deletes != small.Count {
		t.Fatalf("all, in order: %+v", w)
	}
	rng := rand.New(rand.NewPCG(1, 1)) // any of them may have been skipped
	for range 20 {
		var some []Op
		for _, op := range executed() {
			if rng.IntN(3) > 0 {
				some = append(some, op)
			}
		}
		if w := watch(some); w.Twice+w.Disordered+w.Foreign > 0 {
			t.Fatalf("some, in order: %+v", w)
		}
	}
}

// A witness that notices nothing would make a claim of no duplicates empty.
func TestWitnessNotices(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 40 {
		ops := executed()
		i := rng.IntN(len(ops) - 1)
		for ops[i].Delete || ops[i+1].Delete {
			i = rng.IntN(len(ops) - 1)
		}
		twice := append(append(append([]Op{}, ops[:i+1]...), ops[i]), ops[i+1:]...)
		if w := watch(twice); w.Twice != 1 || w.Disordered+w.Foreign > 0 {
			t.Fatalf("operation %d twice: %+v", i, w)
		}
		late := append(append([]Op{}, ops...), ops[i])
		if w := watch(late); w.Twice != 1 {
			t.Fatalf("operation %d again at the end: %+v", i, w)
		}
		ops[i], ops[i+1] = ops[i+1], ops[i]
		if w := watch(ops); w.Disordered != 1 || w.Twice+w.Foreign > 0 {
			t.Fatalf("operations %d and the next exchanged: %+v", i, w)
		}
		ops[i].Value = []byte("0000000001 of another")
		if w := watch(ops); w.Foreign != 1 {
			t.Fatalf("operation %d changed: %+v", i, w)
		}
	}
}

func TestWitnessNoticesDeletes(t *testing.T) {
	w := NewWitness(small)
	for op := range small.All() {
		w.Change(op.Key, op.Value, op.Delete)
	}
	w.Change(small.At(0).Key, nil, true)
	if w.Disordered != 1 {
		t.Fatalf("a delete too many: %+v", w)
	}
	w.Change("other", []byte("0000000000"), false)
	w.Change("other", nil, false)
	if w.Foreign != 2 {
		t.Fatalf("what the device never wrote: %+v", w)
	}
}

func TestState(t *testing.T) {
	state := small.State()
	for key, value := range state {
		if op := small.At(NumberOf(value)); op.Key != key {
			t.Fatalf("%s holds %s", key, value)
		}
	}
	if len(state) == 0 || len(state) > small.Sensors {
		t.Fatal(len(state))
	}
}
