// Package edgecmd is the command metronome edge: one edge server as a process.
//
//	root.AddCommand(edgecmd.Command())
//
// It is where an edge's parts meet: the store, the credential file and certificates of package access, the
// REST server, the operators' server. A program that embeds an edge uses [Start] with its own parts in
// [Options]. The package takes no backups; whoever does finds the store in [Edge].
package edgecmd
