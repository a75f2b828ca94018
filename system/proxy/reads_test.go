package proxy_test

import (
	"bytes"
	"testing"

	"metronome/system/node"
	"metronome/system/proxy"
	"metronome/system/wire"
)

// readsProxy is a proxy with lanes, and what it sent of reads at a barrier.
type readsProxy struct {
	*proxy.Proxy
	t     *testing.T
	now   int64
	token uint64
	ended []uint64
}

const readSeats = 0b10110 // replicas 1, 2 and 4

func newReadsProxy(t *testing.T) *readsProxy {
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	r := &readsProxy{t: t, now: 1e9}
	r.Proxy, err = proxy.New(proxy.Config{Cluster: 7, Number: 1, Nonce: 99, Seats: wire.MaxSeats, ReadLanes: 3,
		Digest: d, Complete: func(token uint64, res *wire.Result) {
			if string(res.Value) != string(rune(token)) {
				t.Errorf("read %d is answered %q", token, res.Value)
			}
			r.ended = append(r.ended, token)
		}})
	if err != nil {
		t.Fatal(err)
	}
	m := wire.Opened{Nonce: 99, Incarnation: 1, Lanes: 1, Leader: 2, Seats: readSeats}
	r.Message(r.now, wire.ReplicaPeer(1), m.Append(nil))
	return r
}

// read submits reads, each of a key that is its own token.
func (r *readsProxy) read(pin uint64, n int) {
	for range n {
		r.token++
		it := wire.Item{Op: wire.OpGet, Key: []byte(string(rune(r.token)))}
		if s := r.SubmitRead(r.now, pin, &it, r.token); s != wire.StatusOK {
			r.t.Fatalf("read: status %d", s)
		}
	}
}

// sent is the messages of reads of one turn, as their replica would answer them, by seat.
func (r *readsProxy) sent() map[int][][]byte {
	r.Tick(r.now)
	var out node.Output
	r.Output(&out)
	answers := map[int][][]byte{}
	for _, m := range out.Messages {
		if wire.Kind(m.Bytes[0]) != wire.KindRead {
			continue
		}
		id, items, _ := wire.ReadRead(m.Bytes[1:])
		b := wire.BeginReadReply(nil, id, 9)
		var it wire.Item
		for len(items) > 0 {
			n, ok := wire.DecodeItem(items, &it)
			if !ok {
				r.t.Fatal("a message of reads cannot be read")
			}
			items = items[n:]
			b = wire.AppendResult(b, &wire.Result{Value: it.Key})
		}
		answers[m.To.Seat()] = append(answers[m.To.Seat()], b)
	}
	return answers
}

func (r *readsProxy) answer(seat int, replies ...[]byte) {
	for _, b := range replies {
		r.Message(r.now, wire.ReplicaPeer(seat), b)
	}
}

// Goal: reads are spread evenly over the replicas that may be asked, whatever their seats; while some are
// under way the next ones wait to be sent together, but not for long; and what one message needed serves
// the next one without harm.
func TestReadsAtABarrierAreSpreadAndGathered(t *testing.T) {
	r := newReadsProxy(t)
	for pin := range uint64(9) {
		r.read(pin, 1)
	}
	first := r.sent()
	for _, seat := range []int{1, 2, 4} {
		if len(first[seat]) != 1 {
			t.Fatalf("replica %d is sent %d messages of 9 reads over 3 replicas", seat, len(first[seat]))
		}
	}
	for range 5 {
		r.read(0, 1)
		if got := r.sent(); len(got) > 0 {
			t.Fatalf("%d replicas are sent more while one message is under way", len(got))
		}
	}
	r.now += 100_000
	late := r.sent()
	if len(late) != 1 || len(late[1]) != 1 {
		t.Fatalf("after the longest wait %d replicas are sent reads", len(late))
	}
	for seat, replies := range first {
		r.answer(seat, replies...)
	}
	r.answer(1, late[1]...)
	for round := range 50 {
		r.read(uint64(round), 1+round%7)
		for seat, replies := range r.sent() {
			r.answer(seat, replies...)
		}
	}
	if len(r.ended) != int(r.token) {
		t.Errorf("%d of %d reads are answered", len(r.ended), r.token)
	}
}

// Goal: replicas that joined are asked too, once no read is under way; those under way stay where they are.
func TestReadsAtABarrierAreSpreadOverMore(t *testing.T) {
	r := newReadsProxy(t)
	r.read(0, 1)
	before := r.sent()
	r.SpreadReads(4)
	m := wire.Report{Incarnation: 1, Leader: 2, Seats: readSeats | 1<<6}
	r.Message(r.now, wire.ReplicaPeer(1), m.Append(nil))
	r.read(3, 1) // lane 0 of three
	r.now += 100_000
	late := r.sent()
	if len(before[1]) != 1 || len(late[1]) != 1 {
		t.Fatalf("%d and %d messages of the first lane to replica 1", len(before[1]), len(late[1]))
	}
	r.answer(1, append(before[1], late[1]...)...)
	for pin := range uint64(4) {
		r.read(pin, 1)
	}
	after := r.sent()
	for _, seat := range []int{1, 2, 4, 6} {
		if len(after[seat]) != 1 {
			t.Errorf("replica %d is sent %d messages of 4 reads over 4 replicas", seat, len(after[seat]))
		}
	}
	if len(r.ended) != 2 {
		t.Errorf("%d of 2 reads are answered", len(r.ended))
	}
}

// Goal: reads of a replica that does not answer move to another one together, and its late answers count
// for nothing.
func TestReadsAtABarrierMove(t *testing.T) {
	r := newReadsProxy(t)
	r.read(0, 3)
	silent := r.sent()
	r.read(0, 2)
	r.now += 100_000
	silent[1] = append(silent[1], r.sent()[1]...)
	r.now += 1e9
	moved := r.sent()
	if len(silent[1]) != 2 || len(moved) != 1 || len(moved[2]) != 2 {
		t.Fatalf("%d messages to replica 1, then %d replicas and %d messages to replica 2", len(silent[1]),
			len(moved), len(moved[2]))
	}
	r.answer(1, silent[1]...)
	if len(r.ended) > 0 {
		t.Errorf("%d answers of the replica that was given up count", len(r.ended))
	}
	r.answer(2, moved[2]...)
	if len(r.ended) != 5 {
		t.Errorf("%d of 5 reads are answered", len(r.ended))
	}
}

// Goal: what one barrier gives a proxy at once is bounded, however many messages of reads it answers, and all
// reads are answered all the same. Method: messages at one barrier whose answers are 64 MiB together, 16 MiB
// if each ended where one does; bytes are counted from one message of reads to the next.
func TestAnswersOfABarrierAreBoundedTogether(t *testing.T) {
	c := newCluster(t, 3)
	c.until("lanes open", c.proxy.Open)
	const keys, reads, size = 4, 256, 256 << 10
	const bound = 4<<20 + 2<<20 // the first message has a barrier of its own, and one answer ends at 2 MiB
	key := func(i uint64) []byte { return append(make([]byte, 1000), byte(i%keys)) }
	for i := range uint64(keys) {
		it := wire.Item{Op: wire.OpPut, Key: key(i), Value: bytes.Repeat([]byte{byte(i)}, size)}
		c.until("the value is taken", func() bool { return c.proxy.Submit(c.now, 0, &it, i) == wire.StatusOK })
		c.until("and written", func() bool { return c.results[i].Existed })
	}
	sum, most, none := 0, 0, 0
	c.lose = func(_ wire.Peer, b []byte) bool {
		switch wire.Kind(b[0]) {
		case wire.KindRead:
			sum = 0
		case wire.KindReadReply:
			sum += len(b)
		default:
			return false
		}
		most = max(most, sum)
		if _, _, results, _ := wire.ReadReadReply(b[1:]); sum > 0 && len(results) == 0 {
			none++
		}
		return false
	}
	hedges := c.proxy.View().Counters.Hedges
	for i := range uint64(reads) {
		it := wire.Item{Op: wire.OpGet, Key: key(i)}
		if s := c.proxy.SubmitRead(c.now, 0, &it, 1000+i); s != wire.StatusOK {
			t.Fatalf("read: status %d", s)
		}
	}
	c.until("reads end", func() bool { return len(c.results) == keys+reads })
	for i := range uint64(reads) {
		r := c.results[1000+i]
		if r.Status != wire.StatusOK || len(r.Value) != size || r.Value[0] != byte(i%keys) {
			t.Errorf("read %d: status %d, %d bytes", i, r.Status, len(r.Value))
		}
	}
	if most > bound+2*size || none == 0 || c.proxy.View().Counters.Hedges > hedges {
		t.Errorf("%d bytes at once, %d messages put off, %d times asked elsewhere", most, none,
			c.proxy.View().Counters.Hedges-hedges)
	}
}

// Goal: reads whose answers together exceed a message are answered all the same, in their order, each
// once, by messages that a stream takes; no client waits for its deadline. Method: one burst of reads of
// 10 MiB of values at a barrier, with others behind it.
func TestLongAnswersAtABarrier(t *testing.T) {
	c := newCluster(t, 3)
	c.until("lanes open", c.proxy.Open)
	const large, size, message = 10, 1 << 20, 8 << 20
	for i := range uint64(large) {
		it := wire.Item{Op: wire.OpPut, Key: []byte{byte(i)}, Value: bytes.Repeat([]byte{byte(i)}, size-1)}
		c.until("the value is taken", func() bool { return c.proxy.Submit(c.now, 0, &it, i) == wire.StatusOK })
		c.until("and written", func() bool { return c.results[i].Existed })
	}
	longest := 0
	c.lose = func(_ wire.Peer, b []byte) bool {
		if wire.Kind(b[0]) == wire.KindReadReply {
			longest = max(longest, len(b))
		}
		return len(b) > message
	}
	began, hedges := c.now, c.proxy.View().Counters.Hedges
	for i := range uint64(3 * large) {
		it := wire.Item{Op: wire.OpGet, Key: []byte{byte(i)}}
		if s := c.proxy.SubmitRead(c.now, 0, &it, 1000+i); s != wire.StatusOK {
			t.Fatalf("read: status %d", s)
		}
		if i == large {
			c.step()
		}
	}
	c.until("reads end", func() bool { return len(c.results) == 4*large })
	for i := range uint64(3 * large) {
		r := c.results[1000+i]
		if i < large && (r.Status != wire.StatusOK || len(r.Value) != size-1 || r.Value[0] != byte(i)) {
			t.Errorf("read %d: status %d, %d bytes", i, r.Status, len(r.Value))
		} else if i >= large && r.Status != wire.StatusNotFound {
			t.Errorf("read %d of nothing: status %d", i, r.Status)
		}
	}
	if longest > message || c.now-began > 1e9 {
		t.Errorf("an answer of %d bytes; %d ms", longest, (c.now-began)/ms)
	}
	if n := c.proxy.View().Counters.Hedges - hedges; n > 0 {
		t.Errorf("%d times asked elsewhere", n)
	}
}
