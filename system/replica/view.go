package replica

import (
	"metronome/system/lane"
	"metronome/system/order"
)

// View is a replica at a glance, for metrics and operators.
type View struct {
	ID      uint64
	Status  order.Status
	Members order.Members

	Index          uint64 // items applied
	Epoch          uint64
	Feature        uint32 // the cluster's level
	Supported      uint32 // what all members know, at the leader; 0: not known
	Admitted       uint16 // seats that may have lives
	LogTime        uint64
	Rounds         uint64 // positions agreed
	CommittedItems uint64
	AppliedItems   uint64
	Waiting        int // decisions agreed and not applied

	Keys       int
	StoreBytes int
	Sessions   int
	Hash       uint64

	Ingest   lane.Counters
	Lanes    []LaneView
	Counters Counters
	Full     bool
	Journal  JournalView
}

// JournalView is what a durable replica has written.
type JournalView struct {
	Next    uint64 // number of the next record
	Synced  uint64 // records durable
	Written uint64 // bytes in this process
	Saved   uint64 // position of the newest durable snapshot
	Saving  bool
	Waiting int    // writes of the orderer that are not durable yet
	Shut    bool   // frames wait until there is room for them
	Keys    uint16 // bits: places of keys (wire.KeyPlaces) under which it holds frames that a restart may need
}

// LaneView is one lane.
type LaneView struct {
	ID          order.LaneID
	Proxy       uint32
	Incarnation uint32
	Index       uint16
	Open        bool
	Mark        lane.Mark
	Cut         order.Mark
	Applied     order.Mark
	Trimmed     uint64
	Frames      lane.ReceiverCounters
}

// View looks at the replica. What the store says is as old as the last batch while Work is out.
func (r *Replica) View() View {
	if !r.working {
		st := r.store.Stats()
		r.seen.Keys, r.seen.StoreBytes, r.seen.Sessions = st.Keys, st.Bytes, st.Sessions
		r.seen.Index, r.seen.Hash = r.store.Index(), r.store.Hash()
	}
	v := r.seen
	v.ID, v.Status, v.Members = r.id, r.status, r.members
	v.Feature, v.Admitted = r.state.feature, r.admitted()
	if r.status.Leading {
		v.Supported = r.Supported()
	}
	v.Epoch, v.LogTime, v.Rounds = r.state.epoch, r.state.time, r.rounds
	v.CommittedItems, v.AppliedItems, v.Waiting = r.committedItems, r.appliedItems, len(r.queue)
	v.Ingest, v.Counters, v.Full = r.ingest.Counters(), r.counts, r.full()
	j := &r.journal
	v.Journal = JournalView{Next: j.next, Synced: j.synced, Written: j.bytes, Saved: j.saved,
		Saving: j.saving != nil, Waiting: len(j.pending), Shut: j.shut,
		Keys: j.keyPlaces()}
	for _, l := range r.lanes {
		v.Lanes = append(v.Lanes, LaneView{ID: l.id, Proxy: l.proxy, Incarnation: l.incarnation,
			Index: l.index, Open: l.open, Mark: l.recv.Mark(), Cut: l.cut, Applied: l.applied,
			Trimmed: l.recv.Trimmed(),
			Frames:  l.recv.Counters()})
	}
	return v
}

// Arrivals are the sampled frames of every lane: see [lane.Receiver.Arrivals].
func (r *Replica) Arrivals() map[lane.Name][]lane.Arrival {
	m := map[lane.Name][]lane.Arrival{}
	for _, l := range r.lanes {
		if l.open {
			m[l.recv.Name()] = l.recv.Arrivals()
		}
	}
	return m
}

func (r *Replica) admitted() (seats uint16) {
	for i := range r.state.lives {
		if l := &r.state.lives[i]; l.admitted || r.state.feature < featureSeats && l.life > 0 {
			seats |= 1 << i
		}
	}
	return seats
}

// full reports whether a bound is reached, the store's, the disk's or the journal's: proxies then take no
// new writes (I6).
func (r *Replica) full() bool {
	return r.diskFull || r.stalled() || r.cfg.StoreBytes > 0 && r.seen.StoreBytes > r.cfg.StoreBytes
}

// SetDiskFull says whether there is too little space left for the journal to take more for long.
// Proxies then hear of it before anything fails.
func (r *Replica) SetDiskFull(full bool) {
	if r.diskFull == full {
		return
	}
	r.diskFull = full
}

// Next is when Tick wants to be called at the latest, if nothing arrives before.
func (r *Replica) Next() int64 {
	if r.orderer == nil {
		if r.founding.active {
			return min(r.joins.next, r.founding.next)
		}
		return r.joins.next
	}
	// Two ticks are made up for, so that an idle replica wakes up for every other one only.
	slack := r.cfg.Tick
	if !r.status.Leading {
		slack += r.cfg.Tick / 4 // the leader's heartbeat comes first, and takes both along
	}
	next := min(r.nextTick+slack, r.soon)
	var lanes [maxGapped]*lane.Receiver
	for _, recv := range r.ingest.Gapped(lanes[:0]) {
		next = min(next, recv.Nacker().Next())
	}
	return next
}

// later notes that something is put off until t.
func (r *Replica) later(t int64) { r.soon = min(r.soon, t) }
