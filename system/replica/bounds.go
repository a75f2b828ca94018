package replica

// Bound is a queue or a buffer: what it holds, and what it may hold at most (I6).
type Bound struct {
	Name        string
	Used, Limit int64
}

// Bounds appends the replica's queues and buffers: in frames, bytes or entries, each by a bound of its
// own. It changes nothing; the simulator asserts it after every step.
func (r *Replica) Bounds(dst []Bound) []Bound {
	add := func(name string, used, limit int) { dst = append(dst, Bound{name, int64(used), int64(limit)}) }
	for _, l := range r.lanes {
		add("held frames of a lane", int(l.recv.Held()), r.cfg.Lane.Window)
		add("arena of a lane", l.recv.Used(), r.cfg.Lane.Arena)
		add("kept answers of a lane", l.results.bytes(), r.cfg.ResultBytes)
		add("notes of a lane's records", len(l.notes), maxNotes)
	}
	for i := range r.state.proxies {
		add("spent nonces of a proxy", len(r.state.proxies[i].spent), maxSpent)
	}
	add("bytes put aside", r.shelves.bytes, max(r.cfg.RetainBytes, r.cfg.Lane.Arena))
	add("lanes put aside", len(r.shelves.lanes), maxShelves)
	add("checkpoints", len(r.checkpoints), maxCheckpoints)
	add("reads that wait for a barrier", len(r.reads.waiting.list), maxReads)
	add("reads behind a barrier", len(r.reads.asked.list), maxReads)
	add("answers of one barrier to a proxy", r.reads.most(), r.cfg.ReadBytes+largestResult)
	add("fresh marks of the journal", len(r.journal.fresh), maxFresh)
	add("commands remembered as proposed", len(r.round.proposed), maxProposed)
	return dst
}
