package ordertest

import (
	"errors"
	"strings"
	"testing"

	"metronome/system/order"
)

// Members are fixed: a change, a joiner and a stranger are refused, with what to do instead; and so is a
// quorum with which decided would not mean held (R13).
func fixedMembers(t *testing.T, by Algorithm) {
	if !by.Fixed {
		return
	}
	three := &order.Members{Voters: []uint64{1, 2, 3}}
	learner := &order.Members{Voters: []uint64{1}, Learners: []uint64{2}}
	twice := &order.Members{Voters: []uint64{1, 1}}
	good := order.Config{ID: 1, Gate: &Shelf{}, ElectionTicks: 10, HeartbeatTicks: 2, Bootstrap: three}
	for name, test := range map[string]struct {
		change func(*order.Config)
		want   string
	}{
		"less than a majority":  {func(c *order.Config) { c.AcceptQuorum = 1 }, "use 2 to 3"},
		"more than there are":   {func(c *order.Config) { c.AcceptQuorum = 4 }, "use 2 to 3"},
		"a joiner":              {func(c *order.Config) { c.Bootstrap = nil }, "members are fixed"},
		"a stranger":            {func(c *order.Config) { c.ID = 9 }, "members are fixed"},
		"no gate":               {func(c *order.Config) { c.Gate = nil }, "no gate"},
		"a learner":             {func(c *order.Config) { c.Bootstrap = learner }, "voters only"},
		"a member twice":        {func(c *order.Config) { c.Bootstrap = twice }, "every id once"},
		"no time to be elected": {func(c *order.Config) { c.ElectionTicks = 1 }, "election > heartbeat"},
	} {
		c := good
		test.change(&c)
		if _, err := by.Start(c); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o, err := by.Start(good)
	if err != nil {
		t.Fatal(err)
	}
	err = o.ProposeConf(order.ConfChange{Type: order.AddLearner, ID: 4})
	if !errors.Is(err, order.ErrMembership) || !errors.Is(err, order.ErrStatic) {
		t.Errorf("a change of members: %v", err)
	}
}

// Records that do not fit together are not started from; what a snapshot covers need not be among them.
func brokenRecords(t *testing.T, by Algorithm) {
	if !by.Fixed {
		return // raft's records are its library's: it has cases of its own
	}
	c := Met(t, by, 3, nil)
	m := c.Elect(1)
	c.Holds(7, 4, 1, 2, 3)
	for n := uint64(1); n <= 4; n++ {
		c.Propose(m, At(7, n))
		c.Settle()
	}
	config := order.Config{ID: 1, Gate: m.Shelf, ElectionTicks: 10, HeartbeatTicks: 2}
	last := m.Records[len(m.Records)-1]
	for name, records := range map[string][][]byte{
		"of another algorithm":    {append([]byte{9}, last[1:]...)},
		"that end early":          {last[:len(last)-1]},
		"of nothing":              {{}},
		"that lack what they say": {last},
		"without the middle":      {m.Records[0], last},
	} {
		config.Restart = &order.Restart{Snapshot: m.Durable, Records: records}
		if _, err := by.Start(config); !errors.Is(err, order.ErrMalformed) {
			t.Errorf("records %s: %v", name, err)
		}
	}
	config.Restart = &order.Restart{Snapshot: m.Place, Records: [][]byte{last}}
	if o, err := by.Start(config); err != nil || o.Status().Applied != m.Place.Position {
		t.Errorf("what the snapshot covers need not be there: %v", err)
	}
}
