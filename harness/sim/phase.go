package sim

import (
	"slices"

	"metronome/harness/history"
	"metronome/system/wire"
)

// desert ends all proxies at once, whatever they were about, and demands that replicas come to one state by
// what they keep for each other, although nothing new is sent that would tell who is behind.
func (w *world) desert() {
	if w.truth.failed() || !w.params.deserted {
		return
	}
	for _, p := range w.procs[w.params.replicas:] {
		if p.up {
			w.kill(p)
		}
	}
	w.run(w.now+10*milli, nil)
	w.quiet()
	for _, p := range w.procs[:w.params.replicas] {
		w.revive(p)
	}
	w.cover.Add("replicas left alone")
	w.settle("no proxy left")
}

// progress is the liveness phase: heal a bare quorum of voters and one proxy, freeze everything
// else, and demand that a write completes. What is promised is that a majority is enough.
func (w *world) progress() {
	w.quiet()
	if w.truth.failed() || !w.params.anyQuorum {
		return
	}
	core := w.core()
	if core == nil {
		w.cover.Add("liveness: no quorum to spare while a learner is promoted")
		return
	}
	w.trace.note(w, "liveness: core %v", core)
	proxy := w.procs[w.params.replicas]
	for _, p := range w.procs {
		w.pause(p)
	}
	for _, p := range core {
		w.revive(p)
	}
	w.revive(proxy)
	if w.demand(proxy, "a quorum of voters and one proxy") {
		w.cover.Add("liveness: a quorum alone made progress")
	}
}

// core draws a bare quorum of those that vote and have their state, nil if there is none.
func (w *world) core() []*process {
	voters := w.voting()
	for _, p := range voters {
		if !p.up {
			w.start(p) // from its disk
		}
	}
	need := len(w.truth.members.voters)/2 + 1
	if len(w.truth.members.learners) > 0 {
		need = (len(w.truth.members.voters)+1)/2 + 1 // a promotion may be under way already
	}
	need = max(need, w.params.accepts)
	if len(voters) < need {
		return nil
	}
	w.fault.rng.Shuffle(len(voters), func(i, j int) { voters[i], voters[j] = voters[j], voters[i] })
	if i := slices.Index(voters, w.fault.holder); i >= 0 { // what it alone holds must not be waited for
		voters = append(slices.Delete(voters, i, i+1), w.fault.holder)
	}
	for need < len(voters) && !quorate(voters[:need]) {
		need++
	}
	return voters[:need]
}

// quorate reports whether these are a majority by the configuration that each of them goes by: who
// has not heard yet that a change was agreed elects by the old one.
func quorate(core []*process) bool {
	for _, p := range core {
		among := 0
		for _, q := range core {
			if slices.Contains(p.life.members.voters, q.life.id) {
				among++
			}
		}
		if 2*among <= len(p.life.members.voters) {
			return false
		}
	}
	return true
}

// quiet ends all faults of the network and of processes that run.
func (w *world) quiet() {
	w.net.heal(w)
	p := &w.params
	p.loss, p.duplicate, p.reorder, p.corrupt, p.burst, p.burstEnd = 0, 0, 0, 0, 0, 1
	for _, q := range w.procs {
		q.lag, q.deadOf = 0, 0
	}
	w.healDisks()
}

// revive makes a process run, whatever it was.
func (w *world) revive(p *process) {
	if !p.up {
		w.start(p)
	}
	w.resume(p)
}

// demand sends a write through a proxy until one is answered, and says whether that came in time.
func (w *world) demand(proxy *process, what string) bool {
	before := w.work.probeOK
	w.work.startProbe(w, proxy, func() (history.Call, bool) {
		if w.work.probeOK > before {
			return history.Call{}, false
		}
		w.work.gen.unique++
		return history.Call{Op: wire.OpAppend, Key: "probe", Value: "."}, true
	})
	done := func() bool { return w.work.probeOK > before }
	w.run(w.now+w.params.patience, done)
	if !w.truth.failed() && !done() {
		w.truth.fail("liveness", "%s: no write completed in %d ms", what, w.params.patience/milli)
	}
	return !w.truth.failed()
}

// converge heals everything and demands that every replica comes to vote and to have the same
// state, and that every proxy serves it.
func (w *world) converge() {
	if w.truth.failed() {
		return
	}
	w.trace.note(w, "convergence: everything healed")
	for _, p := range w.procs[:w.firstSpare()] {
		w.revive(p)
	}
	for _, p := range w.procs[w.firstSpare():] {
		if p.up {
			w.kill(p)
		}
	}
	if !w.settle("all healed") || !w.hear() {
		return
	}
	for _, p := range w.procs[w.params.replicas:w.firstSpare()] {
		w.revive(p)
		if !w.demand(p, "every proxy, all healed") || !w.readAll(p) {
			return
		}
	}
	w.settle("after the last write")
}

// hear waits until every proxy has heard what became of what it sent, while nobody sends anything
// new: a client that waits for its answer would not.
func (w *world) hear() bool {
	var waits *process
	idle := func() bool {
		for _, p := range w.procs[w.params.replicas:w.firstSpare()] {
			if p.proxy != nil && !p.proxy.Idle() {
				waits = p
				return false
			}
		}
		return true
	}
	w.run(w.now+w.params.patience, idle)
	if !w.truth.failed() && !idle() {
		w.truth.fail("liveness", "%v never hears what became of what it sent", waits)
	}
	return !w.truth.failed()
}

// settle waits until all replicas vote, and stand at one index with one state.
func (w *world) settle(when string) bool {
	why := ""
	next := int64(0)
	same := func() bool {
		if w.now < next {
			return false
		}
		next = w.now + milli
		why = w.apart()
		return why == ""
	}
	w.run(w.now+w.params.patience, same)
	if !w.truth.failed() && why != "" {
		w.truth.fail("convergence", "%s: after %d ms %s", when, w.params.patience/milli, why)
	}
	return !w.truth.failed()
}

// readAll reads everything through a proxy, so that the history shows the end of every key.
func (w *world) readAll(proxy *process) bool {
	calls := []history.Call{
		{Op: wire.OpScan, Scan: history.Scan{Limit: wire.MaxScan, Values: true}}, {Op: wire.OpCount}}
	next, want := 0, w.work.probeOK+len(calls)
	w.work.startProbe(w, proxy, func() (c history.Call, ok bool) {
		// Again and again: requests for repair back off, so that a lane may need a moment after all is healed.
		// And no longer than that: replicas are to come to one state.
		if w.work.probeOK >= want {
			return c, false
		}
		next++
		return calls[next%len(calls)], true
	})
	w.run(w.now+w.params.patience, func() bool { return w.work.probeOK >= want })
	if !w.truth.failed() && w.work.probeOK < want {
		w.truth.fail("liveness", "%v answers no reads", proxy)
	}
	return !w.truth.failed()
}
