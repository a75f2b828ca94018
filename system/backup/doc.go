// Package backup keeps consistent cuts of a store outside its cluster, and makes new clusters of
// them.
//
// A replica's saved snapshot is the source: header, state beside the store, and the store's stream,
// all at one position of the agreed sequence. It comes through an io.Reader, and of what comes no
// more than a few chunks are in memory at once.
//
// # What lies at a destination
//
//	chunks/<SHA-256>.<backup id>       up to 8 MiB of a snapshot, written by that backup
//	backups/<backup id>.json           a manifest: what the snapshot is of, and its chunks in order
//	doomed/<time>-<random>.json        names of chunks that no manifest mentioned
//
// A manifest is written last, when all of its chunks are durable: what crashed before has left no
// backup, only chunks that the next one may use. It ends in a sum of itself; every chunk is named by
// its sum, and the file as a whole has one. So any changed byte is found, by whoever reads.
//
// # Chunks
//
// Snapshots of one store are alike, and what was there already is not written again. For that the
// stream is taken out of its sections: their heads hold sums that depend on the section's number, and
// one key more shifts all sections behind it. What is in them is cut behind keys whose hashes say so
// (content-defined chunking, as in Muthitacharoen et al., LBFS, SOSP 2001), so that cuts find
// themselves again behind a change. The manifest keeps the sections' lengths, and reading puts the
// heads back: what comes out is what went in, byte for byte.
//
// Keys lie in the order of their hashes, so scattered writes touch chunks everywhere. A store at rest
// costs a chunk for what changes always; a few changes, a chunk or two each; a store that is written
// to all over, a whole copy.
//
// # Removing
//
// [Archive.Prune] must not take a chunk that a backup under way has just found there. It goes two
// steps, a grace time apart: first it writes down what nobody needs, then, at a later call, removes
// what nobody needs still. A backup uses no doomed chunk, and looks again before it writes its
// manifest. Names of chunks end in the backup that wrote them, so a name that was removed never comes
// back. What this rests on: the clocks of those who prune one destination differ by less than half the
// grace time.
//
// # Restoring
//
// [Archive.Restore] makes data directories for the replicas of another cluster (package replica,
// Refound): another tag, the next epoch, no sessions, all lanes closed (R29).
//
// # What this package does not do
//
// It does not encrypt: who may read the destination may read the store. It does not compress, it
// keeps no clusters' configuration or keys, and it takes no backups by itself: use cron or a timer.
// It knows directories; package bucket knows S3.
package backup
