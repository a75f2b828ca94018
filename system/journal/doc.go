// Package journal is a log of numbered records on a disk that loses power, and lies as little as
// disks do: it keeps what it was given, and says so when it could not.
//
// A [Journal] is synchronous and single-threaded: Append copies into a batch, Flush writes it, Sync
// makes it durable, Trim frees what is no longer needed, Records and [Cursor] read. A [Writer] serves
// one to many goroutines and commits in groups. The same package keeps a replica's frames and votes,
// a device's queue and an edge's log.
//
//	Append ─copy─> open batch ─Flush─> segment file ─Sync─> durable ─Trim─> spare file, used again
//
// # What is promised
//
// Below a record's number, as [Journal.Synced] and [Writer.Wait] tell it, everything survives a
// crash of the process and of the machine, if the disk keeps what it said it has synced.
//
// Of what was not synced, a crash leaves a beginning: [Open] finds whole batches up to some point and
// drops the rest, the torn tail. The numbers of what is dropped are given again.
//
// What was synced and is bad, missing or unreadable later is damage. Open reports it, and everything
// else stays readable under its own number; a record is never shown under another's, nor one that was
// overwritten. A lost number is never given again. Where it cannot be told how many were lost (the
// newest segment is gone, short or unreadable), 2^32 numbers are left out.
//
// An error of write or sync ends the journal's life ([ErrBroken]): which pages of a failed sync are
// on the disk is unknown, and trying again would only hide it.
//
// # Torn or damaged
//
// Both look alike: a batch whose checksum does not hold. The difference is whether anybody was told
// that it is durable. So each block says which batches were synced before it was written, and that is
// written only after their sync (rule R3): by the next batch, or when none follows soon, by a seal,
// or by the next segment. Bad and testified to: damage. Bad, and no later block knows of it: torn.
//
// From that follows exactly what is not told apart:
//
//   - The newest batch, between its sync and the arrival on the disk of the block that testifies to
//     it. That block is written as soon as there is another batch, and else after WriterConfig.Idle
//     (5 ms), but not synced for its own sake: the operating system may keep it back, for some
//     seconds or until the next sync. In that window, rot of the newest batch, or a sync of it that
//     lied, followed by a crash is taken for a torn tail. After [Journal.Close] there is no window.
//   - A loss of the batch together with all that was written after it in its segment, as when a disk
//     falls back to an older state, or the end of the newest segment is zeroed. Open then finds an
//     older journal, and no reason to complain.
//   - The loss of the newest segment's file, if a crash came just after its making, before the end
//     block of the one before was written.
//   - The loss of all files. That there ever was a journal must be known elsewhere (rule R1).
//
// Told are: any change to a record or header that is testified to; a segment that is missing (the
// first: what is trimmed is durable before a file goes; the last: its predecessor's end block names
// it), unreadable, exchanged for another, or shorter than it was made.
//
// # On the disk
//
// A directory holds segments, 0000000000000042.journal, of Config.SegmentBytes each; a record larger
// than that has a segment of its own size. Freed ones become *.spare and are used again: to overwrite
// is cheaper to sync than to extend. *.new is being made. "lock" keeps a second process out.
//
// A segment is a sequence of blocks of 4096 bytes. At each place where something begins stands a
// header, little-endian:
//
//	offset  size  field
//	     0     4  magic       "MJnl"
//	     4     2  version     1
//	     6     2  kind        1 head, 2 batch, 3 seal, 4 end
//	     8     8  segment     this segment's number; not that of what was here before
//	    16     8  batch       this batch's number; of other kinds, the next one's
//	    24     8  first       its first record's number; of other kinds, the next one's
//	    32     8  synced      all batches below were synced before this was written
//	    40     8  keep        segments below are trimmed
//	    48     8  keepRecord  the first record of segment keep
//	    56     4  count       records
//	    60     4  length      bytes of records
//	    64     4  salt        random, one for each segment
//	    68     4  life        random, one for each Open
//	    72     4  flags       in a head, 1: the space was another segment's before
//	    76     4  crc         CRC32C of bytes 0 to 75
//	    80     -  records, then zeros up to a whole block
//
// and a record is
//
//	offset  size  field
//	     0     4  check       CRC32C of length and bytes, mixed with the record's number and life
//	     4     4  length      n, at most 32 MiB
//	     8     n  bytes
//
// A segment begins with the same head twice, in two blocks; its one record is Config.Identity and
// the segment's size, 8 bytes. Then batches and seals follow, each at the next whole block, and an end
// block when the next segment is durable. Behind that lies what was there before: zeros, or a freed
// segment, whose blocks carry its number. A batch never spans two segments. The salt keeps bytes
// inside a record from being taken for a header when a damaged batch is skipped; the life keeps a
// record of a dropped tail from completing a torn batch written over it.
//
// A new segment is begun in this order, each step durable before the next: what the old one holds;
// the new heads; the new name; the old one's end. Trim writes a seal with the new keep and syncs it
// before it gives a file up; so does Open, for what the last life trimmed and still lies there. Open
// writes again what nobody testifies to before it syncs: after a sync that failed, the page cache may
// hold what the disk does not, and call it clean.
//
// # Bounds
//
// Open and Records read through one window of 1 MiB, or of the largest batch. Memory is that and the
// open batch; a Writer has two. Space is bounded by Config.MaxBytes and Config.FreeFloor, checked
// before a segment is taken and its space allocated, so that what [ErrFull] refuses was never begun.
//
// # What it is not
//
// It does not know what records mean, compress, encrypt, index or replicate them, or repair damage:
// whoever has peers asks them for the range that the report names. It does not detect a disk that
// returns old, whole, matching files.
package journal
