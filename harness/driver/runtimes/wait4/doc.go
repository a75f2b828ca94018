// Package wait4 measures programs as time(1) does, without its pitfalls: wall, user and system time, peak
// memory and the rest of struct rusage, of one process from fork to wait4.
//
//	l := wait4.Launcher{Path: "bin/clients/launch", CPU: 1}
//	out, used, err := l.Run(ctx, "/usr/bin/python3", "client.py")
//
// A process is started through a launcher of two megabytes, because Linux gives a process the peak memory
// of its parent to start with: measured from a testbed of 300 MB, /bin/true takes 300 MB. [Usage.Floor] is
// what is left of that effect, and a peak that is not above it is [ErrFloor].
//
// Times are the kernel's, in microseconds; whether user and system are told apart by ticks or precisely
// depends on how it was built, their sum does not. Children that nobody waited for are not in it, MaxRSS
// is the largest process and no sum, and pages that processes share count in each.
//
// The package repeats nothing and judges nothing: one call is one process.
package wait4
