package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"metronome/system/disk"
	"metronome/system/disk/fault"
)

func mustShip(t testing.TB, v *Vault, c *checkpoint) *Summary {
	t.Helper()
	s, err := c.ship(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustAppend(t testing.TB, v *Vault, number uint64, records ...[]byte) uint64 {
	t.Helper()
	reach, err := appendLog(t.Context(), v, number, records...)
	if err != nil {
		t.Fatal(err)
	}
	return reach
}

// TestAnyRevision: every revision from the first checkpoint to the end of the log, also after
// opening anew.
func TestAnyRevision(t *testing.T) {
	d := onDisk(t)
	v := open(t, d)
	l := newLife(t, v.seal, 30, 10)
	first := mustShip(t, v, &l.checkpoints[0])
	for _, b := range l.between(t, 0, l.checkpoints[1].m.Revision) {
		mustAppend(t, v, first.Number, b)
	}
	second := mustShip(t, v, &l.checkpoints[1])
	mustAppend(t, v, second.Number, l.between(t, second.Revision, l.newest())...)
	v = open(t, d)
	for revision, want := range l.states {
		done, err := restored(t, v, Target{Revision: revision})
		if err != nil || done.Digest != want.digest || done.Revision != revision {
			t.Fatalf("revision %d: %+v, %v", revision, done, err)
		}
		if done, err = restored(t, v, Target{Time: want.at}); err != nil || done.Digest != want.digest {
			t.Fatalf("time %v: %+v, %v, want revision %d", want.at, done, err, revision)
		}
	}
	done, err := restored(t, v, Target{Revision: 4}) // inside a batch of three: whole batches are restored
	if err != nil || done.Revision != 3 || done.Digest != l.states[3].digest {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := restored(t, v, Target{Revision: l.newest() + 1}); !errors.Is(err, ErrNotCovered) {
		t.Errorf("beyond the end: %v", err)
	}
	if _, err := restored(t, v, Target{Backup: 99}); !errors.Is(err, ErrNotCovered) {
		t.Errorf("an unknown backup: %v", err)
	}
}

func TestTheLogMustJoin(t *testing.T) {
	v := open(t, onDisk(t))
	l := newLife(t, v.seal, 6)
	s := mustShip(t, v, &l.checkpoints[0])
	var gap *GapError
	if _, err := appendLog(t.Context(), v, s.Number, l.log[1]); !errors.As(err, &gap) || gap.Reach != 0 {
		t.Fatalf("a gap: %v", err)
	}
	mustAppend(t, v, s.Number, l.log[0], l.log[1])
	if reach := mustAppend(t, v, s.Number, l.log[0]); reach != 6 {
		t.Errorf("sent twice: reach %d", reach)
	}
	if reach := mustAppend(t, v, s.Number, l.log[0], l.log[1], l.log[2]); reach != 9 {
		t.Errorf("an overlap: reach %d", reach)
	}
	if _, err := appendLog(t.Context(), v, s.Number, l.log[3], l.log[5]); !errors.Is(err, ErrDamaged) {
		t.Errorf("a hole inside: %v", err)
	}
	flipped := bytes.Clone(l.log[3])
	flipped[len(flipped)-1] ^= 1
	if _, err := appendLog(t.Context(), v, s.Number, flipped); !errors.Is(err, ErrDamaged) {
		t.Errorf("a record that fails its check: %v", err)
	}
	if _, err := appendLog(t.Context(), v, s.Number); !errors.Is(err, ErrDamaged) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := appendLog(t.Context(), v, 7, l.log[3]); !errors.Is(err, ErrNoBackup) {
		t.Errorf("an unknown chain: %v", err)
	}
	sealed, _ := v.seal.SealLog(s.Number+1, l.log[3:4])
	if _, err := v.AppendLog(t.Context(), s.Number, sealed); !errors.Is(err, ErrDamaged) {
		t.Errorf("sealed for another chain: %v", err)
	}
	mustAppend(t, v, s.Number, l.log[3:]...)
	if done, err := restored(t, v, Target{}); err != nil || done.Digest != l.states[18].digest {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestAManifestComesLast: no backup is there before all of its chunks are.
func TestAManifestComesLast(t *testing.T) {
	v := open(t, onDisk(t))
	l := newLife(t, v.seal, 5, 5)
	c := &l.checkpoints[1]
	draft, err := v.seal.SealDraft(&c.m)
	if err != nil {
		t.Fatal(err)
	}
	_, missing, err := v.Commit(t.Context(), 1, draft)
	if err != nil || len(missing) != len(c.chunks) || len(v.Backups()) > 0 {
		t.Fatalf("%d missing of %d, %v", len(missing), len(c.chunks), err)
	}
	for n, plain := range c.chunks {
		sealed, _ := v.seal.Seal(ChunkKind, n, append(bytes.Clone(plain), 'x'))
		if err := v.PutChunk(t.Context(), n, sealed); !errors.Is(err, ErrDamaged) {
			t.Fatalf("a chunk of other content: %v", err)
		}
		sealed, _ = v.seal.Seal(ChunkKind, n, plain)
		if err := v.PutChunk(t.Context(), strings.Replace(n, n[:1], "../", 1), sealed); !errors.Is(err,
			ErrDamaged) {
			t.Fatalf("a path as a name: %v", err)
		}
	}
	mustShip(t, v, c)
	if all := v.Backups(); len(all) != 1 || all[0].Missing > 0 || !all[0].Readable {
		t.Errorf("%+v", all)
	}
}

// TestCrashAtEveryWriteBoundary pulls the plug at every operation of the disk: what was answered is
// there afterwards, and whatever is there is whole.
func TestCrashAtEveryWriteBoundary(t *testing.T) {
	s := testSealer(t)
	l := newLife(t, s, 8, 5)
	points := 0
	for n := uint64(0); ; n++ {
		fs := fault.New(n)
		fs.Hook = fault.CrashAt(n)
		var answered struct {
			backups int
			reach   uint64
		}
		work := func() error {
			d, err := inMemory(fs)
			if err != nil {
				return err
			}
			v, err := Open(context.Background(), d, testKey(t), Options{})
			if err != nil {
				return err
			}
			for i := range l.checkpoints {
				sum, err := l.checkpoints[i].ship(context.Background(), v)
				if err != nil {
					return err
				}
				answered.backups, answered.reach = i+1, max(answered.reach, sum.Reach)
				upTo := l.newest()
				if i == 0 {
					upTo = l.checkpoints[1].m.Revision
				}
				for _, b := range l.between(t, sum.Revision, upTo) {
					if answered.reach, err = appendLog(context.Background(), v, sum.Number, b); err != nil {
						return err
					}
				}
			}
			return nil
		}
		if err := work(); err != nil && !fs.Crashed() {
			t.Fatalf("point %d: %v", n, err)
		}
		if !fs.Crashed() {
			points = int(n)
			break
		}
		for seed := range uint64(2) {
			checkAfterCrash(t, l, fs.Crash(seed), answered.backups, answered.reach, n)
		}
	}
	if points < 50 {
		t.Errorf("only %d crash points", points)
	}
}

func checkAfterCrash(t *testing.T, l *life, fs *fault.FS, backups int, reach, n uint64) {
	t.Helper()
	d, err := inMemory(fs)
	if err != nil {
		t.Fatal(err)
	}
	v := open(t, d)
	all := v.Backups()
	if len(all) < backups {
		t.Fatalf("point %d: %d backups, %d were answered", n, len(all), backups)
	}
	best := uint64(0)
	for _, b := range all {
		if !b.Readable || b.Missing > 0 {
			t.Fatalf("point %d: %+v", n, b)
		}
		best = max(best, b.Reach)
	}
	if best < reach {
		t.Fatalf("point %d: leads to revision %d, %d was answered", n, best, reach)
	}
	if r, err := v.Check(t.Context(), 0, 1); err != nil || !r.Good() {
		t.Fatalf("point %d: %+v, %v", n, r, err)
	}
	if len(all) == 0 || n%8 != 0 {
		return
	}
	done, err := restored(t, v, Target{})
	if err != nil || done.Revision != best || best > 0 && done.Digest != l.states[best].digest {
		t.Fatalf("point %d: %+v, %v", n, done, err)
	}
}

// TestFullDiskAtEveryWrite: what does not fit is refused, what was answered stays, and with room it
// goes on.
func TestFullDiskAtEveryWrite(t *testing.T) {
	s := testSealer(t)
	l := newLife(t, s, 4)
	for capacity := uint64(1 << 10); ; capacity += 3 << 10 {
		fs := fault.New(capacity)
		d, err := inMemory(fs)
		if err != nil {
			t.Fatal(err)
		}
		v := open(t, d)
		fs.Capacity = capacity
		reach := uint64(0)
		work := func() error {
			sum, err := l.checkpoints[0].ship(t.Context(), v)
			for i := 0; err == nil && i < len(l.log); i++ {
				reach, err = appendLog(t.Context(), v, sum.Number, l.log[i])
			}
			return err
		}
		err = work()
		if err != nil && !errors.Is(err, disk.ErrNoSpace) {
			t.Fatal(err)
		}
		full := err != nil
		if newest, ok := v.Newest(); ok && newest.Reach < reach {
			t.Fatalf("%d bytes: leads to %d, %d was answered", capacity, newest.Reach, reach)
		}
		fs.Capacity = 1 << 40
		if err := work(); err != nil {
			t.Fatalf("%d bytes, then room: %v", capacity, err)
		}
		if done, err := restored(t, v, Target{}); err != nil || done.Digest != l.states[l.newest()].digest {
			t.Fatalf("%+v, %v", done, err)
		}
		if !full {
			return
		}
	}
}

// TestMergeChangesNothing but the number of objects; also when it is cut short anywhere.
func TestMergeChangesNothing(t *testing.T) {
	s := testSealer(t)
	l := newLife(t, s, mergeFrom+6)
	for n := uint64(0); ; n++ {
		fs := fault.New(n)
		d, err := inMemory(fs)
		if err != nil {
			t.Fatal(err)
		}
		v := open(t, d)
		sum := mustShip(t, v, &l.checkpoints[0])
		for _, b := range l.log {
			mustAppend(t, v, sum.Number, b)
		}
		fs.Hook = fault.CrashAt(n * 7)
		err = v.Merge(t.Context(), sum.Number)
		if !fs.Crashed() {
			if all := v.Backups(); err != nil || all[0].LogPieces > 8 || all[0].Reach != l.newest() {
				t.Fatalf("%+v, %v", all, err)
			}
			return
		}
		d, err = inMemory(fs.Crash(n))
		if err != nil {
			t.Fatal(err)
		}
		v = open(t, d)
		if err := v.Merge(t.Context(), sum.Number); err != nil {
			t.Fatal(err)
		}
		if all := v.Backups(); all[0].Reach != l.newest() {
			t.Fatalf("point %d: %+v", n, all)
		}
		if done, err := restored(t, v, Target{}); err != nil || done.Digest != l.states[l.newest()].digest {
			t.Fatalf("point %d: %+v, %v", n, done, err)
		}
	}
}

// TestEveryObjectDamagedInTurn: the check finds it, and a restore either passes it over or says so;
// it never makes a wrong store.
func TestEveryObjectDamagedInTurn(t *testing.T) {
	s := testSealer(t)
	l := newLife(t, s, 10, 5)
	build := func() *fault.FS {
		fs := fault.New(1)
		d, err := inMemory(fs)
		if err != nil {
			t.Fatal(err)
		}
		v := open(t, d)
		first := mustShip(t, v, &l.checkpoints[0])
		mustAppend(t, v, first.Number, l.between(t, 0, l.checkpoints[1].m.Revision)...)
		second := mustShip(t, v, &l.checkpoints[1])
		mustAppend(t, v, second.Number, l.between(t, second.Revision, l.newest())...)
		return fs
	}
	rng := rand.New(rand.NewPCG(5, 5))
	for _, name := range build().Names() {
		for _, harm := range []string{"flipped", "cut", "unreadable", "gone"} {
			fs := build()
			switch harm {
			case "flipped":
				fs.Edit(name, func(b []byte) []byte { b[rng.IntN(len(b))] ^= 1; return b })
			case "cut":
				fs.Edit(name, func(b []byte) []byte { return b[:rng.IntN(len(b))] })
			case "unreadable":
				fs.Spoil(name, 0, 1)
			case "gone":
				if err := fs.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
			damaged(t, l, fs, name, harm)
		}
	}
}

func damaged(t *testing.T, l *life, fs *fault.FS, name, harm string) {
	t.Helper()
	d, err := inMemory(fs)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Open(t.Context(), d, testKey(t), Options{})
	if harm == "unreadable" && err != nil {
		return // the disk fails: nothing is known, and nothing is decided
	}
	if err != nil {
		t.Fatalf("%s %s: %v", name, harm, err)
	}
	done, err := restored(t, v, Target{})
	if err == nil && done.Digest != l.states[done.Revision].digest {
		t.Fatalf("%s %s: a wrong store: %+v", name, harm, done)
	}
	if harm == "unreadable" {
		return
	}
	r, err := v.Check(t.Context(), 0, 1)
	chunk := strings.Contains(name, "chunks/")
	if err != nil || harm != "gone" && r.Good() || harm == "gone" && chunk && len(r.Missing) != 1 {
		t.Fatalf("%s %s: %+v, %v", name, harm, r, err)
	}
	again := mustShip(t, v, &l.checkpoints[1]) // the living edge
	mustAppend(t, v, again.Number, l.between(t, again.Revision, l.newest())...)
	if done, err := restored(t, v, Target{}); err != nil || done.Revision != l.newest() {
		t.Fatalf("%s %s: not healed: %+v, %v", name, harm, done, err)
	}
	if r, err := v.Check(t.Context(), 0, 1); err != nil || len(r.Missing) > 0 && !chunk {
		t.Fatalf("%s %s: %+v, %v", name, harm, r, err)
	}
}

// TestAHalfMadeRestoreLeavesNothing in the place of data.
func TestAHalfMadeRestoreLeavesNothing(t *testing.T) {
	d := onDisk(t)
	v := open(t, d)
	l := newLife(t, v.seal, 5, 5)
	mustShip(t, v, &l.checkpoints[1])
	to := filepath.Join(t.TempDir(), "to")
	wrong := errors.New("the master is gone")
	_, err := v.Restore(t.Context(), Restoration{Dir: to, Log: quiet(),
		Epoch: func(context.Context, uint16) (uint16, error) { return 0, wrong }})
	if !errors.Is(err, wrong) {
		t.Fatal(err)
	}
	for _, path := range []string{to, to + ".restoring"} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there: %v", path, err)
		}
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Restore(t.Context(), Restoration{Dir: to}); err == nil ||
		!strings.Contains(err.Error(), "not empty") {
		t.Errorf("over somebody's data: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Restore(ctx, Restoration{Dir: to + "2", Log: quiet()}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNamesAreReadBackExactly(t *testing.T) {
	p := piece{number: 12, first: 3, last: 1 << 50, size: 9}
	if got, ok := parsePiece(p.name(), 9); !ok || got != p {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"", "x.log", "00000012.0-1.log", "12.0000000000000003-0000000000000004.log",
		"00000012.0000000000000005-0000000000000004.log", p.name() + badExt} {
		if _, ok := parsePiece(bad, 1); ok {
			t.Errorf("%q is taken for a piece", bad)
		}
	}
	for _, bad := range []string{"1.json", "00000001.json.tmp", "0000000x.json", "00000001.jsonx"} {
		if _, ok := parseManifestName(bad); ok {
			t.Errorf("%q is taken for a manifest", bad)
		}
	}
	if n, ok := parseManifestName(fmt.Sprintf("%08d.json", 7)); !ok || n != 7 {
		t.Error(n)
	}
}
