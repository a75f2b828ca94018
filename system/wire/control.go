package wire

import "encoding/binary"

// The messages between proxies and replicas. Each has Append, which begins a message of its kind in
// dst's memory, and a function that reads it back from the bytes after the kind; slices in what is
// read are slices of the message.

// Open asks for lanes for a new incarnation of a proxy (R19).
type Open struct {
	Nonce uint64 // names the asking instance: a repeated request opens nothing new
	Lanes uint16
}

// Append appends the message.
func (m *Open) Append(dst []byte) []byte {
	w := NewWriter(dst, KindOpen)
	w.U64(m.Nonce)
	w.U16(m.Lanes)
	return w.B
}

// ReadOpen reads an Open.
func ReadOpen(b []byte) (m Open, ok bool) {
	r := NewReader(b)
	m = Open{r.U64(), r.U16()}
	return m, r.Done()
}

// Opened tells a proxy what was agreed for its request.
type Opened struct {
	Nonce       uint64
	Incarnation uint32
	FirstLane   uint32 // ids are consecutive
	Lanes       uint16
	Leader      uint8 // seat + 1 of the leader, 0 = not known
	Seats       uint16
}

// Append appends the message.
func (m *Opened) Append(dst []byte) []byte {
	w := NewWriter(dst, KindOpened)
	w.U64(m.Nonce)
	w.U32(m.Incarnation)
	w.U32(m.FirstLane)
	w.U16(m.Lanes)
	w.U8(m.Leader)
	w.U16(m.Seats)
	return w.B
}

// ReadOpened reads an Opened.
func ReadOpened(b []byte) (m Opened, ok bool) {
	r := NewReader(b)
	m = Opened{r.U64(), r.U32(), r.U32(), r.U16(), r.U8(), r.U16()}
	return m, r.Done()
}

// Fenced tells a proxy that an incarnation is closed: items of lane i from Items[i] on were not
// executed and never will be (R19).
type Fenced struct {
	Nonce       uint64 // of the request that this answers; 0 = nobody asked
	Incarnation uint32
	Silence     bool     // closed for silence, not by another instance
	Items       []uint64 // by lane index; empty if no longer known
}

// Append appends the message.
func (m *Fenced) Append(dst []byte) []byte {
	w := NewWriter(dst, KindFenced)
	w.U64(m.Nonce)
	w.U32(m.Incarnation)
	w.U8(boolByte(m.Silence))
	w.U16(uint16(len(m.Items)))
	for _, n := range m.Items {
		w.U64(n)
	}
	return w.B
}

// ReadFenced reads a Fenced.
func ReadFenced(b []byte) (m Fenced, ok bool) {
	r := NewReader(b)
	m = Fenced{Nonce: r.U64(), Incarnation: r.U32(), Silence: r.U8() != 0}
	n := int(r.U16())
	if r.Left() != 8*n {
		return m, false
	}
	m.Items = make([]uint64, n)
	for i := range m.Items {
		m.Items[i] = r.U64()
	}
	return m, r.Done()
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// Report tells a proxy how far its lanes are committed and applied at a replica. Committed is a
// majority's proof of holding: it acknowledges blind writes and moves the window (R21, R25).
type Report struct {
	Incarnation uint32
	Leader      uint8  // seat + 1, 0 = not known
	Seats       uint16 // bit set: seats of replicas that vote, and may be asked to answer
	Full        bool   // a limit is reached, the store's, the disk's or the journal's: take no new writes
	Closed      bool   // the journal's is, and nothing makes room: take nothing that is journaled
	Lanes       []LaneReport
}

// LaneReport is a lane's part of a Report.
type LaneReport struct {
	Index     uint16 // within the incarnation
	Committed uint64 // items
	Applied   uint64 // items
}

// Append appends the message.
func (m *Report) Append(dst []byte) []byte {
	w := NewWriter(dst, KindReport)
	w.U32(m.Incarnation)
	w.U8(m.Leader)
	w.U16(m.Seats)
	w.U8(boolByte(m.Full) | boolByte(m.Closed)<<1)
	for _, l := range m.Lanes {
		w.U16(l.Index)
		w.U64(l.Committed)
		w.U64(l.Applied)
	}
	return w.B
}

const laneReportSize = 18

// ReadReport reads a Report, its lanes into lanes' memory.
func ReadReport(b []byte, lanes []LaneReport) (m Report, ok bool) {
	r := NewReader(b)
	m = Report{Incarnation: r.U32(), Leader: r.U8(), Seats: r.U16(), Lanes: lanes[:0]}
	flags := r.U8()
	m.Full, m.Closed = flags != 0, flags&2 != 0
	for r.Left() >= laneReportSize {
		m.Lanes = append(m.Lanes, LaneReport{r.U16(), r.U64(), r.U64()})
	}
	return m, r.Done()
}

// BeginReply begins a message of results of one lane; AppendAnswer adds to it.
func BeginReply(dst []byte, incarnation uint32, lane uint16) []byte {
	w := NewWriter(dst, KindReply)
	w.U32(incarnation)
	w.U16(lane)
	return w.B
}

// AppendAnswer appends the result of one item, with its index, to a reply.
func AppendAnswer(dst []byte, number, index uint64, r *Result) []byte {
	w := Writer{dst}
	w.U64(number)
	w.U64(index)
	return AppendResult(w.B, r)
}

// ReadReply reads the beginning of a reply; NextAnswer reads its results.
func ReadReply(b []byte) (incarnation uint32, lane uint16, answers []byte, ok bool) {
	r := NewReader(b)
	incarnation, lane = r.U32(), r.U16()
	ok = r.OK()
	return incarnation, lane, r.Rest(), ok
}

// NextAnswer reads one result of a reply and returns what follows it.
func NextAnswer(b []byte, res *Result) (number, index uint64, rest []byte, ok bool) {
	r := NewReader(b)
	number, index = r.U64(), r.U64()
	if !r.OK() {
		return 0, 0, nil, false
	}
	rest = r.Rest()
	n, ok := DecodeResult(rest, res)
	if !ok {
		return 0, 0, nil, false
	}
	return number, index, rest[n:], true
}

// Want asks a replica for the results of items that another one owes: a hedge (R25).
type Want struct {
	Incarnation uint32
	Lane        uint16
	From, To    uint64 // item numbers, From ≤ wanted < To
}

// Append appends the message.
func (m *Want) Append(dst []byte) []byte {
	w := NewWriter(dst, KindWant)
	w.U32(m.Incarnation)
	w.U16(m.Lane)
	w.U64(m.From)
	w.U64(m.To)
	return w.B
}

// ReadWant reads a Want.
func ReadWant(b []byte) (m Want, ok bool) {
	r := NewReader(b)
	m = Want{r.U32(), r.U16(), r.U64(), r.U64()}
	return m, r.Done() && m.From < m.To
}

// BeginRead begins a message of reads at a barrier (R26), items appended by AppendItem;
// BeginReadReply begins its answer, results appended by AppendResult in the same order.
func BeginRead(dst []byte, id uint64) []byte {
	w := NewWriter(dst, KindRead)
	w.U64(id)
	return w.B
}

// RenumberRead gives a message of reads another id.
func RenumberRead(msg []byte, id uint64) []byte {
	binary.LittleEndian.PutUint64(msg[1:], id)
	return msg
}

// BeginReadReply begins the answer to a message of reads. next is the index of the first item that
// the reads did not see; 0 refuses them. Fewer results than reads, or none, answer the first of them: the
// rest did not fit, and is to be asked for again.
func BeginReadReply(dst []byte, id, next uint64) []byte {
	w := NewWriter(dst, KindReadReply)
	w.U64(id)
	w.U64(next)
	return w.B
}

// ReadRead reads the beginning of a message of reads.
func ReadRead(b []byte) (id uint64, items []byte, ok bool) {
	r := NewReader(b)
	id = r.U64()
	ok = r.OK()
	return id, r.Rest(), ok
}

// ReadReadReply reads the beginning of an answer to reads.
func ReadReadReply(b []byte) (id, index uint64, results []byte, ok bool) {
	r := NewReader(b)
	id, index = r.U64(), r.U64()
	ok = r.OK()
	return id, index, r.Rest(), ok
}
