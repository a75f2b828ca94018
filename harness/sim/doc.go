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
//     state, every proxy must hear what became of what it sent, and serve it.
//
// In a third of the seeds all proxies end at once after the first phase, and the replicas must come to one
// state by what they keep for each other.
//
// # Orderers
//
// [StoreBy] gives the store over one algorithm of package order/orderers, [Store] the default one. The
// invariants are the same. Where members are fixed, no life is made to end: replicas that crash have
// disks, and the profile of damaged and wiped disks is left out ([ProfilesFor]). After a restore the
// new cluster has another algorithm in half of the seeds.
//
// # Disks
//
// In most profiles replicas live in memory and a crash ends a life. In those whose names begin with
// "disk" each seat has a disk (package disk/fault) that outlives processes, and a replica's
// surroundings are those of a real one without its threads: package storage, a journal whose syncs
// take virtual time, snapshots written piece by piece. One sync is on its way at a time; what is
// appended meanwhile waits for the next. Disks are slow, full, fail with EIO, lose power between any
// two operations and while they are recovered, are damaged within a block, and are replaced by empty
// ones; processes are killed, and power fails for one replica or for all. Losses of power lose no
// life; damage does, as far as the fault model's margin allows. The profile "disk-restore" ends with
// a new cluster that begins with a backup of the old one.
//
// # Checks
//
// What is checked, and where:
//
//   - after every step, from what replicas do ([Observer]): one sequence of decisions (I2), the
//     same item at the same index (I3), each once (I4), cuts that a majority holds (I1), lanes that
//     end where the decisions say (R19), buffers within their bounds (I6), one leader a term, equal
//     state hashes, a leader that is never silent, however slow its disk (R16);
//   - whenever a disk is opened, and on copies of disks as a power failure would leave them, taken
//     when something is decided, saved or trimmed: nothing intact is called damaged (R3), every
//     promise that the replica sent to others is remembered ([Promise]; I5), what it accepted is
//     held (R8, R11), and of a decision a majority's disks have everything (I1);
//   - a life that goes on from its disk repeats the same decisions, indexes and state hashes as all;
//   - at the end, from what clients saw: harness/history, by index and by porcupine.
//
// A run is exact: the same seed gives the same bytes (R18). Raft draws its election timeouts from
// crypto/rand, whose source is replaced while a simulation runs; so one runs at a time in a
// process. A violation prints the line that replays it.
//
// The simulator survives what the fault model promises to survive and no more: it spares a replica
// whose loss would leave less than a majority of voters with their state (R2), and seals a journal
// before it damages it (package journal says why). Only the profile "unlimited" spares nobody, and
// claims safety of what was agreed alone.
//
// The package does not simulate syncs that lie, disks that fall back to an older state, real sockets
// or threads, and measures no time: a virtual millisecond says nothing about a real one.
package sim
