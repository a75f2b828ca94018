package resp_test

import (
	"errors"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"metronome/internal/require"
	"metronome/system/proxy/resp"
	"metronome/system/proxy/resp/resptest"
	"metronome/system/wire"
)

// instant answers every op with success at once, so that a benchmark sees the protocol alone.
type instant struct{}

func (instant) Submit(_ uint64, ops []resp.Op, c resp.Completer) {
	done := make([]resp.Done, len(ops))
	for i := range ops {
		done[i] = resp.Done{Tag: ops[i].Tag, Result: wire.Result{Revision: 1}}
	}
	c.Complete(done)
}

func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		require.Skip(t, "redis", errors.New(name+" is not installed: apt-get install redis-tools redis-server"))
	}
	return path
}

// run starts a tool against an address and returns what it prints.
func run(t testing.TB, address, name string, args ...string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool(t, name), append([]string{"-h", host, "-p", port}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// redis-benchmark finishes with every command it knows and we serve, pipelined and not, and reports no
// error. The rates are logged, not judged.
func TestRedisBenchmark(t *testing.T) {
	address, _ := serve(t, instant{}, resp.Options{})
	for _, args := range []string{"-P 64 -n 300000 -t set", "-P 64 -n 300000 -t get", "-P 1 -n 30000 -t set"} {
		out := run(t, address, "redis-benchmark", append(strings.Fields(args), "-q", "-r", "100000", "-d", "64")...)
		rate := regexp.MustCompile(`[\d.]+ requests per second[^\r\n]*`).FindString(out)
		if rate == "" || strings.Contains(out, "Error") {
			t.Errorf("redis-benchmark %s: %s", args, out)
		}
		t.Logf("redis-benchmark %s: %s", args, rate)
	}
	store, _ := serve(t, resptest.New(), resp.Options{})
	out := run(t, store, "redis-benchmark", "-n", "2000", "-P", "8", "-q", "-t", "ping,set,get,incr,mset")
	for _, want := range []string{"PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"} {
		if !strings.Contains(out, want+": ") {
			t.Errorf("redis-benchmark has no result for %s:\n%s", want, out)
		}
	}
}

// redis-cli works: single commands, a script on standard input, --scan.
func TestRedisCLI(t *testing.T) {
	address, _ := serve(t, resptest.New(), resp.Options{})
	for _, c := range []struct{ args, want string }{
		{"SET greeting hello", "OK\n"},
		{"GET greeting", "hello\n"},
		{"-3 MGET greeting nope", "hello\n\n"},
		{"MT.CAS greeting 1 bye GET", "1\n4\nhello\n"},
		{"--scan --pattern gr*", "greeting\n"},
		{"INCR greeting", "ERR value is not an integer or out of range\n\n"},
		{"COMMAND DOCS get", "get\nsummary\nthe value of a key\nsince\n1.0.0\ngroup\nstring\n"},
	} {
		if got := run(t, address, "redis-cli", strings.Fields(c.args)...); got != c.want {
			t.Errorf("redis-cli %s: %q, want %q", c.args, got, c.want)
		}
	}
}
