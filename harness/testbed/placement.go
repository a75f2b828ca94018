package testbed

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Placement says which core carries the kernel's half of the receive path.
type Placement string

// The two placements every arm with a kernel half is measured in.
const (
	// Same puts the NAPI thread on the receiver's core under SCHED_OTHER: as on a machine with one
	// core to spend, the receiver pays the whole host cost of its path.
	Same Placement = "same"
	// Other puts it on the generator's core under SCHED_FIFO 1: the receiver has its core alone.
	// The generator spins beside the thread, so this is no best case; that takes three cores.
	Other Placement = "other"
)

// NAPI describes where and how the NAPI thread runs; each field is a column of a trial.
type NAPI struct {
	TID      int
	Core     int
	Policy   string // "SCHED_OTHER" or "SCHED_FIFO"
	Priority int    // 0 under SCHED_OTHER
}

// Place pins the receiving device's NAPI thread for a trial whose receiver and generator run on the
// given cores. Call it again after the receiver has opened its port: attaching an XDP program may
// replace the thread.
func (l *Link) Place(p Placement, receiver, generator int) (NAPI, error) {
	n := NAPI{Core: receiver, Policy: "SCHED_OTHER"}
	attr := unix.SchedAttr{Policy: unix.SCHED_NORMAL}
	switch p {
	case Same:
	case Other:
		n = NAPI{Core: generator, Policy: "SCHED_FIFO", Priority: 1}
		attr = unix.SchedAttr{Policy: unix.SCHED_FIFO, Priority: 1}
	default:
		return NAPI{}, fmt.Errorf("place NAPI thread: unknown placement %q, want %q or %q", p, Same, Other)
	}
	var err error
	if n.TID, err = l.napiTID(); err != nil {
		return NAPI{}, err
	}
	attr.Size = unix.SizeofSchedAttr
	if err := unix.SchedSetAttr(n.TID, &attr, 0); err != nil {
		return NAPI{}, fmt.Errorf("set policy of NAPI thread %d: %w", n.TID, err)
	}
	var set unix.CPUSet
	set.Set(n.Core)
	if err := unix.SchedSetaffinity(n.TID, &set); err != nil {
		return NAPI{}, fmt.Errorf("pin NAPI thread %d to core %d of %d: %w",
			n.TID, n.Core, runtime.NumCPU(), err)
	}
	return n, nil
}
