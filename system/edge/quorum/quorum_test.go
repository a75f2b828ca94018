package quorum_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/client"
	"metronome/system/edge"
	"metronome/system/edge/quorum"
	"metronome/system/proxy/resp"
	"metronome/system/wire"
)

func TestEdgesHoldTheSame(t *testing.T) {
	c := newCore(t)
	a, b := c.edge(t.TempDir()), c.edge(t.TempDir())
	out := must(t, a, &edge.Batch{Ops: []edge.Op{put("k/1", "one"), put("k/2", "two"), put("k/1", "three")}})
	if got := get(t, b, edge.Quorum, "k/1"); got != "three" {
		t.Errorf("at the other edge k/1 = %q", got)
	}
	e, err := b.Get(t.Context(), []byte("k/2"), edge.Read{Level: edge.Session, Min: out.Revision})
	if err != nil || e.Revision != out.Results[1].Revision || e.Type != "text/plain" {
		t.Errorf("%+v, %v; written as %+v", e, err, out.Results[1])
	}
	must(t, b, &edge.Batch{Ops: []edge.Op{{Kind: edge.Delete, Key: []byte("k/2")}}})
	if got := get(t, a, edge.Quorum, "k/2"); got != "" {
		t.Errorf("deleted k/2 = %q", got)
	}
	same(t, a, b)
}

func TestAnEdgeReadsWhatItWrote(t *testing.T) {
	s := newCore(t).edge(t.TempDir())
	for i := range 20 {
		must(t, s, &edge.Batch{Ops: []edge.Op{put("k", strconv.Itoa(i))}})
		if got := get(t, s, edge.Local, "k"); got != strconv.Itoa(i) {
			t.Fatalf("after writing %d: %q", i, got)
		}
	}
}

func TestADeviceGoesOnAtAnotherEdge(t *testing.T) {
	c := newCore(t)
	a, b := c.edge(t.TempDir()), c.edge(t.TempDir())
	must(t, a, reading("lamp", 0, 3))
	out := must(t, b, reading("lamp", 0, 3)) // its answer was lost
	for _, r := range out.Results {
		if !r.Duplicate || r.Verdict.Refused() {
			t.Errorf("sent again: %+v", r)
		}
	}
	if m := out.Session; m.Mark != 3 || m.Quorum != (edge.Mark{At: 3, Known: true}) {
		t.Errorf("session %+v", m)
	}
	must(t, b, reading("lamp", 3, 5))
	out = must(t, a, reading("lamp", 5, 6))
	if out.Results[0].Duplicate || out.Session.Mark != 6 {
		t.Errorf("%+v %+v", out.Results[0], out.Session)
	}
	state, err := b.Session(t.Context(), "lamp", "s-lamp")
	if err != nil || state.Mark != 6 {
		t.Errorf("%+v %v", state, err)
	}
	var fault *edge.SessionFault
	if _, err := b.Apply(t.Context(), reading("lamp", 9, 10)); !errors.As(err, &fault) ||
		fault.Code != "sequence-gap" || fault.State.Mark != 6 {
		t.Errorf("a gap: %v", err)
	}
	again := reading("lamp", 6, 7)
	again.Sender.Epoch = 2
	must(t, a, again)
	if _, err := b.Apply(t.Context(), reading("lamp", 7, 8)); !errors.As(err, &fault) || fault.Code != "fenced" {
		t.Errorf("an old life: %v", err)
	}
	same(t, a, b)
}

// TestConditionsHoldAcrossEdges counts by If-Match at two edges at once: a lost update would show.
func TestConditionsHoldAcrossEdges(t *testing.T) {
	c := newCore(t)
	edges := []*quorum.Store{c.edge(t.TempDir()), c.edge(t.TempDir())}
	const writers, each = 4, 25
	var done sync.WaitGroup
	for w := range writers {
		done.Go(func() {
			s := edges[w%len(edges)]
			for n := 0; n < each; {
				if increment(t, s) {
					n++
				}
			}
		})
	}
	done.Wait()
	if got := get(t, edges[0], edge.Quorum, "count"); got != strconv.Itoa(writers*each) {
		t.Errorf("counted %s, want %d", got, writers*each)
	}
	same(t, edges[0], edges[1])
}

func increment(t *testing.T, s *quorum.Store) bool {
	e, err := s.Get(t.Context(), []byte("count"), edge.Read{})
	op := put("count", "1")
	if errors.Is(err, edge.ErrNotFound) {
		op.IfNoneMatch = edge.Condition{Any: true}
	} else if err != nil {
		t.Error(err)
		return true
	} else {
		n, _ := strconv.Atoi(string(e.Value))
		op = put("count", strconv.Itoa(n+1))
		op.IfMatch = edge.Condition{Revisions: []uint64{e.Revision}}
	}
	ops := []edge.Op{op}
	for i := range rand.IntN(4) { // turns of any size
		ops = append(ops, put(fmt.Sprint("other/", i), "x"))
	}
	out, err := s.Apply(t.Context(), &edge.Batch{Ops: ops})
	if err != nil && !errors.Is(err, edge.ErrBusy) {
		t.Error(err)
		return true
	}
	return err == nil && !out.Results[0].Verdict.Refused()
}

func TestCutOffLocalReadsGoOn(t *testing.T) {
	c := newCore(t)
	s := c.edge(t.TempDir(), func(c *quorum.Config) { c.Patience = 200 * time.Millisecond })
	again(t, s, &edge.Batch{Ops: []edge.Op{put("k", "v")}})
	c.down.Store(true)
	eventually(t, "the edge notices", func() bool { return s.Stats().Cut })
	if got := get(t, s, edge.Local, "k"); got != "v" {
		t.Errorf("local read: %q", got)
	}
	if page, err := s.List(t.Context(), edge.Listing{Limit: 10}); err != nil || len(page.Items) != 1 {
		t.Errorf("local listing: %+v %v", page, err)
	}
	if _, err := s.Get(t.Context(), []byte("k"), edge.Read{Level: edge.Quorum}); !errors.Is(err,
		edge.ErrUnreachable) {
		t.Errorf("quorum read: %v", err)
	}
	if _, err := s.Apply(t.Context(), &edge.Batch{Ops: []edge.Op{put("k", "w")}}); !errors.Is(err,
		edge.ErrUnreachable) {
		t.Errorf("write: %v", err)
	}
	age := s.Status().Staleness
	eventually(t, "the copy ages", func() bool { return s.Status().Staleness > age })
	if why := s.Check(); len(why) != 1 || why[0].Part != "core" {
		t.Errorf("reasons %v", why)
	}
	c.down.Store(false)
	eventually(t, "the edge comes back", func() bool { return !s.Stats().Cut })
	again(t, s, &edge.Batch{Ops: []edge.Op{put("k", "w")}})
	eventually(t, "no reason is left", func() bool { return len(s.Check()) == 0 })
}

// TestAnAnswerThatIsLostChangesNothing: the core executes a turn, and the edge is not told.
func TestAnAnswerThatIsLostChangesNothing(t *testing.T) {
	c := newCore(t)
	s := c.edge(t.TempDir())
	must(t, s, &edge.Batch{Ops: []edge.Op{put("k", "0")}})
	var lost atomic.Int32
	c.set(&c.after, func(op *resp.Op) wire.Status {
		if op.Item.Op == wire.OpMulti && op.Item.HasSession && lost.Add(1)%3 != 0 {
			return wire.StatusUnknown
		}
		return 0
	})
	for range 10 {
		e, err := s.Get(t.Context(), []byte("k"), edge.Read{})
		if err != nil {
			t.Fatal(err)
		}
		op := put("k", string(e.Value)+"x")
		op.IfMatch = edge.Condition{Revisions: []uint64{e.Revision}}
		if r := must(t, s, &edge.Batch{Ops: []edge.Op{op}}).Results[0]; r.Verdict != edge.Replaced {
			t.Errorf("%+v", r)
		}
	}
	if got := get(t, s, edge.Quorum, "k"); got != "0"+strings.Repeat("x", 10) {
		t.Errorf("k = %q", got)
	}
	if lost.Load() < 20 {
		t.Errorf("%d answers came", lost.Load())
	}
}

// TestTheCoresSessionEnds: sessions of the core end when nobody writes for long, and edges go on.
func TestTheCoresSessionEnds(t *testing.T) {
	c := newCore(t)
	a, b := c.edge(t.TempDir()), c.edge(t.TempDir())
	must(t, a, reading("lamp", 0, 1))
	var first atomic.Uint64
	over := map[uint64]bool{}
	c.set(&c.fault, func(op *resp.Op) wire.Status {
		if op.Item.HasSession && (over[op.Item.Session] || first.CompareAndSwap(0, op.Item.Session)) {
			over[op.Item.Session] = true
			return wire.StatusSessionUnknown
		}
		return 0
	})
	var done sync.WaitGroup
	done.Go(func() { must(t, a, reading("door", 0, 5)) })
	done.Go(func() { must(t, b, reading("lamp", 1, 5)) })
	done.Wait()
	must(t, a, reading("lamp", 5, 6))
	must(t, b, reading("door", 5, 6))
	same(t, a, b)
	if n := a.Stats().Renewed + b.Stats().Renewed; n == 0 {
		t.Error("no session was renewed")
	}
}

// TestASessionThatGoesOnIsRetired: another program uses up the next turn's number, so that one edge begins
// another session of the core while the one before lives and the other edge still holds it to be the one.
// Were it not retired, both edges would write turns of the same place.
func TestASessionThatGoesOnIsRetired(t *testing.T) {
	c := newCore(t)
	blind := func(c *quorum.Config) { c.Poll = time.Hour }
	a, b := c.edge(t.TempDir(), blind), c.edge(t.TempDir(), blind)
	must(t, a, &edge.Batch{Ops: []edge.Op{put("k", "0")}})
	must(t, b, &edge.Batch{Ops: []edge.Op{put("k", "1")}})
	conn, err := client.Dial(t.Context(), client.Config{Addresses: []string{c.address}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	life, err := conn.Get(t.Context(), "edge/i")
	if err != nil {
		t.Fatal(err)
	}
	session := binary.BigEndian.Uint64(life.Value[16:])
	if _, err := conn.ResumeSession(session, 3, 3).Delete(t.Context(), "absent"); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		must(t, []edge.Store{a, b}[i%2], &edge.Batch{Ops: []edge.Op{put(fmt.Sprintf("k%d", i), "v")}})
	}
	same(t, a, b)
	if n := a.Stats().Renewed + b.Stats().Renewed; n != 1 {
		t.Errorf("%d sessions were begun", n)
	}
	if st := a.Status(); st.Revision != 12 || st.Keys != 11 {
		t.Errorf("%+v: writes are lost", st)
	}
}

// TestARefusalBeginsNoSession: a proxy that does not know the command, say, refuses every turn.
func TestARefusalBeginsNoSession(t *testing.T) {
	c := newCore(t)
	a := c.edge(t.TempDir())
	must(t, a, reading("lamp", 0, 1))
	c.set(&c.fault, func(op *resp.Op) wire.Status {
		if op.Item.HasSession {
			return wire.StatusRefused
		}
		return 0
	})
	if _, err := a.Apply(t.Context(), reading("lamp", 1, 2)); !errors.Is(err, edge.ErrUnreachable) {
		t.Errorf("%v", err)
	}
	c.set(&c.fault, nil)
	must(t, a, reading("lamp", 1, 2))
	if n := a.Stats().Renewed; n != 0 {
		t.Errorf("%d sessions were begun", n)
	}
}

func TestAnEdgeFarBehindIsBuiltAnew(t *testing.T) {
	c := newCore(t)
	dir := t.TempDir()
	a, b := c.edge(t.TempDir(), keep(4)), c.edge(dir, keep(4))
	must(t, a, &edge.Batch{Ops: []edge.Op{put("gone", "1"), put("stays", "1")}})
	same(t, a, b)
	shut(t, b)
	must(t, a, &edge.Batch{Ops: []edge.Op{{Kind: edge.Delete, Key: []byte("gone")}}})
	long := strings.Repeat("k", edge.MaxKey)
	must(t, a, &edge.Batch{Ops: []edge.Op{put(long, "long")}})
	for i := range 10 {
		must(t, a, reading("lamp", uint64(i), uint64(i)+1))
	}
	b = c.edge(dir, keep(4))
	eventually(t, "the copy is there", func() bool { return b.Stats().Place == a.Stats().Place })
	if b.Stats().Rebuilt != 1 {
		t.Errorf("%+v", b.Stats())
	}
	if get(t, b, edge.Local, long) != "long" || get(t, b, edge.Local, "gone") != "" {
		t.Error("the copy differs")
	}
	same(t, a, b)
	must(t, b, reading("lamp", 10, 11)) // the session came along
	fresh := c.edge(t.TempDir(), keep(4))
	same(t, a, b, fresh)
}

func TestARestartKeepsTheCopyEvenWithoutTheCore(t *testing.T) {
	c := newCore(t)
	dir := t.TempDir()
	quick := func(c *quorum.Config) { c.Patience = 200 * time.Millisecond }
	s := c.edge(dir, quick)
	again(t, s, reading("lamp", 0, 3))
	shut(t, s)
	c.down.Store(true)
	s = c.edge(dir, quick)
	if got := get(t, s, edge.Local, "lamp/000003"); got != "3" {
		t.Errorf("%q", got)
	}
	if st := s.Status(); st.Staleness <= 0 || st.Kind != "metronome" || s.Stats().Rebuilt != 0 {
		t.Errorf("%+v %+v", st, s.Stats())
	}
	c.down.Store(false)
	eventually(t, "the edge comes back", func() bool { return !s.Stats().Cut })
	again(t, s, reading("lamp", 3, 4))
	if s.Stats().Rebuilt != 0 {
		t.Error("the copy was built anew")
	}
}

func TestOneEdgeADirectory(t *testing.T) {
	c := newCore(t)
	dir := t.TempDir()
	a := c.edge(dir)
	must(t, a, reading("lamp", 0, 1))
	_, err := quorum.Open(t.Context(), quorum.Config{Dir: dir, Addresses: []string{c.address}, Log: quiet})
	if err == nil || !strings.Contains(err.Error(), "another edge") {
		t.Errorf("%v", err)
	}
	shut(t, a)
	if got := get(t, c.edge(dir), edge.Local, "lamp/000001"); got != "1" {
		t.Errorf("%q", got)
	}
}

// TestACopyOfAnotherCoreIsNotBelieved: the core was set back, or it is another.
func TestACopyOfAnotherCoreIsNotBelieved(t *testing.T) {
	dir := t.TempDir()
	old := newCore(t)
	s := old.edge(dir)
	must(t, s, reading("lamp", 0, 3))
	shut(t, s)
	c := newCore(t)
	s = c.edge(dir)
	if got := get(t, s, edge.Quorum, "lamp/000003"); got != "" || s.Stats().Rebuilt != 1 {
		t.Errorf("%q %+v", got, s.Stats())
	}
	var fault *edge.SessionFault
	if _, err := s.Apply(t.Context(), reading("lamp", 3, 4)); !errors.As(err, &fault) ||
		fault.Code != "sequence-gap" || fault.State.Mark != 0 {
		t.Errorf("the device must send again: %v", err)
	}
	must(t, s, reading("lamp", 0, 4))
}

func TestWatchersSeeWhatOtherEdgesWrite(t *testing.T) {
	c := newCore(t)
	a, b := c.edge(t.TempDir()), c.edge(t.TempDir())
	must(t, a, reading("lamp", 0, 2))
	must(t, b, reading("lamp", 2, 4))
	var got []string
	for from := uint64(1); len(got) < 4; {
		events, next, err := a.Watch(t.Context(), []byte("lamp/"), from, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			got = append(got, string(e.Entry.Value))
		}
		from = next
	}
	if fmt.Sprint(got) != "[1 2 3 4]" {
		t.Errorf("%v", got)
	}
}

func TestABatchTooLargeForTheCoreIsRefusedAndOthersAreNot(t *testing.T) {
	s := newCore(t).edge(t.TempDir())
	value := string(bytes.Repeat([]byte{7}, 400<<10))
	var done sync.WaitGroup
	for i := range 6 { // they gather, and a turn of them all would not fit
		done.Go(func() { must(t, s, &edge.Batch{Ops: []edge.Op{put(fmt.Sprint("k", i), value)}}) })
	}
	done.Wait()
	_, err := s.Apply(t.Context(), &edge.Batch{Ops: []edge.Op{put("k", value), put("l", value)}})
	var p *edge.Problem
	if !errors.As(err, &p) || p.Code.Code != "too-large" || !strings.Contains(p.Detail, "510 KiB") {
		t.Errorf("%v does not say the bound", err)
	}
	if get(t, s, edge.Local, "k5") != value || get(t, s, edge.Local, "l") != "" {
		t.Error("half a batch")
	}
}

func TestALapseOfPatienceIsNotAnOutcome(t *testing.T) {
	c := newCore(t)
	s := c.edge(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Apply(ctx, &edge.Batch{Ops: []edge.Op{put("k", "v")}}); err != nil &&
		!errors.Is(err, edge.ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// TestATurnWhoseAnswerWasLostIsNotExecutedTwice: it was executed, the answer is lost, and before it is asked
// for again another edge writes, so that the number is refused. The edge must find its turn among those it
// follows.
func TestATurnWhoseAnswerWasLostIsNotExecutedTwice(t *testing.T) {
	c := newCore(t)
	a, b := c.edge(t.TempDir()), c.edge(t.TempDir())
	must(t, b, &edge.Batch{Ops: []edge.Op{put("first", "1")}})
	same(t, a, b) // else the first attempt comes too late by itself
	mine := func(op *resp.Op) bool {
		return op.Item.HasSession && bytes.Contains(op.Item.Value, []byte("mine"))
	}
	var sent, released atomic.Bool
	c.set(&c.after, func(op *resp.Op) wire.Status {
		if mine(op) && !sent.Swap(true) {
			return wire.StatusUnknown
		}
		return 0
	})
	c.set(&c.fault, func(op *resp.Op) wire.Status {
		if mine(op) && sent.Load() && !released.Load() {
			return wire.StatusBusy
		}
		return 0
	})
	done := make(chan *edge.Outcome, 1)
	go func() { done <- must(t, a, &edge.Batch{Ops: []edge.Op{put("mine", "1")}}) }()
	eventually(t, "it is sent", sent.Load)
	must(t, b, &edge.Batch{Ops: []edge.Op{put("other", "1")}})
	must(t, b, &edge.Batch{Ops: []edge.Op{put("other", "2")}})
	released.Store(true)
	if r := (<-done).Results[0]; r.Verdict != edge.Created || r.Revision != 2 {
		t.Errorf("%+v", r)
	}
	same(t, a, b)
	events, _, err := b.Watch(t.Context(), nil, 1, 10)
	if err != nil || len(events) != 4 || string(events[1].Entry.Key) != "mine" {
		t.Errorf("%v %v", events, err)
	}
}
