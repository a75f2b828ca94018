package sim

import (
	"encoding/binary"
	"fmt"

	"metronome/harness/history"
	"metronome/system/wire"
)

// ItemOf is the item that carries a call.
func ItemOf(c *history.Call) (wire.Item, error) {
	it := wire.Item{Op: c.Op, Key: []byte(c.Key), Value: []byte(c.Value), Previous: c.Previous,
		Present: c.Present, Stat: c.Stat, Expect: c.Expect}
	if c.Session != 0 {
		it.HasSession, it.Session, it.Number, it.Low = true, c.Session, c.Number, c.Low
	}
	switch c.Op {
	case wire.OpIncr:
		it.Value = binary.LittleEndian.AppendUint64(nil, uint64(c.Delta))
	case wire.OpScan:
		it.Value = wire.AppendScan(nil, scanArgs(&c.Scan))
	case wire.OpMulti:
		it.Value = nil
		for i := range c.Calls {
			part, err := ItemOf(&c.Calls[i])
			if err == nil {
				it.Value, err = wire.AppendItem(it.Value, &part)
			}
			if err != nil {
				return it, fmt.Errorf("part %d of a multi: %w", i, err)
			}
		}
	}
	return it, nil
}

func scanArgs(s *history.Scan) *wire.ScanArgs {
	a := &wire.ScanArgs{Limit: uint32(s.Limit), Values: s.Values, Cursor: s.Cursor, After: []byte(s.After)}
	if s.ByHash {
		a.Order = wire.ScanByHash
	}
	return a
}

// CallOf reads a call back from an item.
func CallOf(it *wire.Item) (c history.Call, ok bool) {
	c = history.Call{Op: it.Op, Key: string(it.Key), Expect: it.Expect, Previous: it.Previous,
		Present: it.Present, Stat: it.Stat}
	if it.HasSession {
		c.Session, c.Number, c.Low = it.Session, it.Number, it.Low
	}
	switch it.Op {
	case wire.OpIncr:
		c.Delta = int64(binary.LittleEndian.Uint64(it.Value))
	case wire.OpScan:
		var a wire.ScanArgs
		if !wire.DecodeScan(it.Value, &a) {
			return c, false
		}
		c.Scan = history.Scan{Limit: int(a.Limit), Values: a.Values, ByHash: a.Order == wire.ScanByHash,
			Cursor: a.Cursor, After: string(a.After)}
	case wire.OpMulti:
		return multiOf(c, it.Value)
	default:
		c.Value = string(it.Value)
	}
	return c, true
}

func multiOf(c history.Call, b []byte) (history.Call, bool) {
	for len(b) > 0 {
		var part wire.Item
		n, ok := wire.DecodeItem(b, &part)
		if !ok {
			return c, false
		}
		call, ok := CallOf(&part)
		if !ok {
			return c, false
		}
		c.Calls = append(c.Calls, call)
		b = b[n:]
	}
	return c, true
}

// AnswerOf is what a result says to the client of a call.
func AnswerOf(c *history.Call, r *wire.Result) (history.Outcome, history.Answer) {
	a := history.Answer{Status: r.Status, Existed: r.Existed, More: r.More, Revision: r.Revision,
		Number: r.Number, Value: string(r.Value)}
	switch r.Status {
	case wire.StatusBusy, wire.StatusUnavailable, wire.StatusRefused:
		return history.Refused, a
	case wire.StatusUnknown:
		return history.Unknown, a
	case wire.StatusOK:
	default:
		return history.Answered, a
	}
	switch c.Op {
	case wire.OpMulti:
		a.Value, a.Answers = "", partsOf(c, r.Value)
	case wire.OpScan:
		a.Value, a.Entries = "", entriesOf(r.Value)
		a.Number, a.Revision = 0, 0
	case wire.OpPut:
		a.Blind = r.Revision == 0
	}
	return history.Answered, a
}

func partsOf(c *history.Call, b []byte) (parts []history.Answer) {
	for i := 0; len(b) > 0 && i < len(c.Calls); i++ {
		var r wire.Result
		n, ok := wire.DecodeResult(b, &r)
		if !ok {
			return parts
		}
		_, part := AnswerOf(&c.Calls[i], &r)
		part.Blind = false
		parts = append(parts, part)
		b = b[n:]
	}
	return parts
}

func entriesOf(b []byte) (all []history.Entry) {
	for len(b) > 0 {
		var e wire.ScanEntry
		n, ok := wire.DecodeScanEntry(b, &e)
		if !ok {
			return all
		}
		all = append(all, history.Entry{Key: string(e.Key), Value: string(e.Value), Revision: e.Revision})
		b = b[n:]
	}
	return all
}
