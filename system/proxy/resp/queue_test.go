package resp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"metronome/system/wire"
)

// A queue against the simplest model of it, a list of replies: random commands, answered in random
// order, abandoned in the end. To replay a failure, run with the seed it prints.
func TestQueueAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		if t.Failed() {
			return
		}
		runQueue(t, seed)
	}
}

func runQueue(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	var q queue
	var want strings.Builder
	replies := make(map[uint64]string) // what comes once a tag is answered
	var order, open []uint64
	next := uint64(0) // of order, whose reply is not in want yet
	for step := range 400 {
		if rng.IntN(100) < 55 {
			s := staged{size: rng.IntN(50), reply: replyValue}
			text := ""
			switch rng.IntN(4) {
			case 0:
				s.flags, text = local, fmt.Sprintf("+%d\r\n", step)
				replies[q.tail] = text
			case 1:
				s.flags = silent
				open = append(open, q.tail)
			default:
				s.flags = pendingFlags(rng.IntN(2)) * barrier
				open = append(open, q.tail)
			}
			order = append(order, q.push(&s, []byte(text)))
		} else if len(open) > 0 {
			i := rng.IntN(len(open))
			tag := open[i]
			open = append(open[:i], open[i+1:]...)
			value := strings.Repeat("v", rng.IntN(700))
			replies[tag] = ""
			if q.at(tag).flags&silent == 0 {
				replies[tag] = fmt.Sprintf("$%d\r\n%s\r\n", len(value), value)
			}
			if !q.answer(tag, &wire.Result{Value: []byte(value)}) || q.answer(tag, &wire.Result{}) {
				t.Fatalf("seed %d, step %d: tag %d must be answered once", seed, step, tag)
			}
		}
		for ; next < uint64(len(order)); next++ {
			r, answered := replies[order[next]]
			if !answered {
				break
			}
			want.WriteString(r)
		}
		if string(q.out) != want.String() || q.len() != len(order)-int(next) {
			t.Fatalf("seed %d, step %d: %d bytes of replies, want %d; %d pending, want %d",
				seed, step, len(q.out), want.Len(), q.len(), len(order)-int(next))
		}
	}
	q.abandon(wire.StatusUnknown)
	if q.len() != 0 || q.size != 0 || q.held != 0 || q.items != 0 || q.barriers != 0 {
		t.Errorf("seed %d: abandoned, but %d pending, size %d, held %d, items %d, barriers %d",
			seed, q.len(), q.size, q.held, q.items, q.barriers)
	}
	if n := strings.Count(string(q.out[want.Len():]), "-UNKNOWN "); n > len(open) {
		t.Errorf("seed %d: %d unknown outcomes for %d commands", seed, n, len(open))
	}
}

// fake is a connection without a socket, for what needs none.
func fake(o Options) *conn {
	return newConn(NewServer(nil, o), 1, nil)
}

// Parsing, staging, queueing and answering SET and GET allocates nothing.
func TestHotPathAllocatesNothing(t *testing.T) {
	c := fake(Options{})
	c.takeInbox()
	c.takeOutbox()
	set := "*3\r\n$3\r\nSET\r\n$16\r\n0123456789abcdef\r\n$64\r\n" + strings.Repeat("v", 64) + "\r\n"
	get := "*2\r\n$3\r\nGET\r\n$16\r\n0123456789abcdef\r\n"
	incr := "*2\r\n$4\r\nINCR\r\n$16\r\n0123456789abcdef\r\n"
	mget := "*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n"
	stream := []byte(strings.Repeat(set+get+incr+mget, 25))
	value := wire.Result{Value: make([]byte, 64)}
	for i, r := range []wire.Result{{}, {}} {
		value.Value = wire.AppendResult(value.Value[:i*24], &r)
	}
	exchange := func() {
		st := &c.stage
		copy(st.makeRoom(c.grow, ""), stream)
		st.received(len(stream))
		for st.next() == ready {
			st.dispatch(st.args)
		}
		next := 0
		for i := range st.entries {
			e := &st.entries[i]
			st.ops[next].Tag = c.q.push(e, st.text[e.text.from:e.text.to])
			next++
		}
		for i := range st.ops { // every second one first, so that replies wait for their turn
			if i%2 == 1 {
				c.q.answer(st.ops[i].Tag, &value)
			}
		}
		for i := range st.ops {
			if i%2 == 0 {
				c.q.answer(st.ops[i].Tag, &value)
			}
		}
		if len(st.ops) != 100 || c.q.len() != 0 || len(c.q.out) == 0 {
			t.Fatalf("%d operations, %d pending, %d bytes of replies", len(st.ops), c.q.len(), len(c.q.out))
		}
		c.q.out = c.q.out[:0]
		st.clear()
	}
	exchange()
	if n := testing.AllocsPerRun(50, exchange); n > 0 {
		t.Errorf("100 commands allocate %v times", n)
	}
}

// A command of the table is in Redis's form, has a name that find finds, and no refusal beside it.
func TestTable(t *testing.T) {
	x := newIndex()
	for i := range x.rows {
		c := &x.rows[i]
		switch {
		case len(c.name) > maxName || x.find([]byte(strings.ToUpper(c.name))) != c:
			t.Errorf("%s is not found", c.name)
		case x.refusals[c.name] != "":
			t.Errorf("%s is both served and refused", c.name)
		case c.summary == "" || c.group == "" || c.arity == 0:
			t.Errorf("%s is not described", c.name)
		}
	}
	if x.find([]byte("")) != nil || x.find([]byte(strings.Repeat("x", 100))) != nil {
		t.Error("a stranger is found")
	}
}
