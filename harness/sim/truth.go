package sim

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/zeebo/xxh3"

	"metronome/harness/history"
	"metronome/system/wire"
)

// laneItem names an item by where it travelled.
type laneItem struct {
	lane   uint32
	number uint64
}

// executed is one place of the total order.
type executed struct {
	laneItem
	time uint64
	hash uint64
	call history.Call
	bad  bool // the bytes are no item
}

// expiry ends the sessions last used before a log time; it stands before an index.
type expiry struct{ position, index, before uint64 }

// stateAt is a place where states are compared: after an index, and after so many expiries.
type stateAt struct {
	index    uint64
	expiries int
}

// truth is what all replicas must agree on: the first to do something defines it.
type truth struct {
	w         *world
	violation *history.Violation

	positions []uint64 // committed positions, ascending
	decisions map[uint64][]byte
	lanes     laneTable
	items     []executed // by index - 1
	byItem    map[laneItem]uint64
	expired   []expiry
	leaders   map[uint64]uint64  // by term
	hashes    map[stateAt]uint64 // of the state

	// The items beyond the first kept places have indexes higher by jump: since a restore (R29).
	kept, jump uint64

	members  membership
	lives    []*life
	lastLife map[int]uint64
}

// membership is a configuration as some replica applied it.
type membership struct {
	position         uint64
	voters, learners []uint64
}

// life is one life of a replica's state, from the outside. It is the Observer of its core.
type life struct {
	w        *world
	seat     int
	number   uint64 // as the simulator counts
	id       uint64 // as the cluster does; 0 = not joined yet
	lost     bool
	replica  Replica
	at       int    // place in truth.positions of the next decision
	position uint64 // last committed
	index    uint64 // last applied
	expiries int    // of truth.expired
	members  membership

	disk    *seatDisk // nil: this life is its process'
	down    bool      // no process runs; it goes on when one does
	promise Promise   // the latest
	ghost   Replica   // what its disk holds while it is down
}

func newTruth(w *world) truth {
	return truth{w: w, decisions: map[uint64][]byte{}, byItem: map[laneItem]uint64{}, lanes: newLaneTable(),
		leaders: map[uint64]uint64{}, hashes: map[stateAt]uint64{}, lastLife: map[int]uint64{}}
}

func (t *truth) failed() bool { return t.violation != nil }

// fail records the first violation; the simulation stops at the next event.
func (t *truth) fail(rule, format string, args ...any) {
	if t.violation == nil {
		t.violation = &history.Violation{Rule: rule, Text: fmt.Sprintf(format, args...)}
		t.w.trace.note(t.w, "VIOLATION %v", *t.violation)
	}
}

// nextLife is the number of a seat's next life.
func (t *truth) nextLife(seat int) uint64 {
	t.lastLife[seat]++
	return t.lastLife[seat]
}

func (t *truth) born(w *world, seat int, number uint64) *life {
	l := &life{w: w, seat: seat, number: number}
	if w.now == 0 {
		l.id = number<<8 | uint64(seat)
	}
	t.lives = append(t.lives, l)
	return l
}

// OnCommit checks that decisions are the same everywhere, in the same order, and that what they
// order is replicated (I1, I2).
func (l *life) OnCommit(position uint64, decision []byte) {
	t := &l.w.truth
	if position <= l.position {
		t.fail("I2", "%v committed position %d after %d", l, position, l.position)
		return
	}
	l.position = position
	if l.at == len(t.positions) {
		t.decide(l, position, decision)
	}
	if want := t.positions[l.at]; want != position {
		t.fail("I2", "%v committed position %d where others committed %d", l, position, want)
		return
	}
	if !bytes.Equal(t.decisions[position], decision) {
		t.fail("I2", "%v committed %x at position %d, others %x", l, decision, position, t.decisions[position])
	}
	l.at++
}

// decide is a position's first commit.
func (t *truth) decide(l *life, position uint64, decision []byte) {
	t.positions = append(t.positions, position)
	if decision == nil {
		return
	}
	t.decisions[position] = bytes.Clone(decision)
	d, err := t.w.system.Decision(decision)
	if err != nil {
		t.fail("I2", "%v committed position %d, which cannot be read: %v", l, position, err)
		return
	}
	t.w.cover.Add("decision")
	if len(d.Cut) > 1 {
		t.w.cover.Add("decision with a cut of several lanes")
	}
	t.replicated(l, position, decision)
	t.lanes.apply(&d, t.w.cover)
}

// replicated counts who holds everything under a cut, or held it until its state was lost (I1).
func (t *truth) replicated(l *life, position uint64, decision []byte) {
	v := &t.w.view
	v.reset()
	l.replica.Inspect(v) // a change of members may have come with this decision, before or after it
	strict := l.disk != nil && l.disk.rng.Float64() < t.w.params.disk.audits
	was, is := t.majority(t.members.voters, position, decision, strict), false
	if !was {
		is = t.majority(v.Voters, position, decision, strict)
	}
	if !was && !is {
		t.fail("I1", "%v committed position %d without a majority that holds what is under its cut: neither "+
			"of %x nor of %x", l, position, t.members.voters, v.Voters)
	}
}

func (t *truth) majority(voters []uint64, position uint64, decision []byte, strict bool) bool {
	holders := 0
	for _, id := range voters {
		if t.holds(id, position, decision, strict) {
			holders++
		}
	}
	return 2*holders > len(voters)
}

// holds reports whether a life holds what is under a decision. A life on a disk holds what the disk
// gives; strict asks the disk even of one that runs, and for the decision itself.
func (t *truth) holds(id, position uint64, decision []byte, strict bool) bool {
	for _, l := range t.lives {
		if l.id != id {
			continue
		}
		r := l.replica
		onDisk := l.disk != nil && !l.lost && (l.down || strict)
		if onDisk {
			r = t.recovered(l)
		}
		if r == nil || !r.Holds(decision) {
			continue
		}
		var v View
		if onDisk {
			r.Inspect(&v)
		}
		if !onDisk || v.Last >= position {
			return true
		}
	}
	return false
}

// OnApply checks that the same index is the same item everywhere, that indexes have no gaps, and
// that no item has two (I3, I4).
func (l *life) OnApply(index, time uint64, lane uint32, number uint64, item []byte) {
	t := &l.w.truth
	if index != l.index+1 {
		t.fail("I3", "%v applied index %d after %d", l, index, l.index)
		return
	}
	l.index = index
	at := t.place(index)
	e := executed{laneItem: laneItem{lane, number}, time: time, hash: xxh3.Hash(item)}
	if at == uint64(len(t.items))+1 {
		t.execute(l, index, e, item)
	}
	if got := &t.items[at-1]; got.laneItem != e.laneItem || got.hash != e.hash || got.time != e.time {
		t.fail("I3", "%v applied at index %d item %d of lane %d (hash %x, time %d), others item %d of lane %d "+
			"(%x, %d)", l, index, number, lane, e.hash, time, got.number, got.lane, got.hash, got.time)
	}
}

// place is an index's place among all items, from 1; indexOf is its inverse.
func (t *truth) place(index uint64) uint64 {
	if index > t.kept {
		return index - t.jump
	}
	return index
}

func (t *truth) indexOf(place uint64) uint64 {
	if place > t.kept {
		return place + t.jump
	}
	return place
}

// execute is an index's first execution.
func (t *truth) execute(l *life, index uint64, e executed, item []byte) {
	var it wire.Item
	n, ok := wire.DecodeItem(item, &it)
	if e.bad = !ok || n != len(item); !e.bad {
		e.call, ok = CallOf(&it)
		e.bad = !ok
	}
	t.items = append(t.items, e)
	if before, twice := t.byItem[e.laneItem]; twice {
		t.fail("I4", "%v applied item %d of lane %d at index %d and again at %d", l, e.number, e.lane, before,
			index)
	}
	t.byItem[e.laneItem] = index
	if why := t.lanes.execute(e.laneItem); why != "" {
		t.fail("I4", "%v applied item %d of lane %d at index %d: %s", l, e.number, e.lane, index, why)
	}
}

// OnExpire checks that sessions end at the same place everywhere (R23).
func (l *life) OnExpire(position, index, before uint64) {
	t := &l.w.truth
	e := expiry{position, index, before}
	if l.expiries == len(t.expired) {
		t.expired = append(t.expired, e)
		l.w.cover.Add("sessions expired by a command")
	}
	if got := t.expired[l.expiries]; got != e {
		t.fail("R23", "%v expires sessions %+v, others %+v", l, e, got)
	}
	l.expiries++
}

// joined keeps the configuration a life has applied, for I1 and for the fault model's margin.
func (t *truth) joined(l *life, v *View) {
	m := &l.members
	if slices.Equal(m.voters, v.Voters) && slices.Equal(m.learners, v.Learners) {
		return
	}
	*m = membership{v.Position, slices.Clone(v.Voters), slices.Clone(v.Learners)}
	if len(m.voters) == 0 || m.position <= t.members.position {
		return
	}
	if len(m.voters) > len(t.members.voters) {
		t.w.cover.Add("learner promoted")
	}
	t.members = *m
	t.w.trace.note(t.w, "members at %d: voters %x learners %x", m.position, m.voters, m.learners)
}

// OnInstall moves a life to where a snapshot stands: not before what it has applied. What it learnt to
// be decided and has not applied, it will be told again.
func (l *life) OnInstall(position, index uint64) {
	l.w.cover.Add("snapshot installed")
	t := &l.w.truth
	if t.place(index) > uint64(len(t.items)) || index < l.index {
		t.fail("R30", "%v at position %d and index %d installed a snapshot of position %d and index %d", l,
			l.position, l.index, position, index)
		return
	}
	l.moveTo(position, index)
}

// moveTo puts a life behind a position and an index.
func (l *life) moveTo(position, index uint64) {
	t := &l.w.truth
	l.position, l.index = position, index
	l.at, _ = slices.BinarySearch(t.positions, position+1)
	l.expiries = len(t.expired)
	for i, e := range t.expired {
		if e.position > position {
			l.expiries = i
			break
		}
	}
}

// String is how violations name a life.
func (l *life) String() string { return fmt.Sprintf("replica-%d life %d", l.seat, l.number) }

// inspect looks at a process after each of its steps: its buffers (I6), who leads, and its state.
func (t *truth) inspect(w *world, p *process) {
	if p.replica == nil {
		return
	}
	v := &w.view
	v.reset()
	p.replica.Inspect(v)
	if v.ID != 0 {
		p.life.id = v.ID
	}
	t.joined(p.life, v)
	if err := p.replica.Err(); err != nil && w.params.altered > 0 {
		w.cover.Add("replica with altered memory stopped by itself")
		w.pause(p)
	} else if err != nil {
		t.fail("stopped", "%v stopped by itself: %v", p.life, err)
	}
	for _, b := range v.Bounds {
		if b.Used > b.Limit {
			t.fail("I6", "%v: %s is %d, bound %d", p.life, b.Name, b.Used, b.Limit)
		}
	}
	if v.Leading {
		t.led(p, v)
	}
	t.speaks(p, v)
	if v.Hash != 0 && v.Index == p.life.index {
		at := stateAt{v.Index, p.life.expiries}
		if want, known := t.hashes[at]; !known {
			t.hashes[at] = v.Hash
		} else if want != v.Hash {
			t.fail("I3", "%v has state %x at index %d, others %x", p.life, v.Hash, v.Index, want)
		}
	}
}

// longestSilence is for how long a leader that runs may say nothing, in virtual time: some of its
// ticks. No disk is that fast when it is slow (R16).
const longestSilence = 15 * milli

func (t *truth) speaks(p *process, v *View) {
	if _, heard := t.w.system.(Keeper); !heard || !v.Leading || p.lag > 0 || t.w.now <= p.lagTail || p.paused {
		p.beat = t.w.now
	} else if t.w.now-p.beat > longestSilence {
		t.fail("R16", "%v leads and sends no heartbeat for %d ms", p.life, (t.w.now-p.beat)/milli)
	}
}

func (t *truth) led(p *process, v *View) {
	if id, known := t.leaders[v.Term]; !known {
		t.leaders[v.Term] = v.ID
		t.w.cover.Add("leader elected")
		t.w.trace.note(t.w, "%v leads term %d", p.life, v.Term)
	} else if id != v.ID {
		t.fail("I2", "%v leads term %d, as %x did", p.life, v.Term, id)
	}
}
