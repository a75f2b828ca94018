// Package run carries out a plan: it seeks each arm's loss-free rate, then measures fixed rates
// round it in randomised blocks, and writes every row the moment it is measured.
//
//	search   per group: a trial at the generator's maximum, then halving to the declared precision
//	block    per group, in random order: the bracket's rates in random order; beyond the rate where asked
//	finish   summary.csv, claims.csv, offloads.csv, manifest.json, the link "latest"
//
// The search's trials are short and never part of a result; the block's are what is judged. A trial
// during which the hypervisor took more than 1 % of the cores' time is repeated, at most twice. A
// group that this machine cannot run gets one row that says why. An interrupted run keeps what it
// has, marked partial.
//
// Experiments on stores ([StoreRunner]) seek no rate: a group's saturation in a block is what
// fractions of its other loads refer to. Those on the simulator ([SimRunner]) are tasks for
// processes that do nothing else ([Simulate]), as many at a time as there are cores.
//
// The package knows sessions only through an interface, so that its decisions are tested without a
// packet.
package run
