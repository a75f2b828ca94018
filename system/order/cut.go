package order

import (
	"errors"
	"fmt"
	"slices"
)

// MaxLanes bounds the marks of one cut, and with it what one decision costs to carry and to judge.
const MaxLanes = 4096

// ErrMalformed refuses bytes or values that no correct replica produces.
var ErrMalformed = errors.New("order: malformed")

// Validate says what is wrong with a cut: lanes must ascend strictly, there may be at most
// [MaxLanes], and a mark at frame 0 has no items and no chain.
func (c Cut) Validate() error {
	if len(c) > MaxLanes {
		return fmt.Errorf("%w: a cut of %d lanes, at most %d", ErrMalformed, len(c), MaxLanes)
	}
	for i, m := range c {
		if i > 0 && c[i-1].Lane >= m.Lane {
			return fmt.Errorf("%w: lane %d after lane %d in a cut", ErrMalformed, m.Lane, c[i-1].Lane)
		}
		if m.Frames == 0 && (m.Items != 0 || m.Chain != 0) {
			return fmt.Errorf("%w: lane %d has items before its first frame", ErrMalformed, m.Lane)
		}
	}
	return nil
}

// Find returns the cut's mark of a lane.
func (c Cut) Find(lane LaneID) (Mark, bool) {
	i, ok := slices.BinarySearchFunc(c, lane, func(m Mark, l LaneID) int {
		return compare(uint64(m.Lane), uint64(l))
	})
	if !ok {
		return Mark{Lane: lane}, false
	}
	return c[i], true
}

// Merge appends to dst the componentwise maximum of c and other: the *effective* cut, if c is the
// effective cut so far and other was decided next (R6, I2). Of two marks of a lane the one with
// more frames is the later; on a tie c's is kept. dst must not overlap c or other.
func (c Cut) Merge(dst, other Cut) Cut {
	a, b := c, other
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].Lane < b[0].Lane:
			dst, a = append(dst, a[0]), a[1:]
		case a[0].Lane > b[0].Lane:
			dst, b = append(dst, b[0]), b[1:]
		default:
			dst, a, b = append(dst, later(a[0], b[0])), a[1:], b[1:]
		}
	}
	return append(append(dst, a...), b...)
}

// Covers reports whether c is at or beyond other in every lane that other names.
func (c Cut) Covers(other Cut) bool {
	for _, m := range other {
		if mine, _ := c.Find(m.Lane); mine.Frames < m.Frames {
			return false
		}
	}
	return true
}

func later(a, b Mark) Mark {
	if b.Frames > a.Frames {
		return b
	}
	return a
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
