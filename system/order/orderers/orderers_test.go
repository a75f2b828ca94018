package orderers

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

func TestEveryAlgorithmStartsAndSaysWhatItIs(t *testing.T) {
	if Names()[0] != Default {
		t.Errorf("the default comes first, not %v", Names())
	}
	for _, name := range Names() {
		c, err := Parse(name)
		if err != nil || c.String() != name {
			t.Fatalf("%s: %v, %v", name, c, err)
		}
		members := &order.Members{Voters: []uint64{1}}
		o, err := c.New(order.Config{ID: 1, Gate: &ordertest.Shelf{}, ElectionTicks: 10, HeartbeatTicks: 1,
			Bootstrap: members})
		if err != nil || !slices.Equal(o.Status().Members.Voters, members.Voters) {
			t.Fatalf("%s: %v", name, err)
		}
		for range 40 { // it elects itself
			if o.Tick(); o.Status().Leading {
				break
			}
			for rd := o.Ready(); rd.Persist != nil || len(rd.Committed) > 0; rd = o.Ready() {
				if rd.Persist != nil {
					o.Persisted(rd.Persist.Seq)
				}
				for _, k := range rd.Committed {
					o.Applied(k.Position)
				}
			}
		}
		if !o.Status().Leading {
			t.Errorf("%s: %+v", name, o.Status())
		}
		err = o.ProposeConf(order.ConfChange{Type: order.AddLearner, ID: 2})
		if c.Static() != errors.Is(err, order.ErrStatic) {
			t.Errorf("%s: a change of members: %v", name, err)
		}
		if s := c.Said(nil); s != (order.Said{}) || c.Describe([]byte{0xff}) == "" {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if c, err := Parse(""); err != nil || c.String() != Default {
		t.Errorf("no name: %v", err)
	}
	_, err := Parse("paxos")
	if err == nil || !strings.Contains(err.Error(), "use "+strings.Join(Names(), " or ")) {
		t.Errorf("an unknown one: %v", err)
	}
}
