package backup_test

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"metronome/system/backup"
	"metronome/system/backup/backuptest"
	"metronome/system/disk/fault"
	"metronome/system/replica"
	"metronome/system/wire"
)

const (
	oldTag = 7
	newTag = 8
)

func target(fs *fault.FS, seats ...int) backup.Target {
	t := backup.Target{FS: fs, New: replica.Refounding{Cluster: newTag, Seats: []int{0, 1, 2}},
		Dirs: map[int]string{}}
	for _, s := range seats {
		t.Dirs[s] = backuptest.Dir(s)
	}
	return t
}

// given is what a cluster gave out last: an index, and an incarnation to its proxy.
type given struct {
	index       uint64
	incarnation uint32
}

// lived is a snapshot of a cluster that has lived, what it holds, and what it gave out last.
func lived(t *testing.T) (snapshot []byte, values map[string]string, revisions map[string]uint64,
	last given) {
	t.Helper()
	c := backuptest.Start(t, fault.New(3), oldTag, 3, 1000)
	defer c.Close()
	c.Found()
	values, revisions = map[string]string{}, map[string]uint64{}
	for i := range 40 {
		k := fmt.Sprint("key-", i%30)
		values[k] = fmt.Sprint("value-", i)
		c.Put(k, values[k])
	}
	for k := range values {
		_, revisions[k] = c.Get(k)
	}
	if r := c.Do(wire.Item{Op: wire.OpSession}); r.Status != wire.StatusOK {
		t.Fatalf("a session: status %d", r.Status)
	}
	snapshot = c.NextSnapshot()
	for range 10 { // the lost tail: clients know of these revisions
		c.Put("key-0", "lost")
	}
	_, last.index = c.Get("key-0")
	last.incarnation = c.Replicas[0].View().Lanes[0].Incarnation
	return snapshot, values, revisions, last
}

// TestRestoredReplicasServe restores a backup to the data directories of a new cluster, and lives there:
// all is as it was, and nothing that the old cluster gave out means anything else now (R29).
func TestRestoredReplicasServe(t *testing.T) {
	snapshot, values, revisions, last := lived(t)
	p := newPlace(t)
	m := p.save(snapshot)
	if m.Sessions != 1 || m.Epoch != 1 || m.Tag != oldTag {
		t.Errorf("%+v", m)
	}
	disks := fault.New(4)
	got, err := p.Restore(t.Context(), m, target(disks, 0, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	if got.Epoch != 2 || got.Index < last.index+1<<40 || got.Voided != 1 || len(got.Files) != 3 ||
		uint64(got.Keys) != m.Keys {
		t.Errorf("%+v", got)
	}
	disks = disks.Crash(1) // what Restore made is durable
	c := backuptest.Start(t, disks, newTag, 3, 2000)
	for seat, r := range c.Reports {
		if r.Lost != nil || r.Snapshot == "" || !r.Journal.Intact() || r.Journal.Records != 1 {
			t.Errorf("replica-%d begins with %+v", seat, r)
		}
		v := c.Replicas[seat].View()
		if v.ID != replica.LifeID(seat, 1) || v.Epoch != 2 || v.Sessions != 0 || v.Index != got.Index ||
			uint64(v.Keys) != m.Keys || len(v.Lanes) != 0 || v.Hash != c.Replicas[0].View().Hash {
			t.Errorf("replica-%d begins as %+v", seat, v)
		}
	}
	check := func() {
		t.Helper()
		for k, want := range values {
			if v, rev := c.Get(k); v != want || rev != revisions[k] {
				t.Errorf("%s is %q at revision %d, was %q at %d", k, v, rev, want, revisions[k])
			}
		}
	}
	check()
	for _, l := range c.Replicas[0].View().Lanes {
		if l.Incarnation != last.incarnation+1 {
			t.Errorf("proxy %d is in incarnation %d, after %d", l.Proxy, l.Incarnation, last.incarnation)
		}
	}
	c.Put("fresh", "x")
	if _, rev := c.Get("fresh"); rev <= got.Index {
		t.Errorf("a new write has revision %d, the restored state ends at %d", rev, got.Index)
	}
	values["fresh"] = "x"
	_, revisions["fresh"] = c.Get("fresh")
	c.NextSnapshot() // and its journal is trimmed
	c.Close()
	c = backuptest.Start(t, disks.Crash(2), newTag, 3, 3000)
	check()
	c.Close()
}

// TestOneSeatAtATime restores each replica at its own place, from the same backup; two of three serve,
// and the third joins them whether it was restored or not.
func TestOneSeatAtATime(t *testing.T) {
	snapshot, values, _, _ := lived(t)
	p := newPlace(t)
	m := p.save(snapshot)
	disks := fault.New(4)
	for seat := range 2 {
		if _, err := p.Restore(t.Context(), m, target(disks, seat)); err != nil {
			t.Fatal(err)
		}
	}
	c := backuptest.Start(t, disks, newTag, 3, 2000)
	defer c.Close()
	if c.Replicas[2].ID() != 0 {
		t.Error("an empty directory has a life")
	}
	c.Until("the third has joined and votes", func() bool {
		s := c.Replicas[2].Status()
		return len(s.Members.Voters) == 3 && s.Members.Voters[2] == c.Replicas[2].ID()
	})
	for k, want := range values {
		if v, _ := c.Get(k); v != want {
			t.Errorf("%s is %q, was %q", k, v, want)
		}
	}
	h := func(i int) uint64 { return c.Replicas[i].StateHash() }
	c.Until("all have the same state", func() bool { return h(0) == h(1) && h(1) == h(2) })
}

func TestRestoreRefuses(t *testing.T) {
	p := newPlace(t)
	m := p.save(small(t, "a"))
	disks := fault.New(4)
	refused := func(what string, t2 backup.Target, want string) {
		t.Helper()
		before := disks.Names()
		if r, err := p.Restore(t.Context(), m, t2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
		if len(disks.Names()) != len(before) {
			t.Errorf("%s: wrote %v", what, disks.Names())
		}
	}
	refused("no directory", target(disks), "no data directory")
	same := target(disks, 0)
	same.New.Cluster = oldTag
	refused("its own cluster", same, "R29")
	refused("a seat that is no member", target(disks, 5), "seat 5")
	twice := target(disks, 0)
	twice.New.Seats = []int{0, 0}
	refused("a seat twice", twice, "founding seats")
	disks.Edit(path.Join(backuptest.Dir(1), "journal", "x"), func([]byte) []byte { return []byte("precious") })
	if err := disks.MkdirAll(path.Join(backuptest.Dir(1), "journal")); err != nil {
		t.Fatal(err)
	}
	refused("a directory in use", target(disks, 0, 1), "not empty")
	p.fs.Edit(p.files("chunks")[0], func(b []byte) []byte { return flipped(b, 3) })
	refused("a damaged backup", target(disks, 0), "damaged")
}

func TestReplaceSetsAsideWhatIsThere(t *testing.T) {
	snapshot, _, _, _ := lived(t)
	p := newPlace(t)
	m := p.save(snapshot)
	disks := fault.New(5)
	c := backuptest.Start(t, disks, 99, 3, 1)
	c.Found()
	c.NextSnapshot()
	c.Close()
	before := contents(disks)
	to := target(disks, 0, 1, 2)
	to.Replace = true
	for n := 1; n <= 2; n++ {
		r, err := p.Restore(t.Context(), m, to)
		if err != nil || len(r.Aside) != 3 || path.Base(r.Aside[0]) != fmt.Sprint("replaced-", n) {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	after := contents(disks)
	for name, b := range before {
		dir := backuptest.Dir(int(name[len("data/replica-")] - '0'))
		if !bytes.Equal(after[path.Join(dir, "replaced-1", strings.TrimPrefix(name, dir))], b) {
			t.Errorf("%s was not set aside", name)
		}
	}
	c = backuptest.Start(t, disks, newTag, 3, 7)
	c.Put("k", "v")
	names := disks.Names()
	for _, want := range []string{"locked", "R1"} { // it runs; it has run
		if _, err := p.Restore(t.Context(), m, to); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a life of the new cluster is replaced: %v", err)
		}
		if want == "locked" {
			c.Close()
		}
	}
	if !slices.Equal(names, disks.Names()) {
		t.Error("a restore that was refused has moved files")
	}
}

func contents(fs *fault.FS) map[string][]byte {
	all := map[string][]byte{}
	for _, n := range fs.Names() {
		all[n] = fs.Bytes(n)
	}
	return maps.Clone(all)
}

// TestACrashAnywhereInRestore leaves each data directory empty or whole, and the next try succeeds.
func TestACrashAnywhereInRestore(t *testing.T) {
	snapshot, _, _, _ := lived(t)
	p := newPlace(t)
	m := p.save(snapshot)
	for n := uint64(0); ; n++ {
		disks := fault.New(n)
		disks.Hook = fault.CrashAt(n)
		_, err := p.Restore(t.Context(), m, target(disks, 0, 1))
		if disks.Crashed() == (err == nil) {
			t.Fatalf("operation %d: %v", n, err)
		}
		for seed := range uint64(2) {
			after := disks.Crash(seed)
			c := backuptest.Start(t, after, newTag, 3, 9)
			for seat, r := range c.Replicas {
				// Half of it is as good as nothing: set aside, and this seat waits to join.
				want := replica.LifeID(seat, 1)
				if whole := c.Reports[seat].Lost == nil; r.ID() != 0 && (!whole || r.ID() != want) ||
					!disks.Crashed() && seat < 2 && r.ID() != want {
					t.Errorf("operation %d: replica-%d: %+v", n, seat, c.Reports[seat])
				}
			}
			c.Close()
			again := target(disks.Crash(seed), 0, 1)
			again.Replace = true
			if _, err := p.Restore(t.Context(), m, again); err != nil {
				t.Errorf("operation %d: again: %v", n, err)
			}
		}
		if !disks.Crashed() {
			break
		}
	}
}
