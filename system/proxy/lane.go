package proxy

import (
	"metronome/system/lane"
	"metronome/system/wire"
)

// entry is an operation that was sent and whose end the client may not know yet.
type entry struct {
	token uint64
	at    int64 // when it was taken
	kind  entryKind
}

type entryKind uint8

const (
	ended entryKind = iota // the client knows, or never will
	blind                  // ends when it is committed
	write                  // ends with an answer; any replica keeps it
	read                   // ends with an answer, which only the replica that was asked has
)

func kindOf(it *wire.Item) entryKind {
	switch {
	case it.Blind():
		return blind
	case it.Op == wire.OpGet, it.Op == wire.OpScan, it.Op == wire.OpCount:
		return read
	}
	return write
}

// laneOut is a lane of this incarnation: its sender, and its operations between answered and the
// next item.
type laneOut struct {
	index     uint16
	sender    *lane.Sender
	repair    *lane.Repairer
	heart     lane.Heart
	entries   []entry // ring by item number
	mask      uint64
	moved     int64    // when committed moved last, or had to begin to
	committed uint64   // items, as far as a replica has said
	answered  uint64   // every item below has ended and is committed
	expired   uint64   // items below are past the deadline
	flushed   uint64   // items in frames that were closed
	opened    int64    // when the frame being filled got its first item; 0 = none
	wait      patience // for the answer to the item at answered, once it is committed
	heard     bool     // something was answered or committed, not merely given up, since the last advance
	hedges    int      // since it came
}

// stuck reports whether nothing was committed for long though something could be: the majority is
// out of reach. What is taken now would end unknown after Deadline; refused, it has not been
// executed, and the client may go to another proxy.
func (l *laneOut) stuck(p *Proxy) bool {
	return l.committed < l.sender.Items() && p.now-l.moved > p.cfg.Stall
}

// take appends an operation; the status says why it was not taken.
func (l *laneOut) take(p *Proxy, now int64, it *wire.Item, token uint64) wire.Status {
	if l.sender.Items()-l.answered >= uint64(len(l.entries)) {
		return wire.StatusBusy
	}
	if l.sender.Items() == l.committed {
		l.moved = p.now
	}
	n, err := l.sender.Append(it)
	if err == lane.ErrWindowFull { //nolint:errorlint // returned as it is, on a hot path
		return wire.StatusBusy
	} else if err != nil {
		return wire.StatusRefused
	}
	if l.opened == 0 {
		l.opened = now
	}
	l.entries[n&l.mask] = entry{token, now, kindOf(it)}
	if p.cfg.Taken != nil {
		p.cfg.Taken(token, p.incarnation, l.index, n)
	}
	return wire.StatusOK
}

// commit ends what needs nothing but to be committed.
func (l *laneOut) commit(p *Proxy, committed uint64) {
	committed = min(committed, l.sender.Items())
	if committed <= l.committed {
		return
	}
	ok := wire.Result{Existed: true}
	for n := l.committed; n < committed; n++ {
		if e := &l.entries[n&l.mask]; e.kind == blind {
			e.kind = ended
			l.heard = true
			p.cfg.Complete(e.token, &ok)
		}
	}
	l.committed, l.moved = committed, p.now
	l.advance(p)
}

// answer ends an operation with its result. An answer is a proof that the item is committed, but
// the watermark is left to reports.
func (l *laneOut) answer(p *Proxy, number uint64, r *wire.Result) {
	if number < l.answered || number >= l.sender.Items() {
		return
	}
	if e := &l.entries[number&l.mask]; e.kind != ended {
		e.kind = ended
		l.heard = true
		p.cfg.Complete(e.token, r)
	}
}

// advance moves the window over what has ended.
func (l *laneOut) advance(p *Proxy) {
	before := l.answered
	for l.answered < l.committed && l.entries[l.answered&l.mask].kind == ended {
		l.answered++
	}
	switch {
	case l.answered > before && l.heard:
		l.wait.came(p.now, l.answered < l.committed)
		l.hedges = 0
	case l.answered == l.committed: // given up, not answered
		l.wait.rest()
		l.hedges = 0
	default:
		l.wait.await(p.now)
	}
	l.heard = false
	// What was committed was sent: the watermarks cannot be refused.
	_ = l.sender.Commit(l.committed)
	_ = l.sender.Answered(l.answered)
}

// expire tells clients that have waited too long. The items stay where they are: they may yet be
// executed.
func (l *laneOut) expire(p *Proxy) {
	for l.expired = max(l.expired, l.answered); l.expired < l.sender.Items(); l.expired++ {
		e := &l.entries[l.expired&l.mask]
		if p.now-e.at < p.cfg.Deadline {
			return
		}
		l.end(p, e, wire.StatusUnknown)
	}
}

// end ends an operation without an answer: a read that has none can be repeated, whatever happened
// to it.
func (l *laneOut) end(p *Proxy, e *entry, status wire.Status) {
	if e.kind == read {
		status = wire.StatusUnavailable
	}
	if e.kind != ended {
		e.kind = ended
		p.cfg.Complete(e.token, &wire.Result{Status: status})
	}
}

// fence ends everything: the incarnation is closed at the given item (R19).
func (l *laneOut) fence(p *Proxy, closed uint64, known bool) {
	if known {
		l.commit(p, closed)
	}
	for n := l.answered; n < l.sender.Items(); n++ {
		status := wire.StatusUnknown
		if known && n >= closed {
			status = wire.StatusUnavailable
		}
		l.end(p, &l.entries[n&l.mask], status)
	}
}

// maxReissue bounds the reads asked again at a time.
const maxReissue = 256

// reissue sends reads between answered and committed again as new items, to be answered by another
// replica.
func (l *laneOut) reissue(p *Proxy) {
	budget := maxReissue
	w := l.sender.Window()
	for f := l.sender.Tail(); f < w.To && budget > 0; f++ { // below are those kept for repair
		frame := l.sender.Frame(f)
		if frame == nil {
			return
		}
		var h wire.Header
		h.Get(frame)
		if h.First >= l.committed {
			return
		}
		if h.First+uint64(h.Count) <= l.answered {
			continue
		}
		payload := p.cfg.Digest.Unsealed(frame)
		for n := h.First; n < h.First+uint64(h.Count) && budget > 0; n++ {
			var it wire.Item
			size, ok := wire.DecodeItem(payload, &it)
			if !ok {
				break
			}
			payload = payload[size:]
			e := l.entries[n&l.mask]
			if n < l.answered || n >= l.committed || e.kind != read {
				continue
			}
			budget--
			if l.take(p, e.at, &it, e.token) != wire.StatusOK {
				return
			}
			l.entries[n&l.mask].kind = ended
		}
	}
}
