package resp

import (
	"strconv"

	"metronome/system/wire"
)

// replyKind says how a command's result is put into words. It is all that a command without answer
// keeps besides flags, so that nothing is allocated for it.
type replyKind uint8

const (
	replyText          replyKind = iota // answered already: the bytes are there
	replyOK                             // +OK
	replyIf                             // +OK, or nil if the condition failed
	replyOld                            // the value before, or nil
	replyOldIf                          // compare-and-set "if absent": the value that was in the way, or nil
	replyValue                          // the value, or nil
	replyNumber                         // an integer; 0 for an absent key
	replyOne                            // 1 if it happened, else 0
	replyCount                          // of a multi: how many happened
	replyValues                         // of a multi: values and nils
	replyType                           // +string or +none
	replyExpiry                         // -1: never expires; -2: absent
	replyScan                           // RESP's SCAN: cursor, keys
	replyCAS                            // applied, revision
	replyCASGet                         // applied, revision, value
	replyGet                            // value, revision; or nil
	replyMulti                          // MT.MULTI: of each, whether the key was there, revision, value
	replyOrdered                        // MT.SCAN: last key or nil, entries
	replyOrderedValues                  // the same with values
)

// What a result becomes. pattern belongs to replyScan only.
func appendReply(dst []byte, kind replyKind, proto uint8, pattern []byte, r *wire.Result) []byte {
	switch r.Status {
	case wire.StatusOK, wire.StatusNotFound, wire.StatusMismatch:
	default:
		return appendStatus(dst, r.Status)
	}
	ok := r.Status == wire.StatusOK
	switch kind {
	case replyOK:
		return append(dst, "+OK\r\n"...)
	case replyIf:
		if ok {
			return append(dst, "+OK\r\n"...)
		}
		return appendNil(dst, proto)
	case replyOld:
		return appendValue(dst, proto, r.Existed, r.Value)
	case replyOldIf:
		return appendValue(dst, proto, !ok, r.Value)
	case replyValue:
		return appendValue(dst, proto, ok, r.Value)
	case replyNumber, replyCount:
		return appendInt(dst, r.Number)
	case replyOne:
		return appendInt(dst, truth(ok))
	case replyType:
		if ok {
			return append(dst, "+string\r\n"...)
		}
		return append(dst, "+none\r\n"...)
	case replyExpiry:
		return appendInt(dst, -2+truth(ok))
	}
	return appendCompound(dst, kind, proto, pattern, r)
}

func appendCompound(dst []byte, kind replyKind, proto uint8, pattern []byte, r *wire.Result) []byte {
	ok := r.Status == wire.StatusOK
	switch kind {
	case replyValues:
		return appendValues(dst, proto, r)
	case replyMulti:
		return appendMulti(dst, proto, r)
	case replyScan:
		return appendScan(dst, pattern, r)
	case replyCAS, replyCASGet:
		if kind == replyCAS {
			dst = appendArray(dst, 2)
		} else {
			dst = appendArray(dst, 3)
		}
		dst = appendInt(dst, truth(ok))
		dst = appendInt(dst, int64(r.Revision))
		if kind == replyCASGet {
			dst = appendValue(dst, proto, r.Existed, r.Value)
		}
		return dst
	case replyGet:
		if !ok {
			return appendNil(dst, proto)
		}
		dst = appendBulk(appendArray(dst, 2), r.Value)
		return appendInt(dst, int64(r.Revision))
	case replyOrdered, replyOrderedValues:
		return appendOrdered(dst, proto, kind == replyOrderedValues, r)
	}
	return appendStatus(dst, wire.StatusMalformed)
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func appendValue(dst []byte, proto uint8, there bool, value []byte) []byte {
	if !there {
		return appendNil(dst, proto)
	}
	return appendBulk(dst, value)
}

// appendValues turns the results of a multi's gets into an array. If a value was left out because
// all would be too long together, there is no array: clients take no errors within.
func appendValues(dst []byte, proto uint8, r *wire.Result) []byte {
	var one wire.Result
	n := 0
	for rest := r.Value; len(rest) > 0; n++ {
		size, ok := wire.DecodeResult(rest, &one)
		switch {
		case !ok:
			return appendStatus(dst, wire.StatusMalformed)
		case one.Status == wire.StatusTooLong:
			return appendError(dst, textLongReply)
		}
		rest = rest[size:]
	}
	dst = appendArray(dst, n)
	for rest := r.Value; len(rest) > 0; {
		size, _ := wire.DecodeResult(rest, &one)
		dst = appendValue(dst, proto, one.Status == wire.StatusOK, one.Value)
		rest = rest[size:]
	}
	return dst
}

// appendScan writes the next cursor and the keys that match.
func appendScan(dst, pattern []byte, r *wire.Result) []byte {
	n, ok := countEntries(r.Value, pattern)
	if !ok {
		return appendStatus(dst, wire.StatusMalformed)
	}
	var digits [20]byte
	dst = appendBulk(appendArray(dst, 2), strconv.AppendUint(digits[:0], r.Revision, 10))
	dst = appendArray(dst, n)
	var e wire.ScanEntry
	for rest := r.Value; len(rest) > 0; {
		size, _ := wire.DecodeScanEntry(rest, &e)
		if matches(pattern, e.Key) {
			dst = appendBulk(dst, e.Key)
		}
		rest = rest[size:]
	}
	return dst
}

func countEntries(b, pattern []byte) (n int, ok bool) {
	var e wire.ScanEntry
	for len(b) > 0 {
		size, ok := wire.DecodeScanEntry(b, &e)
		if !ok {
			return 0, false
		}
		if matches(pattern, e.Key) {
			n++
		}
		b = b[size:]
	}
	return n, true
}

// matches takes an empty pattern for "everything", as SCAN without MATCH.
func matches(pattern, key []byte) bool { return len(pattern) == 0 || glob(pattern, key) }

// appendOrdered writes where to go on, nil at the end, and the entries: key, revision, value.
func appendOrdered(dst []byte, proto uint8, values bool, r *wire.Result) []byte {
	n, ok := countEntries(r.Value, nil)
	if !ok {
		return appendStatus(dst, wire.StatusMalformed)
	}
	var e wire.ScanEntry
	dst = appendArray(dst, 2)
	last := lastKey(r.Value)
	dst = appendValue(dst, proto, r.More, last)
	dst = appendArray(dst, n)
	for rest := r.Value; len(rest) > 0; {
		size, _ := wire.DecodeScanEntry(rest, &e)
		dst = appendArray(dst, 2+int(truth(values)))
		dst = appendBulk(dst, e.Key)
		dst = appendInt(dst, int64(e.Revision))
		if values {
			dst = appendBulk(dst, e.Value)
		}
		rest = rest[size:]
	}
	return dst
}

func lastKey(b []byte) []byte {
	var e wire.ScanEntry
	for len(b) > 0 {
		size, _ := wire.DecodeScanEntry(b, &e)
		b = b[size:]
	}
	return e.Key
}
