package sim

import (
	"metronome/harness/history"
	faulty "metronome/system/disk/fault"
)

// backup is a saved snapshot kept elsewhere.
type backup struct {
	file            []byte
	position, index uint64
}

// planBackup takes a backup at some time.
func (w *world) planBackup() {
	if w.params.restore {
		w.after(w.fault.rng.Int64N(w.params.safety), w.takeBackup)
	}
}

// takeBackup keeps the newest snapshot that any replica has saved.
func (w *world) takeBackup() {
	for _, p := range w.procs {
		if p.disk == nil {
			continue
		}
		file, position, index, err := w.system.(Restorer).Saved(p.disk.fs.Kill())
		switch {
		case err != nil:
			w.truth.fail("R30", "%v: its saved snapshot cannot be read: %v", p.life, err)
		case file != nil && position > w.backup.position:
			w.backup = backup{file, position, index}
		}
	}
	w.trace.note(w, "backup of position %d and index %d", w.backup.position, w.backup.index)
}

// restoredOperations is how many operations clients do after a restore.
const restoredOperations = 80

// restore ends the cluster and begins another one with the backup: what the old one answered until
// then is judged, and what it did after the backup is undone. Clients go on as if nothing had
// happened, with the sessions and the revisions that they know.
func (w *world) restore() {
	if w.backup.file == nil {
		w.takeBackup()
	}
	if w.backup.file == nil {
		w.cover.Add("restore: no snapshot was saved")
		return
	}
	if found := history.Exact(w.work.history(w)); len(found) > 0 {
		w.truth.violation = &found[0]
		return
	}
	for _, p := range w.procs {
		if p.up {
			w.kill(p)
		}
	}
	w.generation++
	w.switchOrderer()
	jumped := w.refound()
	if last := w.truth.indexOf(uint64(len(w.truth.items))); jumped < last {
		w.truth.fail("R29", "restored, it goes on from index %d: the cluster that was lost gave all up to %d",
			jumped, last)
	}
	if w.truth.failed() {
		return
	}
	w.work.undo(&w.truth, w.backup.index)
	w.truth.undo(&w.backup, jumped)
	w.cover.Add("restored from a backup")
	w.trace.note(w, "restored: position %d, index %d goes on from %d", w.backup.position, w.backup.index, jumped)
	for _, p := range w.procs[:w.firstSpare()] {
		w.start(p)
	}
	w.run(w.now+200*milli, nil)
	w.converge()
}

// Switcher is a system that can be ordered in another way from a restore on.
type Switcher interface {
	Switched() System
}

// switchOrderer lets the new cluster have another algorithm, in half of the seeds.
func (w *world) switchOrderer() {
	if s, ok := w.system.(Switcher); ok && w.seed%2 == 1 {
		w.system, w.params.accepts = s.Switched(), 0
		w.cover.Add("restored to a cluster with another orderer")
	}
}

// refound writes every seat's disk. Power fails when that is done.
func (w *world) refound() (jumped uint64) {
	for _, p := range w.procs {
		if p.disk == nil {
			continue
		}
		*p.disk = seatDisk{fs: faulty.New(p.disk.rng.Uint64()), rng: p.disk.rng}
		at, err := w.system.(Restorer).Restore(w.backup.file, ReplicaConfig{Seat: p.peer.Seat(),
			Seats: w.params.replicas, Generation: w.generation, Seed: p.disk.rng.Uint64()}, p.disk.fs)
		if err != nil {
			w.truth.fail("R29", "%v: the backup cannot be restored: %v", p.peer, err)
		}
		jumped = at
		p.disk.fs = p.disk.fs.Crash(p.disk.rng.Uint64())
	}
	return jumped
}

// undo forgets what was agreed and done after a backup, and who did it.
func (t *truth) undo(b *backup, jumped uint64) {
	fresh := newTruth(t.w)
	fresh.kept, fresh.jump = b.index, jumped-b.index
	fresh.items = t.items[:b.index]
	unheard := Coverage{}
	for _, position := range t.positions {
		if position > b.position {
			break
		}
		fresh.positions = append(fresh.positions, position)
		if decision := t.decisions[position]; decision != nil {
			fresh.decisions[position] = decision
			if d, err := t.w.system.Decision(decision); err == nil {
				fresh.lanes.apply(&d, unheard)
			}
		}
	}
	for _, p := range fresh.lanes.proxies {
		fresh.lanes.close(p)
	}
	for _, e := range t.expired {
		if e.position <= b.position {
			fresh.expired = append(fresh.expired, e)
		}
	}
	for i, e := range fresh.items {
		fresh.byItem[e.laneItem] = uint64(i) + 1
	}
	fresh.members = membership{position: b.position}
	for seat := range t.w.params.replicas {
		fresh.members.voters = append(fresh.members.voters, 1<<8|uint64(seat))
	}
	*t = fresh
}

// undo makes clients' operations ones of which nothing is known any more, and forgets which items
// carried them, but for those that the backup holds. It is called before the truth forgets, too.
func (k *workload) undo(t *truth, kept uint64) {
	for i := range k.ops {
		k.ops[i].Outcome, k.ops[i].Returned = history.Unknown, history.Never
	}
	carried := map[sentItem]uint64{}
	for i := range t.items[:kept] {
		name := t.lanes.sent(t.items[i].laneItem)
		if ticket := k.byItem[name]; ticket != 0 {
			carried[name] = ticket
		}
	}
	k.byItem = carried
	k.left = restoredOperations
	for _, c := range k.clients {
		if c != k.probe {
			k.sleep(t.w, c, k.rng.Int64N(t.w.params.think)+1)
		}
	}
}
