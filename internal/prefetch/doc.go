// Package prefetch asks the processor for memory that will be needed soon, and goes on.
//
// A load that misses the caches does not do: once the processor's window of a few hundred instructions
// is full, everything behind it waits for it, where a prefetch is done when its address is translated.
// Go keeps its own instruction for this to its runtime, so a few lines of assembly do it; on processors
// without them nothing happens. It changes nothing that a program can see but the time it takes.
//
// It is for loops that know some tens of steps ahead what they will touch. Requests should follow one
// another closely: their translations then overlap too. It does not make memory faster: where
// bandwidth is the limit it only adds to it.
package prefetch
