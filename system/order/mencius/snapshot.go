package mencius

import (
	"slices"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// needSnapshot asks for state that a member needs: it lacks what the log no longer holds.
func (p *Mencius) needSnapshot(i int) {
	if p.peers[i].snapshot != 0 {
		return
	}
	meta, ok := p.Place(p.offered)
	if !ok {
		p.out.Ready.WantSnapshot = true
		return
	}
	meta.To = p.members[i]
	p.peers[i].snapshot = meta.Position
	p.out.Ready.Snapshots = append(p.out.Ready.Snapshots, meta)
}

// Snapshot implements [order.Orderer]. An offer older than the log, or than the last, is ignored.
func (p *Mencius) Snapshot(position uint64) {
	if position <= p.applied && position >= p.log.Base {
		p.offered = max(p.offered, position)
	}
}

// SnapshotSent implements [order.Orderer]. Whether the member has it, its heartbeats show.
func (p *Mencius) SnapshotSent(to uint64, _ bool) {
	if i := slices.Index(p.members, to); i >= 0 {
		p.peers[i].snapshot = 0
	}
}

// Place implements [order.Orderer].
func (p *Mencius) Place(position uint64) (order.SnapshotMeta, bool) {
	if position < p.log.Base || position > p.applied {
		return order.SnapshotMeta{}, false
	}
	return order.SnapshotMeta{Position: position, Term: termOfAll,
		Members: order.Members{Voters: slices.Clone(p.members)}}, true
}

// Compact implements [order.Orderer]. What remains of the log is repeated in a fresh record.
func (p *Mencius) Compact(position uint64) {
	if position = min(position, p.applied); position <= p.log.Base {
		return
	}
	p.log.Cut(position, termOfAll)
	p.out.Persist().Records = nil
	p.fresh()
}

func (p *Mencius) fresh() { p.out.Repeat(p.log.Base, p.recordAll()) }

// Restore implements [order.Orderer]. What the state covers is decided. Of own proposals under it nobody
// knows here what became of them: they count as lost.
func (p *Mencius) Restore(s order.SnapshotMeta) error {
	if err := slots.Restorable(&s, p.id, p.members, p.applied); err != nil {
		return err
	}
	if s.Position > p.log.Base {
		p.log.Cut(s.Position, termOfAll)
	}
	p.commit, p.used = max(p.commit, s.Position), max(p.used, s.Position)
	p.handed, p.applied, p.applying, p.out.Ready.Committed = s.Position, s.Position, 0, nil
	p.wait.DropTo(s.Position)
	p.fresh()
	for o := &p.own; len(o.pending) > 0 && o.pending[0].slot <= s.Position; {
		o.settled(p, o.pending[0].slot, false)
	}
	p.progressed()
	p.deliver()
	return nil
}
