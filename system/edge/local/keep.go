package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"metronome/system/edge"
)

// How often the keeper looks at the disk and the cursors, and at idle sessions.
const (
	keepEvery  = time.Second
	sweepEvery = 24 * time.Hour
	sweepBatch = 1024 // sessions a commit
)

// keep is the keeper's goroutine.
func (s *Store) keep(ctx context.Context) {
	defer close(s.kept)
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for swept := s.cfg.Now(); ; {
		s.checkDisk()
		now := s.cfg.Now()
		s.cursors.expire(now.Add(-s.cfg.CursorLife))
		if now.Sub(swept) >= sweepEvery {
			swept = now
			s.Sweep(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Store) checkDisk() {
	usage, err := s.cfg.FS.GetDiskUsage(s.cfg.Dir)
	switch {
	case errors.Is(err, vfs.ErrUnsupported):
		return
	case err != nil:
		s.cfg.Log.Warn("the free disk space is not known", "error", err.Error())
		return
	}
	s.free.Store(usage.AvailBytes)
	low := usage.AvailBytes < s.cfg.MinFree
	if was := s.floor.Swap(low); was != low {
		s.cfg.Log.Warn("disk floor", "reached", low, "free_bytes", usage.AvailBytes, "floor_bytes", s.cfg.MinFree)
	}
}

// Check implements [edge.Checker].
func (s *Store) Check() (why []edge.Reason) {
	if s.failed.Load() {
		why = append(why, edge.Reason{Part: "store", Text: "a commit has failed: start the edge again"})
	}
	if s.floor.Load() {
		why = append(why, edge.Reason{Part: "disk", Text: fmt.Sprintf(
			"%d MiB free, the floor is %d MiB: writes are refused; free some space", s.free.Load()>>20,
			s.cfg.MinFree>>20)})
	}
	if n := s.damaged.Load(); n > 0 {
		why = append(why, edge.Reason{Part: "damage", Text: fmt.Sprintf(
			"%d reads met damaged data: restore the edge from its backup", n)})
	}
	return why
}

// Sweep removes sessions idle for longer than Config.SessionIdle and, with a master, in a backup. The keeper
// calls it once a day.
func (s *Store) Sweep(ctx context.Context) (removed int) {
	for {
		n := 0
		err := s.submit(ctx, &request{work: func(w *writer) (err error) {
			n, err = w.sweep()
			return err
		}})
		removed += n
		if err != nil || n < sweepBatch {
			return removed
		}
	}
}

func (w *writer) sweep() (removed int, err error) {
	oldest := w.s.cfg.Now().Add(-w.s.cfg.SessionIdle).Unix()
	err = eachSession(w.s.db, func(key []byte, row *session) bool {
		saved := !w.s.cfg.BackedUp || row.revision <= w.s.backedUp.Load()
		_, changing := w.rows[string(key)]
		if row.used >= oldest || !saved || changing {
			return true
		}
		client, _, _ := splitSessionKey(key)
		if w.sessions[client]--; w.sessions[client] <= 0 {
			delete(w.sessions, client)
		}
		removed++
		err = w.commit.Delete(key, nil)
		return err == nil && removed < sweepBatch
	})
	w.dirty = w.dirty || removed > 0
	return removed, err
}

// eachSession walks all rows until visit returns false.
func eachSession(db pebble.Reader, visit func(key []byte, row *session) bool) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{sessionSpace},
		UpperBound: []byte{sessionSpace + 1}})
	if err != nil {
		return damage(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		row := &session{}
		if err := row.decode(it.Value()); err != nil {
			_ = it.Close()
			return err
		}
		if !visit(it.Key(), row) {
			break
		}
	}
	return damage(it.Close())
}

// countSessions counts rows by client.
func countSessions(db pebble.Reader) (map[string]int, error) {
	n := map[string]int{}
	err := eachSession(db, func(key []byte, _ *session) bool {
		client, _, _ := splitSessionKey(key)
		n[client]++
		return true
	})
	return n, err
}
