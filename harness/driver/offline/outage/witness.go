package outage

import "bytes"

// Witness watches what an edge executes and compares it with what the device wrote: the same operations, some
// perhaps skipped, none twice, none before one that came earlier.
type Witness struct {
	spec Spec
	last int    // number of the newest operation seen, -1 = none
	seen []bool // puts, by number

	Puts, Deletes int
	Twice         int // puts executed a second time
	Disordered    int // changes that came after a later one
	Foreign       int // changes that the device never made
}

// NewWitness makes a witness of what a device wrote.
func NewWitness(s Spec) *Witness { return &Witness{spec: s, last: -1, seen: make([]bool, s.Count)} }

// Change takes the next change in the edge's order.
func (w *Witness) Change(key string, value []byte, deleted bool) {
	if deleted {
		w.Deletes++
		w.delete(key)
		return
	}
	w.Puts++
	n := NumberOf(value)
	if n < 0 || n >= w.spec.Count {
		w.Foreign++
		return
	}
	switch op := w.spec.At(n); {
	case op.Delete || op.Key != key || !bytes.Equal(op.Value, value):
		w.Foreign++
	case w.seen[n]:
		w.Twice++
	case n < w.last:
		w.Disordered++
	default:
		w.last = n
	}
	w.seen[n] = true
}

// delete matches a delete, which carries no number, with the next one of the key. If there is none, it came
// too late or twice, which deletes do not tell apart.
func (w *Witness) delete(key string) {
	for n := w.last + 1; n < w.spec.Count; n++ {
		if op := w.spec.At(n); op.Delete && op.Key == key {
			w.last = n
			return
		}
	}
	w.Disordered++
}

// State is what the edge must hold in the end.
func (s *Spec) State() map[string][]byte {
	state := map[string][]byte{}
	for op := range s.All() {
		if op.Delete {
			delete(state, op.Key)
		} else {
			state[op.Key] = op.Value
		}
	}
	return state
}
