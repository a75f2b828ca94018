package replica

import (
	"errors"
	"fmt"
	"slices"

	"metronome/internal/mutate"
	"metronome/system/order"
	"metronome/system/wire"
)

// state is the replicated state besides keys and sessions: a function of the decisions applied, the
// same at every replica (R23), and part of every snapshot (R30).
type state struct {
	epoch    uint64 // raised by every restore (R29)
	time     uint64 // log time, in the leader's ticks, monotone
	feature  uint32 // feature level
	nextLane order.LaneID
	proxies  []proxyRow // ascending by number
	lanes    []*laneRow // open lanes, ascending by id
	lives    [wire.MaxSeats]lifeRow
	limits   []byte
}

// lifeRow is the latest life minted for a seat and the nonce of who asked for it. From feature
// level 2 on a seat has lives only while it is admitted, and its latest one may have ended.
type lifeRow struct {
	life     uint32
	nonce    uint64
	admitted bool
	ended    bool
}

// proxyRow is a proxy's present incarnation, and where its previous one ended.
type proxyRow struct {
	number      uint32
	incarnation uint32
	nonce       uint64
	open        bool
	silence     bool // the present incarnation was closed for silence
	first       order.LaneID
	lanes       uint16
	closed      []uint64 // items of the latest closed incarnation, by lane index
	closedOf    uint32   // that incarnation
	spent       []uint64 // nonces of instances that were closed, latest last: they cannot come back
}

// laneRow is an open lane and its effective cut (I2).
type laneRow struct {
	id          order.LaneID
	proxy       uint32
	incarnation uint32
	index       uint16
	cut         order.Mark
}

func newState() state { return state{epoch: 1, nextLane: 1} }

func (s *state) proxy(number uint32) *proxyRow {
	i, ok := slices.BinarySearchFunc(s.proxies, number, byNumber)
	if !ok {
		return nil
	}
	return &s.proxies[i]
}

func byNumber(p proxyRow, n uint32) int { return compare(p.number, n) }

func rowByID(l *laneRow, id order.LaneID) int { return compare(l.id, id) }

func compare[T uint32 | uint64 | order.LaneID](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (s *state) lane(id order.LaneID) *laneRow {
	i, ok := slices.BinarySearchFunc(s.lanes, id, rowByID)
	if !ok {
		return nil
	}
	return s.lanes[i]
}

// maxSpent is how many closed instances of a proxy are remembered.
const maxSpent = 16

// close ends a proxy's incarnation at its effective cut (R19).
func (s *state) close(p *proxyRow, silence bool) {
	if !p.open {
		return
	}
	p.open, p.silence, p.closedOf = false, silence, p.incarnation
	if p.spent = append(p.spent, p.nonce); len(p.spent) > maxSpent {
		p.spent = p.spent[1:]
	}
	p.closed = make([]uint64, p.lanes)
	for i := range p.closed {
		p.closed[i] = s.lane(p.first + order.LaneID(i)).cut.Items
	}
	s.lanes = slices.DeleteFunc(s.lanes, func(l *laneRow) bool { return l.proxy == p.number })
}

// open begins a proxy's next incarnation; its first is from, or 1. It reports whether anything changed:
// a request of the instance that holds the present one is a repetition.
func (s *state) open(number uint32, nonce uint64, lanes uint16, from uint32) (p *proxyRow, changed bool) {
	p = s.proxy(number)
	if p == nil {
		i, _ := slices.BinarySearchFunc(s.proxies, number, byNumber)
		s.proxies = slices.Insert(s.proxies, i, proxyRow{number: number, incarnation: max(from, 1) - 1})
		p = &s.proxies[i]
	}
	if p.nonce == nonce || slices.Contains(p.spent, nonce) {
		return p, false
	}
	if mutate.On(mutate.ReuseIncarnation) && p.open {
		p.nonce = nonce
		return p, false
	}
	s.close(p, false)
	p.incarnation++
	p.nonce, p.open, p.silence, p.first, p.lanes = nonce, true, false, s.nextLane, lanes
	for i := range lanes {
		id := s.nextLane + order.LaneID(i)
		s.lanes = append(s.lanes, &laneRow{id: id, proxy: number, incarnation: p.incarnation, index: i,
			cut: order.Mark{Lane: id}})
	}
	s.nextLane += order.LaneID(lanes)
	return p, true
}

// mint issues a seat's next life, once for each nonce (R1).
func (s *state) mint(seat int, nonce uint64) {
	if seat >= len(s.lives) || s.lives[seat].nonce == nonce || !s.admits(seat) {
		return
	}
	l := &s.lives[seat]
	l.life, l.nonce, l.ended = l.life+1, nonce, false
}

// The feature levels, each with what may be agreed on from it on (R23).
const (
	featureSeats = 2 // seats are admitted and retired
	featureFirst = 3 // proxies' first incarnations are drawn

	// Feature is the highest level that this build can follow.
	Feature = featureFirst
)

// admits reports whether a seat may have a new life.
func (s *state) admits(seat int) bool { return s.feature < featureSeats || s.lives[seat].admitted }

// raise raises the feature level. With the second, those seats are admitted that ever had a life.
func (s *state) raise(level uint32) {
	if s.feature < featureSeats && level >= featureSeats {
		for i := range s.lives {
			s.lives[i].admitted = s.lives[i].life > 0
		}
	}
	s.feature = max(s.feature, level)
}

// retire ends the life of a seat, for good: its state does not come back (R1).
func (s *state) retire(seat int) {
	l := &s.lives[seat]
	l.admitted, l.ended, l.nonce = false, true, 0
}

// registered reports whether an id was minted, and neither superseded nor ended.
func (s *state) registered(id uint64) bool {
	seat := SeatOf(id)
	if seat >= len(s.lives) {
		return false
	}
	l := &s.lives[seat]
	return l.life > 0 && !l.ended && LifeID(seat, l.life) == id
}

// superseded reports whether a later life than id was minted on its seat (R1). A life that is not
// known here yet was minted by positions that are still to come: whoever lags must not refuse the
// leader that would tell it.
func (s *state) superseded(id uint64) bool {
	seat := SeatOf(id)
	return seat >= len(s.lives) || id < LifeID(seat, s.lives[seat].life)
}

// ended reports whether an operator ended the life of this id.
func (s *state) ended(id uint64) bool {
	seat := SeatOf(id)
	return seat < len(s.lives) && s.lives[seat].ended && id == LifeID(seat, s.lives[seat].life)
}

// The layouts of an encoded state. A cluster whose feature level is below 2 keeps to the first, so
// that the version before can still read what it is sent.
const (
	stateFirst = 1
	stateSeats = 2 // flags of seats
)

// append encodes the state for a snapshot.
func (s *state) append(dst []byte) []byte {
	w := wire.Writer{B: dst}
	version := uint8(stateFirst)
	if s.feature >= featureSeats {
		version = stateSeats
	}
	w.U8(version)
	w.U64(s.epoch)
	w.U64(s.time)
	w.U32(s.feature)
	w.U32(uint32(s.nextLane))
	for _, l := range s.lives {
		w.U32(l.life)
		w.U64(l.nonce)
		if version >= stateSeats {
			w.U8(bits(l.admitted, l.ended))
		}
	}
	w.Bytes(s.limits)
	w.U32(uint32(len(s.proxies)))
	for i := range s.proxies {
		s.proxies[i].append(&w)
	}
	w.U32(uint32(len(s.lanes)))
	for _, l := range s.lanes {
		w.U32(uint32(l.id))
		w.U32(l.proxy)
		w.U32(l.incarnation)
		w.U16(l.index)
		w.U64(l.cut.Items)
		w.U64(l.cut.Frames)
		w.U64(l.cut.Chain)
	}
	return w.B
}

func (p *proxyRow) append(w *wire.Writer) {
	w.U32(p.number)
	w.U32(p.incarnation)
	w.U64(p.nonce)
	w.U8(bits(p.open, p.silence))
	w.U32(uint32(p.first))
	w.U16(p.lanes)
	w.U32(p.closedOf)
	w.U16(uint16(len(p.closed)))
	for _, n := range p.closed {
		w.U64(n)
	}
	w.U16(uint16(len(p.spent)))
	for _, n := range p.spent {
		w.U64(n)
	}
}

func bits(a, b bool) (n uint8) {
	if a {
		n |= 1
	}
	if b {
		n |= 2
	}
	return n
}

var errState = errors.New("replica: the snapshot's state is damaged")

// decodeState reads what append wrote.
func decodeState(b []byte) (s state, err error) {
	r := wire.NewReader(b)
	version := r.U8()
	if version > stateSeats {
		return s, fmt.Errorf("%w: a state in layout %d, this build knows %d", ErrNewer, version, stateSeats)
	}
	s.epoch, s.time, s.feature, s.nextLane = r.U64(), r.U64(), r.U32(), order.LaneID(r.U32())
	for i := range s.lives {
		s.lives[i] = lifeRow{life: r.U32(), nonce: r.U64()}
		if version >= stateSeats {
			flags := r.U8()
			s.lives[i].admitted, s.lives[i].ended = flags&1 != 0, flags&2 != 0
		}
	}
	s.limits = slices.Clone(r.Bytes())
	for n := r.U32(); n > 0 && r.OK(); n-- {
		s.proxies = append(s.proxies, readProxy(&r))
	}
	for n := r.U32(); n > 0 && r.OK(); n-- {
		l := &laneRow{id: order.LaneID(r.U32()), proxy: r.U32(), incarnation: r.U32(), index: r.U16()}
		l.cut = order.Mark{Lane: l.id, Items: r.U64(), Frames: r.U64(), Chain: r.U64()}
		s.lanes = append(s.lanes, l)
	}
	if !r.Done() {
		return s, errState
	}
	return s, nil
}

func readProxy(r *wire.Reader) (p proxyRow) {
	p.number, p.incarnation, p.nonce = r.U32(), r.U32(), r.U64()
	flags := r.U8()
	p.open, p.silence = flags&1 != 0, flags&2 != 0
	p.first, p.lanes, p.closedOf = order.LaneID(r.U32()), r.U16(), r.U32()
	for n := r.U16(); n > 0 && r.OK(); n-- {
		p.closed = append(p.closed, r.U64())
	}
	for n := r.U16(); n > 0 && r.OK(); n-- {
		p.spent = append(p.spent, r.U64())
	}
	return p
}
