package sim

import (
	"slices"

	"metronome/harness/history"
	"metronome/system/wire"
)

// collect takes a proxy's answers to its clients.
func (k *workload) collect(w *world, p *process) {
	p.proxy.Answers(func(ticket uint64, o history.Outcome, a history.Answer) {
		if ticket == 0 || ticket > uint64(len(k.attempts)) {
			w.truth.fail("answer", "%v answers ticket %d, which nobody has", p, ticket)
			return
		}
		at := &k.attempts[ticket-1]
		if !at.open {
			w.cover.Add("answer nobody waits for any more")
			return
		}
		c := k.clients[at.client]
		c.waiting = slices.DeleteFunc(c.waiting, func(t uint64) bool { return t == ticket })
		k.end(w, c, ticket, o, a)
	})
	if p.proxy.Fenced() {
		w.cover.Add("proxy fenced by another instance")
		w.kill(p)
		w.supervise(p)
	}
}

// supervise starts a proxy again that ended by itself, as whoever runs it would; not the twins, or
// two supervisors would fence each other's for ever.
func (w *world) supervise(p *process) {
	if int(p.slot) >= w.firstSpare() {
		return
	}
	w.after(20*milli, func() {
		if !p.up {
			w.start(p)
		}
	})
}

// end books how an attempt ended.
func (k *workload) end(w *world, c *client, ticket uint64, o history.Outcome, a history.Answer) {
	at := &k.attempts[ticket-1]
	at.open = false
	op := &k.ops[at.op]
	w.trace.note(w, "end of ticket %d: %v %v", ticket, o, a)
	w.trace.fold(uint64(o)<<8 | uint64(a.Status))
	if o == history.Refused {
		w.cover.Add("operation refused")
		k.backOff(w, c)
	}
	if op.Call.Session != 0 {
		k.endInSession(w, c, at.op, o, a)
		return
	}
	op.Outcome, op.Answer = o, a
	if o != history.Unknown {
		op.Returned = w.now
	}
	if op.Call.Op == wire.OpSession {
		k.opened(c, o, a)
	}
	if o == history.Answered && c == k.probe {
		k.probeOK++
	}
	if o == history.Answered {
		k.gen.learn(&op.Call, &a)
	}
}

// backOff makes a client wait after a refusal, and perhaps try another proxy; the operation does
// not count.
func (k *workload) backOff(w *world, c *client) {
	c.pause = w.now + k.rng.Int64N(6*milli)
	if k.probe == nil {
		k.left++
	}
	if len(c.waiting) == 0 && k.rng.IntN(3) == 0 {
		c.connection = 0
	}
}

func (k *workload) opened(c *client, o history.Outcome, a history.Answer) {
	c.session = sessionClient{}
	if o == history.Answered && a.Status == wire.StatusOK {
		c.session = sessionClient{id: uint64(a.Number), open: map[uint64]bool{}}
	}
}

// endInSession sends an operation of a session again until it has an answer.
func (k *workload) endInSession(w *world, c *client, place int, o history.Outcome, a history.Answer) {
	op := &k.ops[place]
	current := op.Call.Session == c.session.id
	switch {
	case o != history.Answered && current:
		c.again = append(c.again, place)
		slices.Sort(c.again)
		return
	case o != history.Answered:
		return // its session is over: the outcome stays unknown
	case a.Status == wire.StatusSessionUnknown && current:
		w.cover.Add("session found expired")
		c.session, c.again = sessionClient{}, nil
	}
	if current {
		delete(c.session.open, op.Call.Number)
	}
	op.Outcome, op.Answer, op.Returned = o, a, w.now
	if op.Retried && a.Status >= wire.StatusSessionUnknown && a.Status <= wire.StatusSessionAhead {
		// Another attempt may have been executed, or be executed later.
		op.Outcome, op.Returned = history.Unknown, history.Never
	}
	k.gen.learn(&op.Call, &a)
}

// history is what is to be judged.
func (k *workload) history(w *world) *history.History {
	h := &history.History{Operations: k.ops, Limits: w.system.Limits()}
	expired := w.truth.expired
	for i := range w.truth.items {
		e := &w.truth.items[i]
		index := w.truth.indexOf(uint64(i) + 1)
		if uint64(i) == w.truth.kept && w.truth.jump > 0 {
			h.Log = append(h.Log, history.Record{Index: index - 1, Restore: true})
		}
		for len(expired) > 0 && expired[0].index <= index {
			h.Log = append(h.Log, history.Record{Index: expired[0].index, Expire: expired[0].before})
			expired = expired[1:]
		}
		rec := history.Record{Index: index, Operation: -1, Call: e.call, Time: e.time}
		if ticket := k.byItem[w.truth.lanes.sent(e.laneItem)]; ticket != 0 && !e.bad {
			rec.Operation = k.attempts[ticket-1].op
		}
		h.Log = append(h.Log, rec)
	}
	return h
}
