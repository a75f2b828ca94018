package sim

// What must survive on disks: the simulator remembers what every replica told others of its own
// stable storage, and looks for it whenever a disk is opened, and now and then on a copy of a disk
// that lost its power a moment ago.

// startKept opens a seat's disk and continues what is on it. It reports whether a process runs.
func (w *world) startKept(p *process, c ReplicaConfig) bool {
	d := p.disk
	if w.now > 0 && !w.fault.over && d.rng.Float64() < w.params.disk.again {
		d.fs.Hook = crashSoon(d.rng)
	}
	kept, err := w.keeper().Continue(c, d.fs)
	if err != nil {
		w.trace.note(w, "%v does not start: %v", p.peer, err)
		p.up = false
		w.failed(p, err)
		return false
	}
	p.life = w.truth.continued(w, p, kept)
	d.open(p, kept)
	p.replica, p.core = kept, kept
	kept.Watch(p.life)
	w.truth.remembers(p.life, kept, "after a restart")
	return true
}

func (w *world) keeper() Keeper { return w.system.(Keeper) }

// continued finds out whose life goes on when a disk was opened.
func (t *truth) continued(w *world, p *process, kept Kept) *life {
	d, l := p.disk, p.disk.life
	var v View
	kept.Inspect(&v)
	switch {
	case l == nil:
		l = t.born(w, p.peer.Seat(), t.nextLife(p.peer.Seat()))
	case v.ID == l.id && kept.Lost() == nil:
		if l.id != 0 {
			w.cover.Add("life continued from its disk")
		}
		l.lost = false
	default:
		if kept.Lost() != nil && !d.spoil {
			t.fail("R3", "%v: nobody damaged its disk, yet: %v", l, kept.Lost())
		} else if l.promise.Term > 0 && !d.spoil {
			t.fail("I5", "%v came back as %x: it forgot what it promised in term %d", l, v.ID, l.promise.Term)
		}
		w.cover.Add("life ended with its disk")
		w.trace.note(w, "%v ends with its disk: %v", l, kept.Lost())
		l.lost = true
		l = t.born(w, p.peer.Seat(), t.nextLife(p.peer.Seat()))
	}
	d.life = l
	l.down, l.disk, l.ghost, l.replica = false, d, nil, kept
	return l
}

// OnRestore moves a life back to where its disk stands.
func (l *life) OnRestore(position, index uint64) {
	l.position, l.index, l.members = 0, 0, membership{}
	l.moveTo(position, index)
	if index > 0 {
		l.w.cover.Add("life continued from a saved snapshot")
	}
}

// promised notes what a message of a replica says of its stable storage.
func (w *world) promised(p *process, message []byte) {
	k, ok := w.system.(Keeper)
	if !ok {
		return
	}
	now := k.Promise(message)
	if now.Alive {
		p.beat = w.now
	}
	if p.disk == nil || now.Term < p.life.promise.Term || now.Term == 0 {
		return
	}
	if before := &p.life.promise; now.Term > before.Term || now.Position > before.Position {
		*before = now
	}
}

// remembers checks that a replica read from a disk knows what it promised.
func (t *truth) remembers(l *life, r Replica, when string) {
	var v View
	r.Inspect(&v)
	p := &l.promise
	switch {
	case p.Term == 0:
	case v.ID != l.id:
		t.fail("I5", "%v is %x %s: it forgot what it promised in term %d", l, v.ID, when, p.Term)
	case v.Term < p.Term:
		t.fail("I5", "%v knows term %d %s: it promised something in term %d", l, v.Term, when, p.Term)
	case v.Term == p.Term && v.Last < p.Position:
		t.fail("I5", "%v has accepted up to position %d %s: it promised %d in term %d", l, v.Last, when,
			p.Position, p.Term)
	case t.w.params.altered > 0 && l.seat == 0: // it holds another history, and may have proposed from it
	case v.Holes > 0 && !t.lanes.closed:
		t.fail("R11", "%v lacks what is under %d cuts that it accepted, %s", l, v.Holes, when)
	}
}

// recovered is what a disk would give if it were opened now: of a running process after a power
// failure. nil if that cannot be told.
func (t *truth) recovered(l *life) Replica {
	if l.ghost != nil {
		return l.ghost
	}
	d := l.disk
	copied := d.fs.Kill()
	if !l.down {
		copied = d.fs.Crash(d.rng.Uint64())
	}
	r, err := t.w.keeper().Continue(ReplicaConfig{Seat: l.seat, Seats: t.w.params.replicas,
		Seed: d.rng.Uint64(), Skew: Skew{Timing: 1000, Limits: 1000}, Generation: t.w.generation,
		Accepts: t.w.params.accepts}, copied)
	if err != nil {
		t.fail("disk", "%v cannot be recovered: %v", l, err)
		return nil
	}
	if r.Lost() != nil {
		t.fail("R3", "%v: nobody damaged its disk, yet after a power failure: %v", l, r.Lost())
		return nil
	}
	t.w.cover.Add("disk looked at, as a power failure would leave it")
	t.remembers(l, r, "on its disk")
	if l.down {
		l.ghost = r
	}
	return r
}
