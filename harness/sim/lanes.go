package sim

import (
	"fmt"
	"slices"
)

// laneTable follows, from the decisions alone, which lanes there are and where they end (R19): a
// second, plain account of what the replicas' state machines must come to.
type laneTable struct {
	lanes   []laneTruth // by id - 1
	proxies map[uint32]*proxyTruth
	closed  bool // some lane is: a mark of it is void for who knows, and missing for who does not yet
}

// laneTruth is one lane.
type laneTruth struct {
	proxy, incarnation uint32
	index              int
	cut                uint64 // the effective cut: its maximum over all decisions (I2)
	next               uint64 // item expected next
	closed             bool
}

// proxyTruth is a proxy's present incarnation.
type proxyTruth struct {
	nonce       uint64
	spent       []uint64 // nonces of incarnations that are closed
	incarnation uint32
	lanes       []int // places in laneTable.lanes
}

func newLaneTable() laneTable { return laneTable{proxies: map[uint32]*proxyTruth{}} }

// apply carries out a decision: first its cut, then its commands.
func (t *laneTable) apply(d *Decision, cover Coverage) {
	for _, m := range d.Cut {
		if m.Lane == 0 || int(m.Lane) > len(t.lanes) || t.lanes[m.Lane-1].closed {
			cover.Add("mark of a closed or unknown lane, void")
			continue
		}
		l := &t.lanes[m.Lane-1]
		l.cut = max(l.cut, m.Items)
	}
	for _, o := range d.Opens {
		t.open(o, cover)
	}
	for _, c := range d.Closes {
		if p := t.proxies[c.Proxy]; p != nil && p.incarnation == c.Incarnation && len(p.lanes) > 0 {
			cover.Add("proxy closed for silence")
			t.close(p)
		}
	}
}

func (t *laneTable) open(o Opening, cover Coverage) {
	p := t.proxies[o.Proxy]
	if p == nil {
		p = &proxyTruth{incarnation: max(o.From, 1) - 1}
		t.proxies[o.Proxy] = p
	}
	if p.nonce == o.Nonce || slices.Contains(p.spent, o.Nonce) {
		cover.Add("opening repeated")
		return
	}
	if len(p.lanes) > 0 {
		cover.Add("incarnation fenced by the next")
	}
	t.close(p)
	p.nonce = o.Nonce
	p.incarnation++
	for i := range o.Lanes {
		p.lanes = append(p.lanes, len(t.lanes))
		t.lanes = append(t.lanes, laneTruth{proxy: o.Proxy, incarnation: p.incarnation, index: i})
	}
}

func (t *laneTable) close(p *proxyTruth) {
	if len(p.lanes) > 0 {
		p.spent = append(p.spent, p.nonce)
	}
	for _, place := range p.lanes {
		t.lanes[place].closed, t.closed = true, true
	}
	p.lanes = nil
}

// execute takes an item to have been executed, and says why it must not have been.
func (t *laneTable) execute(it laneItem) string {
	if it.lane == 0 || int(it.lane) > len(t.lanes) {
		return "no decision opened that lane"
	}
	l := &t.lanes[it.lane-1]
	next := l.next
	l.next = it.number + 1
	switch {
	case it.number != next:
		return fmt.Sprintf("item %d is next in that lane", next)
	case it.number >= l.cut:
		return fmt.Sprintf("the lane's effective cut is %d, closed %v", l.cut, l.closed)
	}
	return ""
}

// sent is an item as its proxy names it.
func (t *laneTable) sent(it laneItem) sentItem {
	if it.lane == 0 || int(it.lane) > len(t.lanes) {
		return sentItem{}
	}
	l := &t.lanes[it.lane-1]
	return sentItem{l.proxy, l.incarnation, l.index, it.number}
}
