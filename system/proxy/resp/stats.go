package resp

import "sync/atomic"

// closeReason is why a connection ended.
type closeReason uint8

const (
	closedNot closeReason = iota
	closedByClient
	closedByQuit
	closedProtocol   // it did not speak RESP
	closedSlowReader // too many replies unsent, or none taken for too long
	closedIdle
	closedBroken // the network's error, or TLS's
	closedStopping
	closeReasons
)

// String is the reason in logs and metrics.
func (r closeReason) String() string {
	return [closeReasons]string{"not closed", "client", "quit", "protocol", "slow_reader", "idle", "broken",
		"stopping"}[r]
}

// Stats counts what a server has seen since it was made.
type Stats struct {
	Connections int    // open now
	Accepted    uint64 // connections taken
	Refused     uint64 // connections refused at the bound
	Commands    uint64
	Errors      uint64 // of them, refused here: unknown, malformed, too long, not allowed
	BytesIn     uint64
	BytesOut    uint64
	Overloaded  uint64 // commands refused because the server's buffers are full
	WrongPass   uint64
	Stray       uint64 // answers of the backend to nothing outstanding; always 0
	Buffers     int64  // bytes held beyond the connections' idle size, now

	// Closed counts ended connections by reason: client, quit, protocol, slow_reader, idle, broken,
	// stopping.
	Closed map[string]uint64
}

type counters struct {
	accepted, refused            atomic.Uint64
	commands, errors             atomic.Uint64
	bytesIn, bytesOut            atomic.Uint64
	overloaded, wrongPass, stray atomic.Uint64
	closed                       [closeReasons]atomic.Uint64
}

// Stats returns the counters now.
func (s *Server) Stats() Stats {
	c := &s.stats
	st := Stats{Accepted: c.accepted.Load(), Refused: c.refused.Load(), Commands: c.commands.Load(),
		Errors:  c.errors.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(), Overloaded: c.overloaded.Load(),
		WrongPass: c.wrongPass.Load(), Stray: c.stray.Load(), Buffers: s.buffers.Load(),
		Closed: make(map[string]uint64, closeReasons)}
	for r := closedByClient; r < closeReasons; r++ {
		st.Closed[r.String()] = c.closed[r].Load()
	}
	s.mu.Lock()
	st.Connections = len(s.conns)
	s.mu.Unlock()
	return st
}
