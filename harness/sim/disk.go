package sim

import (
	"errors"
	"math/rand/v2"

	"metronome/system/disk"
	faulty "metronome/system/disk/fault"
	"metronome/system/journal"
)

// seatDisk is the disk of a replica's seat, and what drives it. It outlives the processes that use
// it. The journal is driven as journal.Writer does: while one sync is on its way, what is appended
// waits for the next.
type seatDisk struct {
	fs  *faulty.FS
	rng *rand.Rand

	life  *life // whose state is on it; nil: nobody's
	worn  int   // how often it was damaged
	spoil bool  // it was damaged or wiped since it was last opened
	slow  int64 // added to what everything takes
	tight bool  // there is little space left, and the replica is to be told

	kept    Kept // nil: no process has it open
	gen     uint32
	waiting [][]byte // appended while a sync was on its way
	syncing bool
	wanted  bool // a sync is asked for
	saving  bool
}

// diskParams are one seed's disks.
type diskParams struct {
	on       bool
	sync     int64   // typical time of a sync
	flush    float64 // chance that what is appended reaches the file system without a sync
	saveStep int     // bytes of a snapshot written at a time
	audits   float64 // chance that a decision is looked for on everybody's disk
	restart  int64   // longest time until a process comes back
	again    float64 // chance that a process crashes while it recovers
}

func newSeatDisk(seed uint64, seat int) *seatDisk {
	rng := stream(seed, streamDisk+uint64(seat))
	return &seatDisk{fs: faulty.New(rng.Uint64()), rng: rng}
}

// open gives the disk to a process.
func (d *seatDisk) open(p *process, kept Kept) {
	d.kept, d.gen, d.spoil = kept, p.gen, false
	d.waiting, d.syncing, d.wanted, d.saving = nil, false, false, false
}

// takes is how long an operation on the disk takes this time.
func (d *seatDisk) takes(typical int64) int64 {
	return typical/2 + int64(float64(typical)*d.rng.ExpFloat64()/2) + d.slow
}

// write takes what a replica wants written, and goes on with what is to be done.
func (w *world) write(p *process) {
	d := p.disk
	var err error
	if d.syncing {
		for _, b := range w.out.Records {
			d.waiting = append(d.waiting, append([]byte(nil), b...))
		}
	} else if err = d.kept.Write(w.out.Records); err == nil && d.rng.Float64() < w.params.disk.flush {
		err = d.kept.Flush()
	}
	d.wanted = d.wanted || w.out.Sync
	if err == nil && w.now == 0 {
		err = d.kept.Sync(p.clock(w.now), false) // who founds a cluster waits for that to be durable
	}
	if err == nil {
		err = w.beginSync(p)
	}
	if w.failed(p, err) {
		return
	}
	if !d.saving {
		d.saving = true
		w.goOnSaving(p)
	}
}

// beginSync begins a sync that was asked for: what was appended so far goes to the file system, and
// is durable when it ends.
func (w *world) beginSync(p *process) error {
	d := p.disk
	if d.syncing || !d.wanted {
		return nil
	}
	d.syncing, d.wanted = true, false
	if err := d.kept.Flush(); err != nil {
		return err
	}
	w.later(p, d.takes(w.params.disk.sync), func() { w.endSync(p) })
	return nil
}

func (w *world) endSync(p *process) {
	d := p.disk
	d.syncing = false
	err := d.kept.Sync(p.clock(w.now), !d.wanted)
	if err == nil {
		err = d.kept.Write(d.waiting)
	}
	d.waiting = nil
	if w.failed(p, err) {
		return
	}
	w.flush(p)
}

// goOnSaving writes a piece of a snapshot, if there is one.
func (w *world) goOnSaving(p *process) {
	d := p.disk
	busy, err := d.kept.Save(p.clock(w.now), w.params.disk.saveStep)
	if w.failed(p, err) {
		return
	}
	if d.saving = busy; !busy {
		return
	}
	if d.rng.Float64() < w.params.disk.audits { // what was trimmed must not be missed
		w.truth.recovered(p.life)
	}
	w.later(p, d.takes(w.params.disk.sync), func() {
		w.goOnSaving(p)
		if p.up {
			w.flush(p)
		}
	})
}

// later does something in a process' name after a while, if it still runs; a stopped one does it
// when it goes on.
func (w *world) later(p *process, d int64, do func()) {
	gen := p.gen
	var act func()
	act = func() {
		switch {
		case !p.up || p.gen != gen:
		case p.paused:
			p.held = append(p.held, event{kind: evCall, do: act})
		default:
			do()
			if p.up && p.gen == gen {
				w.truth.inspect(w, p)
			}
		}
	}
	w.after(d, act)
}

// failed ends a process whose disk failed, as the fault model says, and reports whether it did.
func (w *world) failed(p *process, err error) bool {
	if err != nil {
		w.trace.note(w, "%v ends: %v", p.peer, err)
	}
	switch {
	case err == nil:
		return false
	case errors.Is(err, faulty.ErrCrash):
		w.cover.Add("power lost between two operations on the disk")
		w.losePower(p)
	case errors.Is(err, faulty.ErrIO):
		w.cover.Add("process ended by an error of its disk")
		w.kill(p)
	case errors.Is(err, disk.ErrNoSpace), errors.Is(err, journal.ErrFull):
		w.cover.Add("process ended by a full disk")
		w.kill(p)
	default:
		w.truth.fail("disk", "%v: %v", p.life, err)
	}
	w.returnLater(p)
	return true
}

// losePower ends a process, and what its disk had not made durable.
func (w *world) losePower(p *process) {
	if p.up {
		w.kill(p)
	}
	p.disk.fs = p.disk.fs.Crash(p.disk.rng.Uint64())
}

// returnLater starts a process again after a while.
func (w *world) returnLater(p *process) {
	w.after(w.fault.rng.Int64N(w.params.disk.restart)+1, func() {
		if !p.up && !w.fault.over {
			w.start(p)
		}
	})
}
