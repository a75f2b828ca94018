package vault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"metronome/system/backup"
	"metronome/system/disk/fault"
	"metronome/system/master/keep"
)

// fake is a backup of a few small chunks out of a few dozen, so that backups share some.
func fake(rng *rand.Rand, s *Sealer) *checkpoint {
	c := &checkpoint{chunks: map[string][]byte{}, m: Manifest{Format: ManifestFormat, Edge: "e",
		Incarnation: "i"}}
	for i := range 1 + rng.IntN(4) {
		content := fmt.Appendf(nil, "chunk %d", rng.IntN(40))
		name := s.Name(content)
		c.chunks[name] = content
		c.m.Files = append(c.m.Files, File{Path: fmt.Sprint("f", i), Size: int64(len(content)),
			Chunks: []Chunk{{name, len(content)}}})
	}
	return c
}

// TestPruneNeverTakesWhatIsNeeded: random backups, uploads that were given up, lost chunks, crashes
// and looks, and after each step everything that a kept manifest names is there, and the proven one
// is whole.
func TestPruneNeverTakesWhatIsNeeded(t *testing.T) {
	for seed := range uint64(60) {
		if !t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { pruneModel(t, seed) }) {
			return
		}
	}
}

// pruning is the state of one run of the model.
type pruning struct {
	t      *testing.T
	rng    *rand.Rand
	fs     *fault.FS
	v      *Vault
	now    time.Time
	proven uint64
	policy keep.Policy
}

func (p *pruning) open() {
	p.t.Helper()
	d, err := inMemory(p.fs)
	if err == nil {
		p.v, err = Open(context.Background(), d, testKey(p.t), Options{Now: func() time.Time { return p.now }})
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func pruneModel(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 77))
	p := &pruning{t: t, rng: rng, fs: fault.New(seed), now: time.Unix(1_700_000_000, 0),
		policy: keep.Policy{Last: 1, Hourly: rng.IntN(4), Daily: rng.IntN(3)}}
	p.open()
	removed := 0
	for range 120 {
		switch rng.IntN(10) {
		case 0, 1, 2:
			c := fake(rng, p.v.seal)
			if _, err := c.ship(t.Context(), p.v); err != nil {
				t.Fatal(err)
			}
		case 3: // an upload that never ends
			for n, content := range fake(rng, p.v.seal).chunks {
				sealed, _ := p.v.seal.Seal(ChunkKind, n, content)
				if err := p.v.PutChunk(t.Context(), n, sealed); err != nil {
					t.Fatal(err)
				}
			}
		case 4:
			if all := p.v.Backups(); len(all) > 0 {
				p.proven = all[rng.IntN(len(all))].Number
			}
		case 5:
			p.now = p.now.Add(time.Duration(rng.IntN(100)-20) * time.Hour)
		case 6:
			p.crash()
		default:
			removed += p.prune()
		}
		p.check()
	}
	if removed == 0 && seed > 5 {
		t.Error("nothing was ever removed: this shows nothing")
	}
}

func (p *pruning) prune() int {
	r, err := p.v.Prune(context.Background(), Pruning{Policy: p.policy, Proven: p.proven, Grace: 24 * time.Hour,
		Elapsed: time.Duration(p.rng.IntN(30)) * time.Hour})
	if err != nil {
		p.t.Fatal(err)
	}
	return len(r.Removed)
}

// crash pulls the plug somewhere in a look or an upload.
func (p *pruning) crash() {
	p.fs.Hook = fault.CrashAt(uint64(p.rng.IntN(40)))
	if p.rng.IntN(2) == 0 {
		_, _ = fake(p.rng, p.v.seal).ship(context.Background(), p.v)
	}
	_, _ = p.v.Prune(context.Background(), Pruning{Policy: p.policy, Proven: p.proven, Grace: time.Hour,
		Elapsed: 2 * time.Hour})
	p.fs = p.fs.Crash(p.rng.Uint64())
	p.open()
}

func (p *pruning) check() {
	p.t.Helper()
	all := p.v.Backups()
	for _, b := range all {
		if b.Missing > 0 || !b.Readable {
			p.t.Fatalf("%+v", b)
		}
	}
	if p.proven > 0 && !slices.ContainsFunc(all, func(b Summary) bool { return b.Number == p.proven }) {
		p.t.Fatalf("backup %d was proven and is gone", p.proven)
	}
	r, err := p.v.Check(context.Background(), 0, 1)
	if err != nil || !r.Good() {
		p.t.Fatalf("%+v, %v", r, err)
	}
}

func TestTheGraceIsWaitedFor(t *testing.T) {
	v := open(t, onDisk(t))
	rng := rand.New(rand.NewPCG(1, 1))
	for range 6 {
		mustShip(t, v, fake(rng, v.seal))
	}
	looks := func(n int, elapsed time.Duration) (removed []string) {
		for range n {
			r, err := v.Prune(t.Context(), Pruning{Grace: 24 * time.Hour, Elapsed: elapsed})
			if err != nil {
				t.Fatal(err)
			}
			removed = append(removed, r.Removed...)
		}
		return removed
	}
	if got := looks(24, time.Hour); len(got) > 0 {
		t.Fatalf("removed %v too early", got)
	}
	if got := looks(1, time.Hour); len(got) != 3 || len(v.Backups()) != 3 {
		t.Fatalf("removed %v", got)
	}
	if got := looks(24, time.Hour); len(got) > 0 {
		t.Fatalf("chunks went before their own grace: %v", got)
	}
	for _, name := range looks(2, time.Hour) {
		if !strings.HasPrefix(name, chunkFolder) {
			t.Errorf("removed %s", name)
		}
	}
}

// TestNothingIsRemovedWhileAManifestCannotBeRead (litestream#1084, kopia#1087): nobody knows what
// it needs.
func TestNothingIsRemovedWhileAManifestCannotBeRead(t *testing.T) {
	fs := fault.New(1)
	d, err := inMemory(fs)
	if err != nil {
		t.Fatal(err)
	}
	v := open(t, d)
	rng := rand.New(rand.NewPCG(1, 1))
	mustShip(t, v, fake(rng, v.seal))
	orphan := []byte("nobody's")
	sealed, _ := v.seal.Seal(ChunkKind, v.seal.Name(orphan), orphan)
	if err := v.PutChunk(t.Context(), v.seal.Name(orphan), sealed); err != nil {
		t.Fatal(err)
	}
	fs.Edit("vault/backups/00000001.json", func(b []byte) []byte { b[50] ^= 1; return b })
	v = open(t, d)
	var r Pruned
	for range 5 {
		if r, err = v.Prune(t.Context(), Pruning{Grace: time.Hour, Elapsed: 30 * time.Minute}); err != nil {
			t.Fatal(err)
		}
		if len(r.Removed) > 0 && r.Removed[0] != "backups/00000001.json" {
			t.Fatalf("removed %v", r.Removed)
		}
	}
	if len(v.Missing([]string{v.seal.Name(orphan)})) > 0 {
		t.Error("a chunk is gone")
	}
}

// failing is a destination that cannot remove.
type failing struct {
	backup.Destination
	err error
}

func (f *failing) Remove(ctx context.Context, name string) error {
	return errors.Join(f.err, f.Destination.Remove(ctx, name))
}

// TestAFailedRemovalIsTriedAgain, and what may be gone counts as missing.
func TestAFailedRemovalIsTriedAgain(t *testing.T) {
	d := &failing{Destination: onDisk(t)}
	v := open(t, d)
	plain := []byte("x")
	name := v.seal.Name(plain)
	sealed, _ := v.seal.Seal(ChunkKind, name, plain)
	if err := v.PutChunk(t.Context(), name, sealed); err != nil {
		t.Fatal(err)
	}
	d.err = errors.New("the bucket's server is away")
	o := Pruning{Grace: time.Hour, Elapsed: 2 * time.Hour}
	if _, err := v.Prune(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Prune(t.Context(), o); !errors.Is(err, d.err) {
		t.Fatal(err)
	}
	if len(v.Missing([]string{name})) != 1 {
		t.Error("it may be gone, and an edge was told that it is there")
	}
	d.err = nil
	if err := v.PutChunk(t.Context(), name, sealed); err != nil || len(v.Missing([]string{name})) > 0 {
		t.Error(err)
	}
}
