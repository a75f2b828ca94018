package sim

import (
	"bytes"
	"math/rand/v2"
	"strings"

	faulty "metronome/system/disk/fault"
)

// injectDisk does one fault of the disks, or of the power that they are on.
func (n *nemesis) injectDisk(w *world, f fault) bool {
	p := n.random(w, func(p *process) bool { return p.disk != nil && p.up })
	if p == nil {
		return false
	}
	d := p.disk
	switch f {
	case faultKill:
		w.kill(p)
		w.returnLater(p)
	case faultPowerAll:
		n.losePowerOfAll(w)
	case faultPlug:
		d.fs.Hook = crashSoon(n.rng)
	case faultIOError:
		d.fs.Hook = faulty.FailAt(n.rng.Uint64N(12), faulty.ErrIO)
	case faultDiskFull:
		n.fill(w, p)
	case faultDiskSlow:
		n.slowDisk(w, d)
	case faultWipe:
		return n.wipe(w, p)
	case faultDamage:
		return n.damage(w, p)
	}
	return true
}

// crashSoon pulls the plug at one of the next operations.
func crashSoon(rng *rand.Rand) func(faulty.Op) error { return faulty.CrashAt(rng.Uint64N(20)) }

// losePowerOfAll takes the power of every replica at once, and sometimes of the proxies.
func (n *nemesis) losePowerOfAll(w *world) {
	proxies := n.rng.IntN(2) == 0
	for _, p := range w.procs[:w.firstSpare()] {
		switch {
		case !p.up:
		case p.disk != nil:
			w.losePower(p)
			w.returnLater(p)
		case proxies:
			n.crash(w, p)
		}
	}
}

// fullBelow is how little space makes a replica refuse writes.
const fullBelow = 192 << 10

// fill leaves a disk little space, for a while.
func (n *nemesis) fill(w *world, p *process) {
	d := p.disk
	if d.tight {
		return
	}
	d.tight = true
	d.fs.Capacity -= d.free() - min(d.free(), n.rng.Uint64N(2*fullBelow))
	ends := w.now + n.rng.Int64N(150*milli)
	var look func()
	look = func() {
		if w.now >= ends || !d.tight {
			d.relieve()
		}
		if d.kept != nil {
			d.kept.SetFull(d.tight && d.free() < fullBelow)
		}
		if d.tight {
			w.after(2*milli, look)
		}
	}
	look()
}

func (d *seatDisk) free() uint64 {
	free, _ := d.fs.Free(".")
	return free
}

func (d *seatDisk) relieve() {
	d.tight = false
	d.fs.Capacity = 1 << 40
}

func (n *nemesis) slowDisk(w *world, d *seatDisk) {
	d.slow = n.rng.Int64N([]int64{5 * milli, 40 * milli, 300 * milli}[n.rng.IntN(3)])
	w.after(n.rng.Int64N(200*milli), func() { d.slow = 0 })
}

// lose ends a life whose disk is about to be lost, if the fault model allows one more.
func (n *nemesis) lose(w *world, p *process) bool {
	if !w.params.unlimited && !w.truth.mayLose(p.life.id) {
		w.cover.Add("loss of a disk refused by the margin")
		return false
	}
	w.kill(p)
	p.life.lost, p.disk.spoil = true, true
	w.returnLater(p)
	return true
}

// wipe replaces a disk by an empty one.
func (n *nemesis) wipe(w *world, p *process) bool {
	if !n.lose(w, p) {
		return false
	}
	p.disk.relieve()
	p.disk.fs, p.disk.worn = faulty.New(n.rng.Uint64()), 0
	return true
}

// maxWorn is how often a disk is damaged before it is replaced. A directory keeps three sets of damaged
// state, and one that is set aside when power fails may leave two.
const maxWorn = 2

// damage changes what is durable on a disk, within one block. An idle journal is sealed before: what
// is written last and testified to by nothing cannot be told from a torn tail, and is not promised.
func (n *nemesis) damage(w *world, p *process) bool {
	d := p.disk
	if d.worn == maxWorn {
		return n.wipe(w, p)
	}
	if d.syncing || d.fs.Hook != nil || d.kept.Sync(p.clock(w.now), true) != nil {
		return false
	}
	w.flush(p)
	if !p.up || !n.lose(w, p) {
		return false
	}
	d.worn++
	var names []string
	for _, name := range d.fs.Names() {
		if !strings.Contains(name, "damaged-") && len(d.fs.Bytes(name)) > 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return false
	}
	name := names[n.rng.IntN(len(names))]
	if last := names[len(names)-1]; n.rng.IntN(2) == 0 {
		name = newestSegment(names, last)
	}
	if n.rng.IntN(12) == 0 {
		w.trace.note(w, "%v: %s is gone", p.peer, name)
		return d.fs.Remove(name) == nil && d.fs.SyncDir("data") == nil && d.fs.SyncDir("data/journal") == nil
	}
	w.trace.note(w, "%v: %s is damaged", p.peer, name)
	d.fs.Edit(name, n.rot)
	return true
}

// newestSegment is the file that the journal ends in.
func newestSegment(names []string, otherwise string) string {
	newest := otherwise
	for _, name := range names {
		if strings.HasSuffix(name, ".journal") {
			newest = name
		}
	}
	return newest
}

// rot damages bytes within one block: where there are some that are not zero, mostly, and often
// those written last.
func (n *nemesis) rot(b []byte) []byte {
	const block, sector = 4096, 512
	at := n.rng.IntN(len(b))
	if written := len(bytes.TrimRight(b, "\x00")); n.rng.IntN(2) == 0 && written > 0 {
		at = max(0, written-1-n.rng.IntN(3*block))
	}
	for range 20 {
		if b[at] != 0 {
			break
		}
		at = n.rng.IntN(len(b))
	}
	switch n.rng.IntN(4) {
	case 0:
		b[at] ^= 1 << n.rng.IntN(8)
	case 1:
		clear(b[at/sector*sector : min(len(b), at/sector*sector+sector)])
	case 2:
		clear(b[at/block*block : min(len(b), at/block*block+block)])
	default:
		for i := at; i < min(len(b), at/sector*sector+sector); i++ {
			b[i] = byte(n.rng.Uint32())
		}
	}
	return b
}

// healDisks ends all faults of disks.
func (w *world) healDisks() {
	for _, p := range w.procs {
		if d := p.disk; d != nil {
			d.fs.Hook, d.slow = nil, 0
			d.relieve()
			if d.kept != nil {
				d.kept.SetFull(false)
			}
		}
	}
}
