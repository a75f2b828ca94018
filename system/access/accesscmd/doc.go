// Package accesscmd is the command line of access: metronome user ..., and the parts of metronome pki that
// concern the IoT tier.
//
//	root.AddCommand(accesscmd.User())
//	pki.AddCommand(accesscmd.CA(), accesscmd.Leaf(), accesscmd.Show())
//
// Passwords come from the terminal, from standard input, or are made: never from an argument, which every
// user of a machine can see and every shell remembers. The package holds no logic of its own.
package accesscmd
