package resp

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"metronome/harness/load/kv"
)

// server answers each command with what reply returns for its words, and hangs up after an empty answer.
func server(t *testing.T, reply func(words []string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serve(c, reply) })
		}
	})
	return l.Addr().String()
}

func serve(c net.Conn, reply func(words []string) string) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		words, err := command(in)
		if err != nil {
			return
		}
		answer := reply(words)
		if answer == "" {
			return
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

// command reads one command as strictly as the protocol is.
func command(in *bufio.Reader) (words []string, err error) {
	var n int
	if n, err = number(in, '*'); err != nil {
		return nil, err
	}
	for range n {
		size, err := number(in, '$')
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		words = append(words, string(b[:size]))
	}
	return words, nil
}

func number(in *bufio.Reader, kind byte) (n int, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != kind || !strings.HasSuffix(line, "\r\n") {
		return 0, io.ErrUnexpectedEOF
	}
	for _, d := range line[1 : len(line)-2] {
		n = n*10 + int(d-'0')
	}
	return n, nil
}

// offer runs a short load against a server.
func offer(t *testing.T, target *Target, change func(*kv.Load)) *kv.Result {
	t.Helper()
	l := kv.Default()
	l.WarmupNS, l.WindowNS, l.DrainNS, l.Batch, l.Outstanding = 0, 100e6, 5e9, 8, 2
	if change != nil {
		change(&l)
	}
	r, err := kv.Run(context.Background(), target, l, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCommandsAreWellFormed(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	addr := server(t, func(words []string) string {
		mu.Lock()
		defer mu.Unlock()
		seen[words[0]]++
		switch {
		case words[0] == "GET" && len(words) == 2 && len(words[1]) == 16:
			if seen["GET"]%2 == 0 {
				return "$-1\r\n"
			}
			return "$5\r\na\r\nbc\r\n" // a value may hold anything
		case words[0] == "SET" && len(words) == 3 && len(words[1]) == 16 && len(words[2]) == 64:
			return "+OK\r\n"
		}
		return "-ERR what?\r\n"
	})
	r := offer(t, &Target{Addr: addr}, func(l *kv.Load) { l.ReadRatio = 0.5 })
	if r.Answered == 0 || r.Answered != r.Due || r.Reads.Count == 0 || r.Writes.Count == 0 {
		t.Errorf("answered %d of %d: %q", r.Answered, r.Due, r.Errors)
	}
	if seen["GET"] == 0 || seen["SET"] == 0 {
		t.Errorf("the server saw %v", seen)
	}
}

func TestWaitEndsEveryBatch(t *testing.T) {
	for enough, reply := range map[bool]string{true: ":2\r\n", false: ":1\r\n"} {
		var mu sync.Mutex
		sets, waits := 0, 0
		addr := server(t, func(words []string) string {
			mu.Lock()
			defer mu.Unlock()
			if words[0] == "WAIT" {
				if waits++; words[1] != "2" || words[2] != "5000" {
					return "-ERR what?\r\n"
				}
				return reply
			}
			sets++
			return "+OK\r\n"
		})
		r := offer(t, &Target{Addr: addr, Wait: 2, WaitTimeout: 5e9}, nil)
		if sets != waits*8 || sets == 0 {
			t.Errorf("%d SET and %d WAIT", sets, waits)
		}
		if got := r.Answered == r.Due; got != enough || r.Answered+r.Failed != r.Due {
			t.Errorf("%q: answered %d, failed %d of %d: %q", reply, r.Answered, r.Failed, r.Due, r.Errors)
		}
	}
}

func TestErrorsAreTold(t *testing.T) {
	cases := []struct {
		reply, want string
		busy        bool
	}{
		{"-ERR no\r\n", "no", false},
		{"-BUSY later\r\n", "later", true},
		{"-TRYAGAIN later\r\n", "later", true},
		{"-BUSYGROUP no\r\n", "BUSYGROUP", false},
		{"%1\r\n", "not a reply", false},
		{"$x\r\n", "not a reply", false},
		{"$99999999\r\n", "not a reply", false},
		{"\r\n", "not a reply", false},
		{"", "connection to", false}, // by its end, or by a reset if something was still on its way there
	}
	for _, c := range cases {
		r := offer(t, &Target{Addr: server(t, func([]string) string { return c.reply })}, nil)
		if got := r.Busy > 0; got != c.busy || r.Answered > 0 || r.Busy+r.Failed != r.Due || r.Due == 0 {
			t.Errorf("%q: due %d, answered %d, busy %d, failed %d", c.reply, r.Due, r.Answered, r.Busy, r.Failed)
		}
		if all := strings.Join(r.Errors, "; "); !strings.Contains(all, c.want) {
			t.Errorf("%q: errors %s", c.reply, all)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := (&Target{Addr: l.Addr().String()}).Connect(t.Context(), 0, kv.Default()); err == nil {
		t.Error("connected to nobody")
	}
}
