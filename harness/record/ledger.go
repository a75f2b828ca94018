package record

import (
	"errors"
	"fmt"
	"strings"
)

// Ledger accounts for every frame of a trial. Its causes are disjoint: each emitted frame is
// counted under exactly one of them. All are frames.
type Ledger struct {
	EmittedFrames uint64 // what the generator put, or tried to put, on the wire

	// Lost before the receiving port.
	RingFullFrames  uint64 // not taken by the wire at their slot (memif ring, veth ring)
	DeviceDropped   uint64 // lost by the device or its queue for want of a buffer
	DeviceErrors    uint64 // discarded by the device as damaged
	IPHdrErrors     uint64 // kernel: bad IPv4 header
	UDPCsumErrors   uint64 // kernel: bad UDP checksum
	UDPNoPorts      uint64 // kernel: nobody listened
	UDPRcvbufErrors uint64 // kernel: the socket buffer was full
	Foreign         uint64 // not addressed to the port's group and port number
	BacklogFrames   uint64 // still in a socket buffer or ring when the drain ended

	// Discarded by the ingest pipeline, by the first check that failed.
	Bad             BadFrames
	DuplicateFrames uint64 // seen before
	RefusedFrames   uint64 // the lane's arena was full

	// Went through it.
	AcceptedFrames uint64 // released to the consumer by the end of the window plus Grace
	LateFrames     uint64 // released after that, while draining
	QueuedFrames   uint64 // in the arena behind a gap when the drain ended
}

// BadFrames counts discarded frames by the check that failed, in the order of the checks.
type BadFrames struct {
	Short, Magic, Version, Cluster, Mode, Length, Digest, Type, Payload, Item, Lane uint64
}

// Sum returns all bad frames.
func (b BadFrames) Sum() uint64 {
	return b.Short + b.Magic + b.Version + b.Cluster + b.Mode +
		b.Length + b.Digest + b.Type + b.Payload + b.Item + b.Lane
}

type entry struct {
	name   string
	frames uint64
}

func (l Ledger) entries() []entry {
	return []entry{
		{"ring full", l.RingFullFrames},
		{"device dropped", l.DeviceDropped},
		{"device errors", l.DeviceErrors},
		{"IP header errors", l.IPHdrErrors},
		{"UDP checksum errors", l.UDPCsumErrors},
		{"UDP no port", l.UDPNoPorts},
		{"UDP receive buffer", l.UDPRcvbufErrors},
		{"foreign", l.Foreign},
		{"backlog", l.BacklogFrames},
		{"bad", l.Bad.Sum()},
		{"duplicate", l.DuplicateFrames},
		{"refused", l.RefusedFrames},
		{"accepted", l.AcceptedFrames},
		{"late", l.LateFrames},
		{"queued", l.QueuedFrames},
	}
}

// Accounted returns the right side of the equation: the sum over all causes.
func (l Ledger) Accounted() uint64 {
	var sum uint64
	for _, e := range l.entries() {
		sum += e.frames
	}
	return sum
}

// Pipeline returns the frames that reached the ingest pipeline, whatever became of them there.
func (l Ledger) Pipeline() uint64 {
	return l.Bad.Sum() + l.DuplicateFrames + l.RefusedFrames +
		l.AcceptedFrames + l.LateFrames + l.QueuedFrames
}

// Unaccounted returns emitted minus accounted frames; below zero, frames were counted twice or came
// from elsewhere.
func (l Ledger) Unaccounted() int64 { return int64(l.EmittedFrames - l.Accounted()) }

// ErrUnbalanced is wrapped by the errors of [Ledger.Balance].
var ErrUnbalanced = errors.New("the ledger does not balance")

// Balance returns nil if every emitted frame is found under one cause, and otherwise an error that
// says how many frames are missing or counted twice and writes the equation out.
func (l Ledger) Balance() error {
	missing := l.Unaccounted()
	if missing == 0 {
		return nil
	}
	what := fmt.Sprintf("%d frames are missing", missing)
	if missing < 0 {
		what = fmt.Sprintf("%d frames too many", -missing)
	}
	var terms []string
	for _, e := range l.entries() {
		if e.frames > 0 {
			terms = append(terms, fmt.Sprintf("%s %d", e.name, e.frames))
		}
	}
	if terms == nil {
		terms = []string{"nothing"}
	}
	return fmt.Errorf("%w: %s: emitted %d, found %s",
		ErrUnbalanced, what, l.EmittedFrames, strings.Join(terms, " + "))
}
