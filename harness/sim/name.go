package sim

import (
	"fmt"

	"metronome/system/wire"
)

// describer is a system that can say what a replica's message is.
type describer interface {
	Describe(k wire.Kind, b []byte) string
}

// nameOf says in a few words what an event carries, for people.
func (w *world) nameOf(e *event) string {
	switch {
	case e.kind == evMessage && len(e.b) > 0:
		if d, ok := w.system.(describer); ok {
			return d.Describe(wire.Kind(e.b[0]), e.b[1:])
		}
		return wire.Kind(e.b[0]).String()
	case e.kind != evDatagram || len(e.b) < wire.HeaderSize:
		return ""
	}
	var h wire.Header
	h.Get(e.b)
	return fmt.Sprintf("type %d flags %x lane %d/%d/%d frame %d items %d+%d tail %d", h.Type, h.Flags, h.Proxy,
		h.Incarnation, h.Lane, h.Frame, h.First, h.Count, h.Tail)
}
