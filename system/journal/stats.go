package journal

import (
	"math/bits"
	"time"
)

// SyncBuckets is how many classes WriterStats.SyncTimes has.
const SyncBuckets = 24

// WriterStats counts what a Writer did. Everything grows, but for Disk, Waiting and Unsynced.
type WriterStats struct {
	Journal   Stats
	Disk      int64               // bytes, of the journal's files
	Waiting   int                 // bytes that are not on their way to the disk yet
	Unsynced  uint64              // records that are not durable
	Refused   uint64              // records that Append did not take for want of room
	SyncTime  time.Duration       // spent writing what was left and syncing
	SyncTimes [SyncBuckets]uint64 // syncs by time: class n took less than 2^n µs, the last any time
}

func (s *WriterStats) count(d time.Duration) {
	s.SyncTime += d
	s.SyncTimes[min(bits.Len64(uint64(d.Microseconds())), SyncBuckets-1)]++
}

// Stats is what the Writer did so far.
func (w *Writer) Stats() WriterStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Waiting = len(w.open.buf) - headerSize
	s.Unsynced = w.next - w.synced
	return s
}
