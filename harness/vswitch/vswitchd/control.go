package vswitchd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"metronome/harness/vswitch"
)

// Request is one command.
type Request struct {
	// Cmd is impair, dead, clear, stats or quit. Impair sets everything of the links From → To, by port
	// name or "*"; what is left out is off. Dead sets which receive queues of To deliver nothing; all
	// others do. Clear makes all links clean and all queues live.
	Cmd    string `json:"cmd"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Queues []int  `json:"queues,omitempty"` // of dead
	vswitch.Impairment
}

// Reply answers a Request.
type Reply struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	Stats *Stats `json:"stats,omitempty"`
}

// Stats is everything that the switch counts.
type Stats struct {
	Switch vswitch.Stats `json:"switch"`
	Loop   LoopStats     `json:"loop"`
	Ports  []PortStats   `json:"ports"`
	Links  []Link        `json:"links"` // those that carried anything
}

// PortStats counts packets at one port, as the switch sees them: received from the node, sent to
// it, and lost because its ring was full.
type PortStats struct {
	Name string `json:"name"`
	Up   bool   `json:"up"`
	Rx   uint64 `json:"rx"`
	Tx   uint64 `json:"tx"`
	Full uint64 `json:"full"`
	// Faults counts polls that ended because the node went away in their middle.
	Faults uint64 `json:"faults"`
}

// Link is one directed link and its counters.
type Link struct {
	From string `json:"from"`
	To   string `json:"to"`
	vswitch.LinkStats
}

// maxLine bounds a command.
const maxLine = 64 << 10

// Serve takes commands from r, one a line, and writes answers to w, until r or ctx ends.
func (s *Switch) Serve(ctx context.Context, r io.Reader, w io.Writer) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	enc := json.NewEncoder(w)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		if err := enc.Encode(s.Do(ctx, lines.Bytes())); err != nil {
			return fmt.Errorf("vswitch: answer a command: %w", err)
		}
	}
	return lines.Err()
}

// Do carries one command out.
func (s *Switch) Do(ctx context.Context, line []byte) Reply {
	q, err := parse(line)
	if err != nil {
		return Reply{Error: err.Error()}
	}
	var r Reply
	if err := s.do(ctx, func() { r = s.execute(q) }); err != nil {
		return Reply{Error: "vswitch: the switch has ended: " + err.Error()}
	}
	return r
}

func parse(line []byte) (q Request, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return q, fmt.Errorf("vswitch: a command that cannot be read: %w: use, for example, "+
			`{"cmd":"impair","from":"*","to":"replica-0","loss":0.01}`, err)
	}
	return q, nil
}

// execute runs on the loop.
func (s *Switch) execute(q Request) Reply {
	switch q.Cmd {
	case "impair":
		if err := s.core.Impair(s.now(), q.From, q.To, q.Impairment); err != nil {
			return Reply{Error: err.Error()}
		}
	case "dead":
		if err := s.core.Dead(q.To, q.Queues...); err != nil {
			return Reply{Error: err.Error()}
		}
	case "clear":
		err := errors.Join(s.core.Impair(s.now(), "*", "*", vswitch.Impairment{}), s.core.Dead("*"))
		if err != nil {
			return Reply{Error: err.Error()}
		}
	case "stats":
		return Reply{OK: true, Stats: s.stats()}
	case "quit":
		s.quit()
	default:
		return Reply{Error: fmt.Sprintf("vswitch: command %q: use impair, dead, clear, stats or quit", q.Cmd)}
	}
	return Reply{OK: true}
}

func (s *Switch) stats() *Stats {
	st := &Stats{Switch: s.core.Stats(), Loop: s.loop}
	ports := s.core.Ports()
	for i := range ports {
		p := PortStats{Name: ports[i].Name, Up: s.up[i]}
		for _, q := range s.ports[i] {
			x := q.Stats()
			p.Rx, p.Tx, p.Full = p.Rx+x.RxFrames, p.Tx+x.TxFrames, p.Full+x.TxFull
		}
		if i < len(s.devs) {
			d, _ := s.devs[i].Stats() // what cannot be read is 0
			p.Faults = d.Faults
		}
		st.Ports = append(st.Ports, p)
		for j := range ports {
			if l := s.core.LinkStats(i, j); l.In > 0 {
				st.Links = append(st.Links, Link{From: ports[i].Name, To: ports[j].Name, LinkStats: l})
			}
		}
	}
	return st
}

// maxClients bounds the connections to the control socket.
const maxClients = 16

// Listen serves commands on a unix socket until ctx ends. A stale socket file is replaced.
func (s *Switch) Listen(ctx context.Context, path string) error {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return fmt.Errorf("vswitch: another process listens on %s: end it, or use another path", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("vswitch: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("vswitch: listen for commands: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = l.Close() })
	room := make(chan struct{}, maxClients)
	go func() {
		for {
			room <- struct{}{}
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { <-room }()
				defer c.Close()
				defer context.AfterFunc(ctx, func() { _ = c.Close() })()
				_ = s.Serve(ctx, c, c) // the client is gone, or sent too long a line
			}()
		}
	}()
	return nil
}

// Client talks to a switch's control socket. It belongs to one goroutine.
type Client struct {
	conn net.Conn
	dec  *json.Decoder
}

// Dial connects to a control socket, and waits for it to appear until ctx ends.
func Dial(ctx context.Context, path string) (*Client, error) {
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			return &Client{conn: c, dec: json.NewDecoder(c)}, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("vswitch: no switch answers at %s: %w", path, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Ask sends a command and waits for the answer; an error is the switch's, or the connection's.
func (c *Client) Ask(q Request) (*Stats, error) {
	b, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("vswitch: %w", err)
	}
	if err := c.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, fmt.Errorf("vswitch: %w", err)
	}
	if _, err := c.conn.Write(append(b, '\n')); err != nil {
		return nil, fmt.Errorf("vswitch: send a command: %w", err)
	}
	var r Reply
	if err := c.dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("vswitch: read the answer: %w", err)
	}
	if !r.OK {
		return nil, errors.New(r.Error)
	}
	return r.Stats, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }
