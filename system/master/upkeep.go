package master

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"metronome/system/master/api"
	"metronome/system/master/vault"
)

// upkeep does for each edge what is due. It is one goroutine's work: a drill does not compete with
// a check.
func (m *Master) upkeep(ctx context.Context) {
	for _, b := range m.all() {
		if ctx.Err() != nil {
			return
		}
		v, err := b.storage(ctx)
		if err != nil {
			m.cfg.Log.Error("the backups of an edge cannot be read", "edge", b.name, "error", err)
			continue
		}
		b.tend(ctx, v)
	}
}

func (b *member) tend(ctx context.Context, v *vault.Vault) {
	log := b.m.cfg.Log.With("edge", b.name)
	if s, ok := v.Newest(); ok {
		if err := v.Merge(ctx, s.Number); err != nil && ctx.Err() == nil {
			log.Error("the log was not merged", "error", err)
		}
	}
	if err := b.prune(ctx, v); err != nil && ctx.Err() == nil {
		log.Error("nothing more is pruned for now", "error", err)
	}
	if b.due(&b.m.cfg, "check") {
		if _, err := b.checkNow(ctx); err != nil && ctx.Err() == nil {
			log.Error("the backups were not checked", "error", err)
		}
	}
	if b.due(&b.m.cfg, "drill") {
		if d, err := b.drillNow(ctx, "scheduled"); err != nil && ctx.Err() == nil {
			log.Error("no drill", "error", err)
		} else if err == nil && !d.Good {
			log.Error("the restore drill failed", "error", d.Error)
		}
	}
}

// due reports whether it is time for a job. Both jobs harm nobody when a clock makes them come
// early.
func (b *member) due(cfg *Config, job string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	var last time.Time
	every := cfg.DrillEvery
	if b.drill != nil {
		last = b.drill.At
	}
	if job == "check" {
		if every, last = cfg.CheckEvery, (time.Time{}); b.check != nil {
			last = b.check.At
		}
	}
	since := cfg.Now().Sub(last)
	return every > 0 && (since >= every || since < 0)
}

// prune looks at what nobody wants any more.
func (b *member) prune(ctx context.Context, v *vault.Vault) error {
	b.mu.Lock()
	mono := b.m.cfg.Mono()
	elapsed := time.Duration(mono - b.pruned)
	if elapsed < b.m.cfg.PruneEvery {
		b.mu.Unlock()
		return nil
	}
	b.pruned = mono
	p := vault.Pruning{Policy: b.m.cfg.Policy, Elapsed: elapsed, Grace: b.m.cfg.Grace}
	if b.proof != nil {
		p.Proven = b.proof.Backup
	}
	b.mu.Unlock()
	b.job.Lock()
	defer b.job.Unlock()
	r, err := v.Prune(ctx, p)
	if len(r.Removed) > 0 {
		b.m.cfg.Log.Info("pruned", "edge", b.name, "removed", len(r.Removed), "waiting", r.Waiting)
	}
	return err
}

// checkNow reads one more part of an edge's backups again.
func (b *member) checkNow(ctx context.Context) (*api.Check, error) {
	v, err := b.storage(ctx)
	if err != nil {
		return nil, err
	}
	b.job.Lock()
	defer b.job.Unlock()
	b.mu.Lock()
	turn := b.turn % b.m.cfg.CheckTurns
	b.mu.Unlock()
	return b.checkPart(ctx, v, turn, b.m.cfg.CheckTurns)
}

// checkAll reads everything again.
func (b *member) checkAll(ctx context.Context) (*api.Check, error) {
	v, err := b.storage(ctx)
	if err != nil {
		return nil, err
	}
	if !b.job.TryLock() {
		return nil, api.NewProblem("running", "A drill or a check of edge "+b.name+" is running; try again "+
			"after it.")
	}
	defer b.job.Unlock()
	return b.checkPart(ctx, v, 0, 1)
}

func (b *member) checkPart(ctx context.Context, v *vault.Vault, turn, turns int) (*api.Check, error) {
	r, err := v.Check(ctx, turn, turns)
	if err != nil {
		return nil, err
	}
	c := &api.Check{At: b.m.cfg.Now().UTC(), Checked: r}
	b.look(v)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.check, b.turn = c, turn+1
	b.m.dirty.Store(true)
	if !r.Good() {
		b.m.cfg.Log.Error("backups are damaged", "edge", b.name, "bad", r.Bad, "missing", len(r.Missing))
	}
	return c, nil
}

// drillNow restores an edge's newest backup into a scratch directory, and throws that away.
func (b *member) drillNow(ctx context.Context, why string) (*api.Drill, error) {
	v, err := b.storage(ctx)
	if err != nil {
		return nil, err
	}
	if !b.job.TryLock() {
		return nil, api.NewProblem("running", "A drill or a check of edge "+b.name+" is running; try again "+
			"after it.")
	}
	defer b.job.Unlock()
	newest, ok := v.Newest()
	if !ok {
		if why == "scheduled" {
			return &api.Drill{Good: true}, nil // an edge that has shipped nothing yet; findings say so
		}
		return nil, fmt.Errorf("edge %s: %w", b.name, vault.ErrNoBackup)
	}
	proof, err := b.rehearse(ctx, v, &newest)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	d := &api.Drill{At: b.m.cfg.Now().UTC(), Good: err == nil, Reason: why}
	if err != nil {
		d.Error = err.Error()
	}
	b.mu.Lock()
	if b.drill = d; err == nil {
		b.proof = proof
	}
	b.mu.Unlock()
	return d, b.m.remember()
}

// rehearse restores, recounts, and compares with what the edge reported.
func (b *member) rehearse(ctx context.Context, v *vault.Vault, newest *vault.Summary) (*api.Proof, error) {
	scratch := filepath.Join(b.m.cfg.Dir, "drill", b.name)
	if err := os.RemoveAll(scratch); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(scratch), 0o700); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // what stays is removed before the next
	target, want := b.goal(newest)
	done, err := v.Restore(ctx, vault.Restoration{Dir: scratch, Target: target,
		Log: slog.New(slog.DiscardHandler),
		// nobody will open it
		Epoch: func(_ context.Context, above uint16) (uint16, error) { return above + 1, nil }})
	if err != nil {
		return nil, err
	}
	if len(done.Warnings) > 0 {
		return nil, fmt.Errorf("%w: the newest backup could not be restored, an older one could: %v",
			vault.ErrDamaged,
			done.Warnings)
	}
	if want != "" && done.Digest != want {
		return nil, fmt.Errorf("%w: restored to revision %d the digest is %s, and the edge reported %s",
			vault.ErrDamaged,
			done.Revision, done.Digest, want)
	}
	return &api.Proof{Backup: done.Backup, Revision: done.Revision, At: b.m.cfg.Now().UTC(), Took: done.Took,
		Digest: done.Digest, Compared: want != ""}, nil
}

// goal is the latest revision for which the edge reported a digest and that its newest backup leads
// to; or else the newest there is.
func (b *member) goal(newest *vault.Summary) (t vault.Target, digest string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.marks) - 1; i >= 0; i-- {
		k := b.marks[i]
		if k.incarnation == newest.Incarnation && k.revision >= newest.Revision && k.revision <= newest.Reach &&
			k.revision > 0 {
			return vault.Target{Backup: newest.Number, Revision: k.revision}, k.digest
		}
	}
	return vault.Target{}, ""
}
