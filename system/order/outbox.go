package order

// Outbox is what every algorithm needs on its way to [Ready]: what is to be sent, written and
// reported, and what must not leave before something is durable. A is an answer that waits. The
// zero value is empty.
type Outbox[A any] struct {
	Ready Ready
	// Refusals counts cuts refused for a mismatch so far (R14).
	Refusals uint64

	seq     uint64
	ask     []A  // wait for Ready.Persist
	hurry   bool // and so does something else
	pending []unwritten[A]
}

// unwritten is a Persist that was handed out, and what may happen once it is durable.
type unwritten[A any] struct {
	seq     uint64
	lazy    bool // nobody was in a hurry
	answers []A
}

// maxRefusals is how many refusals one Ready names; the rest are counted only.
const maxRefusals = 16

// Send queues a message that may go at once.
func (o *Outbox[A]) Send(to uint64, data []byte) {
	o.Ready.Messages = append(o.Ready.Messages, Message{To: to, Data: data})
}

// Persist is what is to be written next; there is a write from now on.
func (o *Outbox[A]) Persist() *Persist {
	if o.Ready.Persist == nil {
		o.Ready.Persist = &Persist{}
	}
	return o.Ready.Persist
}

// Record adds a record to the next write; nil adds a write without one.
func (o *Outbox[A]) Record(b []byte) {
	if p := o.Persist(); b != nil {
		p.Records = append(p.Records, b)
	}
}

// Repeat makes the next write begin with a record that repeats all that counts from a position on
// (Persist.Fresh). What was to be written before it is in it: a write may be cut short between any two of its
// records, and what says of itself that it repeats everything has to be the record that does.
func (o *Outbox[A]) Repeat(position uint64, b []byte) {
	p := o.Persist()
	p.Fresh, p.Records = position, nil
	o.Record(b)
}

// Hurry has what was recorded made durable soon, though no answer waits for it.
func (o *Outbox[A]) Hurry() {
	o.Persist()
	o.hurry = true
}

// Hold keeps answers until everything recorded so far is durable. If what was handed out last could wait, it
// cannot any longer: there is a write after it, if only an empty one.
func (o *Outbox[A]) Hold(answers ...A) {
	if n := len(o.pending); o.Ready.Persist == nil && n > 0 && !o.pending[n-1].lazy {
		o.pending[n-1].answers = append(o.pending[n-1].answers, answers...)
		return
	}
	o.Persist()
	o.ask = append(o.ask, answers...)
}

// After does something with an answer once everything recorded so far is durable: at once, or when the caller
// gets it from Durable.
func (o *Outbox[A]) After(answer A, release func(A)) {
	if o.Idle() {
		release(answer)
		return
	}
	o.Hold(answer)
}

// Idle reports that everything recorded so far is durable.
func (o *Outbox[A]) Idle() bool { return o.Ready.Persist == nil && len(o.pending) == 0 }

// Refuse reports a cut refused for a digest mismatch (R14).
func (o *Outbox[A]) Refuse(leader uint64, c Cut) {
	o.Refusals++
	if len(o.Ready.Refused) < maxRefusals {
		o.Ready.Refused = append(o.Ready.Refused, Refusal{Leader: leader, Cut: c})
	}
}

// Take hands out what is ready.
func (o *Outbox[A]) Take() Ready {
	out := o.Ready
	o.Ready = Ready{}
	if out.Persist != nil {
		o.seq++
		out.Persist.Seq, out.Persist.Lazy = o.seq, len(o.ask) == 0 && !o.hurry
		o.pending = append(o.pending, unwritten[A]{o.seq, out.Persist.Lazy, o.ask})
		o.ask, o.hurry = nil, false
	}
	return out
}

// Durable returns the answers that waited for a write of this number or before, in order.
func (o *Outbox[A]) Durable(seq uint64) (answers []A) {
	for len(o.pending) > 0 && o.pending[0].seq <= seq {
		answers = append(answers, o.pending[0].answers...)
		o.pending = o.pending[1:]
	}
	return answers
}

// Said is what a message of an orderer tells its receiver of the sender's stable storage: what a
// restart must not forget, and what a simulator therefore looks for.
type Said struct {
	Term     uint64 // it voted in this term, or accepted something in it; 0: it says nothing
	Position uint64 // it accepted everything that counts up to here, by the order of Term
	Alive    bool   // it is a leader's heartbeat
}
