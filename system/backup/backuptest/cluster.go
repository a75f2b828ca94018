// Package backuptest makes snapshots to test backups with: of replicas on a disk in memory, with a
// proxy, joined by a network that delivers everything at once. It is imported by tests only.
package backuptest

import (
	"bytes"
	"fmt"
	"path"
	"strings"
	"testing"

	"metronome/system/disk"
	"metronome/system/journal"
	"metronome/system/lane"
	"metronome/system/node"
	"metronome/system/proxy"
	"metronome/system/replica"
	"metronome/system/storage"
	"metronome/system/wire"
)

const ms = 1_000_000

// Cluster is a cluster of durable replicas and one proxy, in one goroutine.
type Cluster struct {
	Tag      uint32
	Replicas []*replica.Replica
	Proxy    *proxy.Proxy
	Reports  []*storage.Report // of how each replica started

	t       testing.TB
	fs      disk.FS
	now     int64
	dirs    []*storage.Dir
	saving  []*storage.Saving
	asked   []*replica.Save
	results map[uint64]wire.Result
	token   uint64
}

// Dir is a replica's data directory.
func Dir(seat int) string { return fmt.Sprintf("data/replica-%d", seat) }

// Start starts replicas on what lies in their data directories, and a proxy with this nonce.
func Start(t testing.TB, fs disk.FS, tag uint32, seats int, nonce uint64) *Cluster {
	t.Helper()
	c := &Cluster{Tag: tag, t: t, fs: fs, now: ms, results: map[uint64]wire.Result{}}
	c.saving, c.asked = make([]*storage.Saving, seats), make([]*replica.Save, seats)
	for seat := range seats {
		d, r, report, err := storage.Start(fs, Dir(seat), journal.Config{Identity: replica.Owner(tag, seat, "", 0)},
			replica.Config{Cluster: tag, Seat: seat, Seats: seats, Nonce: nonce*100 + uint64(seat),
				Digest: c.digester(), MaxItem: 4096,
				Lane: lane.Config{Window: 1 << 10, Arena: 1 << 20}, Durable: true, JournalBytes: 8 << 10})
		if err != nil {
			t.Fatal(err)
		}
		c.dirs, c.Replicas, c.Reports = append(c.dirs, d), append(c.Replicas, r), append(c.Reports, report)
	}
	p, err := proxy.New(proxy.Config{Cluster: tag, Number: 1, Nonce: nonce, Seats: seats, Digest: c.digester(),
		Complete: func(token uint64, r *wire.Result) {
			c.results[token] = wire.Result{Status: r.Status, Revision: r.Revision, Number: r.Number,
				Value: bytes.Clone(r.Value)}
		}})
	if err != nil {
		t.Fatal(err)
	}
	c.Proxy = p
	return c
}

// Found founds the cluster.
func (c *Cluster) Found() {
	c.t.Helper()
	seats := make([]int, len(c.Replicas))
	for i := range seats {
		seats[i] = i
	}
	for _, r := range c.Replicas {
		if err := r.Found(seats); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *Cluster) digester() *wire.Digester {
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("a cluster's key"))
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

// Until lets time pass until something is so.
func (c *Cluster) Until(what string, done func() bool) {
	c.t.Helper()
	for range 20000 {
		if done() {
			return
		}
		c.step()
	}
	for i, r := range c.Replicas {
		c.t.Logf("replica-%d: %+v, %v", i, r.Status(), r.Ready())
	}
	c.t.Fatalf("not within 5 s: %s", what)
}

func (c *Cluster) step() {
	c.now += ms / 4
	for range 50 {
		var out node.Output
		c.Proxy.Tick(c.now)
		c.Proxy.Output(&out)
		busy := c.route(wire.ProxyPeer(1), &out)
		for i, r := range c.Replicas {
			var out node.Output
			r.Tick(c.now)
			r.Settle()
			r.Output(&out)
			if err := c.keep(i, &out); err != nil {
				c.t.Fatal(err)
			}
			busy = c.route(wire.ReplicaPeer(i), &out) || busy
			if r.Err() != nil {
				c.t.Fatal(r.Err())
			}
		}
		if !busy {
			return
		}
	}
}

// keep makes durable what a replica asks for.
func (c *Cluster) keep(seat int, out *node.Output) error {
	r, d := c.Replicas[seat], c.dirs[seat]
	for _, b := range out.Records {
		if _, err := d.Journal().Append(b); err != nil {
			return err
		}
	}
	if out.Sync {
		if err := d.Journal().Sync(); err != nil {
			return err
		}
		r.Synced(c.now, d.Journal().Next()-1)
	}
	if s := r.Save(); s != nil && s != c.asked[seat] && s.Ready() == s.Size {
		w, err := d.Save(s)
		if err != nil {
			return err
		}
		for done := false; !done; {
			if done, err = w.Step(1 << 20); err != nil {
				return err
			}
		}
		c.asked[seat] = s
		r.Saved(c.now, s.Position)
	}
	return nil
}

func (c *Cluster) route(from wire.Peer, out *node.Output) bool {
	for _, f := range out.Multicast {
		for _, r := range c.Replicas {
			r.Datagram(c.now, f)
		}
	}
	for _, d := range out.Unicast {
		c.to(d.To).Datagram(c.now, bytes.Clone(d.Bytes))
	}
	for _, m := range out.Messages {
		c.to(m.To).Message(c.now, from, bytes.Clone(m.Bytes))
	}
	return len(out.Multicast)+len(out.Unicast)+len(out.Messages) > 0
}

func (c *Cluster) to(p wire.Peer) node.Core {
	if p.IsReplica() {
		return c.Replicas[p.Seat()]
	}
	return c.Proxy
}

// Do submits an operation and waits for its answer.
func (c *Cluster) Do(it wire.Item) wire.Result {
	c.t.Helper()
	c.Until("lanes open", c.Proxy.Open)
	c.token++
	token := c.token
	if s := c.Proxy.Submit(c.now, 0, &it, token); s != wire.StatusOK {
		c.t.Fatalf("submit: status %d", s)
	}
	c.Until("the operation is answered", func() bool { _, ok := c.results[token]; return ok })
	return c.results[token]
}

// Put writes a key.
func (c *Cluster) Put(key, value string) {
	c.t.Helper()
	if r := c.Do(wire.Item{Op: wire.OpPut, Key: []byte(key), Value: []byte(value)}); r.Status != wire.StatusOK {
		c.t.Fatalf("put %s: status %d", key, r.Status)
	}
}

// Get reads a key, with its revision.
func (c *Cluster) Get(key string) (value string, revision uint64) {
	c.t.Helper()
	r := c.Do(wire.Item{Op: wire.OpGet, Key: []byte(key)})
	return string(r.Value), r.Revision
}

// Snapshot is the newest saved snapshot of a replica: the bytes of its file, nil if there is none.
func (c *Cluster) Snapshot(seat int) []byte {
	c.t.Helper()
	entries, err := c.fs.List(Dir(seat))
	if err != nil {
		c.t.Fatal(err)
	}
	var b []byte
	for _, e := range entries {
		if !strings.HasPrefix(e.Name, "snapshot-") {
			continue
		}
		f, err := c.fs.Open(path.Join(Dir(seat), e.Name))
		if err != nil {
			c.t.Fatal(err)
		}
		b = make([]byte, e.Size)
		if _, err := f.ReadAt(b, 0); err != nil {
			c.t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			c.t.Fatal(err)
		}
	}
	return b
}

// NextSnapshot writes until replica-0 saves another snapshot, and returns that.
func (c *Cluster) NextSnapshot() []byte {
	c.t.Helper()
	before := c.asked[0]
	for i := 0; c.asked[0] == before; i++ {
		c.Put("filler", strings.Repeat(fmt.Sprint(i%10), 1000))
	}
	return c.Snapshot(0)
}

// Close closes the journals.
func (c *Cluster) Close() {
	for _, d := range c.dirs {
		if err := d.Close(); err != nil {
			c.t.Error(err)
		}
	}
}
