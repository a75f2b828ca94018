package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"metronome/system/wire"
)

// Role is what a victim does in the cluster when it is killed.
type Role string

// The roles.
const (
	RoleLeader   Role = "leader"
	RoleFollower Role = "follower"
	RoleProxy    Role = "proxy"
	RoleReplicas Role = "replicas" // all of them, at once
	RoleNobody   Role = "calm"     // nobody: what happens by itself
)

// Event is one kill, and how long it was felt. Times are on the writers' clock.
type Event struct {
	Role    Role
	Victims []wire.Peer
	At      time.Duration
	Down    time.Duration // until the next processes were started
	Rejoin  time.Duration // from then until the cluster was whole
	// Outage is the longest time in which a proxy that was not killed acknowledged nothing, from the kill until
	// a moment after the rejoining; Own the same of the proxy that was.
	Outage, Own      time.Duration
	Unknown, Refused int   // writes meanwhile
	Ended            int   // processes that ended by themselves, and were started again
	Err              error // why the cluster did not become whole, or gave no answers then
}

// Times of a kill. Between two there is a moment of peace, and a process stays down for about as long as a
// supervisor takes to start it again, and at times longer than an election.
const (
	peaceLeast, peaceMost = 300 * time.Millisecond, 700 * time.Millisecond
	downLeast, downMost   = 100 * time.Millisecond, 1500 * time.Millisecond
	aftermath             = 300 * time.Millisecond // that still belongs to the event
	wholeLimit            = 3 * time.Minute
)

// Killer kills processes of a cluster that writers write to.
type Killer struct {
	Cluster *Cluster
	Writers *Writers
	Rand    *rand.Rand
	Told    func(Event) // may be nil
}

// Run kills one of the roles' processes so many times, each drawn, and every fourth time nobody in addition.
// It stops at the first event after which the cluster does not become whole.
func (k *Killer) Run(ctx context.Context, roles []Role, kills int) (all []Event, err error) {
	var order []Role
	for n := range kills {
		order = append(order, roles[k.Rand.IntN(len(roles))])
		if n%4 == 0 {
			order = append(order, RoleNobody)
		}
	}
	k.Rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, role := range order {
		e, err := k.event(ctx, role)
		if err != nil {
			return all, err
		}
		all = append(all, e)
		if k.Told != nil {
			k.Told(e)
		}
		if e.Err != nil {
			break
		}
	}
	return all, nil
}

// event is one kill from the peace before to the aftermath.
func (k *Killer) event(ctx context.Context, role Role) (e Event, err error) {
	if err := sleep(ctx, k.between(peaceLeast, peaceMost)); err != nil {
		return e, err
	}
	e.Role = role
	if e.Victims, err = k.victims(ctx, role); err != nil {
		return e, err
	}
	unknownBefore, refusedBefore := k.Writers.Doubtful()
	e.At = k.Writers.Now()
	for _, v := range e.Victims {
		if err := k.Cluster.Signal(v, syscall.SIGKILL); err != nil {
			return e, err
		}
	}
	err = sleep(ctx, k.between(downLeast, downMost))
	for _, v := range e.Victims {
		if _, dead := k.Cluster.Wait(ctx, v); dead != nil {
			return e, dead
		}
		err = errors.Join(err, k.Cluster.Run(v))
	}
	if err != nil {
		return e, err
	}
	e.Down = k.Writers.Now() - e.At
	e.Ended, e.Err = k.Cluster.whole(ctx, false)
	e.Rejoin = k.Writers.Now() - e.At - e.Down
	if e.Err == nil {
		e.Err = k.answered(ctx)
	}
	if err := sleep(ctx, aftermath); err != nil {
		return e, err
	}
	unknown, refused := k.Writers.Doubtful()
	e.Unknown, e.Refused = unknown-unknownBefore, refused-refusedBefore
	k.outages(&e)
	return e, nil
}

// answered waits until clients of every proxy get answers again: an outage ends only then.
func (k *Killer) answered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, wholeLimit)
	defer cancel()
	from := k.Writers.Now()
	return Poll(ctx, "answers", func(context.Context) error {
		now := k.Writers.Now()
		for i := range k.Writers.sides {
			if k.Writers.Gap(i, from, now) == now-from {
				return fmt.Errorf("none at proxy %d for %v", i+1, now-from)
			}
		}
		return nil
	})
}

func (k *Killer) outages(e *Event) {
	to := k.Writers.Now()
	for i := range k.Writers.sides {
		gap := k.Writers.Gap(i, e.At, to)
		if slices.Contains(e.Victims, k.Cluster.Config.Proxies[i].Peer()) {
			e.Own = gap
		} else {
			e.Outage = max(e.Outage, gap)
		}
	}
}

func (k *Killer) between(least, most time.Duration) time.Duration {
	return least + time.Duration(k.Rand.Int64N(int64(most-least)))
}

// victims are who plays a role now.
func (k *Killer) victims(ctx context.Context, role Role) (all []wire.Peer, err error) {
	one := func(of []wire.Peer) []wire.Peer {
		i := k.Rand.IntN(len(of))
		return of[i : i+1]
	}
	for i := range k.Cluster.Config.Replicas {
		all = append(all, k.Cluster.Config.Replicas[i].Peer())
	}
	switch role {
	case RoleNobody:
		return nil, nil
	case RoleReplicas:
		return all, nil
	case RoleProxy:
		return one(k.Cluster.Config.Peers()[len(all):][:len(k.Writers.sides)]), nil
	}
	ctx, cancel := context.WithTimeout(ctx, wholeLimit)
	defer cancel()
	leader, err := k.Cluster.Leader(ctx)
	if err != nil || role == RoleLeader {
		return []wire.Peer{leader}, err
	}
	return one(k.Cluster.Followers(leader)), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Names are the victims' names.
func (e *Event) Names() string {
	var names []string
	for _, v := range e.Victims {
		names = append(names, v.String())
	}
	return strings.Join(names, " ")
}
