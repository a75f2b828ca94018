package local

// Stats counts what a store did since it was opened.
type Stats struct {
	Commits    uint64 // fsyncs
	Operations uint64 // executed
	Duplicates uint64 // left out, their numbers having been used
	Damaged    uint64 // reads that met damaged data
	Free       uint64 // bytes of disk
	Cursors    int    // open
	Queued     int    // batches waiting
	LogLow     uint64 // revision at which the log begins
	DiskBytes  uint64 // that the store takes
}

// Stats returns the counters.
func (s *Store) Stats() Stats {
	stats := Stats{
		Commits: s.commits.Load(), Operations: s.operations.Load(), Duplicates: s.duplicates.Load(),
		Damaged: s.damaged.Load(), Free: s.free.Load(), Cursors: s.cursors.count(), Queued: len(s.queue),
		LogLow: s.logLow.Load(),
	}
	if leave, err := s.enter(); err == nil {
		defer leave()
		stats.DiskBytes = s.db.Metrics().DiskSpaceUsage()
	}
	return stats
}
