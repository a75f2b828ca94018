// Package mastercmd is the command line of the master: metronome master init, serve, enroll,
// revoke, status, restore, verify and drill. An edge joins by metronome edge join.
//
//	root.AddCommand(mastercmd.Command())
//	running, err := mastercmd.Start(ctx, options)   // the server, to be embedded
//
// A master's directory holds everything: pki (the CA and the master's certificate), edges (a file
// each, with their backup keys), join tokens, the state, backups unless they lie elsewhere, and a
// socket through which the commands reach the server. Who may read the directory is the master's
// operator; no command asks for a password. status, verify and drill work without a running server
// too.
//
// The package holds no logic of its own beyond wiring and printing.
package mastercmd
