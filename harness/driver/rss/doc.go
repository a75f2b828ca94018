// Package rss is the driver of experiments/ingest-rss: frames taken in by several cores, which a device's
// queues, one core in software, or nobody feeds.
//
// Its arms have a wire and a distribution. The wires memif and socket run a sender, a receiver and, for
// memif, the software switch, whose Toeplitz hash deals lanes out to the receiver's queues as a NIC's RSS
// does; replay works through frames in memory; model measures what a stage costs on this machine and asks
// package model what a server would do.
//
// A row of more busy threads than this machine has CPUs carries the flag oversubscribed, and lacks the
// metrics whose names begin with judged: such a trial shows that something works, and no rate.
//
// The package does not tune the machine, isolate CPUs, or judge.
package rss
