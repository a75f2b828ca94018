package resp

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"

	"metronome/system/wire"
)

// Whatever a client says, every command becomes exactly one entry: a well-formed reply, or an item that
// the wire takes.
func FuzzDispatch(f *testing.F) {
	f.Add([]byte("SET a 1 NX GET\r\nMT.DO 1 1 1 INCR n\r\nMT.READ BARRIER MGET a b\r\nSCAN 0 MATCH *\r\n"))
	f.Add([]byte("HELLO 3 SETNAME x\r\nCLIENT LIST\r\nCOMMAND DOCS\r\nCONFIG GET *\r\nINFO\r\nRESET\r\n"))
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$0\r\n\r\nMT.SCAN \"\" AFTER k LIMIT 3 VALUES\r\nMSET a 1 b\r\n"))
	f.Fuzz(func(t *testing.T, stream []byte) { dispatchAll(t, stream) })
}

// The same with words that belong together, which a fuzzer takes long to find. To replay a failure, run
// with the seed it prints.
func TestDispatchRandomCommands(t *testing.T) {
	x := newIndex()
	vocabulary := strings.Fields("a b 0 1 2 -5 99 x NX XX GET SET INCR KEEPTTL MATCH COUNT TYPE string AFTER" +
		" LIMIT VALUES OPEN ITEM BARRIER ON OFF SKIP REPLY ID LIST SETNAME GETNAME SETINFO LIB-NAME INFO DOCS" +
		" GETKEYS AUTH default 2 3 * save server")
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var stream []byte
		for range 20 {
			n := 1 + rng.IntN(8)
			stream = appendArray(stream, n)
			stream = appendBulk(stream, x.rows[rng.IntN(len(x.rows))].name)
			for range n - 1 {
				if rng.IntN(6) == 0 {
					stream = appendBulk(stream, x.rows[rng.IntN(len(x.rows))].name)
				} else {
					stream = appendBulk(stream, vocabulary[rng.IntN(len(vocabulary))])
				}
			}
		}
		dispatchAll(t, stream)
		if t.Failed() {
			t.Fatalf("seed %d: %q", seed, stream)
		}
	}
}

// disconnected is a socket that only has addresses.
type disconnected struct{ net.Conn }

func (disconnected) RemoteAddr() net.Addr { return &net.TCPAddr{} }
func (disconnected) LocalAddr() net.Addr  { return &net.TCPAddr{} }

func dispatchAll(t *testing.T, stream []byte) {
	c := fake(Options{})
	c.sock = disconnected{}
	c.takeInbox()
	st := &c.stage
	for len(stream) > 0 {
		n := copy(st.makeRoom(c.grow, ""), stream)
		st.received(n)
		stream = stream[n:]
		for v := st.next(); v != more; v = st.next() {
			entries, ops, mode := len(st.entries), len(st.ops), st.mode
			if v == ready {
				st.dispatch(st.args)
			} else {
				st.refuse(st.why)
			}
			if len(st.entries) != entries+1 || len(st.ops) > ops+1 {
				t.Fatalf("%q became %d entries and %d operations", st.args, len(st.entries)-entries, len(st.ops)-ops)
			}
			checkEntry(t, st, ops, mode)
			if v == broken {
				return
			}
		}
		st.clear()
	}
}

func checkEntry(t *testing.T, st *stage, ops int, before replyMode) {
	t.Helper()
	e := &st.entries[len(st.entries)-1]
	if e.flags&local == 0 {
		if len(st.ops) != ops+1 {
			t.Fatalf("%q is neither local nor an operation", st.args)
		}
		if err := st.ops[ops].Item.Check(); err != nil {
			t.Fatalf("%q: %v", st.args, err)
		}
		return
	}
	text := st.text[e.text.from:e.text.to]
	if e.flags&silent != 0 && len(text) > 0 || e.flags&silent == 0 && len(text) == 0 {
		t.Fatalf("%q after mode %d: silent %t, reply %q", st.args, before, e.flags&silent != 0, text)
	}
	if rest, err := skipReply(text); len(text) > 0 && (err != nil || len(rest) > 0) {
		t.Fatalf("%q: reply %q, then %q, %v", st.args, text, rest, err)
	}
}

// skipReply returns what follows one whole reply.
func skipReply(b []byte) ([]byte, error) {
	line, rest, ok := bytes.Cut(b, []byte("\r\n"))
	if !ok || len(line) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	n, _ := strconv.Atoi(string(line[1:]))
	switch line[0] {
	case '+', '-', ':', '_':
		return rest, nil
	case '$':
		if n < 0 {
			return rest, nil
		}
		if len(rest) < n+2 || string(rest[n:n+2]) != "\r\n" {
			return nil, io.ErrUnexpectedEOF
		}
		return rest[n+2:], nil
	case '%':
		n *= 2
	case '*':
	default:
		return nil, errors.New("no reply starts like this")
	}
	var err error
	for range n {
		if rest, err = skipReply(rest); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// A reply that is none of the ordinary ones: an answer the store cut short, or one that is damaged.
func TestRepliesToOddResults(t *testing.T) {
	results := wire.AppendResult(nil, &wire.Result{Value: []byte("v")})
	cut := wire.AppendResult(results, &wire.Result{Status: wire.StatusTooLong, Existed: true})
	entry := wire.AppendScanEntry(nil, &wire.ScanEntry{Key: []byte("k"), Value: []byte("v"), Revision: 7})
	for _, c := range []struct {
		kind   replyKind
		result wire.Result
		want   string
	}{
		{replyValues, wire.Result{Value: results}, "*1\r\n$1\r\nv\r\n"},
		{replyValues, wire.Result{Value: cut}, "-" + textLongReply + "\r\n"},
		{replyValues, wire.Result{Value: results[1:]}, "-ERR the store does not understand"},
		{replyScan, wire.Result{Value: entry, Revision: 1<<64 - 1},
			"*2\r\n$20\r\n18446744073709551615\r\n*1\r\n$1\r\nk\r\n"},
		{replyScan, wire.Result{Value: entry[1:]}, "-ERR the store does not understand"},
		{replyOrdered, wire.Result{Value: entry, More: true}, "*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$1\r\nk\r\n:7\r\n"},
		{replyOrderedValues, wire.Result{Value: entry[:5]}, "-ERR the store does not understand"},
		{replyOK, wire.Result{Status: wire.StatusResultGone}, "-SESSION RESULTGONE "},
		{replyNumber, wire.Result{Status: wire.StatusOverflow, Number: 5}, "-" + textOverflow + "\r\n"},
		{replyNumber, wire.Result{Status: 99}, "-UNKNOWN "},
	} {
		if got := appendReply(nil, c.kind, 2, nil, &c.result); !strings.HasPrefix(string(got), c.want) {
			t.Errorf("kind %d, %+v: %q, want %q", c.kind, c.result, got, c.want)
		}
	}
}

// Every match of a pattern starts with its literal beginning.
func TestLiteralPrefix(t *testing.T) {
	for pattern, want := range map[string]string{
		"": "", "a*": "a", "user:?": "user:", "[ab]": "", `a\*`: "a", "k": "k",
	} {
		if got := literalPrefix([]byte(pattern)); string(got) != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
}
