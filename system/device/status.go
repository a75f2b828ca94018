package device

import (
	"time"

	"metronome/system/device/queue"
)

// Status is a picture of the store for people and programs.
type Status struct {
	Client  string `json:"client"`
	Session string `json:"session"` // hex
	Epoch   uint64 `json:"epoch"`   // how often the directory was opened in this session
	// State is in one word: idle, sending, waiting, offline, fenced, dead-letters-full, broken.
	State string `json:"state"`
	Why   string `json:"why,omitempty"`

	Edge        string `json:"edge,omitempty"` // who answered last
	Incarnation string `json:"incarnation,omitempty"`

	Pending      uint64        `json:"pending"`       // operations that are not at the edge
	PendingBytes uint64        `json:"pending_bytes"` // of their records
	OldestAge    time.Duration `json:"oldest_age_ns"` // by this device's clock, since the oldest was enqueued
	KeptBytes    uint64        `json:"kept_bytes"`    // at the edge, and kept for a restored one
	Last         uint64        `json:"last"`          // newest operation's number
	// Marks are the numbers up to which each mark is reached; a mark that this edge cannot give is
	// absent.
	Marks map[string]uint64 `json:"marks"`

	DeadLetters     int            `json:"dead_letters"`
	DeadLetterBytes int64          `json:"dead_letter_bytes"`
	Counters        queue.Counters `json:"counters"`
	Found           Report         `json:"found_at_start"`
}

// Status returns a picture of now.
func (d *Device) Status() Status {
	d.mu.Lock()
	q, broken, now := d.core.Status(), d.err, d.now()
	d.mu.Unlock()
	current := q.Sessions[len(q.Sessions)-1]
	saved := identity{}
	saved.setSessions([]queue.Session{current})
	s := Status{
		Client: d.client, Session: saved.Sessions[0].ID, Epoch: current.Epoch,
		Edge: q.Edge, Incarnation: q.Incarnation, Pending: q.Pending, PendingBytes: q.PendingBytes,
		KeptBytes: q.KeptBytes, Last: q.Last, Marks: map[string]uint64{}, Counters: q.Counters,
		Found: d.report,
	}
	for m := queue.Local; m <= queue.Quorum; m++ {
		if q.Marks.Can[m] {
			s.Marks[m.String()] = q.Marks.At[m]
		}
	}
	s.State, s.Why = state(&q, broken, now)
	s.DeadLetters, s.DeadLetterBytes = d.dead.count()
	if q.Pending > 0 {
		s.OldestAge = d.age(q.Next)
	}
	return s
}

func state(q *queue.Status, broken error, now int64) (word, why string) {
	switch {
	case broken != nil:
		return "broken", broken.Error()
	case q.Stop == queue.StopFenced:
		return "fenced", ErrFenced.Error() + ". Next: use the other copy, or adopt this one"
	case q.Stop == queue.StopDeadFull:
		return "dead-letters-full", "the edge refuses operations and there is no room for more dead letters. " +
			"Next: retry or discard some"
	case q.RetryAt > now && q.Outcome == queue.Unavailable:
		return "offline", q.Why
	case q.RetryAt > now:
		return "waiting", q.Why
	case q.Idle:
		return "idle", ""
	}
	return "sending", q.Why
}

// age tells how long ago the operation was enqueued; 0 if it cannot be read.
func (d *Device) age(number uint64) (age time.Duration) {
	_ = d.log.Read(number, func(_ uint64, record []byte) bool {
		var op queue.Op
		if queue.RecordKind(record) == queue.KindMark {
			return true
		}
		if queue.DecodeOp(record, &op) == nil {
			age = max(0, time.Since(time.UnixMilli(op.At)))
		}
		return false
	})
	return age
}
