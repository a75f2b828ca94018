// Package local keeps an edge's data in an embedded Pebble.
//
//	s, err := local.Open(local.Config{Dir: "/var/lib/metronome/edge"})
//	out, err := s.Apply(ctx, &edge.Batch{Ops: []edge.Op{{Kind: edge.Put, Key: key, Value: value}}})
//
// # One commit
//
// One goroutine, the writer, takes batches from a bounded queue, judges their conditions and numbers in the
// order of their arrival, and gives all that have gathered meanwhile to Pebble as one commit. While that
// commit is on its way to stable storage the next gathers: alone on the edge a write waits for one fsync,
// under load many share one. A second goroutine, the syncer, waits for the fsyncs and answers.
//
// A commit holds, all or nothing: the entries, the sessions' marks, a record in the log of changes, and the
// store's own totals (revision, keys, bytes, digest). Readers see what is durable only: a read that meets a
// newer change waits for its fsync.
//
// # What lies where
//
//	d <key>                      entry: check sum, revision, content type, value
//	s <client> <session>         session: epoch, mark, what was refused lately, marks by revision
//	l <first revision, 8 bytes>  log: one record a batch, with its time, sender and operations
//	m identity | state | backup  the store's name and life; its totals; up to where a backup holds all
//
// The digest is the sum of all entries' check sums (xxh3 of key, revision, type and value), so that it
// does not depend on order and costs two hashes a change. A backup that, restored, has the same digest has
// the same entries.
//
// # The log, and the seam for backups
//
// The log's newest Config.LogBytes are kept. Watchers read it, and [Store.Log] hands it out for shipping:
// every second what is new. [Store.Checkpoint] is a consistent copy by hard links; log records from there
// on, applied by [Restore], lead to any later revision or time. When a master has all up to a revision
// safe, it calls [Store.MarkBackedUp], and sessions learn what is backed up. A log trimmed beyond what was
// shipped is no loss: the next checkpoint has everything.
//
// # Following
//
// A store can be one of several copies whose order is agreed on elsewhere (package quorum). [Store.Judge]
// works out what batches would do, without doing it; [Store.Follow] has it done, here or at a copy that is at
// the same spot of the order; [Builder] makes a copy. A store that follows takes no Apply.
//
// # Failure
//
// Below Config.MinFree bytes of free space, writes are refused and reads go on. When the disk fails a commit,
// Pebble must not go on and Config.Fatal is called, which ends the process: what was not acknowledged may
// or may not be there when it starts again, what was acknowledged is.
package local
