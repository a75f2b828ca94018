package peer

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	"metronome/harness/load/kv"
)

func itoa(n int) string { return strconv.Itoa(n) }

func ops(n int, key, value string) (list []kv.Op) {
	for range n {
		list = append(list, kv.Op{Key: []byte(key), Value: []byte(value)})
	}
	return list
}

func TestTablesTakeAllSizes(t *testing.T) {
	table := newTable()
	usual := strings.Repeat("k", usualKey)
	for _, c := range [][2]string{{"a", "1"}, {"a", "2"}, {"a", "333"}, {usual, strings.Repeat("v", usualValue)},
		{usual + "2", ""}} {
		batch := append(ops(1, c[0], c[1]), kv.Op{Read: true, Key: []byte("a")})
		command := appendCommand(nil, batch)
		if len(command) != commandBytes(batch) {
			t.Errorf("%d bytes, foretold %d", len(command), commandBytes(batch))
		}
		if err := table.apply(command); err != nil {
			t.Fatal(err)
		}
		if got, err := table.look([]byte(c[0])); err != nil || string(got) != c[1] {
			t.Errorf("key %q: %q, %v; want %q", c[0], got, err, c[1])
		}
	}
	if n := table.applied.Load(); n != 10 {
		t.Errorf("%d operations applied, want 10", n)
	}
	if _, err := table.look([]byte("b")); !errors.Is(err, ErrNoKey) {
		t.Errorf("error %v", err)
	}
}

func TestCommandsCutShortAreRefused(t *testing.T) {
	whole := appendCommand(nil, ops(1, "key", "value"))
	for n := 1; n < len(whole); n++ {
		if err := newTable().apply(whole[:n]); !errors.Is(err, errMalformed) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

// The check must see a node that fell behind, and one that holds something else.
func TestTablesThatDifferAreFound(t *testing.T) {
	make3 := func(values ...string) (all []*table) {
		for _, v := range values {
			table := newTable()
			for _, put := range strings.Fields(v) {
				if err := table.apply(appendCommand(nil, ops(1, put[:1], put[1:]))); err != nil {
					t.Fatal(err)
				}
			}
			all = append(all, table)
		}
		return all
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	cases := []struct {
		want         string
		acknowledged uint64
		tables       []*table
	}{
		{"", 2, make3("a1 b2", "b2 a1", "a1 b2")},
		{"node 2 has applied 1 of 2", 0, make3("a1 b2", "a1 b2", "a1")},
		{"node 0 has applied 2 of 3", 3, make3("a1 b2", "a1 b2", "a1 b2")},
		{"node 1 holds something else", 2, make3("a1 b2", "a1 b3", "a1 b2")},
	}
	for _, c := range cases {
		err := sameTables(done, c.acknowledged, c.tables)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}
