package resp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var small = bounds{args: 6, bulk: 40, command: 100}

// feed runs a stream through a parser, cut into pieces of the sizes that cut says, and returns what it
// found, one line a command.
func feed(t testing.TB, b bounds, stream []byte, cut func() int) []string {
	t.Helper()
	p := parser{bounds: b, buf: make([]byte, 0, minBuffer)}
	grow := func(capacity int) []byte { return make([]byte, 0, capacity) }
	var found []string
	for len(stream) > 0 {
		room := p.makeRoom(grow, "no memory")
		if len(room) == 0 {
			t.Fatal("makeRoom made none")
		}
		n := copy(room, stream[:min(max(cut(), 1), len(stream))])
		p.received(n)
		stream = stream[n:]
		for {
			v := p.next()
			if v == more {
				break
			}
			switch v {
			case ready:
				found = append(found, fmt.Sprintf("%q", p.args))
			case refused:
				found = append(found, "refused "+p.why)
			case broken:
				return append(found, "broken "+p.why)
			}
		}
	}
	return found
}

func whole() int { return 1 << 30 }

func TestParse(t *testing.T) {
	protocol := "broken ERR Protocol error: "
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", []string{`["GET" "k"]`}},
		{"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", []string{`["PING"]`, `["PING"]`}},
		{"*2\r\n$3\r\nGET\r\n$0\r\n\r\n", []string{`["GET" ""]`}},
		{"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n", []string{`["GET" "a\r\nb"]`}},
		{"*0\r\n*-1\r\n\r\n\nPING\n", []string{`["PING"]`}},
		{"SET  a\t\"b\\x41\\n \\\"\" 'c\\'d'\r\n", []string{`["SET" "a" "bA\n \"" "c'd"]`}},
		{"*1\r\n$4\r\nPI", nil},
		{"GET \"a\r\n", []string{protocol + "unbalanced quotes in request"}},
		{"GET \"a\"b\r\n", []string{protocol + "unbalanced quotes in request"}},
		{strings.Repeat("x", maxInline+1), []string{protocol + "too big inline request"}},
		{strings.Repeat("x", maxInline+1) + "\n", []string{protocol + "too big inline request"}},
		{"*a\r\n", []string{protocol + "invalid multibulk length"}},
		{"*99999999999\r\n", []string{protocol + "invalid multibulk length"}},
		{"*1048577\r\n", []string{protocol + "invalid multibulk length"}},
		{"*1\r\n+PING\r\n", []string{protocol + "expected '$', got '+'"}},
		{"*1\r\n\x00", []string{protocol + "expected '$', got '?'"}},
		{"*1\r\n$-1\r\n", []string{protocol + "invalid bulk length"}},
		{"*1\r\n$536870913\r\n", []string{protocol + "invalid bulk length"}},
		{"*1\r\n$1\r\nabc", []string{protocol + "expected CRLF after bulk string"}},
		{"*1\r\n$1\rx", []string{protocol + "invalid bulk length"}},
		{"*2\r\n$3\r\nGET\r\n$41\r\n" + strings.Repeat("k", 41) + "\r\nPING\r\n",
			[]string{"refused ERR argument of 41 bytes is too long: at most 40", `["PING"]`}},
		{"*4\r\n" + strings.Repeat("$30\r\n"+strings.Repeat("k", 30)+"\r\n", 4) + "PING\r\n",
			[]string{"refused ERR command is too long: at most 100 bytes", `["PING"]`}},
		{"*7\r\n" + strings.Repeat("$1\r\nk\r\n", 7) + "PING\r\n",
			[]string{"refused ERR command of 7 arguments is too long: at most 6", `["PING"]`}},
		{"a b c d e f g\nPING\n",
			[]string{"refused ERR command of 7 arguments is too long: at most 6", `["PING"]`}},
		{"*1\r\n$50\r\n" + strings.Repeat("k", 50) + "xx", []string{protocol + "expected CRLF after bulk string"}},
	} {
		if got := feed(t, small, []byte(c.in), whole); !slices.Equal(got, c.want) {
			t.Errorf("%.60q:\n got %q\nwant %q", c.in, got, c.want)
		}
		if got := feed(t, small, []byte(c.in), func() int { return 1 }); !slices.Equal(got, c.want) {
			t.Errorf("%.60q, byte by byte:\n got %q\nwant %q", c.in, got, c.want)
		}
	}
}

// Before it has authenticated a client may say little, and what is beyond ends the connection.
func TestParseStrictly(t *testing.T) {
	for in, want := range map[string]string{
		"*11\r\n":                 "unauthenticated multibulk length",
		"*1\r\n$16385\r\n":        "unauthenticated bulk length",
		"a b c d e f g h i j k\n": "unauthenticated multibulk length",
	} {
		got := feed(t, unauthenticated, []byte(in), whole)
		if len(got) != 1 || got[0] != "broken ERR Protocol error: "+want {
			t.Errorf("%q: %q, want %s", in, got, want)
		}
	}
}

// A command for which there is no memory is passed over, and the stream goes on.
func TestParseWithoutMemory(t *testing.T) {
	value := strings.Repeat("v", 3*minBuffer)
	stream := fmt.Sprintf("PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s\r\nPING\r\n", len(value), value)
	p := parser{bounds: bounds{args: 6, bulk: 1 << 20, command: 1 << 20}, buf: make([]byte, 0, minBuffer)}
	var got []verdict
	for in := []byte(stream); len(in) > 0; {
		n := copy(p.makeRoom(func(int) []byte { return nil }, "no memory"), in)
		p.received(n)
		in = in[n:]
		for v := p.next(); v != more; v = p.next() {
			got = append(got, v)
		}
	}
	if !slices.Equal(got, []verdict{ready, refused, ready}) || p.why != "no memory" || cap(p.buf) != minBuffer {
		t.Errorf("verdicts %v, why %q, buffer of %d bytes", got, p.why, cap(p.buf))
	}
}

// Any bytes, cut in any way, give the same commands, and nothing panics.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "PING\r\n", "SET a \"b\\x00\" 'c'\n", "*1\r\n$50\r\n", "*3\r\n$41\r\n",
		"*-1\r\n*0\r\n\r\n", "*7\r\n$1\r\na\r\n", "*1\r\n$1\r", "$1\r\n*", "*1\r\n$5\r\nab",
		"*2\r\n$41\r\n" + strings.Repeat("k", 41) + "\r\n$1\r\na\r\nGET k\r\n",
	} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		want := feed(t, small, stream, whole)
		rng := rand.New(rand.NewPCG(seed, 1))
		got := feed(t, small, stream, func() int { return 1 + rng.IntN(1+rng.IntN(20)) })
		if !slices.Equal(got, want) {
			t.Errorf("cut by seed %d:\n got %q\nwant %q", seed, got, want)
		}
	})
}

// What clients send comes out as it went in, whatever the words hold.
func TestParseWhatWasEncoded(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var stream []byte
	var want []string
	for range 500 {
		words := make([][]byte, 1+rng.IntN(6))
		stream = appendArray(stream, len(words))
		for i := range words {
			words[i] = bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(16))
			stream = appendBulk(stream, words[i])
		}
		want = append(want, fmt.Sprintf("%q", words))
	}
	got := feed(t, small, stream, func() int { return 1 + rng.IntN(300) })
	if !slices.Equal(got, want) {
		t.Errorf("%d commands came out, %d went in", len(got), len(want))
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"", "a", false}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*d", "abc", false},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"a[bx]c", "axc", true}, {"a[^bx]c", "axc", false},
		{"a[a-c]c", "abc", true}, {"a[c-a]c", "abc", true}, {`a\*c`, "a*c", true}, {`a\*c`, "abc", false},
		{"**a**b**", "xxaxxbxx", true}, {"a[", "ab", false}, {`[\]]`, "]", true},
		{"h*llo*w?rld", "hello world", true},
	} {
		if got := glob([]byte(c.pattern), []byte(c.s)); got != c.want {
			t.Errorf("glob(%q, %q) = %t", c.pattern, c.s, got)
		}
	}
}

// A pattern made to be slow is not.
func TestGlobIsBounded(t *testing.T) {
	pattern := bytes.Repeat([]byte("a*"), 500)
	s := append(bytes.Repeat([]byte("a"), 1000), 'b')
	if glob(append(pattern, 'c'), s) {
		t.Error("matched")
	}
}
