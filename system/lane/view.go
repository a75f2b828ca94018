package lane

import (
	"slices"

	"metronome/system/wire"
)

// View is a held frame, decoded but for its items. Payload is borrowed until the frame is trimmed.
type View struct {
	Number    uint64 // of the frame
	First     uint64 // number of the first item completed in it
	Count     int    // items completed in it
	Chain     uint64 // the lane's chain digest up to and including it
	Tail      uint64 // everything below was committed and answered when it was sent (Sender.Answered)
	Responder int    // seat of the replica that is asked to answer, or -1 for the leader
	Repair    bool   // it came by a repair
	Payload   []byte // the items
}

// View reads the held frame of the given number, which must lie below the mark, into v. It verifies
// nothing again. ok is false if the frame is not held; v is then as it was.
func (r *Receiver) View(n uint64, v *View) (ok bool) {
	s := &r.slots[n&r.mask]
	if s.frame != n+1 || n >= r.mark.Frames {
		return false
	}
	frame := r.arena.buf[s.off : s.off+s.length : s.off+s.length]
	var h wire.Header
	h.Get(frame)
	seat, _ := h.Responder()
	*v = View{Number: n, First: h.First, Count: int(h.Count), Chain: s.chain, Tail: h.Tail,
		Responder: seat, Repair: h.Flags&wire.FlagRepair != 0, Payload: wire.Items(frame)}
	return true
}

// MarkAfter is the lane's mark as it was when the mark had just passed the held frame n: what a cut
// that ends with this frame is compared with. ok is false if the frame is not held below the mark.
func (r *Receiver) MarkAfter(n uint64) (at Mark, ok bool) {
	var v View
	if !r.View(n, &v) {
		return Mark{}, false
	}
	return Mark{Items: v.First + uint64(v.Count), Frames: n + 1, Chain: v.Chain}, true
}

// Tail is the lowest frame the sender keeps, as far as it is known here: the items of all frames
// below are committed, and the sender has their answers (R25).
func (r *Receiver) Tail() uint64 { return r.tail }

// Window is the range of frame numbers among which a peer may find frames held here. There may be
// gaps in it.
func (r *Receiver) Window() Gap { return Gap{From: r.trimmed, To: r.next} }

// Repair appends to dst, up to its capacity, the frames of a gap that are held here, marked as
// repairs, for a peer that lacks them. gone is the part of the gap that was trimmed, which only a
// snapshot can fill; it is empty if From = To. Frames that are missing here too are left out. The
// frames stay valid until they are trimmed.
func (r *Receiver) Repair(gap Gap, dst [][]byte) (repairs [][]byte, gone Gap) {
	gap.To = min(gap.To, r.next)
	if gap.From < r.trimmed {
		gone = Gap{From: gap.From, To: max(gap.From, min(r.trimmed, gap.To))}
		gap.From = gone.To
	}
	end := min(gap.To, r.trimmed+uint64(r.cfg.Window))
	for n := gap.From; n < end && len(dst) < cap(dst); n++ {
		if f := r.Frame(n); f != nil {
			wire.Restamp(f, r.next-1, r.tail, r.digest)
			dst = append(dst, r.sealed(f))
		}
	}
	return dst, gone
}

// sealed is a held frame as it may leave this replica.
func (r *Receiver) sealed(frame []byte) []byte {
	if r.digest.Mode() != wire.ModeAEAD {
		return frame
	}
	frame = slices.Clone(frame) // what is held is being read
	r.digest.Reseal(frame)
	return frame
}

// ReceiverCounters account for one lane's frames.
type ReceiverCounters struct {
	Accepted       uint64 // held at some time
	Repaired       uint64 // of these, sent again on request
	Duplicate      uint64
	Refused        uint64 // at the bound of window or arena, at once or to make room later
	Contradictions uint64 // thrown out: their numbers disagree with their neighbours'
	Heartbeats     uint64
	Lost           uint64 // given up (Config.GiveUp)
	Nack           NackCounters
}

// Counters reads the lane's counters.
func (r *Receiver) Counters() ReceiverCounters {
	n := ReceiverCounters{Accepted: r.placed, Repaired: r.repaired, Duplicate: r.duplicate,
		Refused: r.refused + r.evicted, Contradictions: r.thrown, Heartbeats: r.beats, Lost: r.lost}
	if r.nack != nil {
		n.Nack = r.nack.n
	}
	return n
}

// Used is the bytes of the lane's arena that frames occupy.
func (r *Receiver) Used() int { return r.arena.used() }
