// Package runtimes is the driver of runtime-profile: clients in C++, Go, CPython and PyPy work through the
// same file against one edge server, each run a process of its own, measured by wait4.
//
// A trial: the keys are brought into the state that the verb needs, the client is started on a core of its
// own through package wait4, its checksum is compared with the workload's, and the edge with what the
// client says it did. A client that did other work than it was given is an error, never a row.
//
// What a trial tells has a cold part and a steady part. Cold is the whole process, start-up, TLS handshake
// and warm-up included. Steady is what [Steady] finds in the series of times of fifty parts of the run:
// that a runtime with a just-in-time compiler ends in a steady state is looked for, not taken for granted
// (Barrett et al., Virtual Machine Warmup Blows Hot and Cold, OOPSLA 2017). No start-up is subtracted from
// anything: the verb noop shows what it is.
//
// The password costs nothing in a trial, because the edge was asked with it before and remembers; its price
// is the edge's, 60 ms of bcrypt, whatever the client is written in.
//
// The clients lie with the experiment. Those that are compiled are compiled when a session opens; a
// compiler, library or interpreter that is missing makes its arms unavailable and no others.
package runtimes
