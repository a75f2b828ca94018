// Package lane keeps a lane: the append-only, numbered sequence of items that one (proxy,
// incarnation, index) multicasts.
//
// # Receiving
//
// A [Receiver] holds one lane. It copies frames into a preallocated arena, finds gaps and
// duplicates by frame number, and advances the watermark, the highest item number below which
// nothing is missing, together with a chain digest of everything under it. An [Ingest] is what one
// ingest core owns: it verifies frames (package wire), finds their lane and places them, and counts
// everything it drops by cause, so that what arrived equals what was accepted plus what was
// dropped. A [Nacker] decides when to ask whom for what a lane misses. Where one core is too slow for
// all of it, several [Verifier]s do the first and costly part on cores of their own.
//
// The receiving caller's duties, in order:
//
//  1. Open every lane through [Ingest.OpenAt] at the mark where its state begins, and close an
//     incarnation with [Ingest.CloseLife]; frames of other lanes are counted and dropped.
//     ([Ingest.Open] opens a whole incarnation at once, and closes the proxy's others.)
//  2. Say the time with [Ingest.Clock], then hand each received frame to [Ingest.Frame]; it may be
//     reused at once.
//  3. After a burst, read what is new below [Receiver.Mark] of each lane that [Ingest.Advanced]
//     names, with [Receiver.View].
//  4. For each lane that [Ingest.Gapped] names, call [Nacker.Due] until it says [Nobody], and send
//     a NACK with the gaps: to the sender, with [Nacker.RoundTrip] in it, or to a peer. Do so again
//     at [Ingest.NextDue]. Hand the answers that frames are gone to [Nacker.Gone]; if
//     [Nacker.Unrepairable] then names a range, only a snapshot helps. [Ingest.SetPeers] says who
//     may be asked.
//  5. Answer peers that ask for frames with [Receiver.Repair].
//  6. Release what is done with [Receiver.Trim], or with [Receiver.Spare] what only peers may still
//     want. Nothing else frees window and arena; [Receiver.Tail] tells which results the sender
//     needs no more (R25).
//
// At the bound: a frame beyond the window, or for which the arena has no room, is refused and
// counted; the frame at the watermark evicts early ones rather than being refused, or the lane
// would never move again. Repairs bring back what was dropped, and are not asked for while there is
// no room. A gap that nobody will repair would thus stop the lane; Config.GiveUp declares a gap
// lost after so many later frames, which is for measurements on lossy paths and never for a
// replica.
//
// # Sending
//
// A [Sender] packs items into frames and keeps every frame until it is committed and answered, and
// then as long as there is room. A [Pacer] spreads frames over time for all lanes of a proxy, a
// [Heart] says when an idle lane shows its marks, and a [Repairer] turns requests into repairs.
//
// The sending caller's duties, in order:
//
//  1. [Sender.Append] items; [Sender.Flush] when the oldest waits long enough.
//  2. Multicast as many frames from [Sender.Next] as [Pacer.Allow] lets, then [Pacer.Sent] and
//     [Heart.Sent].
//  3. Hand each NACK to [Repairer.Nack]; then, and at [Repairer.Next], send what [Repairer.Due]
//     says.
//  4. When [Heart.Due] says so, multicast [Sender.Heartbeat].
//  5. Tell [Sender.Commit] how far replicas have committed, and [Sender.Answered] up to where every
//     answer is here. Nothing else frees the window.
//
// # What it is not
//
// The package is pure: no clock, goroutine, socket or global state (invariant I7); the same calls
// give the same results; it allocates when lanes open, and never after. Times are nanoseconds of a
// clock that does not run backwards. It does not interpret items, encode NACKs, send or persist
// anything, and does not know who replicates what.
package lane
