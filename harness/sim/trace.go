package sim

import (
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// trace folds everything that happens into one number, so that two runs can be compared, and prints
// it on demand.
type trace struct {
	hash    uint64
	out     io.Writer // nil: silent
	verbose bool      // single events too
}

func (t *trace) fold(v uint64) {
	t.hash = (t.hash ^ v) * 0x9E3779B97F4A7C15
	t.hash ^= t.hash >> 29
}

// event notes something delivered.
func (t *trace) event(w *world, e *event) {
	t.fold(uint64(e.at))
	t.fold(uint64(e.kind)<<56 | uint64(e.to)<<28 | uint64(e.from))
	if e.b != nil {
		t.fold(xxh3.Hash(e.b))
	}
	if t.out == nil || !t.verbose {
		return
	}
	switch to := w.procs[e.to]; e.kind {
	case evDatagram, evMessage:
		t.print(w, "%-8s %v → %v %d bytes %s", kindNames[e.kind], w.procs[e.from], to, len(e.b), w.nameOf(e))
	case evRequest:
		t.print(w, "request  connection %d ticket %d %v → %v", e.req.connection, e.req.ticket, e.req.call, to)
	}
}

// note records something that is no delivery.
func (t *trace) note(w *world, format string, args ...any) {
	t.fold(xxh3.HashString(format))
	if t.out != nil {
		t.print(w, format, args...)
	}
}

func (t *trace) print(w *world, format string, args ...any) {
	fmt.Fprintf(t.out, "%13.6f ms  %s\n", float64(w.now)/1e6, fmt.Sprintf(format, args...))
}
