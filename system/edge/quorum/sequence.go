package quorum

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"time"

	"metronome/system/client"
	"metronome/system/edge"
	"metronome/system/edge/local"
)

// request is a batch on its way.
type request struct {
	batch *edge.Batch
	out   *edge.Outcome
	err   error
	done  chan struct{}
}

func (r *request) answer(out *edge.Outcome, err error) {
	r.out, r.err = out, err
	close(r.done)
}

// Bounds of what shares a turn, so that a turn seldom has to be cut.
const (
	groupOps   = 1024
	groupBytes = 256 << 10
)

// sequencer is the goroutine that moves the copy: by turns of its own and by following others.
type sequencer struct {
	*Store
	last head // as of the copy's place, once that is known
	ctx  context.Context

	offered local.Spot // a turn whose fate is not known
	landed  bool       // it was met in the core

	builds pauses
}

func (s *Store) run(ctx context.Context) {
	defer close(s.done)
	q := &sequencer{Store: s, ctx: ctx}
	tick := time.NewTicker(s.cfg.Poll)
	defer tick.Stop()
	stamp := time.NewTicker(stampEvery)
	defer stamp.Stop()
	for {
		select {
		case r := <-s.queue:
			q.write(q.gather(r))
		case <-s.poke:
			_, _ = q.follow() // a failure is noted, and whoever waits hears of it
		case <-tick.C:
			_, _ = q.follow()
		case <-stamp.C:
			s.stamp()
		case <-ctx.Done():
			s.stamp()
			q.drain()
			return
		}
	}
}

// drain refuses what waits when the store is being closed.
func (q *sequencer) drain() {
	for {
		select {
		case r := <-q.queue:
			r.answer(nil, errClosed)
		default:
			return
		}
	}
}

func (q *sequencer) gather(first *request) (group []*request) {
	group = append(group, first)
	for ops, bytes := weigh(first); ops < groupOps && bytes < groupBytes; {
		select {
		case r := <-q.queue:
			group = append(group, r)
			o, b := weigh(r)
			ops, bytes = ops+o, bytes+b
		default:
			return group
		}
	}
	return group
}

func weigh(r *request) (ops, bytes int) {
	for i := range r.batch.Ops {
		bytes += len(r.batch.Ops[i].Key) + len(r.batch.Ops[i].Value)
	}
	return len(r.batch.Ops), bytes
}

// patient is a context for one thing that the core is asked.
func (q *sequencer) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(q.ctx, q.cfg.Patience)
}

// write takes a group through: judge, offer, follow, answer; again if another edge was first.
func (q *sequencer) write(group []*request) {
	until := time.Now().Add(q.cfg.Patience)
	for attempt := 1; ; attempt++ {
		over, err := q.try(group)
		switch {
		case over:
			return
		case err == nil && time.Now().After(until):
			err = fmt.Errorf("%w (other edges' writes come first)", edge.ErrBusy)
		}
		if err != nil {
			for _, r := range group {
				r.answer(nil, err)
			}
			return
		}
		q.stats.late.Add(1)
		if attempt > 2 {
			time.Sleep(mrand.N(time.Millisecond * time.Duration(min(attempt, 16)))) // let the other go first
		}
	}
}

// try makes one attempt. over: the group is answered; else it is to be tried again if there is no error.
func (q *sequencer) try(group []*request) (over bool, err error) {
	if q.last.at != q.spot() {
		if _, err := q.follow(); err != nil {
			return false, err
		}
	}
	batches := make([]*edge.Batch, len(group))
	for i, r := range group {
		batches[i] = r.batch
	}
	c, err := q.now()
	if err == nil {
		err = full(c)
	}
	if err != nil {
		return false, err
	}
	judged, err := c.Judge(q.ctx, batches, time.Now())
	switch {
	case err != nil:
		return false, err
	case len(judged.Records) == 0: // what is answered must be true now
		moved, err := q.follow()
		if moved || err != nil {
			return false, err
		}
	case !q.core.fits(judged) && len(group) > 1:
		q.write(group[:len(group)/2])
		q.write(group[len(group)/2:])
		return true, nil
	case !q.core.fits(judged):
		return false, edge.NewProblem("too-large", fmt.Sprintf("An edge over the replicated core takes about "+
			"%d KiB of keys and values in one batch; this one comes to %d.", itemRoom>>11, q.core.weigh(judged)>>11))
	default:
		if done, err := q.offer(judged); !done || err != nil {
			return false, err
		}
	}
	for i, r := range group {
		a := &judged.Answers[i]
		if a.Outcome != nil && a.Outcome.Session != nil {
			a.Outcome.Session.Quorum = edge.Mark{At: a.Outcome.Session.Mark, Known: true}
		}
		r.answer(a.Outcome, a.Err)
	}
	return true, nil
}

// offer gets the core's agreement to a turn and follows it. done: the turn was taken.
func (q *sequencer) offer(judged *local.Turn) (done bool, err error) {
	ctx, cancel := q.patient()
	defer cancel()
	began := time.Now()
	l, err := q.core.ours(ctx)
	if err != nil {
		return false, q.lost(q.ctx, err)
	}
	t := turn{at: local.Spot{Place: q.spot().Place + 1}, totals: judged.Totals, records: judged.Records}
	_, _ = rand.Read(t.at.Turn[:]) // never fails
	what, err := q.core.offer(ctx, l, &q.last, &t, judged.Changes)
	if what == taken {
		q.stats.turns.Add(1)
		if err := q.take(&t); err != nil {
			return false, err
		}
		q.seen(began, t.at.Place)
		return true, nil
	}
	return q.settle(what, t.at, l, err)
}

// settle goes on after a turn that was not taken, as far as was heard: it may have been all the same, and its
// answer lost.
func (q *sequencer) settle(what offer, at local.Spot, l life, err error) (done bool, _ error) {
	q.offered, q.landed = at, false
	built := q.stats.rebuilt.Load()
	defer func() { q.offered = local.Spot{} }()
	var err2 error
	switch what {
	case tooLate, ended:
		err2 = q.renew(l)
	default:
		if _, err2 = q.follow(); err2 == nil {
			err2 = unreachable(err)
		} else {
			err2 = q.lost(q.ctx, err)
		}
	}
	switch {
	case q.landed:
		return true, nil
	case q.stats.rebuilt.Load() != built && client.MayHaveHappened(err):
		return false, edge.ErrUnknown
	}
	return false, err2
}

// renew goes on after the core did not take a turn. If nobody else's has come in its place, the core's
// session has ended, or an item that was no turn has used up the number: another session is needed. An edge
// that does not know it yet could go on in the old one, and two turns have one place: hence the old one is
// retired first, and only then looked how far it came.
func (q *sequencer) renew(was life) error {
	ctx, cancel := q.patient()
	defer cancel()
	moved, err := q.follow()
	if moved || err != nil {
		return err
	}
	l, err := q.core.readLife(ctx)
	if err == nil && l.session == was.session {
		err = q.another(ctx, l)
	}
	if err != nil {
		return q.lost(q.ctx, err)
	}
	return nil
}

// another opens a session in the place of a life's.
func (q *sequencer) another(ctx context.Context, l life) error {
	if err := q.core.retire(ctx, l); err != nil {
		return err
	}
	if _, err := q.follow(); err != nil {
		return err
	}
	q.stats.renewed.Add(1)
	_, err := q.core.renew(ctx, l, q.spot().Place)
	return err
}

func (q *sequencer) spot() local.Spot {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.at
}

// take has the copy follow a turn that the core has. A copy that cannot is built anew.
func (q *sequencer) take(t *turn) error {
	q.landed = q.landed || t.at == q.offered
	c, err := q.now()
	if err == nil {
		err = c.Follow(q.ctx, t.at, t.records, t.totals)
	}
	switch {
	case err == nil:
		q.move(t.at)
		return nil
	case q.ctx.Err() != nil, errors.Is(err, edge.ErrFailed):
		return fmt.Errorf("%w: %w", edge.ErrUnknown, err)
	}
	return q.rebuild("the copy does not follow", "error", err)
}

// move notes where the copy is, and wakes whoever waits for that.
func (q *sequencer) move(at local.Spot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.at = at
	close(q.moved)
	q.moved = make(chan struct{})
}

// follow brings the copy to the core's last turn, and reports whether it was elsewhere.
func (q *sequencer) follow() (moved bool, err error) {
	ctx, cancel := q.patient()
	defer cancel()
	began := time.Now()
	h, err := q.core.head(ctx)
	if err != nil {
		return false, q.lost(q.ctx, err)
	}
	at := q.spot()
	switch {
	case h.at == at:
		q.last = h
		q.seen(began, h.at.Place)
		return false, nil
	case h.at.Place <= at.Place:
		return true, q.rebuild("the core has another history than the copy: was it restored?",
			"core", h.at.Place, "copy", at.Place, "turn", short(at.Turn))
	case h.first > at.Place+1:
		return true, q.rebuild("the copy is far behind", "copy", at.Place, "core", h.at.Place)
	}
	if err := q.catchUp(at.Place+1, &h); err != nil {
		return true, err
	}
	q.seen(began, h.at.Place)
	return true, nil
}

// catchUp follows the turns from a place up to a head.
func (q *sequencer) catchUp(from uint64, h *head) error {
	c, err := q.now()
	if err == nil {
		err = full(c)
	}
	for err == nil && from <= h.at.Place {
		ctx, cancel := q.patient()
		var turns []turn
		turns, err = q.core.turns(ctx, from, h.at.Place)
		cancel()
		if errors.Is(err, errGone) {
			return q.rebuild("the core has dropped what the copy lacks")
		}
		if err != nil {
			return q.lost(q.ctx, err)
		}
		for i := 0; i < len(turns) && err == nil; i++ {
			err = q.take(&turns[i])
			q.stats.followed.Add(1)
		}
		if from += uint64(len(turns)); q.spot().Place >= from { // it was built anew
			break
		}
	}
	if q.spot() == h.at {
		q.last = *h
	}
	return err
}
