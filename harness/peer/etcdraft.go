package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"metronome/harness/load/kv"
)

func etcdRaftPeer() Peer {
	return Peer{Name: "etcd-raft",
		What: "etcd-io/raft, three nodes in the generator's process, channels between them, nothing encoded, " +
			"a map each",
		Durable: "an acknowledged write is in the memory of two of three nodes, all of one process, and dies " +
			"with it",
		Modes: []Mode{{"1024", 4, 4, 1024}, {"64", 4, 16, 64}, {"1-4096", 4, 1024, 1}, {"1-1", 1, 1, 1}},
		Start: func(ctx context.Context, _ *Host, l kv.Load) (Instance, error) { return startEtcdRaft(ctx, l) },
	}
}

// raftNodes is how many nodes a cluster of this library has.
const raftNodes = 3

type etcdRaftInstance struct {
	nodes        []*raftNode
	running      sync.WaitGroup
	stop         func()
	acknowledged atomic.Uint64
}

func startEtcdRaft(ctx context.Context, l kv.Load) (_ Instance, err error) {
	c := &etcdRaftInstance{}
	stop := make(chan struct{})
	c.stop = sync.OnceFunc(func() { close(stop) })
	inFlight := l.Connections * l.Outstanding
	for i := range raftNodes {
		n, err := newRaftNode(c, uint64(i+1), trailing(l), inFlight, stop)
		if err != nil {
			return nil, fmt.Errorf("etcd-io/raft: node %d: %w", i, err)
		}
		c.nodes = append(c.nodes, n)
	}
	if err := c.nodes[0].raw.Campaign(); err != nil {
		return nil, fmt.Errorf("etcd-io/raft: %w", err)
	}
	for _, n := range c.nodes {
		c.running.Go(n.run)
	}
	for end := time.Now().Add(upLimit); c.leader() == nil; time.Sleep(tryAgain) {
		if time.Now().After(end) || ctx.Err() != nil {
			return nil, errors.Join(errors.New("etcd-io/raft: no leader"), ctx.Err(), c.Stop())
		}
	}
	return c, nil
}

func (c *etcdRaftInstance) leader() *raftNode {
	for _, n := range c.nodes {
		if n.leads.Load() {
			return n
		}
	}
	return nil
}

// Connect implements [kv.Target].
func (c *etcdRaftInstance) Connect(context.Context, int, kv.Load) (kv.Conn, error) {
	leader := c.leader()
	if leader == nil {
		return nil, errors.New("there is no leader")
	}
	return proposer{leader}, nil
}

type proposer struct{ node *raftNode }

// Send implements [kv.Conn].
func (p proposer) Send(b *kv.Batch) {
	select {
	case p.node.proposals <- b:
	case <-p.node.stop:
		b.Done(0, errClosed)
	}
}

// Close implements [kv.Conn]: the node answers what is in flight, of other connections too, since a run
// closes all of them at its end.
func (p proposer) Close() error {
	given := make(chan struct{})
	select {
	case p.node.giveUp <- given:
		<-given
	case <-p.node.stop:
	}
	return nil
}

// Info implements [Instance].
func (c *etcdRaftInstance) Info() Info {
	return Info{Version: libraryVersion("go.etcd.io/raft/v3"), PIDs: []int{os.Getpid()}}
}

// Get implements [Instance].
func (c *etcdRaftInstance) Get(_ context.Context, key []byte) ([]byte, error) {
	if n := c.leader(); n != nil {
		return n.table.look(key)
	}
	return nil, errors.New("there is no leader")
}

// Check implements [Instance].
func (c *etcdRaftInstance) Check(ctx context.Context) error {
	var tables []*table
	for _, n := range c.nodes {
		tables = append(tables, n.table)
		if err := n.failed.Load(); err != nil {
			return *err
		}
	}
	return sameTables(ctx, c.acknowledged.Load(), tables)
}

// Stop implements [Instance].
func (c *etcdRaftInstance) Stop() error {
	c.stop()
	c.running.Wait()
	return nil
}

// send hands messages to other nodes. As on a network, one that does not fit is lost.
func (c *etcdRaftInstance) send(messages []*raftpb.Message) {
	for _, m := range messages {
		select {
		case c.nodes[m.GetTo()-1].inbox <- m:
		default:
		}
	}
}

// appliedByAll is the index up to which every node has applied, so that nobody needs the log below.
func (c *etcdRaftInstance) appliedByAll() uint64 {
	least := c.nodes[0].applied.Load()
	for _, n := range c.nodes {
		least = min(least, n.applied.Load())
	}
	return least
}
