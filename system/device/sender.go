package device

import (
	"context"
	"fmt"
	"time"

	"metronome/system/device/queue"
)

// run is the sender: it does what the core says, one request at a time, until the store closes or
// fails.
func (d *Device) run() {
	defer close(d.done)
	for d.ctx.Err() == nil {
		d.mu.Lock()
		step, failed := d.core.Next(d.now()), d.err != nil
		d.mu.Unlock()
		if failed {
			return
		}
		if err := d.do(&step); err != nil {
			d.mu.Lock()
			d.fail(err)
			d.mu.Unlock()
			return
		}
	}
}

func (d *Device) do(step *queue.Step) error {
	if d.remote == nil { // it only gathers
		return d.sleep(queue.Never)
	}
	switch step.Do {
	case queue.Contact:
		return d.contact()
	case queue.Build:
		return d.build(step.Plan)
	case queue.Ask:
		return d.answer(d.remote.ask(d.ctx, &step.Session))
	case queue.Send:
		return d.answer(d.remote.send(d.ctx, step.Batch))
	}
	return d.sleep(step.At)
}

// tidyEvery is how long an acknowledgement may stay unwritten. A restart asks the edge anyway.
const tidyEvery = time.Second

// sleep waits for something to do.
func (d *Device) sleep(at int64) error {
	now := d.now()
	d.mu.Lock()
	unnoted := d.unnoted()
	d.mu.Unlock()
	if unnoted {
		at = min(at, now+int64(tidyEvery))
	}
	var timer <-chan time.Time
	if at != queue.Never {
		t := time.NewTimer(time.Duration(max(0, at-now)))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-d.kick:
	case <-timer:
	case <-d.ctx.Done():
	}
	return d.tidy()
}

// contact makes durable that this life sends, before it does.
func (d *Device) contact() error {
	if err := d.become(func(id *identity) { id.Sends = true }); err != nil {
		return err
	}
	d.mu.Lock()
	d.core.Contacted()
	d.mu.Unlock()
	return nil
}

// build makes a request. The log is read without the lock, so that nobody who enqueues waits for
// it.
func (d *Device) build(p *queue.Plan) error {
	dead, keep, newer := p.Dead, p.Keep, p.Newer
	p.Dead = func(n uint64) bool { d.mu.Lock(); defer d.mu.Unlock(); return dead(n) }
	p.Keep = func(n uint64) bool { d.mu.Lock(); defer d.mu.Unlock(); return keep(n) }
	p.Newer = func(key []byte, n uint64) bool { d.mu.Lock(); defer d.mu.Unlock(); return newer(key, n) }
	b, err := p.Build(&d.sequel, &d.cfg.Rules)
	if err != nil {
		return fmt.Errorf("device: read the queue: %w. Next: mend the disk, then open the store again", err)
	}
	d.mu.Lock()
	d.core.Built(d.now(), b)
	d.mu.Unlock()
	return nil
}

// answer takes a reply, and makes durable what must be before the next step.
func (d *Device) answer(r *queue.Reply) error {
	fresh := freshSession(1)
	d.mu.Lock()
	fx := d.core.Answer(d.now(), r, fresh)
	d.inform(fx.Accepted, r.Results)
	status := d.core.Status()
	d.mu.Unlock()
	d.remember(fx.Accepted)
	if fx.Move && d.remote.move(r) {
		d.mu.Lock()
		d.core.Moved()
		d.mu.Unlock()
	}
	if err := d.settleIdentity(&fx, &status); err != nil {
		return err
	}
	if err := d.bury(fx.Bury); err != nil {
		return err
	}
	d.mu.Lock()
	d.serve()
	if fx.Progress {
		d.renewRoom()
	}
	d.mu.Unlock()
	return d.tidy()
}

// settleIdentity writes what changed of who we are.
func (d *Device) settleIdentity(fx *queue.Effects, s *queue.Status) error {
	if !fx.Identity && !fx.Fenced {
		return nil
	}
	return d.become(func(id *identity) {
		id.setSessions(s.Sessions)
		if id.Fenced = fx.Fenced; fx.Fenced {
			id.Rival, id.Sent, id.Sends = s.Rival, s.SentBound, false
		}
	})
}

// become changes the identity, durably.
func (d *Device) become(change func(*identity)) error {
	d.idMu.Lock()
	defer d.idMu.Unlock()
	change(d.id)
	return d.id.save(d.cfg.FS, d.cfg.Dir)
}

// bury makes refused operations dead letters. If there is no room for them, nothing is sent any
// more.
func (d *Device) bury(list []queue.Dead) error {
	for i := range list {
		full, err := d.dead.add(&list[i])
		if err != nil {
			return err
		}
		if full {
			d.mu.Lock()
			d.core.Buried(list[:i])
			d.core.Halt(queue.StopDeadFull)
			d.mu.Unlock()
			return nil
		}
	}
	d.mu.Lock()
	d.core.Buried(list)
	d.mu.Unlock()
	return nil
}

// remember keeps, for reads without a network, what the edge now has.
func (d *Device) remember(b *queue.Batch) {
	if b == nil {
		return
	}
	for i := range b.Ops {
		if op := &b.Ops[i]; op.Cond == queue.Always {
			d.seen.put(string(op.Key), op.Value, 0, op.Kind == queue.KindPut)
		}
	}
}

// unnoted reports whether acknowledgements are to be written, or something can be freed. The caller
// holds mu.
func (d *Device) unnoted() bool {
	return d.core.Unfinished() != d.notedAt.Next || d.core.Spare() > d.core.Floor()
}

// tidy writes down how far things are, and frees what is not needed any more: first the one,
// durably, then the other.
func (d *Device) tidy() error {
	d.mu.Lock()
	due := d.now()-d.noted >= int64(tidyEvery) && d.unnoted()
	floor := d.core.Spare()
	d.mu.Unlock()
	if !due {
		return nil
	}
	if err := d.writeNote(); err != nil {
		return err
	}
	d.log.Trim(floor) // soon; until then more is kept than need be
	d.mu.Lock()
	d.core.Trim(floor)
	d.renewRoom()
	d.mu.Unlock()
	if d.seen.stale() {
		return d.seen.save()
	}
	return nil
}

// writeNote appends a note and waits until it is durable.
func (d *Device) writeNote() error {
	d.mu.Lock()
	if d.err != nil {
		d.mu.Unlock()
		return nil
	}
	note := d.core.Note()
	number, err := d.log.Append(queue.AppendNote(nil, &note))
	if err == nil {
		d.notedAt, d.noted = note, d.now()
	}
	d.mu.Unlock()
	if err == nil {
		err = d.log.Wait(context.Background(), number) // the disk answers, or the journal is broken
	}
	if err != nil && !isFull(err) { // no room for a note: the next one, after room was made, says the same
		return fmt.Errorf("device: write to the queue: %w. Next: mend the disk, then open the store again", err)
	}
	return nil
}

// Adopt makes this copy of the queue the one that goes on after [ErrFenced]: it takes over what may
// have been sent under the old session, and sends the rest under a new one. The other copy is
// fenced then.
func (d *Device) Adopt() error {
	d.mu.Lock()
	if d.core.Stopped() != queue.StopFenced {
		d.mu.Unlock()
		return fmt.Errorf("%w: nothing to adopt: this copy is not fenced", ErrInput)
	}
	d.core.Adopt(freshSession(1))
	d.core.Halt(queue.StopAdopting)
	sessions := d.core.Status().Sessions
	d.mu.Unlock()
	err := d.become(func(id *identity) {
		id.setSessions(sessions)
		id.Fenced = false
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.fail(err)
		return err
	}
	d.core.Resume()
	d.wake()
	return nil
}
