package sim

import "math/rand/v2"

// fault is something that befalls the cluster.
type fault int

const (
	faultCrash fault = iota
	faultPause
	faultSlow
	faultSlowLeader
	faultPauseLeader
	faultCrashLeader
	faultIsolate
	faultOneWay
	faultHalves
	faultBridge
	faultClog
	faultBreak
	faultDeadQueue
	faultProxyCrash
	faultProxyPause
	faultProxyZombie
	faultProxyTwin
	faultMidRange
	faultStorm
	faultKill // those from here on are of disks, and of their power
	faultPowerAll
	faultPlug
	faultIOError
	faultDiskFull
	faultDiskSlow
	faultWipe
	faultDamage
	faultCount
)

var faultNames = [faultCount]string{"replica crashed", "replica paused", "replica slow", "leader slow",
	"leader paused", "leader crashed", "replica isolated", "link cut one way", "cluster in halves",
	"bridge partition", "link clogged", "stream broken", "receive queue dead", "proxy crashed", "proxy paused",
	"proxy a zombie", "proxy doubled", "proxy died within a range", "loss storm", "replica killed",
	"power of all replicas lost", "plug pulled between two operations on the disk", "disk returns an error",
	"disk full", "disk slow", "disk wiped", "disk damaged"}

func (f fault) ofDisk() bool { return f >= faultKill }

func (f fault) ofNetwork() bool {
	return f >= faultIsolate && f <= faultDeadQueue || f == faultStorm
}

// nemesis plans the faults.
type nemesis struct {
	rng    *rand.Rand
	over   bool
	holder *process // the last replica that alone got a dying proxy's frames
}

// plan makes the next fault happen some time from now.
func (n *nemesis) plan(w *world) {
	if w.params.calm == 0 {
		return
	}
	w.after(int64(float64(w.params.calm)*n.rng.ExpFloat64()), func() {
		if n.over {
			return
		}
		n.strike(w)
		n.plan(w)
	})
}

func (n *nemesis) strike(w *world) {
	f := fault(pick(n.rng, w.params.faults[:]))
	if f < 0 {
		return
	}
	if n.inject(w, f) {
		w.cover.Add(faultNames[f])
		w.trace.note(w, "fault: %s", faultNames[f])
	}
}

// inject does one fault and reports whether it could.
func (n *nemesis) inject(w *world, f fault) bool {
	switch f {
	case faultCrash:
		return n.crash(w, n.replica(w))
	case faultCrashLeader:
		return n.crash(w, w.leader())
	case faultPause:
		return n.stop(w, n.replica(w), 60*milli)
	case faultPauseLeader:
		return n.stop(w, w.leader(), 120*milli)
	case faultSlow:
		return n.slow(w, n.replica(w))
	case faultSlowLeader:
		return n.slow(w, w.leader())
	case faultProxyCrash:
		return n.crash(w, n.proxy(w))
	case faultProxyPause:
		return n.stop(w, n.proxy(w), 40*milli)
	case faultProxyZombie:
		return n.stop(w, n.proxy(w), w.params.safety)
	case faultProxyTwin:
		return n.twin(w)
	case faultMidRange:
		return n.midRange(w, n.proxy(w), n.replica(w))
	case faultDeadQueue:
		return n.deafen(w, n.replica(w))
	}
	if f.ofDisk() {
		return n.injectDisk(w, f)
	}
	return n.injectNetwork(w, f)
}

// random picks one of the processes that satisfy a condition.
func (n *nemesis) random(w *world, fits func(*process) bool) *process {
	var all []*process
	for _, p := range w.procs {
		if fits(p) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[n.rng.IntN(len(all))]
}

func (n *nemesis) replica(w *world) *process {
	return n.random(w, func(p *process) bool { return p.up && p.replica != nil })
}

func (n *nemesis) proxy(w *world) *process {
	return n.random(w, func(p *process) bool { return p.up && p.proxy != nil })
}

// crash kills a process; it comes back after a while, with nothing, or with what its disk had made
// durable. A replica without a disk is spared if one more lost state would be more than the fault
// model promises to survive.
func (n *nemesis) crash(w *world, p *process) bool {
	if p == nil {
		return false
	}
	if p.disk != nil {
		w.losePower(p)
		w.returnLater(p)
		return true
	}
	if p.replica != nil && !w.params.unlimited && !w.truth.mayLose(p.life.id) {
		w.cover.Add("crash refused by the margin")
		return false
	}
	w.kill(p)
	w.after(n.rng.Int64N(80*milli), func() {
		if !p.up && !n.over {
			w.start(p)
		}
	})
	return true
}

func (n *nemesis) stop(w *world, p *process, most int64) bool {
	if p == nil || p.paused {
		return false
	}
	gen := p.gen
	w.pause(p)
	w.after(n.rng.Int64N(most)+1, func() {
		if p.gen == gen && !n.over {
			w.resume(p)
		}
	})
	return true
}

func (n *nemesis) slow(w *world, p *process) bool {
	if p == nil {
		return false
	}
	p.lag = n.rng.Int64N(15*milli) + 1
	w.after(n.rng.Int64N(100*milli), func() { p.lag, p.beat = 0, w.now })
	return true
}

func (n *nemesis) deafen(w *world, p *process) bool {
	if p == nil {
		return false
	}
	p.deadOf = 1 + n.rng.IntN(3)
	p.deadLane, p.deadAll = n.rng.IntN(p.deadOf), n.rng.IntN(4) == 0
	w.after(n.rng.Int64N(200*milli), func() { p.deadOf = 0 })
	return true
}

// twin starts a second process under a proxy's number, in a spare slot; often the first one is
// stopped meanwhile, and wakes up fenced.
func (n *nemesis) twin(w *world) bool {
	first := n.proxy(w)
	spare := n.random(w, func(p *process) bool { return int(p.slot) >= w.firstSpare() && !p.up })
	if first == nil || spare == nil {
		return false
	}
	if n.rng.IntN(2) == 0 {
		n.stop(w, first, 100*milli)
	}
	spare.peer = first.peer
	w.start(spare)
	return true
}

// midRange lets a proxy's last frames reach one replica only, and then kills it.
func (n *nemesis) midRange(w *world, p, holder *process) bool {
	if p == nil || holder == nil || p.paused {
		return false
	}
	n.holder = holder
	cut := func(blocked bool) {
		for _, q := range w.procs[:w.params.replicas] {
			if q != holder {
				w.net.block(w, p.slot, q.slot, blocked)
			}
		}
	}
	cut(true)
	gen := p.gen
	w.after(n.rng.Int64N(6*milli), func() {
		cut(false)
		if p.gen == gen && p.up && !n.over {
			n.crash(w, p)
		}
	})
	return true
}
