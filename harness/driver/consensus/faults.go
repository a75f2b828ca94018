package consensus

import "slices"

// What befalls the replicas when the measurement begins.
const (
	faultNone         = "leader/none"
	leaderCrash       = "leader/crash"       // and it does not come back
	followerCrash     = "follower/crash"     // likewise
	leaderPause       = "leader/pause"       // stopped for a while
	leaderSlow        = "leader/slow"        // everything is handled later there, until the end
	followerSlow      = "follower/slow"      // likewise
	leaderMute        = "links/mute"         // nothing leaves it for a while, everything reaches it
	leaderDeaf        = "links/deaf"         // nothing reaches it for a while, everything leaves it
	bridgePartition   = "links/bridge"       // for a while all reach one follower only, and it reaches all
	flappingLink      = "links/flapping"     // leader's link to a follower comes and goes for a while
	faultFor          = int64(1_000_000_000) // a while
	flapEvery         = int64(100_000_000)
	slowBy            = int64(5_000_000)
	warmUp            = int64(300_000_000)
	leaderWithin      = int64(20_000_000_000)
	leaderWithinTicks = 1000
)

var faults = []string{faultNone, leaderCrash, followerCrash, leaderPause, leaderSlow, followerSlow,
	leaderMute, leaderDeaf, bridgePartition, flappingLink}

// strike lets a fault begin. leader leads now.
func (w *world) strike(leader *process) {
	follower := w.procs[(leader.index+1)%w.n]
	switch w.fault {
	case leaderCrash:
		leader.up = false
	case followerCrash:
		follower.up = false
	case leaderPause:
		leader.paused = true
		w.after(faultFor, leader.resume)
	case leaderSlow:
		leader.lag = slowBy
	case followerSlow:
		follower.lag = slowBy
	case leaderMute:
		w.partition(func(from, _ int) bool { return from == leader.index })
	case leaderDeaf:
		w.partition(func(_, to int) bool { return to == leader.index })
	case bridgePartition:
		w.partition(func(from, to int) bool { return from != follower.index && to != follower.index })
	case flappingLink:
		w.flap([]int{leader.index, follower.index}, true, w.now+faultFor)
	}
}

// partition cuts directions for a while.
func (w *world) partition(cut func(from, to int) bool) {
	set := func(blocked bool) {
		for from := range w.n {
			for to := range w.n {
				w.cut(from, to, blocked && cut(from, to))
			}
		}
	}
	set(true)
	w.after(faultFor, func() { set(false) })
}

// flap cuts and mends both directions between two replicas by turns.
func (w *world) flap(ends []int, blocked bool, until int64) {
	if w.now >= until {
		blocked = false
	}
	for i, from := range ends {
		w.cut(from, ends[1-i], blocked)
	}
	if w.now < until {
		w.after(flapEvery, func() { w.flap(ends, !blocked, until) })
	}
}

// steadyFrames is how many frames are to have been decided before anything is measured.
const steadyFrames = 100

// begin lets a leader be found and rounds run, and says who leads.
func (w *world) begin() *process {
	w.run(max(leaderWithin, leaderWithinTicks*w.tick), func() bool { return len(w.seen.calm) > 0 })
	// Calm is what came after the election's backlog.
	settle := w.now + 20*w.delay
	w.run(settle, nil)
	w.seen.calm = w.seen.calm[:0]
	// A fault falls anywhere between two ticks.
	w.run(settle+warmUp+w.phase, nil)
	most := w.now + int64(20*steadyFrames/w.rate*1e9)
	w.run(most, func() bool { return len(w.seen.calm) >= steadyFrames })
	leader := w.leader()
	if w.err == nil && (leader == nil || len(w.seen.calm) < steadyFrames) {
		w.fail("there is no leader, or it decides nothing")
	}
	return leader
}

// measure runs a world from its founding to the end of the measurement.
func (w *world) measure() error {
	leader := w.begin()
	if w.err != nil {
		return w.err
	}
	w.seen.start(w.now)
	w.strike(leader)
	end := w.now + w.length
	w.run(end, nil)
	w.seen.stop(end)
	if w.err == nil && !slices.Contains(lasting, w.fault) && w.seen.rounds == 0 {
		w.fail("nothing is decided in %d ns", w.length)
	}
	return w.err
}

// lasting are faults during which it is a finding, and no error, if nothing is decided.
var lasting = []string{leaderSlow, followerSlow}
