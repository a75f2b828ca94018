package daemon

import (
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"metronome/system/cluster"
	"metronome/system/ops"
	"metronome/system/wire"
)

// reloadKeys has the loop, and the ingest cores behind it, use the keys that were read. The loop is first:
// what cores let through it can hold, and seal again.
func (r *Replica) reloadKeys() error {
	ring := r.id.Ring()
	if err := r.core.SetKeys(&ring.Keys); err != nil {
		return fmt.Errorf("cluster key: %w", err)
	}
	r.cores.setKeys(&ring.Keys)
	r.ring = ring
	return nil
}

func (p *Proxy) reloadKeys() error {
	ring := p.id.Ring()
	if err := p.core.SetKeys(&ring.Keys); err != nil {
		return fmt.Errorf("cluster key: %w", err)
	}
	p.ring = ring
	return nil
}

// complainEvery is how often frames under one key that is not accepted are worth a line.
const complainEvery = 10 * time.Second

// keyWatch complains of frames that were refused for their key.
type keyWatch struct {
	seen wire.KeyCounts
	next [wire.KeyPlaces]int64 // when a place's frames may be named again
}

func (w *keyWatch) note(now int64, log *slog.Logger, ring *cluster.Ring, n *wire.KeyCounts) {
	for place, count := range n {
		if count == w.seen[place] || now < w.next[place] {
			continue
		}
		if k := ring.At(place); k != nil {
			log.Warn("frames under a key that is retired were refused: next: give the sender the newest key file and "+
				"send it SIGHUP", "key", k.Number, "frames", count-w.seen[place])
		} else {
			log.Warn("frames under a key that is not in this process's key file were refused: next: copy the newest "+
				"key file here and send SIGHUP", "key_modulo_16", place, "frames", count-w.seen[place])
		}
		w.seen[place], w.next[place] = count, now+int64(complainEvery)
	}
}

// Metrics that tell an operator, and metronome cluster rotate-key, who uses which keys. A key's check is
// a hash.
var (
	keyState = ops.Metric{Name: "metronome_key_state",
		Help:   "1 for the state that each key of frames is in here.",
		Labels: []string{"key", "check", "state"}}
	keyRefused = ops.Metric{Name: "metronome_key_refused_frames_total",
		Help:   "Frames refused for their key: retired, or unknown and then numbered modulo 16.",
		Labels: []string{"key", "cause"}}
	keyNeeded = ops.Metric{Name: "metronome_key_needed",
		Help: "1 while a replica's journal holds frames under the key that a restart may need, or the oldest " +
			"frame of a proxy's lane that is not done is under it.",
		Labels: []string{"key"}}
)

func emitKeys(ring *cluster.Ring, refused *wire.KeyCounts, needed uint16, emit ops.Emit) {
	if ring == nil {
		return // the loop has not run yet
	}
	for i := range ring.Keys.List {
		k := &ring.Keys.List[i]
		emit(keyState.Name, 1, number32(k.Number), fmt.Sprintf("%08x", k.Check()), k.State.String())
		emit(keyNeeded.Name, number(needed>>(k.Number%wire.KeyPlaces)&1 == 1), number32(k.Number))
	}
	for place, n := range refused {
		if k := ring.At(place); k != nil {
			emit(keyRefused.Name, float64(n), number32(k.Number), "retired")
		} else if n > 0 {
			emit(keyRefused.Name, float64(n), strconv.Itoa(place), "unknown")
		}
	}
}

func number32(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
