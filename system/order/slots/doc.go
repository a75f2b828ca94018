// Package slots is what orderers have in common that agree on each position by itself, with ballots of
// Paxos: where they begin, the log of what was accepted, the queue of what waits at the gate, and their
// bytes.
//
// Nothing gets into a [Log] but by the algorithm's hand, which asks the gate first; the queue holds what
// the gate answered [order.Missing] to.
//
// # What this package does not do
//
// It knows no messages and no rules of ballots: those are each algorithm's own. So is how many members
// have to say what; only that a majority at least accepts (R13) is the same for all.
package slots
