package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// load is writers at a fixed rate, in open loop as far as their number allows: a write's latency counts from
// when it was due, and what is due while all writers wait is made late, not left out.
type load struct {
	rate   float64
	start  time.Time
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu  sync.Mutex
	all []sample // in no order until it has ended
	end int64
}

// sample is one write, times in ns since the start.
type sample struct {
	due, done int64
	ok        bool
}

const (
	writers    = 128
	valueBytes = 64
	putLimit   = 2 * time.Second
)

// startLoad begins to write.
func startLoad(ctx context.Context, s target, rate float64) (*load, error) {
	clients, err := dialAll(ctx, s)
	if err != nil {
		return nil, err
	}
	l := &load{rate: rate, start: time.Now()}
	ctx, l.cancel = context.WithCancel(ctx)
	due := make(chan int64, int(rate)*60) // a minute's: whoever falls behind further is stopped
	l.group.Go(func() { l.clock(ctx, due) })
	for i := range writers {
		l.group.Go(func() { l.write(ctx, clients[i%len(clients)], fmt.Sprintf("w%d.", i), due) })
	}
	context.AfterFunc(ctx, func() {
		l.group.Wait()
		for _, c := range clients {
			c.Close()
		}
	})
	return l, nil
}

const connections = 8

func dialAll(ctx context.Context, s target) (all []putter, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for i := range connections {
		c, err := s.Dial(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("connect writer %d: %w", i, err)
		}
		all = append(all, c)
	}
	return all, nil
}

// clock says when writes are due. It wakes every millisecond, and says what came due since.
func (l *load) clock(ctx context.Context, due chan<- int64) {
	defer close(due)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for at := l.at(n); at <= l.now(); at = l.at(n) {
			select {
			case due <- at:
				n++
			default:
				return // writers are a minute behind
			}
		}
	}
}

func (l *load) at(n int64) int64 { return int64(float64(n) / l.rate * 1e9) }

func (l *load) now() int64 { return int64(time.Since(l.start)) }

func (l *load) write(ctx context.Context, c putter, name string, due <-chan int64) {
	value := make([]byte, valueBytes)
	var own []sample
	for at := range due {
		if ctx.Err() != nil {
			break
		}
		put, cancel := context.WithTimeout(ctx, putLimit)
		err := c.Put(put, fmt.Sprintf("%s%d", name, len(own)%1000), value)
		cancel()
		if errors.Is(ctx.Err(), context.Canceled) {
			break // it was not given its time
		}
		own = append(own, sample{at, l.now(), err == nil})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, own...)
}

// stop ends the writing. It may be called again.
func (l *load) stop() {
	if l.end == 0 {
		l.end = l.now()
	}
	l.cancel()
	l.group.Wait()
	slices.SortFunc(l.all, func(a, b sample) int { return int(a.done - b.done) })
}

// between are the writes that ended in a time, in order of their ends.
func (l *load) between(from, to int64) []sample {
	find := func(at int64) int {
		i, _ := slices.BinarySearchFunc(l.all, at, func(s sample, at int64) int { return int(s.done - at) })
		return i
	}
	return l.all[find(from):max(find(from), find(to))]
}

// gap is the longest time between two acknowledgements, the ends of the time asked for counted as such.
func (l *load) gap(from, to int64) (gap int64) {
	last := from
	for _, s := range l.between(from, to) {
		if s.ok {
			gap, last = max(gap, s.done-last), s.done
		}
	}
	return max(gap, to-last)
}
