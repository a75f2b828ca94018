package resp

import "metronome/system/wire"

const defaultCount = 10 // keys of a SCAN without COUNT, as in Redis

// scan is RESP's SCAN: the cursor is a place in the order of the keys' hashes, so that it needs no
// state and survives any failover (R27). As in Redis, a key that exists all the while is found. The
// store is asked for the pattern's beginning, the rest is matched here.
func (s *stage) scan(args [][]byte) {
	cursor, ok := natural(args[1])
	if !ok {
		s.fail("ERR invalid cursor")
		return
	}
	limit, pattern, why := parseScan(args[2:])
	if why != "" {
		s.fail(why)
		return
	}
	if limit == 0 { // of another type than string there is nothing
		from := len(s.text)
		s.text = append(s.text, "*2\r\n$1\r\n0\r\n*0\r\n"...)
		s.answer(from)
		return
	}
	prefix := literalPrefix(pattern)
	prefix = prefix[:min(len(prefix), wire.MaxKey)]
	s.submitScan(replyScan, prefix, &wire.ScanArgs{Limit: limit, Order: wire.ScanByHash, Cursor: cursor})
	from := len(s.text)
	s.text = append(s.text, pattern...)
	s.entries[len(s.entries)-1].text = span{from, len(s.text)}
}

// parseScan reads MATCH, COUNT and TYPE; the limit is 0 if the type has no keys.
func parseScan(words [][]byte) (limit uint32, pattern []byte, why string) {
	limit = defaultCount
	strings := true
	for ; len(words) > 0; words = words[2:] {
		switch {
		case len(words) < 2:
			return 0, nil, textSyntax
		case is(words[0], "MATCH"):
			pattern = words[1]
		case is(words[0], "TYPE"):
			strings = is(words[1], "STRING")
		case is(words[0], "COUNT"):
			n, ok := integer(words[1])
			switch {
			case !ok:
				return 0, nil, textNotInteger
			case n < 1:
				return 0, nil, textSyntax
			}
			limit = uint32(min(n, wire.MaxScan))
		default:
			return 0, nil, textSyntax
		}
	}
	if !strings {
		limit = 0
	}
	return limit, pattern, ""
}

func (s *stage) submitScan(reply replyKind, prefix []byte, a *wire.ScanArgs) {
	from := len(s.scratch)
	s.scratch = wire.AppendScan(s.scratch, a)
	value := s.scratch[from:len(s.scratch):len(s.scratch)]
	s.submit(reply, wire.Item{Op: wire.OpScan, Key: prefix, Value: value})
}

// mtScan is MT.SCAN prefix [AFTER key] [LIMIT n] [VALUES].
func (s *stage) mtScan(args [][]byte) {
	a := wire.ScanArgs{Limit: 100, Order: wire.ScanByKey}
	for words := args[2:]; len(words) > 0; {
		switch {
		case is(words[0], "VALUES"):
			a.Values = true
			words = words[1:]
			continue
		case len(words) < 2:
			s.fail(textSyntax)
			return
		case is(words[0], "AFTER"):
			a.After = words[1]
		case is(words[0], "LIMIT"):
			n, ok := integer(words[1])
			if !ok || n < 1 || n > wire.MaxScan {
				s.fail("ERR LIMIT is 1 to 4096")
				return
			}
			a.Limit = uint32(n)
		default:
			s.fail(textSyntax)
			return
		}
		words = words[2:]
	}
	if len(args[1]) > wire.MaxKey || len(a.After) > wire.MaxKey {
		s.fail(textLongKey)
		return
	}
	s.submitScan(pick(a.Values, replyOrderedValues, replyOrdered), args[1], &a)
}
