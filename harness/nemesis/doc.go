// Package nemesis runs a cluster as processes and does to it what the world does: processes stop, go on,
// are killed, come back as new lives; frames are lost or come twice; the network splits; disks are slow or
// full; clocks jump; replicas are replaced.
//
//	c, err := nemesis.Start(ctx, nemesis.Options{Binary: "bin/metronome", Dir: dir})
//	defer c.Close()
//	f := c.Pause(wire.ReplicaPeer(1))
//	err = f.Apply(ctx) // … clients go on …
//	err = f.Heal(ctx)
//	err = c.Settled(ctx) // every replica votes, and all have the same state
//
// On the loopback interface processes can be stopped, killed, slowed. With a [Network] each has a network
// namespace of its own, and with Options.Disk each replica a file system of its own: both need root and a
// [testbed.Sandbox], with which everything vanishes. A [Kind] is a way to be cruel of which [Cluster.Draw]
// makes a [Fault] against whoever plays the part now; a [Schedule] is many, seeded and logged.
//
//	fault            mechanism                             fault         mechanism
//	kill, wipe       SIGKILL; the directory removed        slow CPU      cpu control group's quota
//	pause            SIGSTOP, SIGCONT                      slow disk     blkio control group's throttle
//	partitions       nftables, where packets arrive        full disk     a file that takes the rest
//	loss, bursts     nftables: random, by count            clock         a restart in a time namespace
//	repeats          nftables dup, on the bridge's ports   membership    what operators can ask for
//	slow lane        nftables marks and htb, at the sender
//
// With Options.Switch nodes' datagrams pass ports of DPDK through the software switch (harness/vswitch), or,
// in namespaces of [NewSwitchedNetwork], everything that their kernels send. It then does all faults of
// packets, by the cluster's seed, and cuts what a partition cuts; and it alone can
//
//	dead queue       the switch swallows what one of a port's receive queues would get
//	delay, jitter    the switch holds packets back, whatever the load
//	corrupt          the switch flips bits
//
// No hook in the store is needed for any of them. It never asks for the wall clock, so that a step of
// that is no fault to it; a test holds this. What this kernel cannot do to its own sockets without the
// switch: a delay that does not depend on the load (it has neither netem nor fq), random draws by our seed
// (the kernel draws), a dead queue of a NIC (there is none).
//
// [Workload] is concurrent clients that write down what they saw, for package harness/history to judge.
// [Writers] is a steady stream of writes of which each can be found again, or not, in the end; its gaps tell
// an outage. A [Killer] kills processes under both, at random, as experiment crash does.
//
// Faults here are real and therefore few; harness/sim has all of them, many thousand times, in virtual
// time. No disk here loses, tears or damages what was written: kill -9 leaves the kernel's page cache
// alone.
package nemesis
