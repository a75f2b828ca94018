package offline

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"metronome/harness/driver/edgeproc/edgeproctest"
	"metronome/harness/factorial"
	"metronome/system/packet"
)

// TestMain makes this program an edge when it is called as one.
func TestMain(m *testing.M) { os.Exit(edgeproctest.Main(m.Run)) }

func open(t *testing.T) factorial.Session {
	t.Helper()
	d := Driver{Root: "../../..", Edge: []string{os.Args[0], "edge"}}
	s, err := d.Open(t.Context(), factorial.Env{Bin: t.TempDir(), Dir: t.TempDir(), Logs: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func cell(batch string, set ...string) factorial.Cell {
	c := factorial.Cell{Seed: 9, Set: map[string]string{}, Factors: map[string]string{"outage": "300",
		"rate": "10", "batch": batch, "sensors": "20", "value": "32"}}
	for i := 0; i < len(set); i += 2 {
		c.Set[set[i]] = set[i+1]
	}
	return c
}

func TestTrials(t *testing.T) {
	s := open(t)
	for _, c := range []struct {
		name           string
		cell           factorial.Cell
		leastSent      float64
		mostSent, cuts float64
	}{
		{"standard", cell("256"), 20, 600, 0},
		{"every", cell("256", "send", "every"), 3000, 3000, 0},
		{"every, small requests", cell("16", "send", "every"), 3000, 3000, 0},
		{"latest", cell("256", "send", "latest"), 15, 60, 0},
		{"every, cut", cell("16", "send", "every", "link", "cut"), 3000, 3000, 1},
	} {
		o, err := s.Trial(t.Context(), c.cell)
		if err != nil {
			t.Fatal(c.name, err)
		}
		v := o.Values
		for _, m := range []string{"executed_twice", "out_of_order", "lost", "foreign"} {
			if v[m] != 0 {
				t.Errorf("%s: %s is %v", c.name, m, v[m])
			}
		}
		if v["backlog_ops"] != 3000 || v["sent_ops"] < c.leastSent || v["sent_ops"] > c.mostSent {
			t.Errorf("%s: %v of %v sent, want %v to %v", c.name, v["sent_ops"], v["backlog_ops"], c.leastSent,
				c.mostSent)
		}
		if v["cuts"] < c.cuts || c.cuts == 0 && v["repeats"] > 0 {
			t.Errorf("%s: %v cuts, %v repeats", c.name, v["cuts"], v["repeats"])
		}
		if v["drain_s"] <= 0 || v["disk_bytes_per_op"] < 50 || v["memory_drain"] < 4 || len(o.Timeline) < 2 {
			t.Errorf("%s: implausible: %v", c.name, v)
		}
	}
}

func TestBadCellsAndMissingPrograms(t *testing.T) {
	s := open(t)
	c := cell("256")
	c.Factors["sensors"] = "0"
	if _, err := s.Trial(t.Context(), c); err == nil {
		t.Error("no sensors were taken")
	}
	delete(c.Factors, "rate")
	if _, err := s.Trial(t.Context(), c); err == nil {
		t.Error("no rate was taken")
	}
	var un *packet.ErrUnavailable
	d := Driver{Root: "../../.."}
	if _, err := d.Open(t.Context(), factorial.Env{Bin: t.TempDir(), Dir: t.TempDir()}); !errors.As(err, &un) {
		t.Errorf("no metronome: %v", err)
	}
	d.Root = t.TempDir()
	if _, err := d.Open(t.Context(), factorial.Env{Bin: t.TempDir(), Dir: t.TempDir()}); !errors.As(err, &un) {
		t.Errorf("no sources: %v", err)
	}
}

// A cutter lets bytes through, breaks every connection, and half of them when the answer comes.
func TestCutter(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // an echo
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	c, err := NewCutter(l.Addr().String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 1023) + "\n"
	for i := range 20 {
		conn, err := net.Dial("tcp", c.Addr())
		if err != nil {
			t.Fatal(err)
		}
		sent := 0
		for b := make([]byte, len(line)); ; sent += len(line) {
			if _, err := fmt.Fprint(conn, line); err != nil {
				break
			}
			if _, err := io.ReadFull(conn, b); err != nil {
				break
			}
			if string(b) != line {
				t.Fatal("other bytes")
			}
		}
		_ = conn.Close()
		if sent < c.Least-len(line) || sent > c.Most+len(line) {
			t.Errorf("connection %d was broken after %d bytes", i, sent)
		}
	}
	c.Close()
	if c.Cuts() != 20 {
		t.Errorf("%d cuts", c.Cuts())
	}
	if _, err := net.Dial("tcp", c.Addr()); err == nil {
		t.Error("it still listens")
	}
}
