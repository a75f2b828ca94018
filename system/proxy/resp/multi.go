package resp

import "metronome/system/wire"

const textMulti = "ERR MT.MULTI takes SET key value, DEL key and GET key, any number of them"

// mtMulti is MT.MULTI SET key value | DEL key | GET key …: one item, so that all of it happens at one
// place in the order (R27).
func (s *stage) mtMulti(args [][]byte) {
	from := len(s.scratch)
	for words, count := args[1:], 1; len(words) > 0; count++ {
		item, size := multiOp(words)
		why := ""
		switch {
		case size == 0:
			why = textMulti
		case count > wire.MaxMulti:
			why = textManyKeys
		case len(item.Key) == 0:
			why = textEmptyKey
		case len(item.Key) > wire.MaxKey:
			why = textLongKey
		default:
			var err error
			s.scratch, err = wire.AppendItem(s.scratch, &item)
			if err != nil || len(s.scratch)-from > wire.MaxValue {
				why = textLongMulti
			}
		}
		if why != "" {
			s.scratch = s.scratch[:from]
			s.fail(why)
			return
		}
		words = words[size:]
	}
	s.submit(replyMulti, wire.Item{Op: wire.OpMulti, Value: s.scratch[from:len(s.scratch):len(s.scratch)]})
}

// multiOp reads one operation and how many words it has, 0 if it is none.
func multiOp(words [][]byte) (it wire.Item, size int) {
	switch {
	case len(words) >= 3 && is(words[0], "SET"):
		return wire.Item{Op: wire.OpPut, Key: words[1], Value: words[2]}, 3
	case len(words) >= 2 && is(words[0], "DEL"):
		return wire.Item{Op: wire.OpDelete, Key: words[1]}, 2
	case len(words) >= 2 && is(words[0], "GET"):
		return wire.Item{Op: wire.OpGet, Key: words[1]}, 2
	}
	return it, 0
}

// appendMulti writes what became of each operation.
func appendMulti(dst []byte, proto uint8, r *wire.Result) []byte {
	var one wire.Result
	n := 0
	for rest := r.Value; len(rest) > 0; n++ {
		size, ok := wire.DecodeResult(rest, &one)
		if !ok {
			return appendStatus(dst, wire.StatusMalformed)
		}
		rest = rest[size:]
	}
	dst = appendArray(dst, n)
	for rest := r.Value; len(rest) > 0; {
		size, _ := wire.DecodeResult(rest, &one)
		rest = rest[size:]
		dst = appendInt(appendArray(dst, 3), truth(one.Existed))
		dst = appendInt(dst, int64(one.Revision))
		dst = appendValue(dst, proto, one.Status == wire.StatusOK, one.Value)
	}
	return dst
}
