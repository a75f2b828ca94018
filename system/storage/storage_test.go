package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"metronome/system/disk"
	"metronome/system/disk/fault"
	"metronome/system/journal"
	"metronome/system/lane"
	"metronome/system/node"
	"metronome/system/proxy"
	"metronome/system/replica"
	"metronome/system/storage"
	"metronome/system/wire"
)

const (
	ms  = 1_000_000
	dir = "data/replica-0"
)

// rig is a cluster of one replica and one proxy over a file system that fails.
type rig struct {
	t      *testing.T
	now    int64
	fs     disk.FS
	dir    *storage.Dir
	core   *replica.Replica
	proxy  *proxy.Proxy
	report *storage.Report
	saving *storage.Saving
	ended  map[uint64]wire.Status
	err    error                   // of the disk: the process ends
	piece  int                     // bytes of a snapshot written at a time
	told   bool                    // the core is told what the journal takes
	ahead  int64                   // and that it takes so much more
	sent   int                     // puts of flood
	lanes  int                     // of the proxy; 0: its default
	lost   func(*wire.Header) bool // frames that do not arrive; nil: all do

	backlog [][]byte // records for which the journal has no room
	sync    bool     // and something waits for them
	unsaved []error  // why snapshots could not be written
}

func start(t *testing.T, fs disk.FS, nonce uint64) (*rig, error) {
	t.Helper()
	return startWith(t, fs, nonce, func(*replica.Config) {})
}

func startWith(t *testing.T, fs disk.FS, nonce uint64, change func(*replica.Config)) (*rig, error) {
	t.Helper()
	r := &rig{t: t, now: int64(nonce) * 1000 * ms, fs: fs, ended: map[uint64]wire.Status{}, piece: 700}
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("a cluster's key"))
	if err != nil {
		t.Fatal(err)
	}
	salt := uint32(nonce)
	cfg := replica.Config{Cluster: 7, Seat: 0, Seats: 1, Nonce: nonce, Digest: d, MaxItem: 1000,
		Lane: lane.Config{Window: 256, Arena: 1 << 16}, Durable: true, JournalBytes: 12 << 10}
	change(&cfg)
	r.dir, r.core, r.report, err = storage.Start(fs, dir, journal.Config{SegmentBytes: 64 << 10,
		Salt: func() uint32 { salt++; return salt * 2654435761 }}, cfg)
	if err != nil {
		return nil, err
	}
	r.startProxy(nonce)
	return r, nil
}

// startProxy starts the proxy, or another in its place.
func (r *rig) startProxy(nonce uint64) {
	r.t.Helper()
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("a cluster's key"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.proxy, err = proxy.New(proxy.Config{Cluster: 7, Number: 1, Nonce: nonce, Seats: 1, Digest: d,
		Lanes:    r.lanes,
		Complete: func(token uint64, res *wire.Result) { r.ended[token] = res.Status }})
	if err != nil {
		r.t.Fatal(err)
	}
}

// step lets a quarter of a millisecond pass.
func (r *rig) step() {
	r.now += ms / 4
	for range 20 {
		var out node.Output
		r.core.Tick(r.now)
		r.core.Settle()
		r.core.Output(&out)
		if r.keep(&out); r.err != nil {
			return
		}
		busy := len(out.Messages) > 0 || out.Sync
		for _, m := range out.Messages {
			r.proxy.Message(r.now, wire.ReplicaPeer(0), m.Bytes)
		}
		for _, d := range out.Unicast {
			r.proxy.Datagram(r.now, d.Bytes)
		}
		var sent node.Output
		r.proxy.Tick(r.now)
		r.proxy.Output(&sent)
		for _, f := range sent.Multicast {
			if len(r.backlog) == 0 && !r.loses(f) {
				r.core.Datagram(r.now, f)
			}
		}
		for _, d := range sent.Unicast {
			if !r.loses(d.Bytes) {
				r.core.Datagram(r.now, d.Bytes)
			}
		}
		for _, m := range sent.Messages {
			r.core.Message(r.now, wire.ProxyPeer(1), m.Bytes)
		}
		if !busy && len(sent.Multicast)+len(sent.Messages) == 0 {
			return
		}
	}
}

func (r *rig) loses(frame []byte) bool {
	if r.lost == nil {
		return false
	}
	var h wire.Header
	h.Get(frame)
	return r.lost(&h)
}

// keep does for the core what its process does with the disk.
func (r *rig) keep(out *node.Output) {
	j := r.dir.Journal()
	if r.err = r.append(out.Records); r.err != nil {
		return
	}
	if r.sync = r.sync || out.Sync; r.sync && len(r.backlog) == 0 {
		r.sync = false
		if r.err = j.Sync(); r.err != nil {
			return
		}
		r.core.Synced(r.now, j.Synced()-1)
	}
	if r.err = r.save(); r.err == nil {
		r.err = j.Trim(r.core.Trimmable())
	}
	if r.told {
		r.core.JournalTakes(j.Bytes() + r.ahead)
	}
}

// append appends what there is room for, in order, and keeps the rest.
func (r *rig) append(records [][]byte) error {
	for _, b := range records {
		r.backlog = append(r.backlog, bytes.Clone(b))
	}
	for len(r.backlog) > 0 {
		_, err := r.dir.Journal().Append(r.backlog[0])
		if errors.Is(err, journal.ErrFull) {
			break
		}
		if err != nil {
			return err
		}
		r.backlog = r.backlog[1:]
	}
	r.core.SetDiskFull(len(r.backlog) > 0)
	return nil
}

// save goes on with a snapshot, if there is one to be saved.
func (r *rig) save() (err error) {
	s, done := r.core.Save(), false
	if s == nil {
		return nil
	}
	if r.saving == nil {
		r.saving, err = r.dir.Save(s)
	}
	if err == nil {
		done, err = r.saving.Step(r.piece)
	}
	switch {
	case errors.Is(err, storage.ErrUnsaved):
		r.saving, r.unsaved, err = nil, append(r.unsaved, err), nil
		r.core.Unsaved(r.now, s.Position)
	case done:
		r.saving = nil
		r.core.Saved(r.now, s.Position)
	}
	return err
}

// until steps until something holds; false if the disk failed before.
func (r *rig) until(what string, holds func() bool) bool {
	r.t.Helper()
	for range 8000 {
		switch {
		case holds():
			return true
		case r.err != nil:
			return false
		case r.core.Err() != nil:
			r.t.Fatal(r.core.Err())
		}
		r.step()
	}
	r.t.Fatalf("not within two seconds: %s", what)
	return false
}

// write writes keys from..to-1, each acknowledged before the next, and returns how many were.
func (r *rig) write(from, to int) (acknowledged int) {
	r.t.Helper()
	if r.core.ID() == 0 {
		if err := r.core.Found([]int{0}); err != nil {
			r.t.Fatal(err)
		}
	}
	if !r.until("lanes open", r.proxy.Open) {
		return from
	}
	for i := from; i < to; i++ {
		it := wire.Item{Op: wire.OpPut, Key: key(i), Value: value(i)}
		token := uint64(i + 1)
		if s := r.proxy.Submit(r.now, 0, &it, token); s != wire.StatusOK {
			r.t.Fatalf("put %d: status %d", i, s)
		}
		if !r.until("the put is acknowledged", func() bool { _, ok := r.ended[token]; return ok }) {
			return i
		}
	}
	return to
}

func key(i int) []byte { return fmt.Appendf(nil, "key-%d", i%25) }

func value(i int) []byte { return fmt.Appendf(nil, "%d-%0200d", i, i) }

// check demands that the life went on and holds n acknowledged writes, maybe one more. The index
// counts the sessions' and proxies' own items, too: there are none here.
func (r *rig) check(what string, acknowledged int) {
	r.t.Helper()
	if r.core.ID() == 0 && acknowledged > 0 {
		r.t.Fatalf("%s: %d acknowledged writes are gone, with the life: %v", what, acknowledged, r.report.Lost)
	}
	if r.core.ID() == 0 {
		return
	}
	if !r.until("a leader", func() bool { return r.core.Ready() == nil && !r.core.Busy() }) {
		r.t.Fatalf("%s: %v", what, r.err)
	}
	r.until("what was logged is agreed", func() bool { s := r.core.Status(); return s.Applied == s.Last })
	if n := int(r.core.Index()); n < acknowledged || n > acknowledged+1 {
		r.t.Fatalf("%s: %d writes acknowledged, %d found", what, acknowledged, n)
	}
}

// TestCrashAtEveryWriteBoundary pulls the plug at each operation that changes something on the disk:
// journal, snapshot, names, recovery itself. What was acknowledged is there after it, and nothing
// else but what was sent.
func TestCrashAtEveryWriteBoundary(t *testing.T) {
	points := 0
	for n := uint64(0); ; n++ {
		fs := fault.New(n)
		fs.Hook = fault.CrashAt(n)
		acknowledged := 0
		r, err := start(t, fs, 1)
		if err == nil {
			acknowledged = r.write(0, 90)
		}
		if !fs.Crashed() {
			if r.core.View().Journal.Saved == 0 || r.core.Trimmable() < 2 {
				t.Fatal("no snapshot, or nothing trimmed: this shows too little")
			}
			break
		}
		points++
		for outcome := range uint64(3) {
			after, err := start(t, fs.Crash(outcome), 2)
			if err != nil {
				t.Fatalf("crash at %d, outcome %d: %v", n, outcome, err)
			}
			what := fmt.Sprintf("crash at operation %d, outcome %d", n, outcome)
			if after.report.Lost != nil {
				t.Fatalf("%s: taken for damage: %v", what, after.report.Lost)
			}
			after.check(what, acknowledged)
			if got := after.write(acknowledged+1, acknowledged+4); got != acknowledged+4 {
				t.Fatalf("%s: it does not go on: %v", what, after.err)
			}
		}
	}
	t.Logf("%d write boundaries, three outcomes each", points)
}

// TestEveryByte damages a data directory in each of its bytes: it opens always, and either goes on
// with everything that was acknowledged, or says what is lost and does not vote.
func TestEveryByte(t *testing.T) {
	whole := fault.New(1)
	r, err := start(t, whole, 1)
	if err != nil {
		t.Fatal(err)
	}
	const writes = 70
	if r.write(0, writes) != writes {
		t.Fatal(r.err)
	}
	if err := r.dir.Close(); err != nil {
		t.Fatal(err)
	}
	saved := r.core.View().Journal.Saved
	if saved == 0 {
		t.Fatal("no snapshot: this shows too little")
	}
	lost, kept := 0, 0
	for _, name := range whole.Names() {
		size := len(whole.Bytes(name))
		step := max(1, size/150)
		for at := 0; at < size; at += step {
			for kind, change := range map[string]func([]byte) []byte{
				"flip": func(b []byte) []byte { b[at] ^= 1 << (at % 8); return b },
				"zero": func(b []byte) []byte { clear(b[at:min(len(b), at+512)]); return b },
				"cut":  func(b []byte) []byte { return b[:at] },
			} {
				fs := whole.Crash(0)
				fs.Edit(name, change)
				what := fmt.Sprintf("%s %s at %d", kind, name, at)
				after, err := start(t, fs, 2)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if after.report.Lost == nil {
					kept++
					after.check(what, writes)
					continue
				}
				if lost++; after.core.ID() != 0 {
					t.Fatalf("%s: it votes, although %v", what, after.report.Lost)
				}
			}
		}
	}
	if lost == 0 || kept == 0 {
		t.Errorf("%d damages cost the life, %d did not: this shows too little", lost, kept)
	}
	t.Logf("%d damages cost the life, %d touched nothing that counts", lost, kept)
}

// TestForeignStateIsNotTouched: the wrong directory is an error, not damage.
func TestForeignStateIsNotTouched(t *testing.T) {
	fs := fault.New(1)
	r, err := start(t, fs, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.write(0, 3)
	if err := r.dir.Close(); err != nil {
		t.Fatal(err)
	}
	before := fs.Names()
	refused := func(what string, cluster uint32, mode wire.Mode) {
		d, _ := wire.NewDigester(mode, []byte("a cluster's key"))
		_, _, _, err := storage.Start(fs, dir, journal.Config{}, replica.Config{Cluster: cluster, Seats: 1,
			Nonce: 9, Digest: d, MaxItem: 1000, Lane: lane.Config{Window: 256, Arena: 1 << 16}, Durable: true})
		if !errors.Is(err, replica.ErrForeign) {
			t.Errorf("%s: %v", what, err)
		}
		if after := fs.Names(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s: files before: %v, after: %v", what, before, after)
		}
	}
	refused("another cluster's state", 8, wire.ModeXXH3)
	refused("frames of another integrity", 7, wire.ModeAEAD)
	if r, err = start(t, fs, 2); err != nil || len(r.core.View().Lanes) == 0 {
		t.Errorf("the cluster's own: %v", err)
	}
}
