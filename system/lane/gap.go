package lane

import (
	"math/bits"

	"metronome/system/wire"
)

// Gap is a range of missing frames: frame numbers, From ≤ missing < To.
type Gap = wire.Gap

// bitmap holds a bit for each slot of a window. Only frames that come out of order touch it, so
// that it costs nothing where nothing is lost, and finds gaps 64 frames at a step where much is.
type bitmap []uint64

func words(window int) int { return (window + 63) / 64 }

func newBitmap(window int) bitmap { return make(bitmap, words(window)) }

func (b bitmap) set(slot uint64)   { b[slot>>6] |= 1 << (slot & 63) }
func (b bitmap) clear(slot uint64) { b[slot>>6] &^= 1 << (slot & 63) }

// find returns the first number in [n, end) whose bit is as wanted, or end. Numbers are mapped to
// slots by mask, one less than the window's length; end-n is at most a window.
func (b bitmap) find(n, end, mask uint64, wanted bool) uint64 {
	var flip uint64
	if !wanted {
		flip = ^flip
	}
	for n < end {
		slot := n & mask
		width := min(64-slot&63, mask+1-slot) // bits of this word from here on
		word := (b[slot>>6] ^ flip) >> (slot & 63)
		if k := uint64(bits.TrailingZeros64(word)); k < width {
			return min(n+k, end)
		}
		n += width
	}
	return end
}

// Missing reports whether frames are known to be sent that are not held below the mark: two numbers
// to compare.
func (r *Receiver) Missing() bool { return r.next > r.mark.Frames }

// reach is one past the highest frame that was sent and would find a slot.
func (r *Receiver) reach() uint64 { return min(r.next, r.spare+uint64(r.cfg.Window)) }

// gap returns the first run of missing frames in [from, end); it is empty at end if there is none.
// from is at or above the mark.
func (r *Receiver) gap(from, end uint64) Gap {
	at := r.early.find(from, end, r.mask, false)
	return Gap{From: at, To: r.early.find(at, end, r.mask, true)}
}

// Gaps appends to dst the ranges missing between the mark and the highest frame known to be sent,
// lowest first, until dst is at capacity.
func (r *Receiver) Gaps(dst []Gap) []Gap {
	end := r.reach()
	for at := r.mark.Frames; at < end && len(dst) < cap(dst); {
		g := r.gap(at, end)
		if g.From < g.To {
			dst = append(dst, g)
		}
		at = g.To
	}
	return dst
}
