package replica

import (
	"errors"
	"fmt"
	"iter"

	"metronome/system/lane"
	"metronome/system/order"
	"metronome/system/wire"
)

// Recovered is what stable storage kept of a replica.
type Recovered struct {
	// Snapshot is the newest file that was saved whole ([Save]), nil if there is none.
	Snapshot []byte
	// Records are the journal's, ascending by number. They are gone through twice.
	Records iter.Seq2[uint64, []byte]
	Next    uint64 // the number that the next record will get
}

// What is wrapped when stable storage holds something that is not damaged, and is not to be touched:
// the state of another replica, or of a version that this build does not know.
var (
	ErrForeign = errors.New("not this replica's state")
	ErrNewer   = errors.New("a newer version is needed")
)

// Recover continues a life from what stable storage kept (R4): the newest snapshot, then the
// journal. With nothing there it is New. An error says what cannot be read: this state is lost then,
// and the replica has to join again as a new life (R2).
//
// Decisions that are known to be agreed are applied again on the way, so that frames need no more
// room than they did at first. Answers go to nobody: proxies ask for what they still miss.
func Recover(cfg Config, from Recovered) (*Replica, error) {
	r, err := New(cfg)
	if err != nil {
		return nil, err
	}
	r.journal.next = max(1, from.Next)
	c, err := r.beginning(&from)
	if err != nil || c.ID == 0 {
		return r, err
	}
	r.journal.synced = r.journal.next - 1
	if err := r.order(c); err != nil {
		return nil, err
	}
	r.replays = true
	for number, b := range from.Records {
		if err := r.replay(number, b); err != nil {
			return nil, err
		}
	}
	r.settleReplay()
	r.replays = false
	r.out = outbox{}
	return r, r.failed
}

// beginning finds out who this is and what its orderer wrote, and restores the snapshot.
func (r *Replica) beginning(from *Recovered) (c order.Config, err error) {
	restart := &order.Restart{}
	c.Restart = restart
	if from.Snapshot != nil {
		if c.ID, err = r.restore(from.Snapshot, &restart.Snapshot); err != nil {
			return c, err
		}
	}
	empty := true
	for number, b := range from.Records {
		empty = false
		in := wire.NewReader(b)
		switch kind := in.U8(); kind {
		case recordLife:
			if err := r.readLife(&in, &c); err != nil {
				return c, err
			}
		case recordOrder:
			if fresh := in.U64(); fresh > 0 {
				r.journal.fresh = append(r.journal.fresh, freshMark{fresh, number, 0})
				if fresh <= restart.Snapshot.Position {
					restart.Records = nil // repeated here; the first of them may be trimmed, and the rest not
				}
			}
			restart.Records = append(restart.Records, append([]byte(nil), in.Rest()...))
		case recordFrames:
		default:
			return c, fmt.Errorf("%w: record %d is of kind %d, which this build does not know: install the "+
				"version that wrote it, or a newer one", ErrNewer, number, kind)
		}
		if !in.OK() {
			return c, fmt.Errorf("replica: record %d is cut short", number)
		}
	}
	if empty && from.Snapshot != nil { // what is kept of the journal is never less than its newest segment
		return c, fmt.Errorf("replica: there is a snapshot and no record in the journal: the journal is lost")
	}
	if c.ID == 0 && (len(restart.Records) > 0 || r.journal.next > 1) {
		return c, fmt.Errorf("replica: the journal does not say whose it is: its beginning is lost")
	}
	return c, nil
}

// restore takes up a saved snapshot.
func (r *Replica) restore(b []byte, at *order.SnapshotMeta) (id uint64, err error) {
	f, err := readFile(b)
	if err != nil {
		return 0, err
	}
	if err := r.own(f.cluster, f.id); err != nil {
		return 0, err
	}
	s, st, err := r.decodeSnapshot(f.head, [][]byte{f.stream})
	if err != nil {
		return 0, fmt.Errorf("replica: the saved snapshot at position %d: %w", f.at.Position, err)
	}
	if err := r.adopt(f.at.Position, s, st); err != nil {
		return 0, err
	}
	*at, r.journal.saved = f.at, f.at.Position
	return f.id, nil
}

// own refuses state of another replica.
func (r *Replica) own(cluster uint32, id uint64) error {
	if cluster != r.cfg.Cluster || SeatOf(id) != r.cfg.Seat {
		return fmt.Errorf("%w: it is of replica-%d of cluster %08x, this is replica-%d of %08x: "+
			"give each replica its own data directory", ErrForeign, SeatOf(id), cluster, r.cfg.Seat, r.cfg.Cluster)
	}
	return nil
}

// readLife reads who this is. Without a snapshot a founding member begins where it was founded.
func (r *Replica) readLife(in *wire.Reader, c *order.Config) error {
	cluster, id, seats := in.U32(), in.U64(), in.U16()
	if !in.Done() {
		return fmt.Errorf("replica: the journal's first record is cut short")
	}
	if err := r.own(cluster, id); err != nil {
		return err
	}
	c.ID = id
	at := &c.Restart.Snapshot
	if at.Position > 0 || seats == 0 {
		return nil
	}
	*at = order.SnapshotMeta{Position: 1, Term: 1}
	for s := range wire.MaxSeats {
		if seats>>s&1 == 1 {
			at.Members.Voters = append(at.Members.Voters, r.foundSeat(s))
		}
	}
	return nil
}

// replay takes one record in its place.
func (r *Replica) replay(number uint64, b []byte) error {
	r.journal.bytes += uint64(len(b))
	if b[0] == recordFrames {
		if err := r.replayFrames(number, b[1:]); err != nil {
			return err
		}
	}
	r.settleReplay()
	return r.failed
}

// settleReplay applies what can be applied, and makes room.
func (r *Replica) settleReplay() {
	r.orderer.Recheck()
	for r.failed == nil && r.drain() {
		r.Settle()
	}
	r.compact()
}

func (r *Replica) replayFrames(number uint64, b []byte) error {
	in := wire.NewReader(b)
	id := order.LaneID(in.U32())
	l := r.find(id)
	for in.Left() > 0 {
		f := in.Take(int(in.U16()))
		if !in.OK() {
			return fmt.Errorf("replica: record %d is cut short", number)
		}
		if err := r.ownMode(f); err != nil {
			return err
		}
		if l == nil && id >= r.state.nextLane {
			var err error
			if l, err = r.openEarly(id, f); err != nil {
				return err
			}
		}
		if l == nil || !l.open && !l.early {
			return nil // closed since, and covered by the snapshot or void (R6)
		}
		if err := r.ownKey(l, f); err != nil {
			return err
		}
		l.note(number)
		r.journal.keyed[wire.KeyPlace(f)] = number
		r.ingest.Kept(f)
		l.journaled = max(l.journaled, l.recv.Mark().Frames)
	}
	return nil
}

// ownMode refuses frames of another digest mode: read as damaged, they would leave every cut that rests on
// them unheld, and the cluster without a leader for ever.
func (r *Replica) ownMode(frame []byte) error {
	var h wire.Header
	if len(frame) < wire.HeaderSize {
		return nil
	}
	if h.Get(frame); h.Mode == r.cfg.Digest.Mode() {
		return nil
	}
	return fmt.Errorf("%w: its journal holds frames with integrity %v, and the cluster file says %v. Next: "+
		"start it with %[2]v, and to change that, back up and restore to a new cluster", ErrForeign, h.Mode,
		r.cfg.Digest.Mode())
}

// ownKey refuses frames under a key that was dropped too early, for the same reason: what the journal holds
// is whole, it has checksums of its own. What the snapshot covers may lie there still, and is of no use.
func (r *Replica) ownKey(l *laneState, frame []byte) error {
	var h wire.Header
	if len(frame) < wire.HeaderSize {
		return nil
	}
	if h.Get(frame); h.Frame < l.recv.Mark().Frames || r.cfg.Digest.Knows(frame) {
		return nil
	}
	return fmt.Errorf("%w: its journal holds frames that were sealed under another key (%d modulo %d) than the "+
		"key file has. Next: bring back the key file with that key, retired, and drop it only after the replica "+
		"has trimmed its journal", ErrForeign, h.Key, wire.KeyPlaces)
}

// openEarly takes frames of a lane whose opening is not known to be agreed yet. It was: frames are
// journaled of open lanes only. Accepted cuts that nobody knows to be agreed may rest on them.
func (r *Replica) openEarly(id order.LaneID, frame []byte) (*laneState, error) {
	var h wire.Header
	if len(frame) < wire.HeaderSize {
		return nil, fmt.Errorf("replica: a frame of lane %d in the journal is cut short", id)
	}
	h.Get(frame)
	row := &laneRow{id: id, proxy: h.Proxy, incarnation: h.Incarnation, index: h.Lane,
		cut: order.Mark{Lane: id}}
	recv, err := r.ingest.Reopen(lane.Name{Proxy: h.Proxy, Incarnation: h.Incarnation, Lane: h.Lane,
		ID: uint32(id)}, lane.Mark{})
	if err != nil {
		return nil, err
	}
	l := &laneState{laneRow: row, early: true, recv: recv, applied: row.cut}
	r.insert(l)
	return l, nil
}
