package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"metronome/system/wire"
)

// Budget bounds what Linearizable does.
type Budget struct {
	Steps int64 // model steps a search, beyond which it is unfinished; 0 = 200,000
	Keys  int   // keys that are checked apart; 0 = all
	Whole int   // histories of at most so many operations are checked whole, across keys; 0 = none
	// Overlap: what has more operations under way at once, those without an outcome included, is not
	// chosen, for a search doubles with each; 0 = whatever it has.
	Overlap int
	// Limit is a time for all searches together, beside the steps, for those whose verdict may depend on
	// the machine; 0 = none.
	Limit time.Duration
}

// Finding is what a search for an order found.
type Finding struct {
	Verdict Verdict
	What    string // that is not Legal
	Key     string // of it; empty if it is the whole history
	Judged  int    // searches that were made
	Passed  int    // over, for their overlap
}

// request is an operation's half of what porcupine sees; the other half is an Answer.
type request struct {
	calls []Call
	name  uint64 // the write's name: its revision as answered, or anonymous
	open  bool   // outcome unknown: any answer is explained
}

// searcher is one run of the judge.
type searcher struct {
	Budget
	Finding
	over atomic.Bool // the time is up
}

// Linearizable judges a history without its log. pick chooses keys when there are more than the
// budget's: it returns a number in [0, n). It stops at the first thing that no order explains.
func Linearizable(h *History, b Budget, pick func(n int) int) Finding {
	f := searcher{Budget: b}
	if b.Steps == 0 {
		f.Steps = 200_000
	}
	if b.Limit > 0 {
		defer time.AfterFunc(b.Limit, func() { f.over.Store(true) }).Stop()
	}
	if len(h.Operations) <= b.Whole {
		f.search(wholeRequests(h), fmt.Sprintf("the whole history of %d operations", len(h.Operations)))
	}
	places := placesOf(h)
	keys := slices.Sorted(maps.Keys(places))
	for n := 0; f.Verdict == Legal && len(keys) > 0 && (b.Keys == 0 || n < b.Keys); n++ {
		i := 0
		if b.Keys != 0 {
			i = pick(len(keys))
		}
		f.search(keyRequests(h, keys[i], places[keys[i]]), "key "+brief(keys[i]))
		if f.Verdict != Legal {
			f.Key = keys[i]
		}
		keys = slices.Delete(keys, i, i+1)
	}
	return f.Finding
}

// search judges what is chosen, and passes over what is not.
func (f *searcher) search(ops []porcupine.Operation, what string) {
	if f.Overlap != 0 && overlap(ops) > f.Overlap {
		f.Passed++
		return
	}
	f.Judged++
	if f.Verdict = search(ops, f.Steps, &f.over); f.Verdict != Legal {
		f.What = what
	}
}

// overlap is how many operations are under way at once, at most.
func overlap(ops []porcupine.Operation) (most int) {
	type edge struct {
		at int64
		by int
	}
	var edges []edge
	for i := range ops {
		edges = append(edges, edge{ops[i].Call, 1}, edge{ops[i].Return, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.by, a.by))
	})
	now := 0
	for _, e := range edges {
		now += e.by
		most = max(most, now)
	}
	return most
}

// placesOf are, for each key that anything named, the places of the operations that did.
func placesOf(h *History) map[string][]int {
	places := map[string][]int{}
	add := func(i int, c *Call) {
		all := places[c.Key]
		if c.Key != "" && c.Op != wire.OpScan && (len(all) == 0 || all[len(all)-1] != i) {
			places[c.Key] = append(all, i)
		}
	}
	for i := range h.Operations {
		c := &h.Operations[i].Call
		add(i, c)
		for j := range c.Calls {
			add(i, &c.Calls[j])
		}
	}
	return places
}

// silent reports whether an operation constrains nothing: refused, kept from executing by its
// session's rules, a session's opening, or a read nobody answered.
func silent(op *Operation) bool {
	if op.Outcome == Answered && op.Answer.Status >= wire.StatusMalformed {
		// A forgotten number may have been executed before: its answer is lost, its effect is not.
		return op.Answer.Status != wire.StatusSessionForgotten && op.Answer.Status != wire.StatusResultGone
	}
	return op.Outcome == Refused || op.Call.Op == wire.OpSession || op.Outcome == Unknown && readOnly(&op.Call)
}

func readOnly(c *Call) bool {
	switch c.Op {
	case wire.OpGet, wire.OpScan, wire.OpCount:
		return true
	case wire.OpMulti:
		return !slices.ContainsFunc(c.Calls, func(c Call) bool { return !readOnly(&c) })
	}
	return false
}

func wholeRequests(h *History) (ops []porcupine.Operation) {
	for i := range h.Operations {
		if op := &h.Operations[i]; !silent(op) {
			ops = append(ops, operation(op, i, []Call{op.Call}, []Answer{op.Answer}))
		}
	}
	return ops
}

// keyRequests are the operations on one key. The parts of a multi that touch it are one operation;
// to look at one key only asks less than atomicity across keys, never more.
func keyRequests(h *History, key string, places []int) (ops []porcupine.Operation) {
	for _, i := range places {
		op := &h.Operations[i]
		if silent(op) {
			continue
		}
		if op.Call.Op != wire.OpMulti {
			if op.Call.Key == key && op.Call.Op != wire.OpScan {
				ops = append(ops, operation(op, i, []Call{op.Call}, []Answer{op.Answer}))
			}
			continue
		}
		if calls, answers := partsOf(op, key); len(calls) > 0 {
			ops = append(ops, operation(op, i, calls, answers))
		}
	}
	return ops
}

func partsOf(op *Operation, key string) (calls []Call, answers []Answer) {
	for j := range op.Call.Calls {
		if op.Call.Calls[j].Key != key {
			continue
		}
		calls = append(calls, op.Call.Calls[j])
		if j < len(op.Answer.Answers) {
			answers = append(answers, op.Answer.Answers[j])
		}
	}
	return calls, answers
}

func operation(op *Operation, place int, calls []Call, answers []Answer) porcupine.Operation {
	in := &request{calls: calls, open: op.Outcome != Answered || op.Answer.Status >= wire.StatusMalformed,
		name: anonymous | uint64(place)}
	for i := range answers {
		if name := nameOf(&calls[i], &answers[i]); name != 0 {
			in.name = name
		}
	}
	out := porcupine.Operation{Input: in, Output: answers, Call: op.Invoked, Return: op.Returned}
	if in.open {
		out.Return = Never
	}
	return out
}

// nameOf is the revision an answer gives a write, or 0.
func nameOf(c *Call, a *Answer) uint64 {
	if c.Op == wire.OpMulti && len(a.Answers) == len(c.Calls) {
		for i := range c.Calls {
			if name := nameOf(&c.Calls[i], &a.Answers[i]); name != 0 {
				return name
			}
		}
	}
	if readOnly(c) || c.Op == wire.OpDelete || c.Op == wire.OpMulti || a.Status != wire.StatusOK {
		return 0
	}
	return a.Revision
}

// searchModel is the store as porcupine wants it. more is asked before every step; nil never ends.
func searchModel(more func() bool) porcupine.Model {
	return porcupine.Model{
		Init:  func() any { return named{newState(), 0} },
		Equal: func(a, b any) bool { return equal(a.(named), b.(named)) },
		Hash:  func(s any) uint64 { return s.(named).hash },
		Step: func(s, in, out any) (bool, any) {
			if more != nil && !more() {
				return false, s
			}
			return step(s.(named), in.(*request), out.([]Answer))
		},
	}
}

// search asks porcupine, and gives up after so many model steps, or when it is over.
func search(ops []porcupine.Operation, budget int64, over *atomic.Bool) Verdict {
	var steps atomic.Int64
	var ended atomic.Bool
	model := searchModel(func() bool {
		if steps.Add(1) <= budget && !over.Load() {
			return true
		}
		ended.Store(true)
		return false
	})
	switch {
	case porcupine.CheckOperations(model, ops):
		return Legal
	case ended.Load():
		return Unfinished
	}
	return Illegal
}
