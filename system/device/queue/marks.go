package queue

import (
	"encoding/binary"
	"fmt"
)

// Mark names how safe an operation is. Each of the others implies Local; otherwise they are
// independent.
type Mark uint8

// The marks: durable here; durable at the edge; in a verified backup at the master; ordered by the
// replicated core.
const (
	Local Mark = iota
	Edge
	BackedUp
	Quorum
	markCount
)

var markNames = [markCount]string{"local", "edge", "backed_up", "quorum"}

// String is the mark's name in requests, flags and tables.
func (m Mark) String() string {
	if m < markCount {
		return markNames[m]
	}
	return fmt.Sprintf("mark %d", uint8(m))
}

// ParseMark reads what String writes.
func ParseMark(s string) (Mark, error) {
	for m, name := range markNames {
		if s == name {
			return Mark(m), nil
		}
	}
	return 0, fmt.Errorf("unknown mark %q: use local, edge, backed_up or quorum", s)
}

// Marks says for each mark up to which number it is reached, and which of them the edge can give at
// all.
type Marks struct {
	At  [markCount]uint64
	Can [markCount]bool
}

// Counters count since the directory was made. Bytes are of keys and values.
type Counters struct {
	Enqueued, EnqueuedBytes   uint64
	Sent, SentBytes           uint64 // operations in accepted requests
	Requests, Retries         uint64
	Coalesced, CoalescedBytes uint64 // never sent, because overwritten
	Duplicates                uint64 // the edge had them already
	Refused                   uint64 // became dead letters
	Dropped, DroppedBytes     uint64 // by policy, when full
	Replayed                  uint64 // sent again to an edge that had lost them
	Lost                      uint64 // an edge had lost them and they were no longer kept; numbers, at most
}

func (c *Counters) all() []*uint64 {
	return []*uint64{
		&c.Enqueued, &c.EnqueuedBytes, &c.Sent, &c.SentBytes, &c.Requests, &c.Retries, &c.Coalesced,
		&c.CoalescedBytes, &c.Duplicates, &c.Refused, &c.Dropped, &c.DroppedBytes, &c.Replayed, &c.Lost,
	}
}

// Note is what a mark record holds: progress, so that a restart need not ask the edge for what it
// knew. Losing the newest notes is harmless: the edge's own mark decides, and numbers make
// repetition harmless.
type Note struct {
	Marks    Marks
	Next     uint64 // the first number that is not finished
	Floor    uint64 // the first number that is kept
	Counters Counters
}

// AppendNote appends the record of n to dst.
func AppendNote(dst []byte, n *Note) []byte {
	dst = append(dst, byte(KindMark))
	var can byte
	for m := range markCount {
		dst = binary.AppendUvarint(dst, n.Marks.At[m])
		if n.Marks.Can[m] {
			can |= 1 << m
		}
	}
	dst = append(dst, can)
	dst = binary.AppendUvarint(dst, n.Next)
	dst = binary.AppendUvarint(dst, n.Floor)
	for _, c := range n.Counters.all() {
		dst = binary.AppendUvarint(dst, *c)
	}
	return dst
}

// DecodeNote reads what AppendNote wrote.
func DecodeNote(record []byte) (n Note, err error) {
	if RecordKind(record) != KindMark {
		return n, fmt.Errorf("%w: no mark", ErrRecord)
	}
	r := reader{rest: record[1:]}
	for m := range markCount {
		n.Marks.At[m] = r.uvarint()
	}
	if can := r.bytes(1); can != nil {
		for m := range markCount {
			n.Marks.Can[m] = can[0]&(1<<m) != 0
		}
	}
	n.Next, n.Floor = r.uvarint(), r.uvarint()
	for _, c := range n.Counters.all() {
		*c = r.uvarint()
	}
	if r.bad || len(r.rest) > 0 {
		return Note{}, fmt.Errorf("%w: a mark's length", ErrRecord)
	}
	return n, nil
}
