package queue

import "sort"

// ledger keeps running sums over the log at some of its numbers, so that "how much lies behind
// number n" needs no more than a short read. 24 bytes a point, a point every pointOps operations.
type ledger struct {
	points []point
	total  point
}

// point holds the sums over all operations up to and including number.
type point struct {
	number     uint64
	ops, bytes uint64 // bytes of whole records: what they occupy
}

const (
	pointOps   = 1024
	pointBytes = 1 << 20
)

// recordOverhead is about what the journal spends on a record beside its bytes.
const recordOverhead = 16

func (l *ledger) add(number uint64, size int) {
	l.total.number = number
	l.total.ops++
	l.total.bytes += uint64(size) + recordOverhead
	if n := len(l.points); n == 0 || l.total.ops >= l.points[n-1].ops+pointOps ||
		l.total.bytes >= l.points[n-1].bytes+pointBytes {
		l.points = append(l.points, l.total)
	}
}

// before returns the newest point at or before number.
func (l *ledger) before(number uint64) point {
	i := sort.Search(len(l.points), func(i int) bool { return l.points[i].number > number })
	if i == 0 {
		return point{}
	}
	return l.points[i-1]
}

// pin makes the sums at a number known exactly; p.number lies behind every point with fewer
// operations.
func (l *ledger) pin(p point) {
	i := sort.Search(len(l.points), func(i int) bool { return l.points[i].number >= p.number })
	if i < len(l.points) && l.points[i].number == p.number {
		return
	}
	l.points = append(l.points, point{})
	copy(l.points[i+1:], l.points[i:])
	l.points[i] = p
}

// reach returns the first known number at which the sums have grown to bytes, at most limit.
func (l *ledger) reach(bytes, limit uint64) uint64 {
	i := sort.Search(len(l.points), func(i int) bool { return l.points[i].bytes >= bytes })
	if i == len(l.points) {
		return limit
	}
	return min(limit, l.points[i].number)
}

// trim forgets points that nobody asks for again: all but one below floor.
func (l *ledger) trim(floor uint64) {
	i := sort.Search(len(l.points), func(i int) bool { return l.points[i].number >= floor })
	if i > 1 {
		n := copy(l.points, l.points[i-1:])
		l.points = l.points[:n]
	}
}
