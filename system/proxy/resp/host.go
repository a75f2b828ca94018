package resp

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// What commands ask about the connection and the server.

// defaults is how a connection starts, and what RESET goes back to.
func (c *conn) defaults() state {
	o := &c.server.options
	return state{authenticated: o.Auth == nil, user: defaultUser, proto: 2, barrierReads: o.BarrierReads}
}

func (c *conn) needsAuth() bool { return c.server.options.Auth != nil }

func (c *conn) judge(user, password []byte) bool {
	if c.server.options.Auth.Authenticate(user, password) {
		return true
	}
	c.server.stats.wrongPass.Add(1)
	return false
}

// obstacle is why no operation can be taken now, or "".
func (c *conn) obstacle() string {
	switch {
	case c.server.stopping.Load():
		return textStopping
	case c.server.buffers.Load() > int64(c.server.options.Buffers):
		c.server.stats.overloaded.Add(1)
		return textOverloaded
	}
	return ""
}

// describe is the client's line of CLIENT LIST.
func (c *conn) describe(s *state) string {
	now := c.server.clock.Load()
	return fmt.Sprintf("id=%d addr=%v laddr=%v name=%s age=%d idle=%d flags=N db=0 user=%s lib-name=%s"+
		" lib-ver=%s resp=%d", c.id, c.sock.RemoteAddr(), c.sock.LocalAddr(), s.name, seconds(now-c.born),
		seconds(now-c.active.Load()), s.user, s.library, s.version, s.proto)
}

func seconds(ns int64) int64 { return ns / int64(time.Second) }

// parameters are the ones that tools ask for: redis-benchmark prints save and appendonly.
func (c *conn) parameters() []parameter {
	l := &c.server.options.Limits
	return []parameter{
		{"appendonly", "no"},
		{"databases", "1"},
		{"maxclients", strconv.Itoa(l.Connections)},
		{"maxmemory", "0"},
		{"proto-max-bulk-len", strconv.Itoa(c.stage.bounds.bulk)},
		{"save", ""},
		{"timeout", strconv.FormatInt(seconds(int64(l.IdleTimeout)), 10)},
	}
}

// appendInfo writes a section of INFO.
func (c *conn) appendInfo(dst []byte, section string) []byte {
	st := c.server.Stats()
	switch section {
	case "server":
		return fmt.Appendf(dst, "redis_version:%s\r\nserver_name:metronome\r\nredis_mode:standalone\r\n"+
			"os:%s %s\r\nprocess_id:%d\r\nuptime_in_seconds:%d\r\n", compatible, runtime.GOOS, runtime.GOARCH,
			os.Getpid(), seconds(c.server.clock.Load()))
	case "clients":
		return fmt.Appendf(dst, "connected_clients:%d\r\nmaxclients:%d\r\n", st.Connections,
			c.server.options.Connections)
	case "stats":
		return fmt.Appendf(dst, "total_connections_received:%d\r\ntotal_commands_processed:%d\r\n"+
			"total_net_input_bytes:%d\r\ntotal_net_output_bytes:%d\r\nrejected_connections:%d\r\n",
			st.Accepted, st.Commands, st.BytesIn, st.BytesOut, st.Refused)
	}
	if c.server.options.Info == nil {
		return dst
	}
	return c.server.options.Info.AppendInfo(dst, section)
}
