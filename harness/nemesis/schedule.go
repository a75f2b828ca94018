package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Schedule is faults one after another, each kind in its turn, each drawn, while clients work. The seed
// decides everything that is drawn; when exactly things happen is the machine's.
type Schedule struct {
	Cluster *Cluster
	Kinds   []Kind        // shuffled anew each time they have all been
	Faults  int           // at most; 0: until Length is over
	Length  time.Duration // no fault begins later; 0: after Faults
	Pairs   bool          // a fault of packets comes together with every third one
	Fragile bool          // it is over when a process has ended by itself
	Seed    uint64
	// Hold is how long a fault lasts, from and to; Peace how long nothing happens before.
	Hold, Peace [2]time.Duration
	Now         func() int64   // the clients' clock, in ns; nil: since Run
	Told        func(Injected) // after each; may be nil
}

// Injected is one fault as it happened. Times are on the clients' clock, in ns.
type Injected struct {
	Kind    Kind   `json:"kind"`
	Name    string `json:"name"`
	From    int64  `json:"from"`            // it was about to be applied
	Applied int64  `json:"applied"`         // it was
	Healed  int64  `json:"healed"`          // it was put right
	Whole   int64  `json:"whole"`           // the cluster was whole again
	Ended   int    `json:"ended,omitempty"` // processes that ended by themselves, and were started again
	Error   string `json:"error,omitempty"` // why it could not be applied, or the cluster did not recover
}

// Run carries the schedule out. Its error is that of the harness; that a cluster did not recover is in the
// last one injected, and ends the schedule.
func (s *Schedule) Run(ctx context.Context) (all []Injected, err error) {
	rng := rand.New(rand.NewPCG(s.Seed, 6))
	if s.Now == nil {
		began := time.Now()
		s.Now = func() int64 { return time.Since(began).Nanoseconds() }
	}
	var turn []Kind
	for began := s.Now(); s.more(all, s.Now()-began); {
		if len(turn) == 0 {
			turn = append(turn, s.Kinds...)
			rng.Shuffle(len(turn), func(i, j int) { turn[i], turn[j] = turn[j], turn[i] })
		}
		k := turn[0]
		turn = turn[1:]
		if err := sleep(ctx, between(rng, s.Peace)); err != nil {
			return all, err
		}
		e, err := s.strike(ctx, k, rng)
		if err != nil {
			return all, err
		}
		all = append(all, e)
		if s.Told != nil {
			s.Told(e)
		}
	}
	return all, nil
}

// more reports whether another fault is due.
func (s *Schedule) more(all []Injected, took int64) bool {
	if n := len(all); n > 0 && (all[n-1].Error != "" || s.Fragile && all[n-1].Ended > 0) {
		return false
	}
	return (s.Faults == 0 || len(all) < s.Faults) && (s.Length == 0 || took < s.Length.Nanoseconds())
}

func between(rng *rand.Rand, d [2]time.Duration) time.Duration {
	return d[0] + time.Duration(rng.Float64()*float64(d[1]-d[0]))
}

// strike draws a fault and injects it.
func (s *Schedule) strike(ctx context.Context, k Kind, rng *rand.Rand) (e Injected, err error) {
	from := s.Now()
	limited, cancel := context.WithTimeout(ctx, wholeLimit)
	defer cancel()
	f, err := s.Cluster.Draw(limited, k, rng)
	if err == nil && s.Pairs && rng.IntN(3) == 0 && k != KindCalm && !ofPackets(k) {
		f, err = s.pair(limited, f, rng)
	}
	if errors.Is(err, errNoLeader) && ctx.Err() == nil { // it is the cluster's fault
		now := s.Now()
		return Injected{Kind: k, Name: "none yet", From: from, Applied: now, Healed: now, Whole: now,
			Error: err.Error()}, nil
	}
	if err != nil {
		return e, err
	}
	return s.inject(ctx, k, f, between(rng, s.Hold))
}

// inject is one fault from its beginning until the cluster is whole again.
func (s *Schedule) inject(ctx context.Context, k Kind, f Fault, hold time.Duration) (Injected, error) {
	e := Injected{Kind: k, Name: f.Name, From: s.Now()}
	limited, cancel := context.WithTimeout(ctx, wholeLimit)
	defer cancel()
	err := f.Apply(limited)
	e.Applied = s.Now()
	if err == nil {
		_ = sleep(ctx, hold) // what was done is undone also if ctx has ended
	}
	healing, done := context.WithTimeout(context.WithoutCancel(ctx), wholeLimit)
	defer done()
	err = errors.Join(err, f.Heal(healing))
	e.Healed = s.Now()
	if err == nil {
		e.Ended, err = s.Cluster.whole(ctx, s.Fragile)
	}
	e.Whole = s.Now()
	if err != nil {
		e.Error = err.Error()
	}
	return e, ctx.Err()
}

// ofPackets reports whether a fault changes what befalls packets: one at a time does.
func ofPackets(k Kind) bool {
	return k == KindDelay || k == KindCorrupt || slices.Contains(groups["packets"], k)
}

// pair adds a fault of packets to another.
func (s *Schedule) pair(ctx context.Context, f Fault, rng *rand.Rand) (Fault, error) {
	packets := groups["packets"]
	g, err := s.Cluster.Draw(ctx, packets[rng.IntN(len(packets))], rng)
	if err != nil {
		return Fault{}, err
	}
	return Fault{Name: f.Name + "; " + g.Name,
		Apply: func(ctx context.Context) error { return errors.Join(g.Apply(ctx), f.Apply(ctx)) },
		Heal:  func(ctx context.Context) error { return errors.Join(f.Heal(ctx), g.Heal(ctx)) }}, nil
}

// whole waits until the cluster is whole. Meanwhile it does what a supervisor does: what ended by itself is
// started again, and counted; a fragile cluster is left alone then.
func (c *Cluster) whole(ctx context.Context, fragile bool) (ended int, err error) {
	whole, cancel := context.WithTimeout(ctx, wholeLimit)
	defer cancel()
	for {
		try, cancel := context.WithTimeout(whole, time.Second)
		err := c.Whole(try)
		cancel()
		if err == nil || whole.Err() != nil || fragile && ended > 0 {
			return ended, err
		}
		for _, p := range c.Ended() {
			ended++
			if err := c.Run(p); err != nil {
				return ended, fmt.Errorf("after it ended by itself: %w", err)
			}
		}
	}
}
