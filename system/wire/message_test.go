package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestMessagesComeBackAsTheyWent(t *testing.T) {
	open := Open{Nonce: 7, Lanes: 3}
	if got, ok := ReadOpen(open.Append(nil)[1:]); !ok || got != open {
		t.Errorf("open: %+v %v", got, ok)
	}
	opened := Opened{Nonce: 7, Incarnation: 2, FirstLane: 9, Lanes: 3, Leader: 1, Seats: 7}
	if got, ok := ReadOpened(opened.Append(nil)[1:]); !ok || got != opened {
		t.Errorf("opened: %+v %v", got, ok)
	}
	fenced := Fenced{Nonce: 3, Incarnation: 2, Silence: true, Items: []uint64{1, 1 << 40}}
	if got, ok := ReadFenced(fenced.Append(nil)[1:]); !ok || !reflect.DeepEqual(got, fenced) {
		t.Errorf("fenced: %+v %v", got, ok)
	}
	report := Report{Incarnation: 2, Leader: 3, Seats: 5, Full: true, Closed: true,
		Lanes: []LaneReport{{0, 5, 4}, {1, 9, 9}}}
	if got, ok := ReadReport(report.Append(nil)[1:], nil); !ok || !reflect.DeepEqual(got, report) {
		t.Errorf("report: %+v %v", got, ok)
	}
	want := Want{Incarnation: 2, Lane: 1, From: 4, To: 6}
	if got, ok := ReadWant(want.Append(nil)[1:]); !ok || got != want {
		t.Errorf("want: %+v %v", got, ok)
	}
}

func TestRepliesComeBackAsTheyWent(t *testing.T) {
	results := []Result{{}, {Status: StatusMismatch, Existed: true, Revision: 9},
		{More: true, Number: -3, Value: []byte("value")}}
	b := BeginReply(nil, 4, 2)
	for i := range results {
		b = AppendAnswer(b, uint64(10+i), uint64(20+i), &results[i])
	}
	if Kind(b[0]) != KindReply {
		t.Fatalf("a reply of kind %v", Kind(b[0]))
	}
	incarnation, lane, rest, ok := ReadReply(b[1:])
	if !ok || incarnation != 4 || lane != 2 {
		t.Fatalf("incarnation %d lane %d %v", incarnation, lane, ok)
	}
	for i := range results {
		var got Result
		var number, index uint64
		number, index, rest, ok = NextAnswer(rest, &got)
		if len(got.Value) == 0 {
			got.Value = nil
		}
		if !ok || number != uint64(10+i) || index != uint64(20+i) || !reflect.DeepEqual(got, results[i]) {
			t.Errorf("answer %d: item %d index %d %+v %v", i, number, index, got, ok)
		}
	}
	if len(rest) != 0 {
		t.Errorf("%d bytes left over", len(rest))
	}
}

func TestScansComeBackAsTheyWent(t *testing.T) {
	for _, a := range []ScanArgs{{Limit: 1, After: []byte{}},
		{Limit: MaxScan, Order: ScanByHash, Values: true, Cursor: 1 << 63, After: []byte("k")}} {
		var got ScanArgs
		if !DecodeScan(AppendScan(nil, &a), &got) || !reflect.DeepEqual(got, a) {
			t.Errorf("%+v came back as %+v", a, got)
		}
	}
	entry := ScanEntry{Key: []byte("k"), Value: []byte("v"), Revision: 3}
	b := AppendScanEntry(nil, &entry)
	var got ScanEntry
	if n, ok := DecodeScanEntry(b, &got); !ok || n != len(b) || !reflect.DeepEqual(got, entry) {
		t.Errorf("%+v came back as %+v", entry, got)
	}
}

func TestGapsComeBackAsTheyWent(t *testing.T) {
	gaps := []Gap{{1, 2}, {2, 9}, {100, 101}}
	got, ok := DecodeGaps(AppendGaps(nil, gaps), make([]Gap, 0, 8))
	if !ok || !reflect.DeepEqual(got, gaps) {
		t.Errorf("%v %v", got, ok)
	}
	for _, bad := range [][]Gap{{{2, 2}}, {{3, 2}}, {{5, 6}, {1, 2}}} {
		if _, ok := DecodeGaps(AppendGaps(nil, bad), make([]Gap, 0, 8)); ok {
			t.Errorf("%v was accepted", bad)
		}
	}
	if short, ok := DecodeGaps(AppendGaps(nil, gaps), make([]Gap, 0, 1)); !ok || len(short) != 1 {
		t.Errorf("beyond the capacity: %v %v", short, ok)
	}
}

func TestEveryOpTakesWhatItShould(t *testing.T) {
	key, value := []byte("k"), []byte("12345678")
	for _, c := range []struct {
		name string
		item Item
		ok   bool
	}{
		{"put", Item{Op: OpPut, Key: key, Value: value, Previous: true, Present: true}, true},
		{"put nothing", Item{Op: OpPut, Key: key}, true},
		{"put stat", Item{Op: OpPut, Key: key, Stat: true}, false},
		{"get", Item{Op: OpGet, Key: key, Stat: true}, true},
		{"get with a value", Item{Op: OpGet, Key: key, Value: value}, false},
		{"delete", Item{Op: OpDelete, Key: key, Previous: true}, true},
		{"delete if present", Item{Op: OpDelete, Key: key, Present: true}, false},
		{"compare-and-set", Item{Op: OpCAS, Key: key, Value: value, Expect: 3, Previous: true}, true},
		{"increment", Item{Op: OpIncr, Key: key, Value: value}, true},
		{"increment by 7 bytes", Item{Op: OpIncr, Key: key, Value: value[:7]}, false},
		{"append", Item{Op: OpAppend, Key: key, Value: value}, true},
		{"multi", Item{Op: OpMulti, Value: value}, true},
		{"multi with a key", Item{Op: OpMulti, Key: key, Value: value}, false},
		{"scan", Item{Op: OpScan, Value: AppendScan(nil, &ScanArgs{Limit: 1})}, true},
		{"scan of nothing", Item{Op: OpScan, Key: key}, false},
		{"session", Item{Op: OpSession}, true},
		{"count", Item{Op: OpCount}, true},
		{"no op", Item{Key: key}, false},
		{"unknown op", Item{Op: opEnd, Key: key}, false},
	} {
		b, err := AppendItem(nil, &c.item)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got Item
		if n, ok := DecodeItem(b, &got); c.ok && (!ok || n != len(b) || n != c.item.Size() || got.Op != c.item.Op ||
			!bytes.Equal(got.Value, c.item.Value) || got.flags() != c.item.flags() || got.Expect != c.item.Expect) {
			t.Errorf("%s came back as %+v (%v)", c.name, got, ok)
		}
	}
	long := Item{Op: OpScan, Key: make([]byte, MaxKey+1), Value: AppendScan(nil, &ScanArgs{Limit: 1})}
	if _, err := AppendItem(nil, &long); !errors.Is(err, ErrTooLong) {
		t.Errorf("a prefix too long: %v", err)
	}
}

func TestPeersHaveNames(t *testing.T) {
	for _, p := range []Peer{ReplicaPeer(0), ReplicaPeer(14), ProxyPeer(0), ProxyPeer(1<<24 - 1)} {
		if got, err := ParsePeer(p.String()); err != nil || got != p {
			t.Errorf("%v came back as %v: %v", p, got, err)
		}
	}
	for _, s := range []string{"", "replica", "replica-15", "replica--1", "proxy-16777216", "edge-1"} {
		if p, err := ParsePeer(s); err == nil {
			t.Errorf("%q is taken for %v", s, p)
		}
	}
}

// FuzzMessages: whatever a peer sends is read without a panic and without reading outside.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{})
	f.Add((&Report{Lanes: []LaneReport{{0, 1, 2}}}).Append(nil))
	f.Add(AppendAnswer(BeginReply(nil, 1, 2), 3, 4, &Result{Value: []byte("v")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ReadOpen(b)
		ReadOpened(b)
		ReadFenced(b)
		ReadReport(b, nil)
		ReadWant(b)
		ReadRead(b)
		ReadReadReply(b)
		var a ScanArgs
		DecodeScan(b, &a)
		var e ScanEntry
		DecodeScanEntry(b, &e)
		DecodeGaps(b, make([]Gap, 0, 4))
		_, _, rest, ok := ReadReply(b)
		for ok && len(rest) > 0 {
			var r Result
			before := len(rest)
			if _, _, rest, ok = NextAnswer(rest, &r); ok && len(rest) >= before {
				t.Fatal("no progress")
			}
		}
	})
}
