package replica

import (
	"slices"

	"metronome/system/lane"
	"metronome/system/wire"
)

// A replica that is far behind gets a snapshot, and by the time it is installed its peers may have dropped
// the frames that were sent meanwhile: they keep no more than a lane's window. But they were sent here
// too. So what finds no place yet is put aside and taken up after the snapshot; and the leader keeps its
// log from the snapshot on for as long as that goes forward (keepLog).

// shelf is frames of one lane that found no place, oldest first.
type shelf struct {
	proxy, incarnation uint32
	lane               uint16
	frames             [][]byte
}

// shelves are bounded in bytes together. What does not fit drives out the oldest of its lane.
type shelves struct {
	lanes []shelf
	bytes int
}

// maxShelves bounds the lanes that frames are put aside of.
const maxShelves = 1024

func (s *shelves) put(frame []byte, bound int) {
	var h wire.Header
	h.Get(frame)
	is := func(l shelf) bool {
		return l.proxy == h.Proxy && l.incarnation == h.Incarnation && l.lane == h.Lane
	}
	i := slices.IndexFunc(s.lanes, is)
	if i < 0 {
		if len(s.lanes) == maxShelves {
			return
		}
		i, s.lanes = len(s.lanes), append(s.lanes, shelf{proxy: h.Proxy, incarnation: h.Incarnation, lane: h.Lane})
	}
	l := &s.lanes[i]
	for s.bytes+len(frame) > bound && len(l.frames) > 0 {
		s.drop(l)
	}
	if s.bytes+len(frame) <= bound {
		l.frames = append(l.frames, slices.Clone(frame))
		s.bytes += len(frame)
	}
}

func (s *shelves) drop(l *shelf) {
	s.bytes -= len(l.frames[0])
	l.frames[0] = nil
	l.frames = l.frames[1:]
}

// take hands a frame to its lane.
func (r *Replica) take(frame []byte) {
	if r.homeless(r.ingest.Frame(frame)) {
		r.aside(frame)
	}
}

// homeless reports whether there was no place for a frame, and a snapshot is on its way or will be.
func (r *Replica) homeless(place lane.Place) bool {
	return place != lane.Placed && (r.transfer.in != nil || r.shelves.bytes > 0 || !r.votes())
}

func (r *Replica) aside(frame []byte) {
	r.shelves.put(frame, max(r.cfg.RetainBytes, r.cfg.Lane.Arena))
}

// votes reports whether this life votes.
func (r *Replica) votes() bool { return slices.Contains(r.members.Voters, r.id) }

// unshelved bounds the frames of a lane that are taken up at once, so that no step takes long.
const unshelved = 1024

// unshelve takes up what was put aside, as far as there is room. A lane that is not known to a voter by now
// was closed.
func (r *Replica) unshelve() {
	if r.transfer.in != nil || r.shelves.bytes == 0 {
		return
	}
	for i := range r.shelves.lanes {
		l := &r.shelves.lanes[i]
		for n := 0; len(l.frames) > 0; n++ {
			if n == unshelved {
				r.later(r.now)
				break
			}
			verdict := r.ingest.Kept(l.frames[0]) // it was let in once
			if verdict == lane.Full || verdict == lane.Unknown && !r.votes() {
				break
			}
			r.shelves.drop(l)
		}
	}
	r.shelves.lanes = slices.DeleteFunc(r.shelves.lanes, func(l shelf) bool { return len(l.frames) == 0 })
}

// The log is kept from a snapshot on that is captured for a member, and for a member that was sent one for
// as long as it goes forward, in steps of at most keepTicks; at most maxKept entries. The first step takes
// longer: what was sent has to be made durable and installed before the member's log goes on from it, which
// takes no longer than it took to send it, as a rule. Was it not waited for, a large state would be installed
// in vain and sent anew, again and again.
const (
	keepTicks = 100
	maxKept   = 1 << 16
)

// compactLog forgets the log up to where frames were dropped, or less while somebody catches up: then by
// large steps, for what remains is written again at each.
func (r *Replica) compactLog() {
	to := r.keepLog(r.dropped)
	if to > r.compacted && to-r.compacted >= (r.dropped-to)/2 {
		r.compacted = to
		r.orderer.Compact(to)
	}
}

// keepLog bounds up to where the log may be compacted. Frames are dropped meanwhile as ever (R17): who
// lacks them after all gets another snapshot when this ends.
func (r *Replica) keepLog(position uint64) uint64 {
	t, lately := &r.transfer, r.now-keepTicks*r.cfg.Tick
	if at := t.captured; t.capturing != nil && t.urgent && (!t.ready || t.used >= lately) &&
		at < position && position-at <= maxKept {
		position = at
	}
	for seat := range t.offers {
		o := &t.offers[seat]
		if o.meta.To == 0 {
			continue
		}
		match := r.status.Match[o.meta.To]
		if o.live || match > o.match {
			o.match, o.forward = match, r.now
		}
		at := max(o.meta.Position, match)
		if o.forward < lately && r.now-o.installs > keepTicks*r.cfg.Tick || at >= position ||
			position-at > maxKept {
			continue
		}
		position = at
	}
	return position
}
