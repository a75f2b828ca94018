package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"metronome/system/client"
	"metronome/system/proxy/resp"
	"metronome/system/proxy/resp/resptest"
)

func TestApplyIsAtomicAndSaysWhatItMet(t *testing.T) {
	db := connect(t, client.Config{}, newProxy(t, resptest.New(), resp.Options{}))
	ctx := t.Context()
	if err := db.Put(ctx, "old", []byte("1")); err != nil {
		t.Fatal(err)
	}
	got, err := db.Apply(ctx,
		client.Change{Key: "new", Value: []byte("2")},
		client.Change{Kind: client.Get, Key: "old"},
		client.Change{Kind: client.Delete, Key: "old"},
		client.Change{Kind: client.Delete, Key: "old"},
		client.Change{Kind: client.Get, Key: "old"},
		client.Change{Key: "new", Value: nil},
		client.Change{Kind: client.Get, Key: "new"})
	want := "[{false 2 []} {false 1 [49]} {true 0 []} {false 0 []} {false 0 []} {true 2 []} {false 2 []}]"
	if s := fmt.Sprint(got); err != nil || s != want {
		t.Errorf("%s, %v\nwant %s", s, err, want)
	}
	if got[6].Value == nil {
		t.Error("an empty value is not an absent key")
	}
	_, err = db.Apply(ctx, client.Change{Key: "a"}, client.Change{Key: strings.Repeat("k", 1025)})
	var refused *client.ServerError
	if !errors.As(err, &refused) {
		t.Errorf("a key too long: %v", err)
	}
	if _, err := db.Get(ctx, "a"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("half of it was executed: %v", err)
	}
	if _, err := db.Apply(ctx); err == nil {
		t.Error("nothing to do is no error")
	}
}

// TestASessionIsResumed: by another client, as after a restart or at another place. What was sent is sent
// again under its number and not executed again.
func TestASessionIsResumed(t *testing.T) {
	store := resptest.New()
	p := newProxy(t, store, resp.Options{})
	ctx := t.Context()
	first := connect(t, client.Config{}, p)
	s, err := first.OpenSession(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := s.Incr(ctx, "n", 1); err != nil {
			t.Fatal(err)
		}
	}
	next, low := s.Numbers()
	if next != 4 || low != 4 {
		t.Fatalf("next %d, low %d", next, low)
	}
	again := connect(t, client.Config{}, p).ResumeSession(s.ID(), 3, 3) // number 3 may have been executed
	for i, want := range []int64{3, 4} {
		if n, err := again.Incr(ctx, "n", 1); err != nil || n != want {
			t.Errorf("increment %d: %d, %v; want %d", i, n, err, want)
		}
	}
	other := first.ResumeSession(s.ID(), 4, 4) // the number is used, by another: its answer is repeated
	got, err := other.Incr(ctx, "n", 100)
	if err != nil || got != 4 {
		t.Errorf("a number used by another: %d, %v", got, err)
	}
	if _, err := first.ResumeSession(s.ID(), 4, 4).Apply(ctx, client.Change{Key: "k"}); err == nil {
		t.Error("the answer to an increment is taken for that to an Apply")
	}
	apply := []client.Change{{Key: "k"}, {Key: "l"}}
	if _, err := first.ResumeSession(s.ID(), 5, 5).Apply(ctx, apply...); err != nil {
		t.Error(err)
	}
	if _, err := first.ResumeSession(s.ID(), 5, 5).Apply(ctx, apply[:1]...); !errors.Is(err,
		client.ErrResultGone) {
		t.Errorf("the answer to another Apply: %v", err)
	}
	if err := first.ResumeSession(s.ID(), 6, 6).Put(ctx, "k", nil); err != nil {
		t.Error(err)
	}
	if _, err := first.ResumeSession(s.ID(), 5, 5).Incr(ctx, "n", 1); !errors.Is(err, client.ErrSessionLost) {
		t.Errorf("a number below the mark: %v", err)
	}
	if _, err := first.ResumeSession(999, 1, 1).Incr(ctx, "n", 1); !errors.Is(err, client.ErrSessionLost) {
		t.Errorf("a session that is none: %v", err)
	}
	if e, err := first.Get(ctx, "n"); err != nil || string(e.Value) != "4" {
		t.Errorf("n = %q, %v", e.Value, err)
	}
}

func TestPages(t *testing.T) {
	db := connect(t, client.Config{}, newProxy(t, resptest.New(), resp.Options{}))
	for i := range 5 {
		if err := db.Put(t.Context(), fmt.Sprint("k/", i), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	for after := ""; ; {
		page, next, err := db.Page(t.Context(), client.Range{Prefix: "k/", After: after, Page: 2})
		if err != nil || len(page) > 2 {
			t.Fatalf("%v %v", page, err)
		}
		for _, e := range page {
			keys = append(keys, e.Key)
		}
		if after = next; after == "" {
			break
		}
	}
	if fmt.Sprint(keys) != "[k/0 k/1 k/2 k/3 k/4]" {
		t.Errorf("%v", keys)
	}
}
