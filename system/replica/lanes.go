package replica

import (
	"slices"

	"metronome/internal/mutate"
	"metronome/system/lane"
	"metronome/system/order"
	"metronome/system/wire"
)

// laneState is what a replica keeps of a lane: its row in the replicated table, the frames held,
// and what its proxy is still owed. A closed lane lives on until the log that covers it is
// compacted, so that peers can fetch its frames (R17).
type laneState struct {
	*laneRow
	open    bool
	early   bool // read from the journal, and not opened yet by what is known to be agreed
	recv    *lane.Receiver
	applied order.Mark // the effective cut as far as it was handed to the store
	heard   int64      // when a frame or heartbeat last came
	results resultQueue
	reply   []byte // answers on their way to the proxy
	stoodAt uint64 // the mark's frames when leadership was last looked at
	waits   int64  // since when frames lie beyond what is proposed and no round takes any, 0 if none do
	waitsAt uint64 // the proposed mark's frames then
	dirty   bool   // committed or applied since the last report

	journaled uint64 // frames below are in the journal, or in the snapshot that it continues
	notes     []note // where
}

func byID(l *laneState, id order.LaneID) int { return compare(l.id, id) }

// find is the state of a lane that is open, or was closed and is kept.
func (r *Replica) find(id order.LaneID) *laneState {
	i, ok := slices.BinarySearchFunc(r.lanes, id, byID)
	if !ok {
		return nil
	}
	return r.lanes[i]
}

// admit begins to take a lane's frames, from its cut on.
func (r *Replica) admit(row *laneRow) error {
	if l := r.find(row.id); l != nil && l.early {
		l.laneRow, l.open, l.early, l.heard = row, true, false, r.now
		return nil
	}
	at := lane.Mark{Items: row.cut.Items, Frames: row.cut.Frames, Chain: row.cut.Chain}
	name := lane.Name{Proxy: row.proxy, Incarnation: row.incarnation, Lane: row.index, ID: uint32(row.id)}
	recv, err := r.ingest.Reopen(name, at)
	if err != nil {
		return err
	}
	r.insert(&laneState{laneRow: row, open: true, recv: recv, applied: row.cut, heard: r.now,
		journaled: row.cut.Frames})
	return nil
}

func (r *Replica) insert(l *laneState) {
	i, _ := slices.BinarySearchFunc(r.lanes, l.id, byID)
	r.lanes = slices.Insert(r.lanes, i, l)
}

// shut stops taking frames of a proxy's lanes; what they hold below their cut stays.
func (r *Replica) shut(proxy uint32) {
	for _, l := range r.lanes {
		if l.proxy == proxy && l.open {
			r.ingest.CloseLife(proxy, l.incarnation)
			l.open = false
			l.results.reset()
		}
	}
}

// openLane is the open lane of a proxy's present incarnation, or nil.
func (r *Replica) openLane(proxy, incarnation uint32, index uint16) *laneState {
	p := r.state.proxy(proxy)
	if p == nil || !p.open || p.incarnation != incarnation || index >= p.lanes {
		return nil
	}
	return r.find(p.first + order.LaneID(index))
}

// whole is the last position at or below frame n at which no item is cut through, and that is held:
// a value in fragments is one item to a cut (R6).
func (l *laneState) whole(n uint64) (order.Mark, bool) {
	n = min(n, l.recv.Mark().Frames)
	var h wire.Header
	for ; n > l.cut.Frames; n-- {
		f := l.recv.Frame(n - 1)
		if f == nil {
			return order.Mark{}, false
		}
		h.Get(f)
		if h.Count > 0 {
			chain, ok := l.recv.Chain(n - 1)
			return order.Mark{Lane: l.id, Items: h.First + uint64(h.Count), Frames: n, Chain: chain}, ok
		}
	}
	return l.cut, true
}

// Holds judges a cut by what is held here: the gate (R11). What is held is durable before anybody
// hears of an acceptance: in memory mode by definition, else because both lie in one journal.
func (r *Replica) Holds(c order.Cut) order.Verdict {
	if mutate.On(mutate.SkipGate) || mutate.On(mutate.CommitMinority) && r.cfg.Seat == r.cfg.Seats-1 {
		return order.Held
	}
	verdict := order.Held
	for i := range c {
		switch r.holds(&c[i]) {
		case order.Mismatch:
			return order.Mismatch
		case order.Missing:
			verdict = order.Missing
		}
	}
	return verdict
}

func (r *Replica) holds(m *order.Mark) order.Verdict {
	l := r.find(m.Lane)
	if m.Lane >= r.state.nextLane && (l == nil || !l.early) {
		return order.Missing // not opened here yet
	}
	if l == nil || !l.open && !l.early || m.Items <= l.cut.Items {
		return order.Held // closed or covered: void when applied (R6)
	}
	if l.recv.Mark().Frames < m.Frames {
		// The proxy may be gone, and nobody else would say that there is more.
		r.ingest.Expect(l.recv, m.Frames)
		return order.Missing
	}
	if r.held(l) < m.Frames {
		return order.Missing // there is no room to journal it
	}
	chain, ok := l.recv.Chain(m.Frames - 1)
	if (!ok || chain != m.Chain) && !mutate.On(mutate.IgnoreDigest) {
		return order.Mismatch
	}
	return order.Held
}

// checkpoint is a position of the log with the effective cut there: where frames may be dropped.
type checkpoint struct {
	position uint64
	frames   []laneFrames
}

type laneFrames struct {
	id     order.LaneID
	frames uint64
}

func framesByID(f laneFrames, id order.LaneID) int { return compare(f.id, id) }

// maxCheckpoints bounds how finely frames are released; at the bound every other one is forgotten.
const maxCheckpoints = 256

func (r *Replica) mark(position uint64) {
	if n := len(r.checkpoints); n > 0 && position-r.checkpoints[n-1].position < r.checkpointEvery {
		return
	}
	r.checkpoint(position)
}

func (r *Replica) checkpoint(position uint64) {
	if len(r.checkpoints) == maxCheckpoints {
		kept := r.checkpoints[:0]
		for i := 1; i < maxCheckpoints; i += 2 {
			kept = append(kept, r.checkpoints[i])
		}
		r.checkpoints, r.checkpointEvery = kept, r.checkpointEvery*2
	}
	c := checkpoint{position: position, frames: make([]laneFrames, 0, len(r.lanes))}
	for _, l := range r.lanes {
		c.frames = append(c.frames, laneFrames{l.id, l.applied.Frames})
	}
	r.checkpoints = append(r.checkpoints, c)
}

// compact forgets log and frames up to the newest checkpoint that every member has, or further if a
// lane runs out of room: whoever is further behind needs a snapshot (R17).
func (r *Replica) compact() {
	r.compactLog()
	last := len(r.checkpoints) - 1
	if r.pressed(r.checkpoints) && !r.working && len(r.queue) == 0 &&
		(last < 0 || r.checkpoints[last].position < r.applied) {
		r.checkpoint(r.applied) // they lie too far apart: without a newer one nothing more would be taken
	}
	n := 0
	for n < len(r.checkpoints) && r.checkpoints[n].position <= r.safe {
		n++
	}
	for n < len(r.checkpoints) && r.pressed(r.checkpoints[:n]) {
		n++
	}
	if n == 0 {
		return
	}
	c := r.checkpoints[n-1]
	for _, at := range c.frames {
		if l := r.find(at.id); l != nil {
			if mutate.On(mutate.TrimUndecided) {
				at.frames = l.recv.Mark().Frames
			}
			l.recv.Trim(at.frames)
		}
	}
	r.lanes = slices.DeleteFunc(r.lanes, func(l *laneState) bool {
		// Not what is applied but what is agreed: a closed lane's last items may still wait in the queue.
		return !l.open && !l.early && l.recv.Trimmed() >= l.cut.Frames
	})
	r.dropped = c.position
	r.compactLog()
	r.checkpoints = slices.Delete(r.checkpoints, 0, n)
	if len(r.checkpoints) < maxCheckpoints/4 && r.checkpointEvery > 1 {
		r.checkpointEvery /= 2
	}
}

// pressed reports whether a lane would hold more than half its bound after trimming to the last of
// the given checkpoints, or as it is if there is none, or all lanes together more than theirs.
func (r *Replica) pressed(passed []checkpoint) bool {
	var frames []laneFrames
	if n := len(passed); n > 0 {
		frames = passed[n-1].frames
	}
	held := uint64(0)
	for _, l := range r.lanes {
		mark, from := l.recv.Mark().Frames, l.recv.Trimmed()
		total := max(mark-from, 1)
		if at, ok := slices.BinarySearchFunc(frames, l.id, framesByID); ok {
			from = max(from, frames[at].frames)
		}
		kept := mark - min(mark, from)
		bytes := uint64(l.recv.Used()) * kept / total
		if kept > uint64(r.cfg.Lane.Window)/2 || bytes > uint64(r.cfg.Lane.Arena)/2 {
			return true
		}
		held += bytes
	}
	return r.cfg.RetainBytes > 0 && held > uint64(r.cfg.RetainBytes)
}
