package store

import (
	"math"
	"strings"
	"testing"

	"metronome/system/wire"
)

// R24: with "highest number seen" #5, ordered after #6, would be dropped and yet answered OK.
func TestR24NumbersMayArriveOutOfOrder(t *testing.T) {
	d := drive(t, small(1))
	id := d.open()
	d.expect("#6", d.do(within(incr("n", 6), id, 6, 1)), wire.StatusOK, 6, "")
	d.expect("#5 after #6", d.do(within(incr("n", 5), id, 5, 1)), wire.StatusOK, 11, "")
	d.expect("both count", d.do(get("n")), wire.StatusOK, 2, "11")
}

// I4: a number is executed once, and every retry gets the first answer, in the same batch or later.
func TestI4ARetryGetsTheFirstAnswer(t *testing.T) {
	d := drive(t, small(1))
	id := d.open()
	one := within(incr("n", 1), id, 1, 1)
	for i, a := range d.together(one, one, put("n", "10"), one) {
		d.expect("in one batch", a.Result, wire.StatusOK, 1, "")
		if a.Number != uint64([]int{0, 1, 3}[i]) {
			t.Errorf("answer %d is for item %d", i, a.Number)
		}
	}
	d.expect("later", d.do(one), wire.StatusOK, 1, "")
	d.expect("executed once", d.do(get("n")), wire.StatusOK, 2, "10")
}

func TestR24RefusalsAreDefinite(t *testing.T) {
	d := drive(t, small(1)) // a window of 16
	id := d.open()
	d.expect("above the window", d.do(within(incr("n", 1), id, 17, 1)), wire.StatusSessionAhead, 0, "")
	d.expect("far above", d.do(within(incr("n", 1), id, math.MaxUint64, 1)), wire.StatusSessionAhead, 0, "")
	d.expect("at its top", d.do(within(incr("n", 1), id, 16, 1)), wire.StatusOK, 1, "")
	d.expect("the low mark moves it", d.do(within(incr("n", 1), id, 20, 5)), wire.StatusOK, 2, "")
	d.expect("below the mark", d.do(within(incr("n", 1), id, 4, 1)), wire.StatusSessionForgotten, 0, "")
	d.expect("number 0", d.do(within(incr("n", 1), id, 0, 0)), wire.StatusSessionForgotten, 0, "")
	d.expect("below its own mark", d.do(within(incr("n", 1), id, 6, 7)), wire.StatusSessionForgotten, 0, "")
	d.expect("never opened", d.do(within(incr("n", 1), id+1, 1, 1)), wire.StatusSessionUnknown, 0, "")
	d.expect("reads are held to it", d.do(within(get("n"), id+1, 1, 1)), wire.StatusSessionUnknown, 0, "")
	d.expect("nothing of that was executed", d.do(get("n")), wire.StatusOK, 1, "2")
}

// R24: an expired session is an explicit error; retrying with it never recreates it.
func TestR24ExpiryIsByLogTimeAndFinal(t *testing.T) {
	d := drive(t, Config{SessionTTL: 10})
	idle, busy := d.open(), d.open()
	d.time = 8
	d.expect("in use", d.do(within(incr("n", 1), busy, 1, 1)), wire.StatusOK, 1, "")
	d.time = 11 // idle for exactly the limit
	d.expect("at the limit", d.do(within(get("n"), idle, 1, 1)), wire.StatusOK, 1, "1")
	d.time = 19
	d.expect("busy is gone", d.do(within(incr("n", 1), busy, 1, 1)), wire.StatusSessionUnknown, 0, "")
	d.expect("for ever", d.do(within(incr("n", 1), busy, 2, 1)), wire.StatusSessionUnknown, 0, "")
	d.s.Apply(&Batch{Time: 19, ExpireBefore: math.MaxUint64})
	d.expect("all ended", d.do(within(incr("n", 1), idle, 2, 1)), wire.StatusSessionUnknown, 0, "")
	if st := d.s.Stats(); st.Sessions != 0 {
		t.Errorf("%d sessions", st.Sessions)
	}
}

func TestOneSessionTooManyEndsTheLeastRecentlyUsed(t *testing.T) {
	d := drive(t, Config{MaxSessions: 2})
	a, b := d.open(), d.open()
	d.do(within(get("k"), a, 1, 1))
	d.open()
	d.expect("used last", d.do(within(incr("n", 1), a, 1, 1)), wire.StatusOK, 1, "")
	d.expect("used least", d.do(within(incr("n", 1), b, 1, 1)), wire.StatusSessionUnknown, 0, "")
}

// Results are bounded in bytes; what does not fit is executed once all the same.
func TestAResultTooLargeIsGone(t *testing.T) {
	d := drive(t, Config{MaxResultBytes: 100})
	id := d.open()
	d.do(put("k", strings.Repeat("x", 101)))
	swap := within(put("k", "new"), id, 1, 1)
	swap.Previous = true
	if r := d.do(swap); len(r.Value) != 101 {
		t.Fatalf("the first answer has %d bytes", len(r.Value))
	}
	r := d.do(swap)
	d.expect("the retry", r, wire.StatusResultGone, 0, "")
	if !r.Existed || r.Revision != d.s.Index()-1 {
		t.Errorf("the retry lost more than the value: %+v", r)
	}
	swap.Number, swap.Value = 2, []byte("newer")
	d.expect("a small one", d.do(swap), wire.StatusOK, 0, "new")
	d.expect("is kept", d.do(swap), wire.StatusOK, 0, "new")
}

// Reads in a session are executed again, and use up no number.
func TestReadsInASessionAreFresh(t *testing.T) {
	d := drive(t, small(1))
	id := d.open()
	d.do(put("k", "old"))
	d.expect("first", d.do(within(get("k"), id, 1, 1)), wire.StatusOK, 3, "old")
	d.do(put("k", "new"))
	d.expect("again", d.do(within(get("k"), id, 1, 1)), wire.StatusOK, 3, "new")
	d.expect("a write with the number", d.do(within(incr("n", 4), id, 1, 1)), wire.StatusOK, 4, "")
}

func TestASessionMayBeOpenedWithinAnother(t *testing.T) {
	d := drive(t, small(1))
	id := d.open()
	open := within(wire.Item{Op: wire.OpSession}, id, 1, 1)
	first := d.do(open)
	if again := d.do(open); again.Number != first.Number || d.s.Stats().Sessions != 2 {
		t.Errorf("opened %d, then %d; %d sessions", first.Number, again.Number, d.s.Stats().Sessions)
	}
}
