package vault

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"metronome/system/backup"
)

// Checked says what a check found.
type Checked struct {
	Manifests int      `json:"manifests"`
	Chunks    int      `json:"chunks"`
	Pieces    int      `json:"log_pieces"`
	Bytes     int64    `json:"bytes"` // read
	Bad       []string `json:"bad,omitempty"`
	Missing   []string `json:"missing,omitempty"` // chunks that manifests name
}

// Good reports whether nothing was wrong.
func (c *Checked) Good() bool { return len(c.Bad)+len(c.Missing) == 0 }

// Check reads the list anew, all manifests and logs, and of the chunks the part that turn says: a
// chunk is read when its turn comes up, 0 <= turn < turns, so that turns checks in a row read all.
// Damage is set aside.
func (v *Vault) Check(ctx context.Context, turn, turns int) (r Checked, err error) {
	if err := v.Relist(ctx); err != nil {
		return r, err
	}
	if err := v.checkBackups(ctx, &r); err != nil {
		return r, err
	}
	v.mu.Lock()
	names := slices.Sorted(maps.Keys(v.chunks))
	v.mu.Unlock()
	for _, name := range names {
		if turns > 1 && int(hashed(name)%uint32(turns)) != turn {
			continue
		}
		if err := v.checkChunk(ctx, name, &r); err != nil {
			return r, err
		}
	}
	r.Missing = v.lost()
	return r, nil
}

func hashed(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return h.Sum32()
}

// lost are the chunks that manifests name and that are not there.
func (v *Vault) lost() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	lost := map[string]bool{}
	for _, c := range v.chains {
		if c.m == nil {
			continue
		}
		c.m.names(func(name string) {
			if _, ok := v.chunks[name]; !ok {
				lost[name] = true
			}
		})
	}
	return slices.Sorted(maps.Keys(lost))
}

// twice reads an object, and again if it is damaged: what was wrong on the way is not wrong at its
// place.
func (v *Vault) twice(ctx context.Context, object string, limit int, good func([]byte) error) (n int,
	err error) {
	for range 2 {
		var b []byte
		b, err = v.dest.Get(ctx, object, limit)
		if err = damage(err); err == nil {
			err = good(b)
		}
		if n = len(b); !errors.Is(err, ErrDamaged) {
			break
		}
	}
	return n, err
}

func (v *Vault) checkChunk(ctx context.Context, name string, r *Checked) error {
	n, err := v.twice(ctx, chunkFolder+"/"+name, ChunkKind.MaxSealed(), func(b []byte) error {
		plain, err := v.seal.Open(ChunkKind, name, b)
		if err == nil && v.seal.Name(plain) != name {
			err = fmt.Errorf("vault: chunk %s: %w", name, ErrDamaged)
		}
		return err
	})
	r.Chunks++
	r.Bytes += int64(n)
	switch {
	case errors.Is(err, backup.ErrNotFound): // gone since the list; or removed by Prune, and then not missed
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrForeign):
		r.Bad = append(r.Bad, chunkFolder+"/"+name)
		err = v.setAside(ctx, chunkFolder+"/"+name, ChunkKind.MaxSealed())
	case err != nil:
		return err
	default:
		return nil
	}
	if err != nil && !errors.Is(err, backup.ErrNotFound) {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.chunks, name)
	return nil
}

// setAside gives what is damaged another name, so that a good one can take its place.
func (v *Vault) setAside(ctx context.Context, object string, limit int) error {
	b, err := v.dest.Get(ctx, object, limit)
	if err == nil {
		err = v.dest.Put(ctx, object+badExt, b)
	}
	if err != nil && !errors.Is(err, backup.ErrDamaged) { // too long to be looked at: nobody misses it
		return err
	}
	return v.dest.Remove(ctx, object)
}

// checkBackups reads all manifests and logs. Damaged manifests stay under their names: Prune must
// know of them.
func (v *Vault) checkBackups(ctx context.Context, r *Checked) error {
	v.mu.Lock()
	chains := maps.Clone(v.chains)
	v.mu.Unlock()
	for _, number := range slices.Sorted(maps.Keys(chains)) {
		if r.Manifests++; chains[number].m == nil {
			r.Bad = append(r.Bad, backupFolder+"/"+manifestName(number))
			continue
		}
		if err := v.checkLog(ctx, number, r); err != nil {
			return err
		}
	}
	return nil
}

func (v *Vault) checkLog(ctx context.Context, number uint64, r *Checked) error {
	v.write.Lock()
	defer v.write.Unlock()
	c, err := v.chain(number)
	if err != nil {
		return nil //nolint:nilerr // pruned meanwhile
	}
	for _, p := range slices.Clone(c.pieces) {
		object := backupFolder + "/" + p.name()
		n, err := v.twice(ctx, object, LogKind.MaxSealed(), func(b []byte) error {
			plain, err := v.seal.Open(LogKind, p.name(), b)
			if err != nil {
				return err
			}
			records, err := decodeLog(plain)
			if err == nil {
				_, _, err = span(records)
			}
			return err
		})
		r.Pieces++
		r.Bytes += int64(n)
		if errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign) {
			r.Bad = append(r.Bad, object)
			if err = v.setAside(ctx, object, LogKind.MaxSealed()); err == nil {
				err = v.dropPieces(ctx, c, []piece{p})
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
