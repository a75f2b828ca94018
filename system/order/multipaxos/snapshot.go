package multipaxos

import (
	"fmt"
	"slices"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// needSnapshot asks for state that a member needs: it lacks what the log no longer holds.
func (p *Paxos) needSnapshot(i int) {
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
func (p *Paxos) Snapshot(position uint64) {
	if position <= p.applied && position >= p.log.Base {
		p.offered = max(p.offered, position)
	}
}

// SnapshotSent implements [order.Orderer]. Whether the member has it, its answers show.
func (p *Paxos) SnapshotSent(to uint64, _ bool) {
	if i := slices.Index(p.members, to); i >= 0 {
		p.peers[i].snapshot = 0
	}
}

// Place implements [order.Orderer].
func (p *Paxos) Place(position uint64) (order.SnapshotMeta, bool) {
	term := p.log.TermAt(position)
	if term == 0 || position > p.applied {
		return order.SnapshotMeta{}, false
	}
	return order.SnapshotMeta{Position: position, Term: term,
		Members: order.Members{Voters: slices.Clone(p.members)}}, true
}

// Compact implements [order.Orderer]. What remains of the log is repeated in a fresh record.
func (p *Paxos) Compact(position uint64) {
	if position = min(position, p.applied); position <= p.log.Base {
		return
	}
	p.log.Cut(position, p.log.TermAt(position))
	p.out.Persist().Records = nil
	p.repeat()
}

func (p *Paxos) repeat() {
	p.recorded = p.promised
	p.out.Repeat(p.log.Base, p.recordAll())
}

// Restore implements [order.Orderer]. What the state covers is decided, whatever ballot its sender
// led in.
func (p *Paxos) Restore(s order.SnapshotMeta) error {
	if err := slots.Restorable(&s, p.id, p.members, p.applied); err != nil {
		return err
	}
	if p.role == leading {
		return fmt.Errorf("%w: this replica leads at %d", order.ErrStale, p.applied)
	}
	p.role = follower
	if s.Position > p.log.Base {
		p.log.Cut(s.Position, s.Term)
	}
	p.commit = max(p.commit, s.Position)
	p.handed, p.applied, p.applying, p.out.Ready.Committed = s.Position, s.Position, 0, nil
	p.wait.DropTo(s.Position)
	p.repeat()
	if to := slices.Index(p.members, p.leader); to >= 0 {
		p.acknowledge(to, p.promised)
	}
	p.advance()
	return nil
}
