package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"metronome/system/backup"
	"metronome/system/disk/fault"
)

const grace = 24 * time.Hour

func (p *place) prune(keep int) backup.Pruned {
	p.Helper()
	r, err := p.Prune(p.Context(), backup.PruneOptions{Keep: keep, Grace: grace})
	if err != nil {
		p.Fatal(err)
	}
	return r
}

func (p *place) later(d time.Duration) { p.now = p.now.Add(d) }

func TestPruneKeepsTheNewestAndWhatTheyNeed(t *testing.T) {
	p := newPlace(t)
	files := map[string][]byte{}
	var ids []string
	for _, seed := range []string{"a", "b", "a", "c"} {
		file := large(t, seed, 2<<20)
		m := p.save(file)
		ids, files[m.ID] = append(ids, m.ID), file
		p.later(time.Hour)
	}
	before := len(p.files("chunks"))
	if r := p.prune(2); !slices.Equal(r.Removed, ids[:2]) || !slices.Equal(r.Kept, ids[2:]) ||
		r.Doomed+r.Freed > 0 {
		t.Errorf("young chunks: %+v", r)
	}
	p.later(grace)
	doomed := p.prune(2)
	if doomed.Doomed == 0 || doomed.Freed > 0 || len(p.files("chunks")) != before {
		t.Errorf("first step: %+v", doomed)
	}
	p.later(grace - time.Second)
	if r := p.prune(2); r.Waiting != doomed.Doomed || r.Doomed+r.Freed > 0 {
		t.Errorf("before the time is up: %+v", r)
	}
	p.later(2 * time.Second)
	if r := p.prune(2); r.Freed != doomed.Doomed || len(p.files("chunks")) != before-r.Freed ||
		len(p.files("doomed")) > 0 {
		t.Errorf("second step: %+v, %d chunks of %d", r, len(p.files("chunks")), before)
	}
	for _, id := range ids[2:] {
		p.good(id, files[id])
	}
}

func TestADryRunOfPruneChangesNothing(t *testing.T) {
	p := newPlace(t)
	p.save(small(t, "a"))
	p.save(small(t, "b"))
	p.later(2 * grace)
	dry := func() backup.Pruned {
		t.Helper()
		names := p.fs.Names()
		r, err := p.Prune(t.Context(), backup.PruneOptions{Keep: 1, Grace: grace, DryRun: true})
		if err != nil || !slices.Equal(names, p.fs.Names()) {
			t.Errorf("%+v, %v", r, err)
		}
		return r
	}
	if r := dry(); len(r.Removed) != 1 || r.Doomed == 0 {
		t.Errorf("%+v", r)
	}
	p.prune(1)
	p.later(2 * grace)
	if r := dry(); r.Freed == 0 || r.Doomed > 0 {
		t.Errorf("%+v", r)
	}
}

func TestPruneRefuses(t *testing.T) {
	p := newPlace(t)
	m := p.save(small(t, "a"))
	for _, o := range []backup.PruneOptions{{Keep: 0, Grace: grace}, {Keep: 1, Grace: time.Minute}} {
		if _, err := p.Prune(t.Context(), o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	p.fs.Edit(path.Join(root, "backups", m.ID+".json"), func(b []byte) []byte { return b[:10] })
	_, err := p.Prune(t.Context(), backup.PruneOptions{Keep: 1, Grace: grace})
	if !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), m.ID) {
		t.Errorf("a backup to be kept is damaged: %v", err)
	}
}

// TestABackupDoesNotRestOnDoomedChunks: one that finds them there writes its own, and one under way
// when they are doomed writes them again.
func TestABackupDoesNotRestOnDoomedChunks(t *testing.T) {
	p := newPlace(t)
	shared, other := large(t, "shared", 3<<20), small(t, "other")
	p.save(shared)
	p.later(2 * grace)
	p.save(other)
	if r := p.prune(1); r.Doomed == 0 {
		t.Fatalf("%+v", r)
	}
	again := p.save(shared)
	p.later(2 * grace)
	if r := p.prune(2); r.Freed == 0 {
		t.Errorf("%+v", r)
	}
	p.good(again.ID, shared)

	// Under way: half of it is written, or found, when everything that it uses is doomed.
	p.later(2 * grace)
	p.save(other)
	halfway := false
	m, err := p.Save(t.Context(), bytes.NewReader(shared), backup.SaveOptions{Progress: func(n backup.Progress) {
		if n.Chunks == 2 && !halfway {
			halfway = true
			p.later(2 * grace)
			if r := p.prune(1); r.Doomed == 0 {
				t.Errorf("%+v", r)
			}
		}
	}})
	if err != nil || !halfway {
		t.Fatal(err)
	}
	p.later(2 * grace)
	p.prune(5)
	p.good(m.ID, shared)
}

// slow is a destination on which other things happen before some calls.
type slow struct {
	backup.Destination
	before func(call, name string)
}

func (s *slow) Put(ctx context.Context, name string, b []byte) error {
	s.before("put", name)
	return s.Destination.Put(ctx, name, b)
}

func (s *slow) Remove(ctx context.Context, name string) error {
	s.before("remove", name)
	return s.Destination.Remove(ctx, name)
}

func (s *slow) List(ctx context.Context, folder string) ([]backup.Object, error) {
	s.before("list", folder)
	return s.Destination.List(ctx, folder)
}

// TestBackupsAndPrunesAtTheSameTime lets prunes and backups happen in the middle of prunes and backups,
// with the clock going on, from seeds. No backup that was reported may miss anything.
func TestBackupsAndPrunesAtTheSameTime(t *testing.T) {
	for seed := range uint64(25) {
		rng := rand.New(rand.NewPCG(seed, 7))
		p := newPlace(t)
		contents := [][]byte{small(t, "a"), small(t, "b"), small(t, "c")}
		made := map[string][]byte{}
		depth := 0
		act := func() {
			if depth > 2 {
				return
			}
			depth++
			defer func() { depth-- }()
			if rng.IntN(2) == 0 {
				file := contents[rng.IntN(len(contents))]
				if m, err := p.Save(t.Context(), bytes.NewReader(file), backup.SaveOptions{}); err == nil {
					made[m.ID] = file
				} else if !strings.Contains(err.Error(), "run it again") {
					t.Fatalf("seed %d: save: %v", seed, err)
				}
				return
			}
			r, err := p.Prune(t.Context(), backup.PruneOptions{Keep: 1 + rng.IntN(2), Grace: grace})
			for _, id := range r.Removed {
				delete(made, id)
			}
			if err != nil && !errors.Is(err, backup.ErrNotFound) && !strings.Contains(err.Error(), "run it again") {
				t.Fatalf("seed %d: prune: %v", seed, err)
			}
		}
		p.Archive = p.archive(&slow{mustOpen(t, p.fs), func(string, string) {
			p.later(time.Duration(rng.IntN(4)) * time.Minute)
			if rng.IntN(6) == 0 {
				act()
			}
		}}, 1)
		for range 30 {
			p.later(time.Duration(rng.IntN(40)) * time.Hour)
			act()
		}
		all, err := p.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if file, ok := made[e.ID]; !ok || e.Err != nil {
				t.Errorf("seed %d: %s: reported %v, %v", seed, e.ID, ok, e.Err)
			} else if got, err := p.read(e.Manifest); err != nil || !bytes.Equal(got, file) {
				t.Fatalf("seed %d: %s: %v", seed, e.ID, err)
			}
		}
	}
}

func TestUnfinishedFilesAreSweptInTime(t *testing.T) {
	p := newPlace(t)
	m := p.save(small(t, "a"))
	name := path.Join(root, "chunks", fmt.Sprintf("%064x.%s.tmp", 5, m.ID))
	p.fs.Edit(name, func([]byte) []byte { return []byte("half a chu") })
	p.prune(1)
	if p.fs.Bytes(name) == nil {
		t.Error("a file that may be being written was removed")
	}
	p.later(2 * grace)
	p.prune(1)
	if p.fs.Bytes(name) != nil {
		t.Error("what a crash left stays for ever")
	}
}

// TestACrashAnywhereInPruneBreaksNothing pulls the plug at every operation of both steps.
func TestACrashAnywhereInPruneBreaksNothing(t *testing.T) {
	begin := newPlace(t)
	old, kept := small(t, "old"), small(t, "kept")
	begin.save(old)
	begin.later(2 * grace)
	m := begin.save(kept)
	begin.save(old)
	begin.later(2 * grace)
	last := begin.save(kept)
	durable := begin.fs.Crash(1)
	for n := uint64(0); ; n++ {
		p := placeOn(t, durable.Crash(n))
		p.now = begin.now
		p.fs.Hook = fault.CrashAt(n)
		for range 3 {
			if _, err := p.Prune(t.Context(), backup.PruneOptions{Keep: 1, Grace: grace}); err != nil {
				break
			}
			p.later(2 * grace)
		}
		for seed := range uint64(4) {
			after := placeOn(t, p.fs.Crash(seed))
			after.now = p.now
			for range 3 {
				after.later(2 * grace)
				after.prune(1)
			}
			after.good(last.ID, kept)
			if len(after.files("backups")) != 1 || len(after.files("doomed")) > 0 ||
				len(after.files("chunks")) != len(distinct(m)) {
				t.Fatalf("operation %d: %v", n, after.fs.Names())
			}
		}
		if !p.fs.Crashed() {
			break
		}
	}
}

func distinct(m *backup.Manifest) map[string]bool {
	names := map[string]bool{}
	for _, c := range m.Chunks {
		names[c.Name] = true
	}
	return names
}

// TestAChunkThatWasNeededAfterAllStays: a backup that ends between the moment at which a prune looks
// for what is needed and the one at which it dooms the rest.
func TestAChunkThatWasNeededAfterAllStays(t *testing.T) {
	p := newPlace(t)
	shared, other := large(t, "shared", 3<<20), small(t, "other")
	p.save(shared)
	p.later(2 * grace)
	p.save(other)
	var m *backup.Manifest
	plain := p.Archive
	p.Archive = p.archive(&slow{mustOpen(t, p.fs), func(call, name string) {
		if call == "put" && strings.HasPrefix(name, "doomed/") {
			p.Archive, plain = plain, p.Archive
			m = p.save(shared)
			p.Archive, plain = plain, p.Archive
		}
	}}, 1)
	if r := p.prune(1); r.Doomed == 0 || m == nil {
		t.Fatalf("%+v", r)
	}
	p.Archive = plain
	p.later(2 * grace)
	p.prune(2)
	p.good(m.ID, shared)
}

// TestABackupSettlesBeforeItsManifest: chunks are doomed while a backup is under way, and a second prune,
// which saw no manifest of it, removes them when it has ended.
func TestABackupSettlesBeforeItsManifest(t *testing.T) {
	p := newPlace(t)
	shared, other := large(t, "shared", 5<<20), small(t, "other")
	p.save(shared)
	p.later(2 * grace)
	p.save(other)
	reached, release, pruned := make(chan bool), make(chan bool), make(chan error, 1)
	pausing := p.archive(&slow{mustOpen(t, p.fs), func(call, name string) {
		if call == "remove" && strings.HasPrefix(name, "chunks/") && reached != nil {
			close(reached)
			reached = nil
			<-release
		}
	}}, 1)
	began := reached
	m, err := p.Save(t.Context(), bytes.NewReader(shared), backup.SaveOptions{Progress: func(n backup.Progress) {
		if n.Chunks != 2 {
			return
		}
		p.later(2 * grace)
		p.prune(1)
		p.later(2 * grace)
		go func() {
			_, err := pausing.Prune(t.Context(), backup.PruneOptions{Keep: 1, Grace: grace})
			pruned <- err
		}()
		<-began
	}})
	if err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-pruned; err != nil {
		t.Fatal(err)
	}
	p.good(m.ID, shared)
}
