package recovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"metronome/harness/nemesis"
	"metronome/system/cluster"
	"metronome/system/daemon"
	"metronome/system/wire"
)

// Setting is what a cluster is to be like.
type Setting struct {
	Binary  string // the metronome program
	Dir     string // an empty folder for all data, removed at the end
	Logs    string // folder
	Keys    int    // it is filled with so many at least
	Value   int    // bytes of each value
	Journal int64  // bytes that a journal may take on disk, about; 0: the default
	Rate    int64  // bytes of a snapshot a second that are sent while clients work; 0: the default
	Seed    uint64
}

const keyBytes = 16

// loading is the generator's proxy; the first one serves clients.
var loading = wire.ProxyPeer(2)

// bed is a running cluster whose data lie on disk.
type bed struct {
	*nemesis.Cluster
	set  Setting
	seed uint64
}

func open(ctx context.Context, set Setting) (_ *bed, err error) {
	b := &bed{set: set, seed: set.Seed}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	change := func(c *cluster.Config) {
		if set.Journal > 0 {
			c.Storage.Journal = cluster.Bytes(set.Journal)
		}
		if set.Rate > 0 {
			c.Storage.TransferRate = cluster.Bytes(set.Rate)
		}
	}
	b.Cluster, err = nemesis.Start(ctx, nemesis.Options{Binary: set.Binary, Dir: set.Dir, Logs: set.Logs,
		Reserve: 1, Cluster: cluster.DevOptions{Replicas: 3, Proxies: 2, Change: change}})
	if err != nil {
		return nil, err
	}
	return b, b.Whole(ctx)
}

// close kills the cluster and removes its data.
func (b *bed) close() {
	if b.Cluster != nil {
		_ = b.Close()
	}
	_ = os.RemoveAll(b.set.Dir) // what is left, the session's end removes
}

// fillSpace is how many keys are drawn from, in relation to how many there are to be: nearly all of a set
// take many draws.
const (
	fillSpace = 1.25
	fillSlice = time.Second
	fillDepth = 32768
	fillTimes = 600
)

// space is the number of keys that loads draw from.
func (b *bed) space() int { return int(float64(b.set.Keys) * fillSpace) }

// fill writes until there are as many keys as wanted, and waits until all replicas have applied them.
func (b *bed) fill(ctx context.Context) error {
	for range fillTimes {
		s, err := b.Status(ctx, wire.ReplicaPeer(0))
		if err != nil {
			return err
		}
		if s.Keys >= b.set.Keys {
			return b.Settled(ctx)
		}
		_, err = b.load(ctx, Load{Length: fillSlice, Outstanding: fillDepth})
		if err != nil && !errors.Is(err, errNothing) {
			return err
		}
	}
	return errors.New("filling the store takes too long")
}

// kill ends a replica at once, and waits for its end.
func (b *bed) kill(ctx context.Context, p wire.Peer) error {
	if err := b.Signal(p, syscall.SIGKILL); err != nil {
		return err
	}
	_, err := b.Wait(ctx, p)
	return err
}

// follower is a replica that does not lead.
func (b *bed) follower(ctx context.Context) (leader, follower wire.Peer, err error) {
	leader, err = b.Leader(ctx)
	if err != nil {
		return 0, 0, err
	}
	return leader, b.Followers(leader)[0], nil
}

// data is a replica's data directory.
func (b *bed) data(p wire.Peer) string { return b.Config.DataDir(b.Config.Replica(p)) }

// poll looks often: what is measured takes a fraction of a second.
const pollEvery = 2 * time.Millisecond

// until asks a replica for its status until it is as wanted, and says how long that took.
func (b *bed) until(ctx context.Context, p wire.Peer, what string,
	ok func(*daemon.ClusterStatus) bool,
) error {
	for {
		s, err := b.Status(ctx, p)
		if err == nil && ok(s) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("life %s, voters %v, learners %v, %s", s.Life, s.Voters, s.Learners, s.NotReady)
		}
		if proc := b.Ended(); ctx.Err() == nil && contains(proc, p) {
			return fmt.Errorf("%v ended: %s", p, lastLine(b.LogPath(p)))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for %v %s: %w", p, what, err)
		case <-time.After(pollEvery):
		}
	}
}

func contains(all []wire.Peer, p wire.Peer) bool {
	for _, q := range all {
		if p == q {
			return true
		}
	}
	return false
}

// lastLine is the end of a log.
func lastLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

// onDisk is the space that a folder takes: blocks, not lengths, for a journal's space is allocated ahead.
func onDisk(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone since
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			bytes += s.Blocks * 512
		}
		return nil
	})
	return bytes, err
}

// snapshot is the newest snapshot in a data directory, "" if there is none.
func snapshot(dir string) (path string, size int64) {
	found, _ := filepath.Glob(filepath.Join(dir, "snapshot-*")) // ascending by position; the pattern is good
	if len(found) == 0 {
		return "", 0
	}
	path = found[len(found)-1]
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	return path, size
}
