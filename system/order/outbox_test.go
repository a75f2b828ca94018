package order

import (
	"slices"
	"testing"
)

// A write may be cut short behind any of its records: what says that it repeats everything is the first.
func TestARepetitionComesFirst(t *testing.T) {
	var o Outbox[int]
	o.Record([]byte("accepted"))
	o.Hold(1)
	o.Repeat(7, []byte("everything"))
	o.Record([]byte("and then"))
	p := o.Take().Persist
	if p == nil || p.Fresh != 7 || p.Lazy || len(p.Records) != 2 || string(p.Records[0]) != "everything" {
		t.Fatalf("%+v", p)
	}
	if answers := o.Durable(p.Seq); !slices.Equal(answers, []int{1}) {
		t.Errorf("answers %v", answers)
	}
}

// An answer that waits for a write that nobody was in a hurry for makes somebody hurry.
func TestAnAnswerWaitsForNoLazyWrite(t *testing.T) {
	var o Outbox[int]
	o.Record([]byte("of little interest"))
	lazy := o.Take().Persist
	o.Hold(1)
	p := o.Take().Persist
	if !lazy.Lazy || p == nil || p.Lazy || len(p.Records) > 0 {
		t.Fatalf("first %+v, then %+v", lazy, p)
	}
	o.Hold(2) // somebody waits for that already
	if again := o.Take().Persist; again != nil {
		t.Errorf("and again %+v", again)
	}
	if answers := o.Durable(lazy.Seq); len(answers) > 0 {
		t.Errorf("answers %v before they may go", answers)
	}
	if answers := o.Durable(p.Seq); !slices.Equal(answers, []int{1, 2}) {
		t.Errorf("answers %v", answers)
	}
}
