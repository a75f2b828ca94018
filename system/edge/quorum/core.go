package quorum

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"metronome/system/client"
	"metronome/system/edge"
	"metronome/system/edge/local"
	"metronome/system/wire"
)

// core is the edge's way to the replicated store.
type core struct {
	config   client.Config
	space    space
	patience time.Duration
	keep     uint64

	mu   sync.Mutex
	conn *client.Client // nil = not connected yet
	life life           // session 0 = not known
}

func newCore(c *Config, addresses []string, tls *tls.Config) *core {
	return &core{space: space(c.Space), patience: c.Patience, keep: c.Keep, config: client.Config{
		Addresses: addresses, User: c.User, Password: c.Password, TLS: tls, BarrierReads: true,
		DialTimeout: time.Second, RetryMax: 100 * time.Millisecond}}
}

func (c *core) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.Close()
	}
}

// client connects if need be.
func (c *core) client(ctx context.Context) (*client.Client, error) {
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	conn, err := client.Dial(ctx, c.config)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", client.ErrUnavailable, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil { // somebody was faster
		conn.Close()
		return c.conn, nil
	}
	c.conn = conn
	return conn, nil
}

// get reads a key; value is nil if it is absent.
func (c *core) get(ctx context.Context, key string) (client.Entry, error) {
	conn, err := c.client(ctx)
	if err != nil {
		return client.Entry{}, err
	}
	e, err := conn.Get(ctx, key)
	if errors.Is(err, client.ErrNotFound) {
		return client.Entry{}, nil
	}
	return e, err
}

// head reads which turn is the last. Before the first turn it is zero.
func (c *core) head(ctx context.Context) (h head, err error) {
	e, err := c.get(ctx, c.space.head())
	if err == nil && e.Revision != 0 {
		err = h.decode(e.Value)
	}
	return h, err
}

// errGone is a turn that is no longer kept.
var errGone = errors.New("edge/quorum: the turn is no longer kept")

func (c *core) turn(ctx context.Context, place uint64) (t turn, err error) {
	e, err := c.get(ctx, c.space.turn(place))
	switch {
	case err != nil:
		return t, err
	case e.Revision == 0:
		return t, errGone
	}
	return t, t.decode(place, e.Value)
}

// fetch bounds how many turns are read at a time.
const fetch = 8

// turns reads some turns at once.
func (c *core) turns(ctx context.Context, from, to uint64) ([]turn, error) {
	to = min(to, from+fetch-1)
	all, errs := make([]turn, to-from+1), make([]error, to-from+1)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i], errs[i] = c.turn(ctx, from+uint64(i)) })
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

// ours is the life that all edges share; it is begun if there is none.
func (c *core) ours(ctx context.Context) (life, error) {
	c.mu.Lock()
	l := c.life
	c.mu.Unlock()
	if l.session != 0 {
		return l, nil
	}
	return c.readLife(ctx)
}

func (c *core) readLife(ctx context.Context) (l life, err error) {
	e, err := c.get(ctx, c.space.life())
	if err != nil {
		return l, err
	}
	if e.Revision == 0 {
		_, _ = rand.Read(l.incarnation[:]) // never fails
		return c.renew(ctx, l, 0)
	}
	l.revision = e.Revision
	if err := l.decode(e.Value); err != nil {
		return l, err
	}
	c.setLife(l)
	return l, nil
}

func (c *core) setLife(l life) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life = l
}

// retireBy is how far above its turns a session's low mark is raised: no turn will ever be below it.
const retireBy = 1 << 48

// retire sees to it that no turn of a session will be executed any more, by whichever edge: it has ended, or
// its low mark is raised above all of them (R24). That can be done again and again.
func (c *core) retire(ctx context.Context, l life) error {
	conn, err := c.client(ctx)
	if err != nil {
		return err
	}
	_, err = conn.ResumeSession(l.session, retireBy, retireBy).Delete(ctx, c.space.nothing())
	if errors.Is(err, client.ErrSessionLost) {
		return nil
	}
	return err
}

// renew gives a life another session of the core, of which turn base+1 will be the first number. The session
// before must be retired, and base the last turn that it saw. Whoever is first decides.
func (c *core) renew(ctx context.Context, old life, base uint64) (life, error) {
	conn, err := c.client(ctx)
	if err != nil {
		return old, err
	}
	session, err := conn.OpenSession(ctx)
	if err != nil {
		return old, err
	}
	l := life{incarnation: old.incarnation, session: session.ID(), base: base}
	l.revision, err = conn.CAS(ctx, c.space.life(), old.revision, l.encode())
	if errors.Is(err, client.ErrMismatch) || errors.Is(err, client.ErrUnknown) {
		return c.readLife(ctx)
	}
	if err == nil {
		c.setLife(l)
	}
	return l, err
}

// Bounds of an item (I6).
const (
	itemRoom    = wire.MaxValue - 4<<10 // what is left for a turn beside the head
	changeExtra = 2 * wire.ItemHeader
	maxChanges  = 2000
)

// weigh is how much of an item a turn takes.
func (c *core) weigh(t *local.Turn) (bytes int) {
	bytes = len(t.Records)
	for i := range t.Changes {
		bytes += len(c.space) + len(t.Changes[i].Key) + len(t.Changes[i].Value) + changeExtra
	}
	return bytes
}

func (c *core) fits(t *local.Turn) bool {
	return c.weigh(t) <= itemRoom && len(t.Changes) <= maxChanges
}

// offer is what became of a turn.
type offer uint8

const (
	taken   offer = iota + 1
	tooLate       // another edge's turn has the place; whose tells the core's head
	ended         // the core's session has ended, or is past that number: it was not executed
	failed        // see the error
)

// offer sends a turn, the one behind a head; if it is taken, the head becomes the turn's.
func (c *core) offer(ctx context.Context, l life, h *head, t *turn, changes []local.Raw) (offer, error) {
	next, item := c.item(h, t, changes)
	conn, err := c.client(ctx)
	if err != nil {
		return failed, err
	}
	number := t.at.Place - l.base
	results, err := conn.ResumeSession(l.session, number, number).Apply(ctx, item...)
	switch {
	case errors.Is(err, client.ErrSessionLost):
		return ended, err
	case errors.Is(err, client.ErrResultGone):
		return tooLate, nil
	case err != nil:
		return failed, err
	}
	var now head
	if err := now.decode(results[len(results)-1].Value); err != nil {
		return tooLate, nil //nolint:nilerr // another's item, of another shape: the head says whose
	}
	if now.at != t.at {
		return tooLate, nil
	}
	*h = next
	return taken, nil
}

// item is all that happens at once: the turn's changes, the turn, the head, and a look at the head.
func (c *core) item(h *head, t *turn, changes []local.Raw) (next head, all []client.Change) {
	all = make([]client.Change, 0, len(changes)+8)
	for i := range changes {
		key, value := c.space.raw(&changes[i])
		kind := client.Put
		if value == nil {
			kind = client.Delete
		}
		all = append(all, client.Change{Kind: kind, Key: key, Value: value})
	}
	next = head{at: t.at, first: max(h.first, 1), totals: t.totals}
	for n := 0; n < 4 && next.first+c.keep <= t.at.Place; n++ { // four: to get there if Keep was lowered
		all = append(all, client.Change{Kind: client.Delete, Key: c.space.turn(next.first)})
		next.first++
	}
	return next, append(all,
		client.Change{Kind: client.Put, Key: c.space.turn(t.at.Place), Value: t.encode()},
		client.Change{Kind: client.Put, Key: c.space.head(), Value: next.encode()},
		client.Change{Kind: client.Get, Key: c.space.head()})
}

// unreachable makes the core's error the edge's.
func unreachable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, edge.ErrDamaged), errors.Is(err, edge.ErrUnreachable):
		return err
	case client.MayHaveHappened(err):
		return fmt.Errorf("%w: %w", edge.ErrUnknown, err)
	}
	return fmt.Errorf("%w: %w", edge.ErrUnreachable, err)
}
