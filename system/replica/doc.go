// Package replica is a database server: it takes frames from proxies, agrees with the other
// replicas on how far each lane goes, applies what is agreed, and answers.
//
// [Replica] is all of that without its surroundings (node.Core): no clock, goroutine or socket, so
// that the simulator steps the very code that serves. Package daemon gives it sockets and threads.
//
// # The life of a frame
//
//	Datagram --lane.Ingest--> held --Holds (the gate)--> accepted --order.Orderer--> agreed
//	agreed --commit--> effective cut --Work--> store --Done--> answers, reports --> proxy
//
// # The caller's duties, in order
//
//  1. Found every founding replica of a new cluster, once and explicitly; any other replica asks to
//     join by itself (R1).
//  2. Hand in Datagram and Message as they come, in bursts; then Tick. (Verified instead of Datagram,
//     if other cores verify.)
//  3. Output, and send what it says. Acknowledgements of blind writes are in there: they do not wait
//     for anything to be applied.
//  4. Work: if there is any, run it, on this goroutine or another, hand it back with Done, and look
//     for more. One is out at a time. Then Output again for the answers.
//  5. With Config.Durable: append Output's Records to a journal under consecutive numbers, make them
//     durable when Sync asks, and say so by Synced; write what Save hands out to a file, and say so
//     by Saved; trim the journal below Trimmable. After a restart, Recover from both.
//  6. Look at Err: a replica that finds itself at odds with what was agreed stops loudly.
//
// # Files
//
//	state     what is replicated besides keys: lanes, proxies, lives, log time, limits
//	lanes     frames held of each lane, the gate, and when frames may be dropped (R11, R17)
//	rounds    what the leader proposes and when (R8, R9, R10)
//	commit    decisions to effective cuts to batches (R6, R19)
//	proxies   opening, fencing, reports, answers, hedges (R19, R21, R25)
//	reads     reads at a barrier (R26)
//	peers     the orderer's messages, repair by peers
//	members   new lives join, are promoted, old ones go; state hashes are compared (R1, R2, R30)
//	transfer  snapshots for followers that lack too much (R30); received, one on its way in
//	late      what is sent while a snapshot is on its way is put aside, and the log kept
//	journal   what must not be forgotten, in which order, and when it may be (R8, R11, R17)
//	room      the journal's bound: when snapshots begin, and when no frames are journaled
//	recover   a life goes on after a restart (R4)
//	file      a saved snapshot; export hands one to a backup, refound begins a cluster from one (R29)
//
// Without Config.Durable state lives in memory: a restarted replica is a new life and comes back as a
// learner.
//
// [IngestCore] is the first third alone, what the ingest experiment measures.
package replica
