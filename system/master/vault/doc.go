// Package vault keeps one edge's backups at a destination: sealed, named by content, manifest last.
//
//	v, err := vault.Open(ctx, dest, key, vault.Options{})
//	missing := v.Missing(names)                     // of what an edge would upload
//	err = v.PutChunk(ctx, name, sealed)             // opened, checked, then stored durably
//	b, missing, err := v.Commit(ctx, draft)         // the manifest: only when all its chunks are there
//	reach, err := v.AppendLog(ctx, number, sealed)  // what changed since, every second
//	report, err := v.Restore(ctx, vault.Restoration{Dir: dir, Target: ..., Epoch: ...})
//
// # What lies at the destination
//
//	chunks/<name>                                 up to 4 MiB of a file of a checkpoint
//	backups/<number>.json                         a manifest: a checkpoint's files, and what it is of
//	backups/<number>.<first>-<last>.log           changes since that checkpoint, by revision
//	doomed/ages.json                              what nobody wants, and for how long (package keep)
//
// A chain is a manifest and its log: it leads to any revision from the checkpoint's to the log's
// end. Numbers grow and are never used twice; no order rests on a clock. A manifest is written when
// all that it names is durable. Pebble's tables never change, so a later checkpoint has most of its
// chunks there already: what is uploaded is what changed.
//
// # Sealing
//
// Every object is compressed where that helps, and sealed with AES-256-GCM by a key of this edge
// alone; the seal covers the object's name and kind, so that no object can stand in for another. A
// chunk's name is the HMAC-SHA-256 of its content under that key: equal content of two edges has
// different names. There is no mode without encryption. Both the edge and the master hold the key;
// the destination sees neither content nor names of files.
//
// # Verification
//
// What arrives is opened, compared with its name, and, if it is a log, decoded record by record and
// joined to what was there, before it is answered. [Vault.Check] reads objects again; what is
// damaged twice in a row is set aside and counts as missing, so that the next backup of the living
// edge brings it back. [Vault.Restore] reads everything that it restores through the seal, and
// recounts the store's digest.
//
// # Removing
//
// Nothing is removed by whom backups come from. [Vault.Prune] removes what a policy does not keep,
// in two steps: see package keep. A chunk goes only if no manifest that exists names it, and none
// if any manifest cannot be read.
//
// The package knows one edge, and neither HTTP nor certificates. One process at a time may write;
// any number may read.
package vault
