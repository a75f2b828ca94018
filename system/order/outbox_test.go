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
