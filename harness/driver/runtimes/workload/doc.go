// Package workload makes the file that every client of the profile works through, whatever language it is
// written in: the same keys, the same values, in the same order, from a seed.
//
// The file, read by three parsers of a few lines each:
//
//	metronome-workload 1 N POOL          a line of text
//	KEY OFFSET LENGTH                    N lines; OFFSET and LENGTH in decimal
//	POOL bytes
//
// A key's value is LENGTH bytes of the pool from OFFSET on, so that a client slices instead of making
// random bytes, which would cost an interpreter more than the request. Keys are distinct, in random order.
// Lengths are uniform from a sixteenth of the largest to the largest.
//
// A client's proof of work is the CRC-32 (IEEE) of what it did, running on through keys and values in
// order: of KEY and value for a write or a read, of KEY for a delete. CRC-32 because the standard libraries
// of Go and Python have it in C's speed.
package workload
