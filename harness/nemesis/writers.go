package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"metronome/system/client"
)

// Writers is a steady stream of writes, each of a key of its own: what was acknowledged must be there in the
// end, what was refused must not. Each proxy has clients of its own, which have no other proxy: they wait
// when it is gone.
type Writers struct {
	Addresses []string      // of proxies
	Workers   int           // of each proxy, one write at a time each
	RateOPS   float64       // of all together; what is due while a worker waits is not made up for
	Bytes     int           // of a value
	Patience  time.Duration // with one write

	start  time.Time
	cancel context.CancelFunc
	group  sync.WaitGroup
	sides  []*side
	errs   chan error
}

// side is the clients of one proxy.
type side struct {
	client  *client.Client
	workers []*writer
	unknown atomic.Int64
	refused atomic.Int64

	mu    sync.Mutex
	acked []int64 // when, since the start, ascending
}

// writer is one client's goroutine. It alone appends; what it wrote is read once it has ended.
type writer struct {
	name     string
	outcomes []outcome // of its writes, by their numbers
}

// outcome is what a client was told of a write.
type outcome byte

const (
	acknowledged outcome = iota
	unknown
	refused
)

// Start lets the clients begin. Every proxy must be listening.
func (w *Writers) Start(ctx context.Context) error {
	ctx, w.cancel = context.WithCancel(ctx)
	w.start, w.errs = time.Now(), make(chan error, 1)
	for i, address := range w.Addresses {
		c, err := client.Dial(ctx, client.Config{Addresses: []string{address}, RetryMax: 20 * time.Millisecond,
			DialTimeout: time.Second})
		if err != nil {
			w.Close()
			return fmt.Errorf("nemesis: clients of proxy %d: %w", i+1, err)
		}
		s := &side{client: c}
		w.sides = append(w.sides, s)
		for n := range w.Workers {
			s.workers = append(s.workers, &writer{name: fmt.Sprintf("w%d.%d.", i, n)})
		}
	}
	each := time.Duration(float64(time.Second) / w.RateOPS * float64(w.Workers*len(w.sides)))
	for i, s := range w.sides {
		for n, one := range s.workers {
			phase := each * time.Duration(n*len(w.sides)+i) / time.Duration(w.Workers*len(w.sides))
			w.group.Go(func() { w.write(ctx, s, one, phase, each) })
		}
	}
	return nil
}

// Close ends them and their connections. It may be called again.
func (w *Writers) Close() {
	w.Halt()
	for _, s := range w.sides {
		s.client.Close()
	}
}

// Halt ends the writing; every write has an outcome then.
func (w *Writers) Halt() {
	w.cancel()
	w.group.Wait()
}

// write writes at its due times until ctx ends.
func (w *Writers) write(ctx context.Context, s *side, one *writer, phase, each time.Duration) {
	tick := time.NewTimer(phase)
	defer tick.Stop()
	due := w.start.Add(phase)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		one.outcomes = append(one.outcomes, w.put(ctx, s, one.key(len(one.outcomes))))
		if due = due.Add(each); time.Until(due) < -each {
			due = time.Now() // what was due meanwhile is not made up for
		}
		tick.Reset(time.Until(due))
	}
}

func (o *writer) key(n int) string { return o.name + strconv.Itoa(n) }

// value is what a key is written with.
func (w *Writers) value(key string) []byte {
	v := make([]byte, max(w.Bytes, len(key)))
	copy(v, key)
	return v
}

func (w *Writers) put(ctx context.Context, s *side, key string) outcome {
	// Halting must not cut writes off: they would be unknown for no reason.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.Patience)
	defer cancel()
	err := s.client.Put(ctx, key, w.value(key))
	switch {
	case err == nil:
		s.mu.Lock()
		s.acked = append(s.acked, int64(time.Since(w.start)))
		s.mu.Unlock()
		return acknowledged
	case client.MayHaveHappened(err):
		s.unknown.Add(1)
		return unknown
	case errors.Is(err, client.ErrBusy), errors.Is(err, client.ErrUnavailable),
		errors.Is(err, context.DeadlineExceeded):
	default:
		select {
		case w.errs <- fmt.Errorf("nemesis: put %s: %w", key, err):
		default:
		}
	}
	s.refused.Add(1)
	return refused
}

// Now is the time on the writers' clock.
func (w *Writers) Now() time.Duration { return time.Since(w.start) }

// Gap is the longest time between from and to in which no client of a proxy, counted from 0, got an answer.
func (w *Writers) Gap(proxy int, from, to time.Duration) time.Duration {
	s := w.sides[proxy]
	s.mu.Lock()
	defer s.mu.Unlock()
	last, gap := int64(from), int64(0)
	at, _ := slices.BinarySearch(s.acked, last)
	for _, t := range s.acked[at:] {
		if t >= int64(to) {
			break
		}
		gap, last = max(gap, t-last), t
	}
	return time.Duration(max(gap, int64(to)-last))
}

// Timeline is how many writes each proxy acknowledged in each interval of the given length.
func (w *Writers) Timeline(length time.Duration) (proxies [][]int) {
	for _, s := range w.sides {
		s.mu.Lock()
		var counts []int
		for _, t := range s.acked {
			i := int(t / int64(length))
			for len(counts) <= i {
				counts = append(counts, 0)
			}
			counts[i]++
		}
		s.mu.Unlock()
		proxies = append(proxies, counts)
	}
	return proxies
}

// Doubtful is how many writes have had an unknown outcome, and how many were refused, so far.
func (w *Writers) Doubtful() (unknown, refused int) {
	for _, s := range w.sides {
		unknown, refused = unknown+int(s.unknown.Load()), refused+int(s.refused.Load())
	}
	return unknown, refused
}

// Audit is what became of the writes.
type Audit struct {
	Acknowledged, Unknown, Refused int
	Found                          int    // whatever their outcome
	Lost                           int    // acknowledged, and not there as written
	Phantoms                       int    // refused and there, or there as never written
	First                          string // the first of those two
}

// auditBatch is how many keys are read together.
const auditBatch = 256

// Audit reads every write back, after Halt, through any proxy.
func (w *Writers) Audit(ctx context.Context) (a Audit, err error) {
	select {
	case err := <-w.errs:
		return a, err
	default:
	}
	c, err := client.Dial(ctx, client.Config{Addresses: w.Addresses})
	if err != nil {
		return a, fmt.Errorf("nemesis: read back: %w", err)
	}
	defer c.Close()
	for _, s := range w.sides {
		for _, one := range s.workers {
			for from := 0; from < len(one.outcomes); from += auditBatch {
				if err := w.audit(ctx, c, one, from, &a); err != nil {
					return a, fmt.Errorf("nemesis: read back: %w", err)
				}
			}
		}
	}
	return a, nil
}

func (w *Writers) audit(ctx context.Context, c *client.Client, one *writer, from int, a *Audit) error {
	outcomes := one.outcomes[from:min(from+auditBatch, len(one.outcomes))]
	keys := make([]string, len(outcomes))
	for i := range keys {
		keys[i] = one.key(from + i)
	}
	values, err := c.MGet(ctx, keys...)
	if err != nil {
		return err
	}
	for i, o := range outcomes {
		a.count(keys[i], o, values[i] != nil, string(values[i]) == string(w.value(keys[i])))
	}
	return nil
}

func (a *Audit) count(key string, o outcome, there, asWritten bool) {
	wrong := ""
	switch o {
	case acknowledged:
		a.Acknowledged++
		if !asWritten {
			a.Lost++
			wrong = "was acknowledged and is lost"
		}
	case unknown:
		a.Unknown++
	case refused:
		a.Refused++
	}
	if there {
		a.Found++
	}
	if there && (o == refused || !asWritten && o != acknowledged) {
		a.Phantoms++
		wrong = "is there as nobody wrote it"
		if o == refused {
			wrong = "was refused and is there"
		}
	}
	if wrong != "" && a.First == "" {
		a.First = key + " " + wrong
	}
}
