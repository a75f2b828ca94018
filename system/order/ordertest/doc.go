// Package ordertest is what every [order.Orderer] must pass, and the cluster in one goroutine that
// tests of an algorithm use for scenes of their own.
//
//	func TestConformance(t *testing.T) { ordertest.Run(t, ordertest.Algorithm{Name: "…", Start: …}) }
//
// Members are orderers around a state machine that remembers what it applied; a network that a test
// delivers message by message lies between them, and disks that it syncs. I1 and I2 are checked as
// each decision is first applied.
//
// It does not replace the simulator (harness/sim), which steps whole replicas: here a failure is small.
package ordertest
