// Package ship is the edge's side of its backups: it joins a master, ships what changes, and
// restores.
//
//	err := ship.Join(ctx, ship.Joining{Master: url, Token: token, Dir: dir})   // once
//	m, err := ship.Load(dir)                                                   // identity, CA, backup key
//	s, err := ship.New(ship.Config{Membership: m, Keeper: k, Source: store, Scratch: scratch})
//	go s.Run(ctx)                                                              // beside the edge's server
//	done, err := ship.Restore(ctx, ...)                                        // into a new edge's directory
//
// # Shipping
//
// A life of a process begins with a hello, which gives it a lease and shuts out a copy of the same
// edge, and a checkpoint. Of that the chunks are sent that the master has not, then the manifest.
// From then on, every second, the edge's log since: what the master has stored and verified is
// marked as backed up at the store, and devices need no longer keep it. While another checkpoint is
// on its way, after a day or 64 MiB of log, the log goes on to be shipped behind the one before.
//
// A master that cannot be reached is tried again with growing, jittered pauses; then everything
// that came up meanwhile goes at once. If it took so long that the log no longer reaches back, a
// checkpoint closes the gap. What a master lost it asks for with its answers: a new checkpoint
// brings back the chunks that the edge still has.
//
// A failing backup never stops the edge: nothing here is waited for by the store, a bug that panics
// is caught and reported, and memory is bounded to a few chunks.
//
// # Restoring
//
// An edge with a new disk joins again, by a new token and under its old name, is given its old
// backup key, and reads its backups through the master; it needs no other rights.
package ship
