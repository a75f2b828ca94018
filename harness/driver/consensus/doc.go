// Package consensus drives experiments/consensus: the real orderers (system/order/orderers) on a small world
// in virtual time.
//
// The world is made up and exact: replicas whose links have a delay, jitter and loss, disks whose syncs take
// as long as they are told, processors that need a time for each message. Proxies send frames of lanes to
// every replica, a gate says what a replica has of them, and whoever leads proposes a cut whenever fewer
// rounds than allowed are under way and some lane has moved: what system/replica does, without the store.
// Where everyone leads, each begins rounds for some of the lanes at once and for others' after some ticks.
// "The leader" that a fault befalls is then the replica that speaks for all.
// The same seed gives the same rows on any machine, however busy it is.
//
// While it measures, it checks: positions come one after another and are the same everywhere (I2), a
// majority holds what is decided (I1), and something is decided at all. A trial in which that fails is an
// error and no measurement.
//
// Arms whose setting "model" names an algorithm are calculated by harness/model instead.
//
// # What this package does not do
//
// It restarts nobody, loses no disk, sends no snapshot and hands no leadership over (R15): harness/sim does
// all that to whole replicas, and says nothing about time. It expects every voter to hold what the leader
// holds (R9 without reports).
package consensus
