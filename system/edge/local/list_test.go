package local

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"metronome/system/edge"
)

func list(t *testing.T, s *Store, l edge.Listing) *edge.Page {
	t.Helper()
	if l.Limit == 0 {
		l.Limit = edge.MaxPage
	}
	p, err := s.List(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestListing(t *testing.T) {
	s := open(t, Config{})
	apply(t, s, put("a", "1"), put("a/b/c", "2"), put("a/b/d", "3"), put("a/e", "4"), put("b", "5"),
		put("\xff\xff", "6"))
	for _, c := range []struct {
		l    edge.Listing
		want string
	}{
		{edge.Listing{}, "a a/b/c a/b/d a/e b \xff\xff"},
		{edge.Listing{Prefix: []byte("a/")}, "a/b/c a/b/d a/e"},
		{edge.Listing{Prefix: []byte("a/"), Delimiter: []byte("/")}, "a/b/* a/e"},
		{edge.Listing{Delimiter: []byte("/")}, "a a/* b \xff\xff"},
		{edge.Listing{StartAfter: []byte("a/b/c")}, "a/b/d a/e b \xff\xff"},
		{edge.Listing{Prefix: []byte("\xff")}, "\xff\xff"},
		{edge.Listing{Prefix: []byte("none")}, ""},
		{edge.Listing{Prefix: []byte("a/"), StartAfter: []byte("Z")}, "a/b/c a/b/d a/e"},
		{edge.Listing{Prefix: []byte("a/"), StartAfter: []byte("b")}, ""},
	} {
		if got := keysOf(list(t, s, c.l)); got != c.want {
			t.Errorf("%+v lists %q, want %q", c.l, got, c.want)
		}
		c.l.Limit = 1
		got, next := "", ""
		for pages := 0; ; pages++ {
			p := list(t, s, c.l)
			next = keysOf(p)
			if got != "" && next != "" {
				got += " "
			}
			got += next
			if c.l.Cursor = p.Next; p.Next == "" || pages > 10 {
				break
			}
		}
		if got != c.want {
			t.Errorf("page by page %+v lists %q, want %q", c.l, got, c.want)
		}
	}
}

func TestPagesAreOfOneRevision(t *testing.T) {
	var at clock
	s := open(t, Config{Now: at.now})
	for i := range 10 {
		apply(t, s, put(fmt.Sprint("k", i), "old"))
	}
	first := list(t, s, edge.Listing{Limit: 4, Client: "anna"})
	for i := range 20 {
		apply(t, s, put(fmt.Sprint("k", i), "new"), del(fmt.Sprint("k", i/2)))
	}
	page := list(t, s, edge.Listing{Client: "anna", Cursor: first.Next})
	again := list(t, s, edge.Listing{Client: "anna", Cursor: first.Next})
	if keysOf(page) != "k4 k5 k6 k7" || keysOf(again) != keysOf(page) || page.Revision != first.Revision {
		t.Errorf("%s at %d, then %s at %d", keysOf(first), first.Revision, keysOf(page), page.Revision)
	}
	if string(page.Items[0].Value) != "old" {
		t.Error("a page shows what came after the first")
	}
	for name, l := range map[string]edge.Listing{
		"somebody else's": {Client: "bob", Cursor: first.Next}, "no cursor": {Client: "anna", Cursor: "AAAA"},
		"not base64": {Client: "anna", Cursor: "%"},
	} {
		if _, err := s.List(t.Context(), l); !errors.Is(err, edge.ErrExpired) {
			t.Errorf("%s: %v", name, err)
		}
	}
	at.turn(61 * time.Second)
	late := edge.Listing{Client: "anna", Cursor: first.Next}
	if _, err := s.List(t.Context(), late); !errors.Is(err, edge.ErrExpired) {
		t.Errorf("after 61 s: %v", err)
	}
}

func TestCursorsAreBoundedAndOneClientsDoNotPushOutOthers(t *testing.T) {
	s := open(t, Config{Cursors: 16})
	apply(t, s, put("a", "1"), put("b", "2"))
	quiet := list(t, s, edge.Listing{Limit: 1, Client: "quiet"})
	for range 100 {
		list(t, s, edge.Listing{Limit: 1, Client: "greedy"})
	}
	if n := s.Stats().Cursors; n != 16 {
		t.Errorf("%d cursors are open", n)
	}
	if p := list(t, s, edge.Listing{Client: "quiet", Cursor: quiet.Next}); keysOf(p) != "b" {
		t.Errorf("%q", keysOf(p))
	}
}

func TestAPageIsBoundedInBytes(t *testing.T) {
	s := open(t, Config{})
	large := string(make([]byte, edge.MaxValue))
	for i := range 8 {
		apply(t, s, put(fmt.Sprint("k", i), large))
	}
	seen, l := 0, edge.Listing{}
	for {
		p := list(t, s, l)
		seen += len(p.Items)
		if len(p.Items) > 5 {
			t.Fatalf("%d MiB in one page", len(p.Items))
		}
		if l.Cursor = p.Next; p.Next == "" {
			break
		}
	}
	if seen != 8 {
		t.Errorf("%d keys", seen)
	}
	if p := list(t, s, edge.Listing{KeysOnly: true}); len(p.Items) != 8 || p.Sizes[0] != edge.MaxValue {
		t.Errorf("%d keys only", len(p.Items))
	}
}

func TestWatch(t *testing.T) {
	s := open(t, Config{})
	apply(t, s, put("a/1", "1"), put("b", "2"), del("b"), put("a/2", "3"))
	events, next, err := s.Watch(t.Context(), []byte("a/"), 1, 10)
	if err != nil || len(events) != 2 || next != 5 || string(events[1].Entry.Value) != "3" {
		t.Fatalf("%v, %d, %v", events, next, err)
	}
	events, next, err = s.Watch(t.Context(), nil, 1, 3)
	if err != nil || len(events) != 3 || next != 4 || events[2].Kind != edge.Delete {
		t.Fatalf("%v, %d, %v", events, next, err)
	}
	got := make(chan edge.Event, 1)
	go func() {
		events, _, err := s.Watch(context.WithoutCancel(t.Context()), []byte("a/"), next+1, 10)
		if err == nil {
			got <- events[0]
		}
		close(got)
	}()
	apply(t, s, put("c", "4"))
	apply(t, s, put("a/3", "5"))
	if e := <-got; string(e.Entry.Key) != "a/3" || e.Entry.Revision != 6 {
		t.Errorf("%+v", e)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if events, next, err := s.Watch(ended, nil, 0, 10); err != nil || len(events) != 0 || next != 7 {
		t.Errorf("%v, %d, %v", events, next, err)
	}
	if _, _, err := s.Watch(t.Context(), nil, 9, 10); !errors.Is(err, edge.ErrTrimmed) {
		t.Errorf("a revision that was never given out: %v", err)
	}
}

func TestTheLogIsBounded(t *testing.T) {
	s := open(t, Config{LogBytes: 64 << 10})
	value := string(make([]byte, 1000))
	for i := range 500 {
		apply(t, s, put(fmt.Sprint("k", i%10), value))
	}
	low := s.Stats().LogLow
	if low < 400 || low > 460 {
		t.Errorf("of 500 records of 1 KB the log keeps those from %d on, its bound is 64 KiB", low)
	}
	if _, _, err := s.Watch(t.Context(), nil, low-1, 10); !errors.Is(err, edge.ErrTrimmed) {
		t.Errorf("%v", err)
	}
	events, _, err := s.Watch(t.Context(), nil, low, 1)
	if err != nil || len(events) != 1 || events[0].Entry.Revision != low {
		t.Errorf("%v, %v", events, err)
	}
	if _, _, err := s.Log(t.Context(), 1, 1<<20); !errors.Is(err, edge.ErrTrimmed) {
		t.Errorf("%v", err)
	}
}
