package daemon

import (
	"sync/atomic"
	"time"

	"metronome/system/replica"
)

// saving is a snapshot between the loop, which knows how much of it there is, and the goroutine that
// writes it.
type saving struct {
	save  *replica.Save
	whole bool         // from the beginning: nobody waits for it
	ready atomic.Int64 // bytes of the state that may be read; -1: forget it
	hurry atomic.Bool  // the journal is near its bound, and trimmed when this is durable
	more  chan struct{}

	unsaved error // why it could not be written, and was given up; set before it counts as saved
}

// hand sees to it that what the core wants saved is what is being saved.
func (k *keeper) hand(want *replica.Save) {
	if s := k.saving; s != nil && s.save != want {
		s.tell(-1)
		k.saving = nil
	}
	if want == nil {
		return
	}
	if k.saving == nil {
		k.saving = &saving{save: want, whole: want.Ready() == want.Size, more: make(chan struct{}, 1)}
		k.saving.ready.Store(int64(want.Ready()))
		k.saves <- k.saving
		return
	}
	k.saving.tell(int64(want.Ready()))
}

// finished is a snapshot that got durable since it was last asked, or could not be written; nil: none. One
// that was given up meanwhile, while its last sync was under way, is nobody's: another is being saved in its
// place, and goes on.
func (k *keeper) finished() *saving {
	s := k.saved.Load()
	if s == k.told {
		return nil
	}
	if k.told = s; s != k.saving {
		return nil
	}
	k.saving = nil
	return s
}

// tell says how much there is by now.
func (s *saving) tell(ready int64) {
	if s.ready.Swap(ready) == ready {
		return
	}
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// saveStep is how much of a snapshot is written at a time.
const saveStep = 1 << 20

// write writes a snapshot as it comes; done says that it is durable.
func (k *keeper) write(s *saving) (done bool, err error) {
	w, err := k.dir.Save(s.save)
	if err == nil {
		w.Arriving = !s.whole
	}
	for err == nil && !done {
		ready := int(s.ready.Load())
		if ready < 0 {
			return false, w.Abort()
		}
		if ready == w.Offset() && ready < s.save.Size {
			select {
			case <-s.more:
			case <-k.quit:
				return false, w.Abort()
			}
			continue
		}
		began := time.Now()
		done, err = w.Step(min(saveStep, ready-w.Offset()))
		if s.whole && !s.hurry.Load() && !done && err == nil && !k.pause(time.Since(began)) {
			return false, w.Abort()
		}
	}
	return done, err
}

// pause leaves the disk to the journal for as long as it was just used, which whoever waits for the journal
// would feel; false if the keeper ends.
func (k *keeper) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-k.quit:
		return false
	}
}
