package master_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/backup"
	"metronome/system/disk"
	"metronome/system/disk/fault"
	"metronome/system/edge"
	"metronome/system/edge/local"
	"metronome/system/master"
	"metronome/system/master/phi"
	"metronome/system/master/ship"
	"metronome/system/master/vault"
)

// objects are the files of a folder of an edge's vault.
func (h *home) objects(folder string) (paths []string) {
	h.w.t.Helper()
	dir := filepath.Join(h.w.cfg.Dir, "vault", h.name, folder)
	entries, err := os.ReadDir(dir)
	if err != nil {
		h.w.t.Fatal(err)
	}
	for _, e := range entries {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	return paths
}

// check has the master read everything again.
func (h *home) check() { h.admin("check") }

func (h *home) admin(what string) string {
	h.w.t.Helper()
	body, err := admin(h.w.m, h.name, what)
	if err != nil {
		h.w.t.Fatal(err)
	}
	return body
}

// TestALostChunkIsHealedFromTheLivingEdge (kopia#3492): the master misses a chunk that the edge
// still has.
func TestALostChunkIsHealedFromTheLivingEdge(t *testing.T) {
	t.Parallel()
	for what, harm := range map[string]func(path string) error{
		"removed": os.Remove,
		"flipped": func(path string) error {
			b, err := os.ReadFile(path)
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(path, b, 0o600)
			}
			return err
		},
		"cut": func(path string) error { return os.Truncate(path, 20) },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			h := w.join("hallway").open()
			h.put("a", 0, 3000)
			h.begin()
			h.safe()
			for _, path := range h.objects("chunks") {
				if err := harm(path); err != nil {
					t.Fatal(err)
				}
			}
			h.check()
			h.ship.Poke()
			w.wait("a new checkpoint", func() bool {
				e := h.show()
				return len(e.Backups) > 1 && e.Newest.Missing == 0
			})
			h.put("b", 0, 10)
			h.safe()
			done, dir, err := h.restored(vault.Target{})
			if err != nil || len(done.Warnings) > 0 {
				t.Fatalf("%+v, %v", done, err)
			}
			same(t, contents(t, dir), holds(t, h.store))
			h.check()
			if e := h.show(); e.Checked == nil || len(e.Checked.Bad) > 0 {
				t.Errorf("%+v", e.Checked)
			}
		})
	}
}

// TestALostPieceOfTheLogIsSentAgain.
func TestALostPieceOfTheLogIsSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open().begin()
	for i := range 6 {
		h.put("a", i*10, i*10+10)
		h.safe()
	}
	var logs []string
	for _, path := range h.objects("backups") {
		if strings.HasSuffix(path, ".log") {
			logs = append(logs, path)
		}
	}
	if err := os.Remove(logs[len(logs)/2]); err != nil {
		t.Fatal(err)
	}
	h.check()
	h.put("b", 0, 5)
	w.wait("the chain leads to the end again", func() bool {
		return h.show().Newest.Reach == h.store.Status().Revision
	})
	_, dir, err := h.restored(vault.Target{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, contents(t, dir), holds(t, h.store))
}

// TestTheMasterIsAway: the edge goes on, and everything that came up is there afterwards, by log
// or, if that no longer reaches back, by a checkpoint.
func TestTheMasterIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway")
	var err error
	h.store, err = local.Open(local.Config{Dir: h.data(), BackedUp: true, MinFree: 1, LogBytes: 200 << 10,
		Log:      quiet(),
		MemTable: 1 << 20, Cache: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	h.begin()
	h.put("a", 0, 100)
	h.safe()
	w.restart(func() {
		h.put("b", 0, 50)
		w.wait("the edge notices", func() bool { return h.ship.State().State == "failing" })
	})
	h.safe()
	if n := h.ship.Stats().Checkpoints; n != 1 {
		t.Errorf("%d checkpoints: the log would have done", n)
	}
	w.restart(func() {
		for i := range 40 {
			h.put(fmt.Sprint(strings.Repeat("long ", 50), i), 0, 100)
		}
	})
	h.safe()
	if n := h.ship.Stats().Checkpoints; n < 2 {
		t.Errorf("%d checkpoints, though the log was trimmed", n)
	}
	_, dir, err := h.restored(vault.Target{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, contents(t, dir), holds(t, h.store))
}

// broken is a source that fails, or panics.
type broken struct {
	local.Source
	fail atomic.Int32 // 1 checkpoints fail, 2 they panic, 3 logs fail, 4 logs panic
}

var errBroken = errors.New("the disk says no")

func (b *broken) Checkpoint(dir string) (local.Summary, error) {
	switch b.fail.Load() {
	case 1:
		return local.Summary{}, errBroken
	case 2:
		panic("a bug")
	}
	return b.Source.Checkpoint(dir)
}

func (b *broken) Log(ctx context.Context, from uint64, most int) ([][]byte, uint64, error) {
	switch b.fail.Load() {
	case 3:
		return nil, from, errBroken
	case 4:
		panic("a bug")
	}
	return b.Source.Log(ctx, from, most)
}

// TestAFailingBackupNeverStopsTheEdge, whatever fails; and it recovers.
func TestAFailingBackupNeverStopsTheEdge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open()
	b := &broken{Source: h.store}
	b.fail.Store(1)
	h.begin(func(c *ship.Config) { c.Source = b })
	for kind, says := range []string{1: "disk says no", 2: "a bug", 3: "disk says no", 4: "a bug"} {
		if says == "" {
			continue
		}
		b.fail.Store(int32(kind))
		w.wait("the failure is seen", func() bool {
			h.put(fmt.Sprint(kind), 0, 10)
			st := h.ship.State()
			return st.State == "failing" && strings.Contains(st.Error, says)
		})
		if kind == 2 { // the last two need a checkpoint
			b.fail.Store(0)
			h.safe()
		}
	}
	w.wait("the master shows it", func() bool {
		e := h.show()
		return e.Report != nil && e.Report.Backup.Failures > 0
	})
	b.fail.Store(0)
	h.safe()
}

// cramped is a disk on which only so much is free.
type cramped struct {
	disk.FS
	free atomic.Uint64
}

func (c *cramped) Free(string) (uint64, error) { return c.free.Load(), nil }

// TestTheMastersDiskIsFull: nothing is taken in, edges go on, and it is said; then it goes on.
func TestTheMastersDiskIsFull(t *testing.T) {
	t.Parallel()
	fs := &cramped{FS: disk.OS()}
	fs.free.Store(1 << 40)
	w := newWorld(t, func(c *master.Config) { c.FS, c.MinFree = fs, 1<<30 })
	h := w.join("hallway").open().begin()
	h.put("a", 0, 10)
	h.safe()
	fs.free.Store(1 << 29)
	h.put("b", 0, 20)
	w.wait("the edge says why", func() bool { return strings.Contains(h.ship.State().Error, "disk-floor") })
	if f := w.m.Findings(); len(f) != 1 || f[0].Code != "disk" {
		t.Errorf("%+v", f)
	}
	if e := h.show(); e.Passive.State != phi.Fresh {
		t.Errorf("a refused edge is alive all the same: %+v", e.Passive)
	}
	fs.free.Store(1 << 40)
	h.ship.Poke()
	h.safe()
}

// TestTheDestinationFails at the nth write, on and on: what was answered holds.
func TestTheDestinationFails(t *testing.T) {
	t.Parallel()
	mem := fault.New(3)
	w := newWorld(t, func(c *master.Config) { c.Place = master.Directories(mem, "vault") })
	h := w.join("hallway").open()
	var n atomic.Uint64
	var healed atomic.Bool
	mem.Hook = func(fault.Op) error {
		if n.Add(1)%7 == 0 && !healed.Load() {
			return fault.ErrIO
		}
		return nil
	}
	h.begin()
	for i := range 10 {
		h.put("a", i*20, i*20+20)
		h.ship.Poke()
		time.Sleep(5 * time.Millisecond)
	}
	healed.Store(true)
	h.safe()
	v := memoryVault(t, mem.Kill(), h)
	if r, err := v.Check(t.Context(), 0, 1); err != nil || !r.Good() {
		t.Errorf("%+v, %v", r, err)
	}
	if s, ok := v.Newest(); !ok || s.Reach != h.store.Status().Revision {
		t.Errorf("%+v", s)
	}
}

// memoryVault opens what lies on a disk in memory.
func memoryVault(t *testing.T, mem *fault.FS, h *home) *vault.Vault {
	t.Helper()
	d, err := backup.NewDirectory(mem, "vault/"+h.name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), d, h.cfg.Key, vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestMarkedAsBackedUpSurvivesThePowerCut: whatever the edge was told is in a backup is there after
// the master lost its power at that moment.
func TestMarkedAsBackedUpSurvivesThePowerCut(t *testing.T) {
	t.Parallel()
	mem := fault.New(4)
	w := newWorld(t, func(c *master.Config) { c.Place = master.Directories(mem, "vault") })
	h := w.join("hallway").open().begin()
	for i := range 20 {
		h.put("a", i, i+30)
		if i%4 == 3 {
			h.ship.Poke()
			time.Sleep(10 * time.Millisecond)
		}
		told := h.store.Status().BackedUp.At
		if told == 0 {
			h.safe()
			told = h.store.Status().BackedUp.At
		}
		v := memoryVault(t, mem.Crash(uint64(i)), h)
		if s, ok := v.Newest(); !ok || s.Reach < told || s.Missing > 0 {
			t.Fatalf("told %d, after the power cut %+v", told, s)
		}
	}
}

// TestAnEmptyStoreIsNoticed: an edge that came back without its data must not silently begin anew.
func TestAnEmptyStoreIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open().begin()
	h.put("a", 0, 100)
	h.safe()
	want := holds(t, h.store)
	h.close()
	if err := os.RemoveAll(h.data()); err != nil {
		t.Fatal(err)
	}
	h.open().begin()
	w.wait("it is said", func() bool {
		for _, f := range h.show().Findings {
			if f.Code == "empty-store" && strings.Contains(f.Text, "restore") {
				return true
			}
		}
		return false
	})
	h.put("z", 0, 3)
	h.safe()
	all := h.show().Backups
	_, dir, err := h.restored(vault.Target{Backup: all[0].Number})
	if err != nil {
		t.Fatal(err)
	}
	same(t, contents(t, dir), want)
}

// TestEncryptionIsNeverOff looks for what devices wrote in everything that the master stores.
func TestEncryptionIsNeverOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open()
	h.put("the alarm's code is 4711", 0, 500)
	h.begin()
	h.safe()
	h.put("the alarm's code is 4712", 0, 50)
	h.safe()
	err := filepath.WalkDir(filepath.Join(w.cfg.Dir, "vault"), func(path string, d fs.DirEntry,
		err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, word := range []string{"alarm", "k000", "MANIFEST", ".sst"} {
			if bytes.Contains(b, []byte(word)) {
				t.Errorf("%s shows %q", path, word)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ship.New(ship.Config{Edge: "x", Source: h.store, HTTP: h.cfg.HTTP, Scratch: t.TempDir(),
		Master: w.url}); err == nil ||
		!strings.Contains(err.Error(), "encryption") {
		t.Errorf("a shipper without a key: %v", err)
	}
	h.end()
	h.begin(func(c *ship.Config) { c.Key = vault.NewKey() })
	w.wait("another key is refused", func() bool {
		return strings.Contains(h.ship.State().Error,
			"foreign-key")
	})
}

// TestIncrementsAreProportionalToWhatChanged: a second checkpoint of a large store in which little
// changed sends little.
func TestIncrementsAreProportionalToWhatChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open()
	for i := range 12 {
		b := &edge.Batch{}
		for k := range 250 {
			value := make([]byte, 4<<10)
			for j := range value {
				value[j] = byte((i*250 + k) * j * j >> 3)
			}
			b.Ops = append(b.Ops, edge.Op{Kind: edge.Put, Key: fmt.Appendf(nil, "v%05d", i*250+k), Value: value})
		}
		for len(b.Ops) > 0 {
			some := &edge.Batch{Ops: b.Ops[:min(len(b.Ops), 125)]}
			if _, err := h.store.Apply(t.Context(), some); err != nil {
				t.Fatal(err)
			}
			b.Ops = b.Ops[len(some.Ops):]
		}
	}
	h.begin()
	h.safe()
	whole := h.ship.Stats().LastIncrement
	again := func() uint64 { // a process begins: another checkpoint
		h.end()
		h.begin()
		h.safe()
		return h.ship.Stats().LastIncrement
	}
	w.wait("the store is at rest, and costs next to nothing", func() bool { return again()*10 < whole })
	h.put("b", 0, 20)
	if few := again(); few*4 > whole {
		t.Errorf("twenty keys changed: %d KiB; the whole was %d KiB", few>>10, whole>>10)
	}
	if n := h.ship.Stats().ChunksReused; n == 0 {
		t.Error("nothing was there already")
	}
}

// TestClockJumps: neither accusations, nor ages, nor removals come from a clock that is set.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open().begin()
	h.put("a", 0, 50)
	h.safe()
	for _, by := range []time.Duration{30 * 24 * time.Hour, -29 * 24 * time.Hour, 5 * time.Hour} {
		w.jump(by)
		e := h.show()
		if e.Passive.State != phi.Fresh || e.BackupAge > time.Minute {
			t.Fatalf("a jump by %v: %+v, backup age %v", by, e.Passive, e.BackupAge)
		}
		h.put("b", 0, 5)
		h.safe()
	}
	if _, dir, err := h.restored(vault.Target{}); err != nil {
		t.Fatal(err)
	} else {
		same(t, contents(t, dir), holds(t, h.store))
	}
}

// TestNobodyIsAccusedAfterARestart of the master itself, however long it was away.
func TestNobodyIsAccusedAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open().begin()
	h.safe()
	w.wait("the master knows that all is in a backup", func() bool { return h.show().BackupAge >= 0 })
	h.end()
	w.restart(func() { w.jump(48 * time.Hour) })
	e := h.show()
	if e.Passive.State != phi.Fresh || e.Passive.Why != phi.WhyExcused || e.LastSeen.IsZero() {
		t.Errorf("%+v, last seen %v", e.Passive, e.LastSeen)
	}
	if e.BackupAge < 47*time.Hour {
		t.Errorf("the backup is old: %v", e.BackupAge)
	}
}

// TestOneMasterADirectory: the second is told that the first is there.
func TestOneMasterADirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := master.Open(w.cfg); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("%v", err)
	}
}

// TestALoginPage: something that is no master answers. The edge does not believe it.
func TestALoginPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlogin"))
			_ = c.Close()
		}
	}()
	h.begin(func(c *ship.Config) { c.Master = "https://" + l.Addr().String() })
	h.put("a", 0, 10)
	w.wait("it fails", func() bool { return h.ship.State().Failures > 2 })
	if st := h.store.Status(); st.BackedUp.At > 0 {
		t.Errorf("backed up by nobody: %+v", st)
	}
}

// busy is a source to which something is written whenever it is read.
type busy struct{ *local.Store }

func (b busy) Log(ctx context.Context, from uint64, most int) ([][]byte, uint64, error) {
	op := edge.Op{Kind: edge.Put, Key: []byte("busy"), Value: []byte("x")}
	if _, err := b.Apply(ctx, &edge.Batch{Ops: []edge.Op{op}}); err != nil {
		return nil, from, err
	}
	return b.Store.Log(ctx, from, most)
}

// TestAnEdgeThatNeverRestsIsShippedInPieces: what is written while a piece is sent waits for the
// next; otherwise each change would cost a request, and an fsync at the master.
func TestAnEdgeThatNeverRestsIsShippedInPieces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open()
	h.begin(func(c *ship.Config) { c.Every, c.Source = time.Hour, busy{h.store} })
	w.wait("a checkpoint", func() bool { return h.ship.Stats().Checkpoints == 1 })
	for want := range uint64(3) {
		h.put("a", 0, 10)
		h.ship.Poke()
		w.wait("a piece", func() bool { return h.ship.Stats().LogPieces > want })
	}
	h.end()
	if n := h.ship.Stats().LogPieces; n > 6 {
		t.Errorf("%d pieces for 3 looks", n)
	}
}
