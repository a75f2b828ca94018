package wire

import "encoding/binary"

// Status is how an operation ended.
type Status uint8

// What the state machine answers. Refusals of the session rules are definite: nothing was executed
// (R24).
const (
	StatusOK               Status = 0
	StatusNotFound         Status = 1  // no such key; nothing written
	StatusMismatch         Status = 2  // compare-and-set: another revision, in Result.Revision
	StatusNotInteger       Status = 3  // increment of a value that is no decimal int64
	StatusOverflow         Status = 4  // increment beyond int64
	StatusTooLong          Status = 5  // append beyond MaxValue
	StatusMalformed        Status = 6  // an item that says nothing the store knows
	StatusSessionUnknown   Status = 7  // expired, or never opened
	StatusSessionForgotten Status = 8  // the number is below the session's low mark
	StatusSessionAhead     Status = 9  // the number is above the session's window
	StatusResultGone       Status = 10 // executed before; its result was too large to keep
)

// What a proxy answers by itself. All but Unknown mean: not executed, and never will be.
const (
	StatusBusy        Status = 128 // a bound is reached; try again later
	StatusUnavailable Status = 129 // no quorum, or no lane; try again later
	StatusUnknown     Status = 130 // may or may not have been executed
	StatusRefused     Status = 131 // will never be accepted as it is
)

// Result answers one operation.
type Result struct {
	Status   Status
	Existed  bool   // the key existed before
	More     bool   // a scan stopped at its limit
	Revision uint64 // of the key after the operation; 0 = absent. A scan by hash: the next cursor
	Number   int64  // counter, length, count, session id
	Value    []byte
}

const (
	resultFixed   = 24
	resultExisted = 1
	resultMore    = 2
)

// AppendResult appends r: status, flags, two zero bytes, length of the value, revision, number,
// value.
func AppendResult(dst []byte, r *Result) []byte {
	le := binary.LittleEndian
	var flags byte
	if r.Existed {
		flags |= resultExisted
	}
	if r.More {
		flags |= resultMore
	}
	dst = append(dst, byte(r.Status), flags, 0, 0)
	dst = le.AppendUint32(dst, uint32(len(r.Value)))
	dst = le.AppendUint64(dst, r.Revision)
	dst = le.AppendUint64(dst, uint64(r.Number))
	return append(dst, r.Value...)
}

// DecodeResult reads the result at the start of b and returns the bytes it occupies. Value is a
// slice of b.
func DecodeResult(b []byte, r *Result) (n int, ok bool) {
	le := binary.LittleEndian
	if len(b) < resultFixed || b[1]&^(resultExisted|resultMore) != 0 || b[2] != 0 || b[3] != 0 {
		return 0, false
	}
	length := le.Uint32(b[4:])
	if uint64(length) > uint64(len(b)-resultFixed) {
		return 0, false
	}
	n = resultFixed + int(length)
	*r = Result{Status: Status(b[0]), Existed: b[1]&resultExisted != 0, More: b[1]&resultMore != 0,
		Revision: le.Uint64(b[8:]), Number: int64(le.Uint64(b[16:])), Value: b[resultFixed:n:n]}
	return n, true
}

// ScanOrder is how a scan walks the keys.
type ScanOrder uint8

// The orders of a scan (R27).
const (
	ScanByKey  ScanOrder = 0 // bytewise ascending, after ScanArgs.After
	ScanByHash ScanOrder = 1 // by the keys' hashes, from ScanArgs.Cursor: stateless, for RESP's SCAN
)

// MaxScan bounds the keys of one answer.
const MaxScan = 4096

// ScanArgs are what a scan asks for besides its prefix.
type ScanArgs struct {
	Limit  uint32 // keys, 1 to MaxScan
	Order  ScanOrder
	Values bool   // values too, else keys and revisions only
	Cursor uint64 // by hash: where to go on; 0 = the beginning
	After  []byte // by key: the last key seen; empty = the beginning
}

const scanFixed = 16

// AppendScan appends a scan's arguments, the value of its item.
func AppendScan(dst []byte, a *ScanArgs) []byte {
	le := binary.LittleEndian
	values := byte(0)
	if a.Values {
		values = 1
	}
	dst = le.AppendUint32(dst, a.Limit)
	dst = append(dst, byte(a.Order), values)
	dst = le.AppendUint16(dst, uint16(len(a.After)))
	dst = le.AppendUint64(dst, a.Cursor)
	return append(dst, a.After...)
}

// DecodeScan reads a scan's arguments from the whole of b.
func DecodeScan(b []byte, a *ScanArgs) bool {
	le := binary.LittleEndian
	if len(b) < scanFixed || b[4] > byte(ScanByHash) || b[5] > 1 {
		return false
	}
	*a = ScanArgs{Limit: le.Uint32(b), Order: ScanOrder(b[4]), Values: b[5] == 1, Cursor: le.Uint64(b[8:]),
		After: b[scanFixed:]}
	return int(le.Uint16(b[6:])) == len(a.After) && len(a.After) <= MaxKey && a.Limit >= 1 && a.Limit <= MaxScan
}

// ScanEntry is one key of a scan's answer.
type ScanEntry struct {
	Key, Value []byte
	Revision   uint64
}

const entryFixed = 16

// AppendScanEntry appends an entry to a scan's answer.
func AppendScanEntry(dst []byte, e *ScanEntry) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(dst, e.Revision)
	dst = le.AppendUint32(dst, uint32(len(e.Key)))
	dst = le.AppendUint32(dst, uint32(len(e.Value)))
	dst = append(dst, e.Key...)
	return append(dst, e.Value...)
}

// DecodeScanEntry reads the entry at the start of b and returns the bytes it occupies.
func DecodeScanEntry(b []byte, e *ScanEntry) (n int, ok bool) {
	le := binary.LittleEndian
	if len(b) < entryFixed {
		return 0, false
	}
	key, value := le.Uint32(b[8:]), le.Uint32(b[12:])
	if key > MaxKey || uint64(key)+uint64(value) > uint64(len(b)-entryFixed) {
		return 0, false
	}
	end := entryFixed + int(key)
	n = end + int(value)
	*e = ScanEntry{Revision: le.Uint64(b), Key: b[entryFixed:end:end], Value: b[end:n:n]}
	return n, true
}
