package edge

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of watches.
const (
	defaultWait = 30 // seconds of a long poll
	maxWait     = 60
	heartbeat   = 15 * time.Second // of a silent stream
)

func (s *Server) watch(c *call) error {
	watcher, ok := s.cfg.Store.(Watcher)
	if !ok {
		return NewProblem("unavailable-here", "This edge's store tells no changes; list the prefix instead.")
	}
	q := parseQuery(c, "prefix", "from", "limit", "wait")
	prefix := []byte(q.text("prefix", MaxKey))
	from := q.number("from", 1, 1<<63, 0)
	limit := int(q.number("limit", 1, MaxPage, defaultPage))
	wait := time.Duration(q.number("wait", 0, maxWait, defaultWait)) * time.Second
	if err := q.err(); err != nil {
		return err
	}
	if err := c.who.require(VerbWatch, prefix); err != nil {
		return err
	}
	if s.watches.Add(1) > int64(s.cfg.Limits.Watchers) {
		s.watches.Add(-1)
		return NewProblem("busy", "The edge has as many watchers as it takes.")
	}
	defer s.watches.Add(-1)
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{}) // else net/http takes silence for an end
	ctx, cancel := s.untilClosing(c.r.Context())
	defer cancel()
	if strings.Contains(c.r.Header.Get("Accept"), "text/event-stream") {
		return s.stream(ctx, c, watcher, prefix, lastEvent(c, from), limit)
	}
	return s.poll(ctx, c, watcher, prefix, from, limit, wait)
}

// untilClosing ends when the server is being closed, too.
func (s *Server) untilClosing(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// lastEvent is where a stream goes on that broke off.
func lastEvent(c *call, from uint64) uint64 {
	last, err := strconv.ParseUint(c.r.Header.Get("Last-Event-ID"), 10, 64)
	if err == nil && last >= from {
		return last + 1
	}
	return from
}

func (s *Server) poll(ctx context.Context, c *call, w Watcher, prefix []byte, from uint64, limit int,
	wait time.Duration) error {
	until := time.Now().Add(wait + s.cfg.Limits.WriteTime)
	_ = http.NewResponseController(c.w).SetWriteDeadline(until)
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	events, next, err := w.Watch(ctx, prefix, from, limit)
	if err != nil {
		return trimmed(err, from)
	}
	s.head(c, 0)
	b := append([]byte(nil), `{"events":[`...)
	for i := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEvent(b, &events[i])
	}
	b = append(b, `],"next":`...)
	b = strconv.AppendUint(b, next, 10)
	b = append(b, `,"revision":`...)
	b = strconv.AppendUint(b, s.cfg.Store.Status().Revision, 10)
	return c.json(append(b, "}\n"...))
}

func trimmed(err error, from uint64) error {
	p := problemOf(err)
	if p.Code.Code == "watch-trimmed" {
		return p.With("from", from)
	}
	return err
}

func appendEvent(b []byte, e *Event) []byte {
	if e.Kind == Delete {
		b = append(b, `{"op":"delete",`...)
		b = appendText(b, "key", e.Entry.Key, true)
		b = append(b, `,"revision":`...)
		return append(strconv.AppendUint(b, e.Entry.Revision, 10), '}')
	}
	b = append(b, `{"op":"put",`...)
	b = appendEntry(b, &e.Entry, len(e.Entry.Value))
	b = append(b, ',')
	b = appendText(b, "value", e.Entry.Value, false)
	return append(b, '}')
}

// stream sends server-sent events until the client leaves or its time is up; it then asks again with
// Last-Event-ID.
func (s *Server) stream(ctx context.Context, c *call, w Watcher, prefix []byte, from uint64,
	limit int) error {
	out := http.NewResponseController(c.w)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Limits.WatchLife)
	defer cancel()
	for begun := false; ; {
		wait, stop := context.WithTimeout(ctx, heartbeat)
		if !begun {
			stop() // the first look does not wait, so that the client hears at once
		}
		events, next, err := w.Watch(wait, prefix, from, limit)
		stop()
		if err != nil && !begun {
			return trimmed(err, from)
		}
		if err != nil || ctx.Err() != nil && begun {
			return nil
		}
		if !begun {
			s.head(c, 0)
			c.w.Header().Set("Content-Type", "text/event-stream")
			begun = true
		}
		_ = out.SetWriteDeadline(time.Now().Add(s.cfg.Limits.WriteTime))
		if _, err := c.w.Write(appendStream(nil, events, next)); err != nil || out.Flush() != nil {
			return nil
		}
		from = next
	}
}

// appendStream writes events, or a sign of life that carries where to go on.
func appendStream(b []byte, events []Event, next uint64) []byte {
	if len(events) == 0 {
		return fmt.Appendf(b, "id: %d\n: nothing\n\n", next-1)
	}
	for i := range events {
		name := "put"
		if events[i].Kind == Delete {
			name = "delete"
		}
		b = fmt.Appendf(b, "id: %d\nevent: %s\ndata: ", events[i].Entry.Revision, name)
		b = append(appendEvent(b, &events[i]), "\n\n"...)
	}
	return b
}
