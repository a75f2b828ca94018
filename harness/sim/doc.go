// Package sim is a deterministic simulator of the whole store: replicas, proxies, clients and the
// network between them, in one goroutine, in virtual time, under a seed. The cores are the real
// ones (system/replica, system/proxy); what surrounds them is made up here.
//
// One [Run] is one seed. The seed draws a cluster, a network and what befalls it ([Profiles]);
// every rate is sometimes zero, because a fault that is always present hides others (swarm testing,
// Groce et al., ISSTA 2012). Then come three phases, as in TigerBeetle's VOPR:
//
//  1. safety: clients work while processes crash, stop, slow down, double, and the network loses,
//     doubles, delays, reorders, damages, splits and clogs;
//  2. liveness: a bare quorum of voters and one proxy are healed, everything else is frozen, and a
//     write must complete;
//  3. convergence: everything is healed, every replica must come to vote and to have the same
//     state, and every proxy must serve it.
//
// What is checked, and where:
//
//   - after every step, from what replicas do ([Observer]): one sequence of decisions (I2), the
//     same item at the same index (I3), each once (I4), cuts that a majority holds (I1), lanes that
//     end where the decisions say (R19), buffers within their bounds (I6), one leader a term, equal
//     state hashes;
//   - at the end, from what clients saw: harness/history, by index and by porcupine.
//
// A run is exact: the same seed gives the same bytes (R18). Raft draws its election timeouts from
// crypto/rand, whose source is replaced while a simulation runs; so one runs at a time in a
// process. A violation prints the line that replays it.
//
// The simulator survives what the fault model promises to survive and no more: it spares a replica
// whose loss would leave less than a majority of voters with their state (R2). Only the profile
// "unlimited" does not, and claims safety of what was agreed alone.
//
// The package does not simulate disks, real sockets or threads, and measures no time: a virtual
// millisecond says nothing about a real one.
package sim
