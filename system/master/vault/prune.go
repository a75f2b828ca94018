package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"metronome/system/backup"
	"metronome/system/master/keep"
)

// Pruning says what to prune.
type Pruning struct {
	Policy  keep.Policy
	Proven  uint64        // number of the last backup that was proven restorable: it stays
	Elapsed time.Duration // running time since the last look, by a clock that only grows
	Grace   time.Duration // between the two steps
}

// Pruned says what was done.
type Pruned struct {
	Kept    map[uint64][]string `json:"kept"` // backups, and why
	Removed []string            `json:"removed,omitempty"`
	Waiting int                 `json:"waiting"`        // objects marked whose grace is not over
	Held    string              `json:"held,omitempty"` // why no chunk is removed
}

const (
	agesName = doomedFolder + "/ages.json"
	maxAges  = 64 << 20
)

// Prune looks at what nobody wants, and removes what has been unwanted for the grace time. It is to
// be called once an hour or so.
func (v *Vault) Prune(ctx context.Context, o Pruning) (r Pruned, err error) {
	v.write.Lock()
	defer v.write.Unlock()
	r.Kept = o.Policy.Keep(v.candidates(o.Proven))
	unwanted, held, err := v.unwanted(ctx, r.Kept)
	if err != nil {
		return r, err
	}
	ages, err := v.readAges(ctx)
	if err != nil {
		return r, err
	}
	next, remove := ages.Step(unwanted, int64(o.Elapsed), int64(o.Grace))
	if err := v.writeAges(ctx, ages, next); err != nil {
		return r, err
	}
	r.Held, r.Waiting = held, len(next)-len(remove)
	for _, object := range order(remove) {
		if err := v.remove(ctx, object); err != nil {
			return r, err
		}
		r.Removed = append(r.Removed, object)
	}
	return r, nil
}

// candidates are the backups as a policy sees them. The newest chains of the newest life stay in
// any case, by the policy's own rule; one that cannot be read takes nobody's place.
func (v *Vault) candidates(proven uint64) (all []keep.Backup) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for n, c := range v.chains {
		if c.m == nil {
			continue
		}
		b := keep.Backup{Number: n, Unix: c.m.Received.Unix()}
		if n == proven {
			b.Pinned = "proven"
		}
		all = append(all, b)
	}
	return all
}

// unwanted are the objects that nobody wants, manifests first of all: what they name is wanted as
// long as they exist.
func (v *Vault) unwanted(ctx context.Context, kept map[uint64][]string) (names []string, held string,
	err error) {
	objects, err := v.dest.List(ctx, backupFolder)
	if err != nil {
		return nil, "", err
	}
	chunks, err := v.dest.List(ctx, chunkFolder)
	if err != nil {
		return nil, "", err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, o := range objects {
		number, isManifest := parseManifestName(o.Name)
		p, isPiece := parsePiece(o.Name, o.Size)
		if isPiece {
			number = p.number
		}
		_, exists := v.chains[number]
		if isManifest && kept[number] == nil || isPiece && !exists || !isManifest && !isPiece {
			names = append(names, backupFolder+"/"+o.Name)
		}
	}
	wanted := map[string]bool{}
	for n, c := range v.chains {
		if c.m == nil {
			return names, fmt.Sprintf("manifest %d cannot be read, so nobody knows what it needs", n), nil
		}
		c.m.names(func(name string) { wanted[name] = true })
	}
	for _, o := range chunks {
		if !wanted[o.Name] {
			names = append(names, chunkFolder+"/"+o.Name)
		}
	}
	return names, "", nil
}

// order puts manifests first: a crash in between leaves chunks without a manifest, never the
// reverse.
func order(objects []string) []string {
	slices.SortStableFunc(objects, func(a, b string) int {
		return rank(a) - rank(b)
	})
	return objects
}

func rank(object string) int {
	if strings.HasSuffix(object, manifestExt) {
		return 0
	}
	return 1
}

// remove removes one object, unless somebody came to want it since the look: a chunk that was
// uploaded again.
func (v *Vault) remove(ctx context.Context, object string) error {
	folder, name, _ := strings.Cut(object, "/")
	if folder == chunkFolder && IsChunk(name) {
		one := &v.same[strings.IndexByte("0123456789abcdef", name[0])]
		one.Lock()
		defer one.Unlock()
	}
	// First forgotten, then removed: nobody is told that it is there when it may be gone.
	v.mu.Lock()
	if number, ok := parseManifestName(name); ok && folder == backupFolder {
		delete(v.chains, number)
	}
	if folder == chunkFolder {
		delete(v.chunks, name)
	}
	v.mu.Unlock()
	return v.dest.Remove(ctx, object)
}

func (v *Vault) readAges(ctx context.Context) (keep.Ages, error) {
	b, err := v.dest.Get(ctx, agesName, maxAges)
	if errors.Is(err, backup.ErrNotFound) {
		return keep.Ages{}, nil
	}
	if err != nil && !errors.Is(err, backup.ErrDamaged) {
		return nil, err
	}
	ages := keep.Ages{}
	if json.Unmarshal(b, &ages) != nil {
		return keep.Ages{}, nil // every grace begins anew
	}
	return ages, nil
}

func (v *Vault) writeAges(ctx context.Context, old, next keep.Ages) error {
	if maps.Equal(old, next) {
		return nil
	}
	b, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("vault: %w", err)
	}
	return v.dest.Put(ctx, agesName, b)
}
