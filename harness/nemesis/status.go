package nemesis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"metronome/system/daemon"
	"metronome/system/wire"
)

// Status is the cluster as one replica sees it. A process that is stopped does not answer.
func (c *Cluster) Status(ctx context.Context, p wire.Peer) (*daemon.ClusterStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	a, err := daemon.Ask(ctx, c.Config, p, daemon.AdminRequest{Cmd: "status"})
	return a.Status, err
}

// Leader is the seat that leads, as far as a majority of those who answer says.
func (c *Cluster) Leader(ctx context.Context) (leader wire.Peer, err error) {
	err = Poll(ctx, "a leader", func(ctx context.Context) error {
		votes := map[string]int{}
		for i := range c.Config.Replicas {
			s, err := c.Status(ctx, c.Config.Replicas[i].Peer())
			if err != nil || s.Leader == "" {
				continue
			}
			name, _, _ := strings.Cut(s.Leader, "/")
			if votes[name]++; votes[name] > len(c.Config.Replicas)/2 {
				leader, err = wire.ParsePeer(name)
				return err
			}
		}
		return fmt.Errorf("no majority for any: %v", votes)
	})
	return leader, err
}

// Followers are the seats that do not lead.
func (c *Cluster) Followers(leader wire.Peer) (all []wire.Peer) {
	for i := range c.Config.Replicas {
		if p := c.Config.Replicas[i].Peer(); p != leader {
			all = append(all, p)
		}
	}
	return all
}

// votes is an error unless a replica is ready, and all seats vote.
func (c *Cluster) votes(s *daemon.ClusterStatus) error {
	if s.NotReady != "" || len(s.Voters) != len(c.Config.Replicas) || len(s.Learners) > 0 {
		return fmt.Errorf("%s: voters %v, learners %v, %s", s.Replica, s.Voters, s.Learners, s.NotReady)
	}
	return nil
}

// Whole waits until every seat votes and follows one leader, nobody else is a member, and every proxy that
// was started takes connections.
func (c *Cluster) Whole(ctx context.Context) error {
	err := Poll(ctx, "all replicas", func(ctx context.Context) error {
		leaders := map[string]bool{}
		for i := range c.Config.Replicas {
			s, err := c.Status(ctx, c.Config.Replicas[i].Peer())
			if err == nil {
				err = c.votes(s)
			}
			if err != nil {
				return err
			}
			leaders[s.Leader] = true
		}
		if len(leaders) != 1 || leaders[""] {
			return fmt.Errorf("they follow %d leaders", len(leaders))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.Listening(ctx)
}

// Settled waits until every seat votes, nobody else is a member, and all have applied the same items to
// the same state. It ends only if nobody writes: then replicas that have applied as many items and still
// differ will differ for ever, and it gives up early.
func (c *Cluster) Settled(ctx context.Context) error {
	const certain = 50 // times in a row
	var differ error
	seen := 0
	err := Poll(ctx, "replicas with one state", func(ctx context.Context) error {
		err := c.oneState(ctx)
		if seen++; !errors.Is(err, errDiffer) {
			seen = 0
		}
		if seen == certain {
			differ = err
			return nil
		}
		return err
	})
	return errors.Join(err, differ)
}

// errDiffer says that two replicas that have applied as many items are not in the same state.
var errDiffer = errors.New("replicas differ")

func (c *Cluster) oneState(ctx context.Context) error {
	var first *daemon.ClusterStatus
	for i := range c.Config.Replicas {
		s, err := c.Status(ctx, c.Config.Replicas[i].Peer())
		if err == nil {
			err = c.votes(s)
		}
		if err != nil {
			return err
		}
		if first == nil {
			first = s
		}
		if s.StateHash == first.StateHash && s.Index == first.Index && s.Keys == first.Keys {
			continue
		}
		err = fmt.Errorf("%s has %d items, %d keys, hash %s; %s has %d, %d, %s", s.Replica, s.Index, s.Keys,
			s.StateHash, first.Replica, first.Index, first.Keys, first.StateHash)
		if s.Index == first.Index {
			err = fmt.Errorf("%w: %w", errDiffer, err)
		}
		return err
	}
	return nil
}
