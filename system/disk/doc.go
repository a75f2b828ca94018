// Package disk is the seam between what must survive a power failure and the file system that it
// survives on.
//
// An [FS] is the little of a file system that a journal and snapshots need, with durability spelt
// out. Data is durable after [File.Sync] of its file, and a name (created, renamed, removed) after
// [FS.SyncDir] of its directory; nothing else promises anything, and until then a crash may keep,
// drop or tear what was done, in any order. [OS] is the operating system's; package disk/fault is
// one in memory that does after a crash whatever those two rules permit.
//
// Files are read and written at offsets: there is no position, no append mode and no buffer. Names
// are slash-separated paths. Errors wrap [io/fs.ErrNotExist] and friends, and [ErrNoSpace] when the
// disk is full, whichever implementation they come from.
//
// The package does not retry, does not cache, and does not hide what fsync says: after a failed
// [File.Sync] nobody knows which pages are on the disk, and a second try that succeeds proves
// nothing (https://wiki.postgresql.org/wiki/Fsync_Errors). Whoever sees that error must stop.
package disk
