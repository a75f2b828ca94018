// Package load makes the traffic of experiments. [Shape] says what frames look like, and both
// generators send exactly those: load/xdp into kernel devices, load/memif into DPDK's shared-memory
// interface.
//
// All frames of a trial carry one payload and differ in their headers, which are numbered, marked
// and digested as a proxy would. The ingest pipeline hashes and walks every payload all the same,
// and the generator, which must be faster than the device under test, need not.
//
// Generators are open-loop: a frame has its slot in time, and what is not taken then is counted,
// never sent later (coordinated omission, G. Tene).
package load
