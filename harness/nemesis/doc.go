// Package nemesis runs a cluster as processes and does to it what the world does: processes stop, go on,
// are killed, come back as new lives; frames are lost or come twice; the network splits.
//
//	c, err := nemesis.Start(ctx, nemesis.Options{Binary: "bin/metronome", Dir: dir})
//	defer c.Close()
//	f := c.Pause(wire.ReplicaPeer(1))
//	err = f.Apply(ctx) // … clients go on …
//	err = f.Heal(ctx)
//	err = c.Settled(ctx) // every replica votes, and all have the same state
//
// On the loopback interface processes can be stopped and killed. With a [Network], which needs root and
// nft(8), each process has a network namespace of its own on a common bridge, and frames can be lost, come
// twice, or not come at all, to each process apart. [Sandbox] puts the whole program into namespaces
// that vanish with it.
//
// [Workload] is concurrent clients that write down what they saw, for package harness/history to judge.
// [Writers] is a steady stream of writes of which each can be found again, or not, in the end; its gaps tell
// an outage. A [Killer] kills processes under both, at random, as experiment crash does.
//
// Faults here are real and therefore few; harness/sim has all of them, many thousand times, in virtual
// time. This package injects no disk faults: kill -9 leaves the kernel's page cache alone.
package nemesis
