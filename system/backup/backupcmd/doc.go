// Package backupcmd is the commands of backups: metronome backup (with list, verify, prune), and
// metronome restore. It says where places are, shows progress and prints; what is done is package
// backup's business.
//
// Progress goes to standard error: a bar on a terminal, a line now and then elsewhere. With --json
// standard output is one JSON value, also when some of it is bad news; the exit code tells.
package backupcmd
