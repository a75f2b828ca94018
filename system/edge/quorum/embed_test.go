package quorum

import (
	"bufio"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"metronome/system/client"
	"metronome/system/cluster"
)

// Whoever else is on an edge's machine may not use the proxy within it: keys have rights, and the edge
// enforces them.
func TestTheProxyWithinServesTheEdgeAlone(t *testing.T) {
	c, err := cluster.Dev(t.TempDir(), cluster.DevOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{Proxy: 1, User: "somebody", Log: slog.New(slog.DiscardHandler)}
	e, err := embed(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.close() }()
	conn, err := net.Dial("tcp", e.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Minute))
	if _, err := conn.Write([]byte("INFO\r\n")); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "-NOAUTH") {
		t.Errorf("to a stranger it says %q, %v", line, err)
	}
	own := newCore(cfg, []string{e.address()}, cfg.TLS)
	defer own.close()
	if _, err := client.Dial(t.Context(), own.config); err != nil {
		t.Errorf("to the edge: %v", err)
	}
}
