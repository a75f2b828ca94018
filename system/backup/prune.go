package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// MinGrace is the shortest time between dooming a chunk and removing it. A backup under way looks
// for doomed chunks within settleLimit of its manifest.
const MinGrace = time.Hour

// PruneOptions say what to keep.
type PruneOptions struct {
	Keep  int           // the newest so many backups
	Grace time.Duration // at least MinGrace; a backup takes no longer
	// DryRun only says what would be done.
	DryRun bool
}

// Pruned says what was, or would be, done.
type Pruned struct {
	Kept    []string `json:"kept"`
	Removed []string `json:"removed"`
	Freed   int      `json:"chunks_removed"`
	Doomed  int      `json:"chunks_doomed"`  // to be removed after the grace time
	Waiting int      `json:"chunks_waiting"` // doomed before, and their time is not up
}

// doomList is an object that names chunks to be removed.
type doomList struct {
	Format string   `json:"format"`
	Chunks []string `json:"chunks"`
}

const doomFormat = "metronome-doomed-1"

// doomLists are the lists there are, by id.
func (a *Archive) doomLists(ctx context.Context) (map[string][]string, error) {
	objects, err := a.list(ctx, doomedFolder)
	if err != nil {
		return nil, err
	}
	lists := map[string][]string{}
	for _, o := range objects {
		id, ok := strings.CutSuffix(o.Name, manifestExt)
		if !ok || CheckID(id) != nil {
			continue
		}
		b, err := a.get(ctx, doomedFolder+"/"+o.Name, maxManifest)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		var l doomList
		if err == nil {
			if err := json.Unmarshal(b, &l); err != nil || l.Format != doomFormat {
				return nil, fmt.Errorf("backup: %s/%s in %s is damaged. Next: remove it; the next prune writes it again",
					doomedFolder, o.Name, a.at)
			}
			lists[id] = l.Chunks
			continue
		}
		return nil, err
	}
	return lists, nil
}

// doomed are the names of all doomed chunks.
func (a *Archive) doomed(ctx context.Context) (map[string]bool, error) {
	lists, err := a.doomLists(ctx)
	names := map[string]bool{}
	for _, l := range lists {
		for _, n := range l {
			names[n] = true
		}
	}
	return names, err
}

// Prune removes old backups, and chunks that none needs any more, in two steps a grace time apart.
func (a *Archive) Prune(ctx context.Context, o PruneOptions) (p Pruned, err error) {
	switch {
	case o.Keep < 1:
		return p, fmt.Errorf("backup: keep %d backups: use at least 1", o.Keep)
	case o.Grace < MinGrace:
		return p, fmt.Errorf("backup: a grace time of %v: use at least %v", o.Grace, MinGrace)
	}
	before := a.now().Add(-o.Grace)
	// In this order: lists whose time is up were there, for all to see, a grace time before the
	// manifests are looked at.
	lists, err := a.doomLists(ctx)
	if err != nil {
		return p, err
	}
	if err := a.dropOld(ctx, &o, &p); err != nil {
		return p, err
	}
	needed, err := a.needed(ctx, p.Removed)
	if err != nil {
		return p, err
	}
	waiting, gone := map[string]bool{}, map[string]bool{}
	for id, names := range lists {
		if !began(id).Before(before) {
			for _, n := range names {
				waiting[n] = true
			}
			continue
		}
		if err := a.execute(ctx, &o, id, names, needed, gone); err != nil {
			return p, err
		}
	}
	p.Waiting, p.Freed = len(waiting), len(gone)
	maps.Copy(waiting, gone)
	if err := a.doom(ctx, &o, &p, before, needed, waiting); err != nil || o.DryRun {
		return p, err
	}
	return p, a.sweep(ctx, before)
}

// sweep removes what crashes left: files that never got their names, so that nobody knows of them.
func (a *Archive) sweep(ctx context.Context, before time.Time) error {
	for _, folder := range [...]string{chunkFolder, backupFolder, doomedFolder} {
		objects, err := a.list(ctx, folder)
		if err != nil {
			return err
		}
		for _, o := range objects {
			began := age(o.Name)
			if !strings.HasSuffix(o.Name, unfinishedExt) || began.IsZero() || !began.Before(before) {
				continue
			}
			if err := a.remove(ctx, folder+"/"+o.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropOld removes the manifests of all but the newest backups.
func (a *Archive) dropOld(ctx context.Context, o *PruneOptions, p *Pruned) error {
	ids, err := a.ids(ctx)
	if err != nil {
		return err
	}
	n := max(0, len(ids)-o.Keep)
	for _, id := range ids[n:] {
		if _, err := a.manifest(ctx, id); err != nil {
			return fmt.Errorf("nothing is pruned while a backup to be kept cannot be read: %w. Next: repair it, or "+
				"remove %s from %s", err, manifestName(id), a.at)
		}
	}
	p.Kept, p.Removed = ids[n:], ids[:n]
	for _, id := range ids[:n] {
		if o.DryRun {
			break
		}
		if err := a.remove(ctx, manifestName(id)); err != nil {
			return err
		}
	}
	return nil
}

// needed are the chunks that manifests mention, as they are now.
func (a *Archive) needed(ctx context.Context, but []string) (map[string]bool, error) {
	ids, err := a.ids(ctx)
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for _, id := range ids {
		if slices.Contains(but, id) {
			continue
		}
		m, err := a.manifest(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, c := range m.Chunks {
			needed[c.Name] = true
		}
	}
	return needed, nil
}

// execute removes what a list names and nobody needs, then the list.
func (a *Archive) execute(ctx context.Context, o *PruneOptions, id string, names []string,
	needed, gone map[string]bool,
) error {
	for _, n := range names {
		if _, ok := chunkSum(n); !ok || needed[n] {
			continue
		}
		gone[n] = true
		if o.DryRun {
			continue
		}
		if err := a.remove(ctx, chunkFolder+"/"+n); err != nil {
			return err
		}
	}
	if o.DryRun {
		return nil
	}
	return a.remove(ctx, doomedFolder+"/"+id+manifestExt)
}

// maxDoomed bounds one list; the rest has its turn later.
const maxDoomed = 1 << 18

// doom writes down the chunks that nobody needs, but those that are known. Young ones may be of a
// backup under way.
func (a *Archive) doom(ctx context.Context, o *PruneOptions, p *Pruned, before time.Time,
	needed, known map[string]bool,
) error {
	objects, err := a.list(ctx, chunkFolder)
	if err != nil {
		return err
	}
	l := doomList{Format: doomFormat}
	for _, c := range objects {
		_, ok := chunkSum(c.Name)
		if ok && age(c.Name).Before(before) && !needed[c.Name] && !known[c.Name] && len(l.Chunks) < maxDoomed {
			l.Chunks = append(l.Chunks, c.Name)
		}
	}
	if p.Doomed = len(l.Chunks); p.Doomed == 0 || o.DryRun {
		return nil
	}
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	begin := a.now()
	name := doomedFolder + "/" + newID(begin) + manifestExt
	err = a.put(ctx, name, b)
	if took := a.now().Sub(begin); err == nil && took > settleLimit {
		err = fmt.Errorf("backup: writing %s took %v: it would count from too early. Next: run it again", name,
			took)
	}
	if err != nil {
		return errors.Join(err, a.remove(context.WithoutCancel(ctx), name))
	}
	return nil
}
