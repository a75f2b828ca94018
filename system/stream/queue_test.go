package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"metronome/system/wire"
)

// parse cuts what a writer wrote into messages of each class, through the receiver's code.
func parse(t *testing.T, written []byte) (urgent, bulk [][]byte) {
	t.Helper()
	s := splitter{most: 1 << 20}
	var whole []byte
	for r := bytes.NewReader(written); ; {
		n, _ := r.Read(s.room())
		s.tail += n
		for {
			k, content, ok, err := s.next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			switch content = bytes.Clone(content); k {
			case kindUrgent:
				urgent = append(urgent, content)
			case kindPart:
				whole = append(whole, content...)
			case kindLast:
				bulk = append(bulk, append(whole, content...))
				whole = nil
			}
		}
		if n == 0 {
			return urgent, bulk
		}
	}
}

// TestQueueModel puts and takes at random, and compares with two lists. A failure prints the seed.
func TestQueueModel(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		q := queue{limit: 100_000}
		var want [2][][]byte
		var written, buf []byte
		taken := 0
		take := func() {
			out := q.take(buf)
			written = append(written, out...)
			if parts := len(out) - q.writing; parts > headerBytes+partBytes {
				t.Fatalf("seed %d: %d bytes of bulk at once", seed, parts)
			}
			buf = out
		}
		for range 300 {
			if rng.IntN(3) == 0 {
				take()
				continue
			}
			n := 1 + rng.IntN(50)
			if rng.IntN(4) == 0 {
				n = 1 + rng.IntN(60_000)
			}
			m := bytes.Repeat([]byte{byte(taken)}, n)
			class := rng.IntN(2)
			before := q.bytes()
			if q.put(m, class == 1, len(m)%2 == 0) {
				want[class] = append(want[class], m)
				taken++
			} else if q.bytes() != before {
				t.Fatalf("seed %d: a refused message left %d bytes", seed, q.bytes()-before)
			}
			if q.bytes() > 2*q.limit {
				t.Fatalf("seed %d: %d bytes are queued", seed, q.bytes())
			}
		}
		for q.bytes() > 0 {
			take()
		}
		urgent, bulk := parse(t, written)
		if !slices.EqualFunc(urgent, want[0], bytes.Equal) || !slices.EqualFunc(bulk, want[1], bytes.Equal) {
			t.Fatalf("seed %d: %d of %d urgent and %d of %d bulk messages, or changed", seed,
				len(urgent), len(want[0]), len(bulk), len(want[1]))
		}
	}
}

// TestUrgentPassesBulk: what is urgent leaves with the next write, however much bulk waits.
func TestUrgentPassesBulk(t *testing.T) {
	q := queue{limit: 1 << 20}
	for range 5 {
		q.put(make([]byte, 100_000), true, false)
	}
	q.take(nil)
	q.put([]byte("now"), false, false)
	out := q.take(nil)
	if k, n := parseHeader(out); k != kindUrgent || string(out[headerBytes:headerBytes+n]) != "now" {
		t.Errorf("kind %d leaves first", k)
	}
	if len(out) > 2*headerBytes+3+partBytes {
		t.Errorf("%d bytes leave together", len(out))
	}
}

// TestMemoryOfABurstIsReturned: buffers that one burst made large do not stay.
func TestMemoryOfABurstIsReturned(t *testing.T) {
	q := queue{limit: 64 << 20}
	for range 20 {
		q.put(make([]byte, 1<<20), false, false)
		q.put(make([]byte, 1<<20), true, false)
	}
	var buf []byte
	for q.bytes() > 0 {
		buf = q.take(buf)
	}
	for range 3 {
		q.put([]byte("small"), false, false)
		q.put([]byte("small"), true, false)
		buf = q.take(buf)
	}
	if held := cap(q.urgent) + 24*cap(q.bulk) + cap(buf); held > 2*keepBytes {
		t.Errorf("%d bytes are held after the burst", held)
	}
}

// FuzzSplitter: however bytes arrive, frames are what they are, and no input panics or reserves
// more than it brought.
func FuzzSplitter(f *testing.F) {
	f.Add([]byte{3, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0x30}, uint8(1))
	f.Add(appendHeader(nil, kindLast, 1<<20), uint8(7))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		whole, errWhole := frames(b, len(b)+1)
		parts, errParts := frames(b, int(step)+1)
		if whole != parts || (errWhole == nil) != (errParts == nil) {
			t.Fatalf("%q (%v) at once, %q (%v) in steps", whole, errWhole, parts, errParts)
		}
	})
}

// frames writes down the frames in b, which arrives in steps.
func frames(b []byte, step int) (string, error) {
	s := splitter{most: 1 << 16}
	var text strings.Builder
	for len(b) > 0 {
		n := copy(s.room(), b[:min(step, len(b))])
		s.tail += n
		b = b[n:]
		for {
			k, content, ok, err := s.next()
			if err != nil {
				return text.String(), err
			}
			if !ok {
				break
			}
			text.WriteByte(byte(k))
			text.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(content))))
			text.Write(content)
		}
	}
	return text.String(), nil
}

// FuzzHello: any bytes are a hello or an error, and a hello is written as it was read.
func FuzzHello(f *testing.F) {
	h := hello{1, 2, 3, 4, []byte("user")}
	f.Add(h.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHello(b)
		if err == nil && !bytes.Equal(h.append(nil), b) {
			t.Errorf("%x is written %x", b, h.append(nil))
		}
	})
}

func TestInbox(t *testing.T) {
	wakes := 0
	b := NewInbox(100, func() { wakes++ })
	b.Put(r1, []byte("a"))
	b.Put(p1, nil)
	if wakes != 1 {
		t.Errorf("woken %d times", wakes)
	}
	var got []string
	take := func(from wire.Peer, m []byte, _ bool) { got = append(got, from.String()+" "+string(m)) }
	if n := b.Drain(take); n != 2 || !slices.Equal(got, []string{"replica-1 a", "proxy-1 "}) {
		t.Errorf("%d: %q", n, got)
	}
	if n := b.Drain(take); n != 0 {
		t.Errorf("%d messages in an empty inbox", n)
	}
	if b.Put(r1, []byte("b")); wakes != 2 {
		t.Errorf("woken %d times", wakes)
	}
}

// TestInboxBlocks: Put waits while the inbox is full, and goes on when it is drained or closed.
func TestInboxBlocks(t *testing.T) {
	b := NewInbox(100, nil)
	const messages = 1000
	var putting sync.WaitGroup
	for sender := range 3 {
		putting.Go(func() {
			for i := range messages {
				b.Put(wire.ReplicaPeer(sender), binary.LittleEndian.AppendUint32(nil, uint32(i)))
			}
		})
	}
	next := map[wire.Peer]uint32{}
	for total := 0; total < 3*messages; {
		n := b.Drain(func(from wire.Peer, m []byte, _ bool) {
			if i := binary.LittleEndian.Uint32(m); i != next[from] {
				t.Errorf("%v: message %d, want %d", from, i, next[from])
			}
			next[from]++
		})
		if n*(inboxHeader+4) > 100+3*(inboxHeader+4) {
			t.Fatalf("%d messages were in the inbox", n)
		}
		if total += n; n == 0 {
			time.Sleep(10 * time.Microsecond)
		}
	}
	putting.Wait()
	putting.Go(func() {
		for range 100 {
			b.Put(r0, make([]byte, 50))
		}
	})
	b.Close()
	putting.Wait()
}

func TestInboxDoesNotAllocate(t *testing.T) {
	b := NewInbox(1<<20, nil)
	m := make([]byte, 100)
	take := func(wire.Peer, []byte, bool) {}
	b.Put(r1, m)
	b.Drain(take)
	if n := testing.AllocsPerRun(1000, func() { b.Put(r1, m); b.Drain(take) }); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}

func TestLimitedLog(t *testing.T) {
	var l limited
	if held, ok := l.allow("a", 0); !ok || held != 0 {
		t.Error("the first is held back")
	}
	for i := range 5 {
		if _, ok := l.allow("a", time.Duration(i)); ok {
			t.Error("a repetition goes through")
		}
	}
	if _, ok := l.allow("b", 1); !ok {
		t.Error("another key is held back")
	}
	if held, ok := l.allow("a", logEvery); !ok || held != 5 {
		t.Errorf("%d held back before", held)
	}
	for i := range 10 * maxKeys {
		l.allow(strings.Repeat("x", i), 0)
	}
	if len(l.last) > maxKeys {
		t.Errorf("%d keys are remembered", len(l.last))
	}
	if likeness(errors.New("port 123 failed")) != likeness(errors.New("port 45 failed")) {
		t.Error("numbers make errors differ")
	}
}

// TestGivenMessagesAreKept: what is given comes out in its turn, is not copied, and counts.
func TestGivenMessagesAreKept(t *testing.T) {
	b := NewInbox(100, nil)
	for range 3 { // the second time, memory is used again
		own := bytes.Repeat([]byte("g"), 90)
		b.Put(r1, []byte("before"))
		b.Give(r2, own)
		put := make(chan struct{})
		go func() {
			b.Put(r1, []byte("behind")) // there is no room
			close(put)
		}()
		var got []string
		take := func(from wire.Peer, m []byte, given bool) {
			got = append(got, string(m[:1])+from.String())
			if given != (len(m) == 90) || given && &m[0] != &own[0] {
				t.Errorf("%d bytes, given: %t", len(m), given)
			}
		}
		if n := b.Drain(take); n != 2 {
			t.Fatalf("%d messages: %v", n, got)
		}
		<-put
		if b.Drain(take); !slices.Equal(got, []string{"breplica-1", "greplica-2", "breplica-1"}) {
			t.Fatal(got)
		}
	}
}
