package vswitchd

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"metronome/harness/vswitch"
	"metronome/system/packet/dpdk"
)

// portless is a switch without devices, whose loop only carries commands out.
func portless(t *testing.T) *Switch {
	t.Helper()
	cfg := Config{Ports: []Port{{Name: "a"}, {Name: "b"}}}
	core, err := vswitch.New(coreConfig(cfg))
	if err != nil {
		t.Fatal(err)
	}
	ctx, quit := context.WithCancel(t.Context())
	s := &Switch{cfg: cfg, core: core, calls: make(chan func()), up: make([]bool, 2),
		ports: make([][]*dpdk.Port, 2), start: time.Now(), quit: quit}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case call := <-s.calls:
				call()
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { quit(); <-done })
	return s
}

func TestCommands(t *testing.T) {
	s := portless(t)
	var out bytes.Buffer
	in := `{"cmd":"impair","from":"a","to":"*","loss":1,"delay":"2ms"}

{"cmd":"impair","from":"a","to":"c"}
{"cmd":"impair","from":"a","to":"b","loss":2}
{"cmd":"impair","from":"a","to":"b","los":0.5}
{"cmd":"dead","to":"a","queues":[1]}
{"cmd":"dead","to":"a","queues":[0]}
{"cmd":"sing"}
nonsense
{"cmd":"clear"}
{"cmd":"stats"}
{"cmd":"quit"}
`
	if err := s.Serve(t.Context(), strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	want := []string{`"ok":true`, `no port is named`, `use a chance`, `unknown field`,
		`port a has no queue 1: use 0 to 0`, `"ok":true`,
		`use impair, dead, clear, stats or quit`, `cannot be read`, `"ok":true`, `"balanced":true`, `"ok":true`}
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(got) != len(want) {
		t.Fatalf("%d answers: %q", len(got), got)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) || !json.Valid([]byte(got[i])) {
			t.Errorf("answer %d: %s, want %s", i, got[i], want[i])
		}
	}
}

func TestImpairingTakesEffect(t *testing.T) {
	s := portless(t)
	ask := func(line string) {
		t.Helper()
		if r := s.Do(t.Context(), []byte(line)); !r.OK {
			t.Fatal(r.Error)
		}
	}
	pkt := [][]byte{make([]byte, 64)}
	pkt[0][0], pkt[0][6] = 1, 2
	ask(`{"cmd":"impair","from":"a","to":"b","loss":1}`)
	if outs := s.core.Step(s.now(), 0, pkt); len(outs) != 0 {
		t.Error("it passed")
	}
	ask(`{"cmd":"clear"}`)
	if outs := s.core.Step(s.now(), 0, pkt); len(outs) != 1 {
		t.Error("it did not pass")
	}
	st := s.Do(t.Context(), []byte(`{"cmd":"stats"}`)).Stats
	if len(st.Links) != 1 || st.Links[0].Lost != 1 || st.Links[0].Passed != 1 || len(st.Ports) != 2 {
		t.Errorf("%+v", st)
	}
}

// The socket takes several clients, replaces what a killed switch left, and not a living one's.
func TestControlSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "control.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	s := portless(t)
	if err := s.Listen(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second one: %v", err)
	}
	for range 3 {
		c, err := Dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if st, err := c.Ask(Request{Cmd: "stats"}); err != nil || st == nil {
			t.Error(st, err)
		}
		bad := Request{Cmd: "impair", From: "a", To: "b", Impairment: vswitch.Impairment{Loss: -1}}
		if _, err := c.Ask(bad); err == nil || !strings.Contains(err.Error(), "use a chance") {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, filepath.Join(dir, "nobody.sock")); err == nil {
		t.Error("nobody answered")
	}
}

func TestParsePorts(t *testing.T) {
	got, err := ParsePorts([]string{"a=/x.sock", "b=/y.sock,queues=4", "c=if:eth0"})
	want := []Port{{Name: "a", Socket: "/x.sock"}, {Name: "b", Socket: "/y.sock", Queues: 4}, {Name: "c", Interface: "eth0"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"a", "=/x", "a=", "a=/x,queue=4", "a=if:", "a=if:eth0,queues=2", "a=/x,queues=many"} {
		if _, err := ParsePorts([]string{bad}); err == nil || !strings.Contains(err.Error(), "--port") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
