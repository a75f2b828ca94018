// Package device is a device's local data store: a durable queue of puts and deletes that loses
// nothing through crashes, power cuts and networks that are away for days, and sends each operation
// to an edge exactly once.
//
//	d, err := device.Open(device.Config{Dir: "/var/lib/lamp", Client: "lamp", Password: "…",
//		Edges: []string{"https://edge:7443"}})
//	_, err = d.Put(ctx, "home/lamp/power", []byte("12.5"))  // durable here; no network is waited for
//	v, err := d.Get(ctx, "home/lamp/power")                 // what waits here hides the edge's value
//	err = d.Flush(ctx, queue.Edge)                          // all so far is durable at the edge
//
// # What is promised
//
// When Put returns, the operation is on this device's disk, group-committed with others. It is sent
// when it can be, in the order of numbers, and executed exactly once whatever is repeated: number,
// session and client are its identity, for ever, and package queue says how. Marks say how safe it
// is: local, edge, backed_up, quorum; [Device.Wait] and [Device.Flush] wait for one, and a mark
// that the edge cannot give is [ErrMarkUnavailable] at once.
//
// Who enqueues never waits for the network, and for room only in [Device.Room] and [Device.Import].
// A full queue is [ErrFull] at once, unless Rules name prefixes whose operations give way, which is
// counted.
//
// An operation that the edge refuses for good becomes a dead letter and holds up nothing. At the
// bound of the dead letters sending stops, because the alternatives are to lose them or to forget
// them: State says so.
//
// # Several edges
//
// The first of Config.Edges is tried first, and the next when one does not answer or has no right to
// serve. An edge over the replicated core goes on where another left off, whichever it is. An edge with
// a store of its own has devices whose home it is, and answers others with 421 and the home's name: the
// device goes to the edge that has called itself so, or asks around until it meets it. Addresses that
// are not in Config.Edges are never followed.
//
// # On the disk
//
//	lock               held while open; its place on the file system tells a copied directory
//	identity.a, .b     client, sessions, epoch, with checksum; written twice
//	queue/             a journal: operations, and notes of what the edge has
//	dead/              a journal: dead letters
//	seen               values last seen at the edge; a crash may take the newest
//
// An operation's number is its record's number. A record that is not durable is never sent, so a
// crash takes back only what nobody has seen. Notes are advice: at the start the edge is asked what
// it has, and its answer counts. A note is durable before anything is trimmed on its account.
//
// # Lives, copies and disks that were set back
//
// Every Open is a life: it raises the session's epoch and draws an instance, durably, so that the
// edge turns away an older life that still writes: [ErrFenced], and somebody must decide
// ([Device.Adopt]). Before the first request a life notes that it sends: numbers above the end of
// the last life that did were never sent by anyone. If the edge knows higher ones, the disk was set
// back or lost what it had called durable, and what was never sent goes out under a new session, by
// itself. A directory that was copied lies at another place: what it held is sent under the old
// session, which the edge takes once from whichever copy comes first, and what is new under a
// session of its own.
//
// # Restored edges
//
// What is at the edge is kept until a backup or a majority has it too, within Config.KeepBytes. An
// edge that was restored from an older backup says so by its mark, and gets again what is kept from
// there on. What was no longer kept is counted as lost.
//
// # Memory
//
// Values are on the disk. In memory are, for any backlog: a table of 1 MiB and filters, 32 KiB for
// 49152 distinct pending keys, 16 MiB at most ([queue.Index]); 24 bytes for 1024 operations; one
// request, at most four times BatchBytes; 1 MiB of keys under LatestOnly; the journal's buffers;
// SeenBytes; about 40 bytes a dead letter.
//
// The trade: a key whose pending operation is not among the last 49152 distinct keys is looked for
// in the log, where the filters let it be: about one stretch of 5 MiB in twelve for nothing, so
// milliseconds at a backlog of 100 MiB and tenths of a second at 2 GiB. A table of all keys would
// answer in microseconds, take hundreds of megabytes, and make recovery slower. Skipping within a
// request needs no index at all; under LatestOnly an operation is skipped across requests only if
// its successor is in the table. Recovery reads the queue once, from its beginning.
//
// # What it does not do
//
// It is no database: no listing, no transactions over keys, no reads at a past time; ask the edge.
// It keeps no clock: times are for people, and order comes from numbers alone. It does not follow
// an edge to an address that it was not given, because its password would go there. It logs
// nothing: [Device.Status] tells.
//
// The queue learnt from what others lost: EdgeX and Fluent Bit let new data overtake old, Telegraf
// and Vector did not start on a damaged buffer, NATS forgets identities after two minutes.
package device
