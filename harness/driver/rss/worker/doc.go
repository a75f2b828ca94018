// Package worker holds the processes of experiments/ingest-rss: lab rss receive, lab rss send and lab rss
// calibrate. Each says ready, does what one line of JSON on standard input tells it, prints what came of it
// and ends.
//
//	send ──memif──▶ lab vswitch ──memif, a queue a core──▶ receive     hardware: RSS chooses the queue
//	send ──memif──▶ lab vswitch ──memif, one queue───────▶ receive     software: core 0 hands on by rings
//	send ──sockets, a UDP port a core──▶ the kernel ─────▶ receive
//	       frames made beforehand, in memory ────────────▶ receive     replay: no wire, only cores
//
// A core is a goroutine on a thread of its own, pinned to a CPU, with a port and a pipeline of its own
// ([replica.IngestCore]); cores share nothing. With more cores than CPUs, CPUs are shared round robin, and
// whoever reads the result must say so.
//
// With software distribution the first core only receives: it reads the lane from the frame's header and
// copies the frame into the ring of the core that has the lane. A full ring loses the frame, and counts it.
//
// The package does not start the switch, repeat, or judge: package rss does.
package worker
