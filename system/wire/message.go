package wire

import "encoding/binary"

// Kind is the first byte of a message on a stream. A stream is reliable while its connection lasts
// and knows who is on the other side; ordering, repair by peers, state transfer, and what proxies
// and replicas say to each other besides frames go that way.
type Kind uint8

// The kinds of messages, and who sends them to whom.
const (
	KindOrder     Kind = 1  // replica → replica: bytes of the orderer
	KindHoldings  Kind = 2  // replica → replica: what it holds (order.Report, R9)
	KindFetch     Kind = 3  // replica → replica: frames of a lane, please
	KindFrames    Kind = 4  // the answer: frames
	KindGone      Kind = 5  // the answer: not held any more; also proxy → replica, to a NACK
	KindOffer     Kind = 6  // leader → replica: a snapshot is ready (state transfer)
	KindPull      Kind = 7  // replica → leader: the chunk at an offset, please
	KindChunk     Kind = 8  // the answer
	KindJoin      Kind = 9  // replica → replica: a new life wants an id (R1)
	KindJoined    Kind = 10 // the answer
	KindOpen      Kind = 11 // proxy → replica: open lanes for a new incarnation (R19)
	KindOpened    Kind = 12 // the answer, once agreed
	KindFenced    Kind = 13 // replica → proxy: this incarnation is closed, and where
	KindReport    Kind = 14 // replica → proxy: committed and applied watermarks
	KindReply     Kind = 15 // replica → proxy: results
	KindWant      Kind = 16 // proxy → replica: results that have not come from elsewhere, please (hedge)
	KindRead      Kind = 17 // proxy → replica: reads at a barrier (R26)
	KindReadReply Kind = 18 // the answer
	KindInit      Kind = 19 // replica → replica: founding a cluster, step by step
	KindAsk       Kind = 20 // replica → leader: what an operator wants
)

var kindNames = [...]string{"none", "order", "holdings", "fetch", "frames", "gone", "offer", "pull", "chunk",
	"join", "joined", "open", "opened", "fenced", "report", "reply", "want", "read", "read_reply", "init", "ask",
}

// String is the kind's name in metrics and logs.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Writer appends little-endian fields to a message.
type Writer struct{ B []byte }

// NewWriter begins a message of a kind in dst's memory.
func NewWriter(dst []byte, k Kind) Writer { return Writer{append(dst, byte(k))} }

// U8 appends a byte.
func (w *Writer) U8(v uint8) { w.B = append(w.B, v) }

// U16 appends two bytes.
func (w *Writer) U16(v uint16) { w.B = binary.LittleEndian.AppendUint16(w.B, v) }

// U32 appends four bytes.
func (w *Writer) U32(v uint32) { w.B = binary.LittleEndian.AppendUint32(w.B, v) }

// U64 appends eight bytes.
func (w *Writer) U64(v uint64) { w.B = binary.LittleEndian.AppendUint64(w.B, v) }

// Bytes appends a length of four bytes, then b.
func (w *Writer) Bytes(b []byte) {
	w.U32(uint32(len(b)))
	w.B = append(w.B, b...)
}

// Reader reads little-endian fields. After a field that is not there every read returns zero and
// OK is false, so that a message is read whole and judged once.
type Reader struct {
	b   []byte
	bad bool
}

// NewReader reads the fields in b.
func NewReader(b []byte) Reader { return Reader{b: b} }

func (r *Reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// U8 reads a byte.
func (r *Reader) U8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads two bytes.
func (r *Reader) U16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// U32 reads four bytes.
func (r *Reader) U32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// U64 reads eight bytes.
func (r *Reader) U64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Bytes reads what Writer.Bytes wrote: a slice of the message.
func (r *Reader) Bytes() []byte { return r.take(int(r.U32())) }

// Take reads n bytes: a slice of the message.
func (r *Reader) Take(n int) []byte { return r.take(n) }

// Rest takes everything that is left.
func (r *Reader) Rest() []byte { return r.take(len(r.b)) }

// Left is how many bytes are left.
func (r *Reader) Left() int { return len(r.b) }

// OK reports whether every field was there.
func (r *Reader) OK() bool { return !r.bad }

// Done reports whether every field was there and nothing is left over.
func (r *Reader) Done() bool { return !r.bad && len(r.b) == 0 }
