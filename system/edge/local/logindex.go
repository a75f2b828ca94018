package local

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"metronome/system/edge"
)

// logIndex knows, sparsely, which revision lies how far into the log, so that trimming reads nothing.
type logIndex struct {
	steps []step // ascending; the first is where the log begins
}

// step says that the log holds so many bytes before the record that begins with a revision.
type step struct{ revision, offset uint64 }

// Steps of the index over the log's bound, and of those taken at open.
const (
	logSteps     = 64
	sampledSteps = 16
)

// note takes a record in that begins with a revision and ends at an offset.
func (l *logIndex) note(first, end uint64, bound int64) {
	n := len(l.steps)
	if n == 0 || end-l.steps[n-1].offset > uint64(bound/logSteps) {
		l.steps = append(l.steps, step{first, end})
	}
}

// trim drops the oldest of the log when it is longer than its bound.
func (w *writer) trim() {
	steps := w.log.steps
	keep := 0
	for keep+1 < len(steps) && w.state.logTail-steps[keep].offset > uint64(w.s.cfg.LogBytes) {
		keep++
	}
	if keep == 0 {
		return
	}
	low := steps[keep].revision
	if err := w.commit.DeleteRange(logKey(steps[0].revision), logKey(low), nil); err != nil {
		w.s.cfg.Log.Error("the log of changes was not trimmed", "error", err)
		return
	}
	w.log.steps = append(steps[:0], steps[keep:]...)
	w.s.logLow.Store(low)
}

// sampleLog rebuilds the index at open by looking at a few records.
func sampleLog(db *pebble.DB, tail uint64) (l logIndex, err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{logSpace}, UpperBound: []byte{logSpace + 1}})
	if err != nil {
		return l, damage(err)
	}
	defer func() { err = errors.Join(err, damage(it.Close())) }()
	if !it.Last() {
		return l, nil
	}
	last, _, _, err := recordSpan(it.Value())
	if err != nil || !it.First() {
		return l, err
	}
	first, _, _, err := recordSpan(it.Value())
	for i := uint64(0); i <= sampledSteps && err == nil; i++ {
		if !it.SeekGE(logKey(first + (last-first)/sampledSteps*i)) {
			break
		}
		var s step
		s.revision, _, s.offset, err = recordSpan(it.Value())
		if s.offset > tail {
			return l, fmt.Errorf("%w: the log of changes", edge.ErrDamaged)
		}
		if n := len(l.steps); n == 0 || l.steps[n-1].revision < s.revision {
			l.steps = append(l.steps, s)
		}
	}
	return l, err
}
