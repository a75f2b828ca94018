package client

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

func TestReadReply(t *testing.T) {
	in := "+OK\r\n+PONG\r\n-ERR no\r\n:-5\r\n$2\r\nab\r\n$-1\r\n*-1\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n$0\r\n\r\n"
	r := bufio.NewReader(strings.NewReader(in))
	for i, ok := range []func(reply) bool{
		func(r reply) bool { return r.kind == '+' && r.bytes == nil },
		func(r reply) bool { return string(r.bytes) == "PONG" },
		func(r reply) bool { return r.kind == '-' && r.fault() != nil },
		func(r reply) bool { return r.n == -5 },
		func(r reply) bool { return string(r.bytes) == "ab" && r.fault() == nil },
		func(r reply) bool { return r.null && r.kind == '$' },
		func(r reply) bool { return r.null && r.kind == '*' },
		func(r reply) bool { return len(r.list) == 2 && r.list[1].list[0].n == 1 },
		func(r reply) bool { return r.bytes != nil && len(r.bytes) == 0 },
	} {
		got, err := readReply(r, 0)
		if err != nil || !ok(got) {
			t.Errorf("reply %d: %+v, %v", i, got, err)
		}
	}
}

// A reply in another form than the command has is an error, not a zero.
func TestReplyOfTheWrongForm(t *testing.T) {
	for _, wrong := range []reply{{kind: '+'}, {kind: ':'}, {kind: '*', list: make([]reply, 1)}} {
		if _, err := decodeEntry("k", &wrong); err == nil {
			t.Errorf("%c is taken for an entry", wrong.kind)
		}
		if _, err := decodeCAS(&wrong); err == nil {
			t.Errorf("%c is taken for the answer of a compare-and-set", wrong.kind)
		}
	}
}

// Whatever a server sends, reading it neither panics nor holds more than was sent, and ends.
func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"+OK\r\n", "$5\r\nab", "$99999999999\r\n", "*65536\r\n",
		"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "$-5\r\n", ":\r\n", "\r\n", "x", "$67108864\r\nabc"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			if _, err := readReply(r, 0); err != nil {
				return
			}
		}
	})
}

// Sending a put costs no allocation once its buffers have grown, answering none either.
func TestPutAllocatesNothing(t *testing.T) {
	value := make([]byte, 64)
	out := make([]byte, 0, 1<<10)
	var cmd command
	put := func() {
		out = cmd.start("$3\r\nSET\r\n").key("0123456789abcdef").value(value).appendTo(out[:0])
	}
	put()
	if n := testing.AllocsPerRun(100, put); n > 0 {
		t.Errorf("encoding a put allocates %v times", n)
	}
	stream := bytes.NewReader([]byte(strings.Repeat("+OK\r\n", 1000)))
	r := bufio.NewReader(stream)
	if n := testing.AllocsPerRun(100, func() {
		if answer, err := readReply(r, 0); err != nil || answer.fault() != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("reading its answer allocates %v times", n)
	}
}
