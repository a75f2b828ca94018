// Package storage is a replica's data directory: the journal of what it must not forget, and the
// newest snapshot, from which the journal is read on.
//
//	DIR/journal/                   package journal: frames, the orderer's records
//	DIR/snapshot-<position>        one file: a header, then the state at that position
//	DIR/snapshot.tmp               one that is being written
//	DIR/damaged-<n>/               state that could not be read, set aside
//
// [Start] opens a directory and continues the life that is in it. It tells three things apart:
//
//   - what a crash leaves: a torn tail that nobody was promised, an unfinished snapshot. They are
//     dropped.
//   - damage: something that was durable cannot be read. Then this life's state is lost (R2): it is
//     set aside, reported, and the replica begins empty; it joins again as a new life, which does
//     not vote before it has caught up. Nothing of a damaged directory is ever voted with. Frames alone
//     could be fetched again by their digests. But frames and the orderer's records share batches, and
//     of lost records the journal knows the numbers, not the kinds: a vote may be among them.
//   - a directory of another replica, another cluster or a newer version: an error, and nothing is
//     touched.
//
// # How much it takes
//
// At most the configured journal and three times the live data: keys and values, as of the newest snapshot.
// Of these, two snapshots lie there while the second is written; the journal may have what they leave. Where
// keys and values are so small that two snapshots take more than three times as much (each key costs 14
// bytes there, and sessions count too), at most the journal and two snapshots. Package replica sees to that
// (Replica.JournalTakes): it takes a snapshot in time, and no frames without room. Beside that lies what was
// set aside; and while a snapshot is sent to a peer or an operator, the bound is lifted
// until a snapshot of its own has made room again, and for a moment whenever snapshots make none. A lane
// that stands still, because its proxy is gone or a majority lacks what it sent, keeps its records: what it
// holds is journaled again at a snapshot, up to an eighth of the bound, and holds the journal back where it
// is more, until the lane goes on or is closed for silence. It is never let go for want of room.
//
// # When a snapshot cannot be written
//
// Because there is no room for it beside what the journal must keep free ([journal.Config.FreeFloor]), or
// because a write fails. Then it is given up ([ErrUnsaved]) and what there is of it is removed. The snapshot
// before and the journal stay what a restart begins with, and nothing is trimmed; package replica tries again
// after a while, and has proxies refuse writes once the journal is at its bound, and reads and deletions when
// these have used what was left for them (Replica.Unsaved): the bound holds however long that lasts. A sync
// that fails ends the process as ever: what it should have made durable may be gone, and no later sync says
// so.
//
// The package does no more than one file-system call after another on its caller's thread, through
// disk.FS, so that the simulator crashes it between any two. Group commit is journal.Writer's, and
// when to save a snapshot is package replica's.
package storage
