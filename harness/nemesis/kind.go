package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"metronome/system/wire"
)

// Kind is a way in which the world is cruel. Whom it hits, and how hard, is drawn when it strikes.
type Kind string

// The kinds. Those from KindHalves to KindReorder need a [Network], KindFullDisk disks, KindDeadQueue and
// those below it the software switch.
const (
	KindCalm       Kind = "calm" // nothing
	KindKillLeader Kind = "kill-leader"
	KindKill       Kind = "kill" // a follower
	KindKillAll    Kind = "kill-all"
	KindProxy      Kind = "kill-proxy" // mid-range, if there is a network
	KindPauseLead  Kind = "pause-leader"
	KindPause      Kind = "pause" // a follower
	KindPauseMost  Kind = "pause-majority"
	KindPauseProxy Kind = "pause-proxy"
	KindHalves     Kind = "halves"
	KindRing       Kind = "ring"
	KindBridge     Kind = "bridge"
	KindOneWay     Kind = "one-way"
	KindIsolate    Kind = "isolate-leader"
	KindDeaf       Kind = "deaf"
	KindLoss       Kind = "loss"
	KindBursts     Kind = "bursts"
	KindTwice      Kind = "twice"
	KindReorder    Kind = "reorder"
	KindSlowCPU    Kind = "slow-cpu"
	KindSlowDisk   Kind = "slow-disk"
	KindFullDisk   Kind = "full-disk"
	KindClock      Kind = "clock"
	KindWipe       Kind = "wipe"
	KindReplace    Kind = "replace" // membership change
	KindDeadQueue  Kind = "dead-queue"
	KindDelay      Kind = "delay"
	KindCorrupt    Kind = "corrupt"
)

// Groups are kinds by the names that experiments use; "mixed" is all of them but bypass, which clusters on
// kernel sockets cannot have, and "mixed-bypass" is all.
var groups = map[string][]Kind{
	"calm":       {KindCalm},
	"kill":       {KindKillLeader, KindKill, KindKillAll},
	"proxy":      {KindProxy, KindPauseProxy},
	"pause":      {KindPauseLead, KindPause, KindPauseMost},
	"partition":  {KindHalves, KindRing, KindBridge, KindOneWay, KindIsolate, KindDeaf},
	"packets":    {KindLoss, KindBursts, KindTwice, KindReorder},
	"slow":       {KindSlowCPU, KindSlowDisk},
	"full-disk":  {KindFullDisk},
	"clock":      {KindClock},
	"wipe":       {KindWipe},
	"membership": {KindReplace},
	bypass:       {KindDeadQueue, KindDelay, KindCorrupt},
}

// bypass is the group of what only the software switch can do.
const bypass = "bypass"

// Kinds are those of a group, "mixed", "mixed-bypass", or one kind's own name.
func Kinds(name string) ([]Kind, error) {
	if name == "mixed" || name == "mixed-"+bypass {
		var all []Kind
		for n, g := range groups {
			if n != bypass || name != "mixed" {
				all = append(all, g...)
			}
		}
		slices.Sort(all)
		return all, nil
	}
	if g, ok := groups[name]; ok {
		return g, nil
	}
	for _, g := range groups {
		if slices.Contains(g, Kind(name)) {
			return []Kind{Kind(name)}, nil
		}
	}
	return nil, fmt.Errorf("unknown nemesis %q: use mixed, mixed-bypass, %v, or a kind of theirs", name,
		groupNames())
}

func groupNames() (all []string) {
	for name := range groups {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// Draw makes a fault of a kind against this cluster as it is now.
func (c *Cluster) Draw(ctx context.Context, k Kind, rng *rand.Rand) (Fault, error) {
	if k == KindCalm {
		nothing := func(context.Context) error { return nil }
		return Fault{Name: "nothing", Apply: nothing, Heal: nothing}, nil
	}
	leader, err := c.Leader(ctx)
	if err != nil {
		return Fault{}, fmt.Errorf("%w: %w", errNoLeader, err)
	}
	d := drawn{c: c, rng: rng, leader: leader, followers: c.Followers(leader)}
	rng.Shuffle(len(d.followers), func(i, j int) {
		d.followers[i], d.followers[j] = d.followers[j], d.followers[i]
	})
	d.proxy = c.Config.Proxies[rng.IntN(len(c.Config.Proxies)-c.o.Reserve)].Peer()
	f, err := d.fault(k)
	if err == nil && f.Apply == nil {
		f, err = d.ofNetwork(k)
	}
	if err == nil && f.Apply == nil {
		err = fmt.Errorf("nemesis: unknown kind %q", k)
	}
	return f, err
}

// errNoLeader says that a cluster has none, for as long as one waits.
var errNoLeader = errors.New("nemesis: nobody leads")

// drawn is who plays which part.
type drawn struct {
	c         *Cluster
	rng       *rand.Rand
	leader    wire.Peer
	followers []wire.Peer
	proxy     wire.Peer
}

// anyone is a replica, whatever it does.
func (d *drawn) anyone() wire.Peer { return wire.ReplicaPeer(d.rng.IntN(len(d.followers) + 1)) }

// anyPeer is a replica, or at times a proxy, which then hears no request for repair.
func (d *drawn) anyPeer() wire.Peer {
	if d.rng.IntN(4) == 0 {
		return d.proxy
	}
	return d.anyone()
}

func (d *drawn) fault(k Kind) (Fault, error) {
	c, follower := d.c, d.followers[0]
	everyone := append([]wire.Peer{d.leader}, d.followers...)
	switch k {
	case KindKillLeader:
		return c.Crash(d.leader), nil
	case KindKill:
		return c.Crash(follower), nil
	case KindKillAll:
		return c.CrashAll(everyone...), nil
	case KindProxy:
		return c.MidRange(d.proxy, follower), nil
	case KindPauseLead:
		return c.Pause(d.leader), nil
	case KindPause:
		return c.Pause(follower), nil
	case KindPauseMost:
		return c.PauseAll(everyone[:len(everyone)/2+1]...), nil
	case KindPauseProxy:
		return c.Pause(d.proxy), nil
	case KindSlowCPU:
		return c.SlowCPU(d.anyone(), 0.02+0.08*d.rng.Float64()), nil
	case KindSlowDisk:
		return c.SlowDisk(d.anyone(), 20+d.rng.IntN(80)), nil
	case KindFullDisk:
		return c.FullDisk(d.anyone()), nil
	case KindClock:
		return c.Jump(d.anyone(), jumps[d.rng.IntN(len(jumps))]), nil
	case KindWipe:
		return c.Wipe(d.anyone()), nil
	case KindReplace:
		return c.Replace(follower, d.followers[1]), nil
	case KindDeadQueue:
		p := d.anyPeer()
		return c.DeadQueue(p, d.rng.IntN(c.queues(p))), nil
	case KindDelay:
		return c.Delay(delays[d.rng.IntN(len(delays))])
	case KindCorrupt:
		return c.Corrupt([]float64{0.001, 0.01, 0.1}[d.rng.IntN(3)])
	}
	return Fault{}, nil
}

// jumps are of clocks, forward and back; a clock cannot be set before the machine's start.
var jumps = []time.Duration{-288 * time.Second, -30 * time.Second, time.Second, 288 * time.Second,
	10 * 365 * 24 * time.Hour}

// delays are of networks: a rack's, a city's, a country's.
var delays = []time.Duration{100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond}

func (d *drawn) ofNetwork(k Kind) (Fault, error) {
	n := d.c.o.Network
	if n == nil {
		return Fault{}, errors.New("nemesis: " + string(k) + " needs a network of namespaces")
	}
	share := []float64{0.001, 0.01, 0.05, 0.2}[d.rng.IntN(4)]
	switch k {
	case KindHalves:
		return n.Halves(d.rng), nil
	case KindRing:
		return n.Ring(d.rng), nil
	case KindBridge:
		return n.Bridge(d.rng), nil
	case KindOneWay:
		return n.OneWay(d.leader, d.followers[0]), nil
	case KindIsolate:
		return n.Partition(d.leader), nil
	case KindDeaf:
		return n.Deaf(d.anyone()), nil
	case KindLoss:
		return n.Loss(share), nil
	case KindBursts:
		return n.Bursts(share, 1<<d.rng.IntN(7)), nil
	case KindTwice:
		return n.Twice(share), nil
	case KindReorder:
		return n.Reorder(share), nil
	}
	return Fault{}, nil
}
