package bench

import (
	"metronome/system/lane"
	"metronome/system/packet"
	"metronome/system/wire"
)

// Command is a line on stdin.
type Command struct {
	Cmd         string `json:"cmd"`         // arm, report, stop
	Incarnation uint32 `json:"incarnation"` // arm: of the frames to come
	DeadlineNS  int64  `json:"deadline_ns"` // arm: CLOCK_MONOTONIC
}

// Ready is the first event.
type Ready struct {
	Event       string `json:"event"` // "ready"
	PID         int    `json:"pid"`
	TID         int    `json:"tid"`             // the polling thread
	BufferBytes int64  `json:"buffer_bytes"`    // in front of the pipeline: socket buffer or rings
	RingFrames  int64  `json:"ring_frames"`     // frames those rings hold; 0 if they are counted in bytes
	UMEMBytes   int64  `json:"umem_bytes"`      // memory shared with the kernel (AF_XDP) or the peer (memif)
	BoundBytes  int64  `json:"mem_bound_bytes"` // what the configuration bounds this process's buffers to
	DPDK        string `json:"dpdk_version"`
	EALArgs     string `json:"eal_args"`
}

// Unavailable is the first and only event of a process that this machine cannot run: a
// packet.ErrUnavailable.
type Unavailable struct {
	Event string `json:"event"` // "unavailable"
	What  string `json:"what"`
	Why   string `json:"why"`
	Next  string `json:"next"`
}

// Armed answers arm.
type Armed struct {
	Event     string `json:"event"`            // "armed"
	Discarded uint64 `json:"discarded_frames"` // frames of the trial before, thrown away
}

// Report answers report.
type Report struct {
	Event      string   `json:"event"` // "report"
	AtDeadline Counters `json:"at_deadline"`
	Final      Counters `json:"final"` // after the port ran empty
	FrozenNS   int64    `json:"frozen_ns"`
	Mallocs    uint64   `json:"mallocs"`      // heap objects allocated between arm and the deadline
	HeldBytes  uint64   `json:"socket_bytes"` // largest kernel memory seen held for datagrams
}

// Counters are a pipeline's and its port's, since arm.
type Counters struct {
	Frames    uint64            `json:"frames"` // handed to the pipeline
	Released  uint64            `json:"released"`
	Items     uint64            `json:"items"`
	Queued    uint64            `json:"queued"`
	Duplicate uint64            `json:"duplicate"`
	Refused   uint64            `json:"refused"`
	Lost      uint64            `json:"lost"`
	Bad       map[string]uint64 `json:"bad"` // by wire.Cause
	Polls     uint64            `json:"polls"`
	Empty     uint64            `json:"empty_polls"`
	RxDropped uint64            `json:"rx_dropped"`
	RxErrors  uint64            `json:"rx_errors"`
	RxForeign uint64            `json:"rx_foreign"`
	RxBadUDP  uint64            `json:"rx_bad_udp"`
	RxSegs    uint64            `json:"rx_segs"`
}

// snapshot is what Counters are made of, cheap to take inside the loop.
type snapshot struct {
	lanes        lane.Counters
	port         packet.Stats
	polls, empty uint64
	nullFrames   uint64
	ns           int64
	mallocs      uint64
}

// since is the counters between two snapshots.
func (s *snapshot) since(base *snapshot) Counters {
	l, p := &s.lanes, &s.port
	c := Counters{
		Frames:    l.Frames + s.nullFrames - base.nullFrames,
		Released:  l.Released + s.nullFrames - base.nullFrames,
		Items:     l.Items,
		Queued:    l.Queued,
		Duplicate: l.Duplicate,
		Refused:   l.Refused,
		Lost:      l.Lost,
		Bad:       map[string]uint64{},
		Polls:     s.polls - base.polls,
		Empty:     s.empty - base.empty,
		RxDropped: p.RxDropped - base.port.RxDropped,
		RxErrors:  p.RxErrors - base.port.RxErrors,
		RxForeign: p.RxForeign - base.port.RxForeign,
		RxBadUDP:  p.RxBadUDP - base.port.RxBadUDP,
		RxSegs:    p.RxSegs - base.port.RxSegs,
	}
	for cause, n := range l.Bad {
		if n > 0 {
			c.Bad[wire.Cause(cause).String()] = n
		}
	}
	return c
}
