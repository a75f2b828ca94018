package raft

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"
)

// behind is who may be stuck behind the log since it was compacted.
type behind struct {
	base  uint64 // what was compacted then
	ticks int    // until it is looked at; 0: nothing to look at
}

// await has the followers looked at, an election timeout after the log was compacted.
func (r *Raft) await() {
	if r.behind.ticks == 0 {
		r.behind = behind{base: r.log.base.index, ticks: r.patience}
	}
}

// watch looks, an election timeout after the log was compacted, whether a follower that is sent entries as
// they come has still not answered what was compacted then. It waits at its gate for items that are dropped
// as well, and answers every append with where it stands; the library believes that all was sent, and would
// send it empty appends for ever. Probed again it is found to need a snapshot.
func (r *Raft) watch() {
	if r.behind.ticks == 0 {
		return
	}
	if r.behind.ticks--; r.behind.ticks > 0 {
		return
	}
	base := r.behind.base
	if r.log.base.index > base {
		r.await() // it was compacted again meanwhile, and maybe never is from now on
	}
	if r.node.BasicStatus().RaftState != raft.StateLeader {
		return
	}
	var stuck []uint64
	r.node.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if p.State == tracker.StateReplicate && p.Match < base {
			stuck = append(stuck, id)
		}
	})
	for _, id := range stuck { // none is told anything before the next heartbeat: their order does not matter
		r.node.ReportUnreachable(id)
	}
}
