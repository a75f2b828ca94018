// Package edgecmd is the command metronome edge: one edge server as a process, and metronome edge join, by
// which it gets a master.
//
//	root.AddCommand(edgecmd.Command())
//
// It is where an edge's parts meet: the store, the credential file and certificates of package access, the
// REST server, the operators' server and, of an edge that has joined a master, the shipper of its backups
// and the renewal of its certificate. A program that embeds an edge uses [Start] with its own parts in
// [Options].
//
// What fails towards the master is logged, seen in /readyz and on the master's page, and stops nothing. The
// package restores nothing: metronome master restore does, before an edge is started.
package edgecmd
