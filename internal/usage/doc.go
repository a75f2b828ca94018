// Package usage gives a wrong call of a command the same answer everywhere: what is wrong, then where it
// is explained, and status 2, so that a script can tell "called wrongly" from "tried and failed".
//
//	$ lab run --profil=full ingest-11x
//	lab: unknown flag: --profil; did you mean --profile?; see 'lab run --help'
//
// [Mark] does it for a whole tree of commands: unknown flags and commands, values that a flag cannot take,
// missing or surplus arguments, required flags. What a command itself finds wrong with a value is its own
// error, and says its own next step.
package usage
