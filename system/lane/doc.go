// Package lane keeps a lane: the append-only, numbered sequence of items that one (proxy,
// incarnation, index) multicasts.
//
// The sender's half is a [Sender]: it packs items into frames, keeps every frame until it is
// committed, and repairs what receivers miss. The rest of this text is about the receiver's half.
//
// A [Receiver] holds one lane. It copies frames into a preallocated arena, finds gaps and
// duplicates by frame number, and advances the watermark, the highest item number below which
// nothing is missing, together with a chain digest of everything under it. An [Ingest] is what one
// ingest core owns: it verifies frames (package wire), finds their lane and places them, and counts
// everything it drops by cause, so that what arrived equals what was accepted plus what was
// dropped.
//
// The caller's duties, in order:
//
//  1. Open every lane through [Ingest.Open]; frames of other lanes are counted and dropped.
//  2. Hand each received frame to [Ingest.Frame]; it may be reused at once.
//  3. Read what is new below [Receiver.Mark] with [Receiver.Frame], and release it with
//     [Receiver.Trim]. Nothing else frees the window and the arena.
//  4. Ask [Receiver.Gaps] now and then, and request what it names from the sender or from peers.
//
// At the bound: a frame beyond the window, or for which the arena has no room, is refused and
// counted; the frame at the watermark evicts early ones rather than being refused, or the lane
// would never move again. The sender's retransmission brings back what was dropped. A gap that
// nobody will repair would thus stop the lane; Config.GiveUp declares a gap lost after so many
// later frames, which is for measurements on lossy paths and never for a replica.
//
// The package is pure: no clock, goroutine, socket or global state (invariant I7), no allocation
// after Open. It does not interpret items, send NACKs or persist anything.
package lane
