package device

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"metronome/system/device/queue"
	"metronome/system/journal"
)

// DeadLetter is an operation that the edge refused for good, and why.
type DeadLetter struct {
	Number  uint64    `json:"number"` // in the queue
	Key     string    `json:"key"`
	Value   []byte    `json:"value,omitempty"`
	Delete  bool      `json:"delete,omitempty"`
	If      uint8     `json:"if,omitempty"` // a [queue.Condition]
	Match   uint64    `json:"revision,omitempty"`
	At      time.Time `json:"enqueued"`
	Refused time.Time `json:"refused"`
	Status  int       `json:"status"` // as of HTTP
	Type    string    `json:"type"`
	Why     string    `json:"why"`
}

// deadLetters keeps refused operations in a journal of their own, until somebody retries or
// discards them. In memory: a few words a letter.
type deadLetters struct {
	limit int64

	mu    sync.Mutex
	log   opLog
	live  map[uint64]deadPlace // by the operation's number
	bytes int64
}

type deadPlace struct {
	record uint64
	size   int
}

// A record is a letter as JSON, or, with one leading byte, a removal: the operation's number.
const (
	deadLetter  = 'L'
	deadRemoval = 'R'
)

// openDead opens the dead letters below dir.
func openDead(c *Config) (*deadLetters, *journal.Report, error) {
	d := &deadLetters{limit: c.DeadBytes, live: make(map[uint64]deadPlace)}
	log, report, err := openLog(c, "dead", journal.Config{
		SegmentBytes: max(c.SegmentBytes, 4<<20), BatchBytes: 64 << 10, Visit: d.visit,
	}, journal.WriterConfig{Buffer: 64 << 10})
	if err != nil {
		return nil, nil, err
	}
	d.log = log
	return d, report, nil
}

func (d *deadLetters) visit(number uint64, record []byte) {
	switch {
	case len(record) == 9 && record[0] == deadRemoval:
		d.forget(binary.LittleEndian.Uint64(record[1:]))
	case len(record) > 0 && record[0] == deadLetter:
		var l DeadLetter
		if json.Unmarshal(record[1:], &l) == nil {
			d.note(l.Number, number, len(record))
		}
	}
}

func (d *deadLetters) note(number, record uint64, size int) {
	d.forget(number)
	d.live[number] = deadPlace{record, size}
	d.bytes += int64(size)
}

func (d *deadLetters) forget(number uint64) {
	d.bytes -= int64(d.live[number].size)
	delete(d.live, number)
}

// numbers returns the operations that are dead letters, ascending.
func (d *deadLetters) numbers() []uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]uint64, 0, len(d.live))
	for n := range d.live {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// add makes a refused operation durable here. full says that there is no room.
func (d *deadLetters) add(q *queue.Dead) (full bool, err error) {
	l := DeadLetter{Number: q.Op.Number, Key: string(q.Op.Key), Value: q.Op.Value,
		Delete: q.Op.Kind == queue.KindDelete, If: uint8(q.Op.Cond), Match: q.Op.Match,
		At: time.UnixMilli(q.Op.At).UTC(), Refused: time.Now().UTC(),
		Status: q.Refusal.Status, Type: q.Refusal.Type, Why: q.Refusal.Why}
	body, err := json.Marshal(&l)
	if err != nil {
		return false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.live[l.Number]; known {
		return false, nil
	}
	record := append([]byte{deadLetter}, body...)
	if d.bytes+int64(len(record)) > d.limit {
		return true, nil
	}
	number, err := d.write(record)
	if errors.Is(err, journal.ErrFull) {
		return true, nil
	}
	if err == nil {
		d.note(l.Number, number, len(record))
	}
	return false, err
}

func (d *deadLetters) write(record []byte) (uint64, error) {
	number, err := d.log.Append(record)
	if err == nil {
		err = d.log.Wait(context.Background(), number)
	}
	if err != nil {
		return 0, fmt.Errorf("device: write a dead letter: %w. Next: mend the disk, then open the store again", err)
	}
	return number, nil
}

// remove forgets a letter, durably.
func (d *deadLetters) remove(number uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.live[number]; !ok {
		return fmt.Errorf("%w: there is no dead letter %d", ErrInput, number)
	}
	record := binary.LittleEndian.AppendUint64([]byte{deadRemoval}, number)
	if _, err := d.write(record); err != nil {
		return err
	}
	d.forget(number)
	d.trim()
	return nil
}

// trim frees the space of letters that are gone: those before the oldest that is left.
func (d *deadLetters) trim() {
	oldest := uint64(math.MaxUint64)
	for _, p := range d.live {
		oldest = min(oldest, p.record)
	}
	d.log.Trim(oldest)
}

// all yields the letters, oldest first. What arrives meanwhile may be left out.
func (d *deadLetters) all() iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		for _, n := range d.numbers() {
			l, ok, err := d.get(n)
			if err == nil && !ok {
				continue
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

// get reads one letter.
func (d *deadLetters) get(number uint64) (l DeadLetter, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	place, ok := d.live[number]
	if !ok {
		return l, false, nil
	}
	err = d.log.Read(place.record, func(n uint64, record []byte) bool {
		if n == place.record {
			err = json.Unmarshal(record[1:], &l)
		}
		return false
	})
	return l, err == nil, err
}

func (d *deadLetters) count() (letters int, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.live), d.bytes
}

func (d *deadLetters) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Close()
}

// DeadLetters yields the operations that the edge refused, oldest first.
func (d *Device) DeadLetters() iter.Seq2[DeadLetter, error] { return d.dead.all() }

// Discard deletes a dead letter for good.
func (d *Device) Discard(number uint64) error {
	if err := d.dead.remove(number); err != nil {
		return err
	}
	d.roomForDead()
	return nil
}

// Retry enqueues a dead letter again, as a new operation behind all others, and returns its new
// number. A crash in between leaves both: the letter and the new operation.
func (d *Device) Retry(number uint64) (uint64, error) {
	l, ok, err := d.dead.get(number)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("%w: there is no dead letter %d", ErrInput, number)
	}
	fresh, err := d.Do(d.ctx, Write{Key: l.Key, Value: l.Value, Delete: l.Delete, If: queue.Condition(l.If),
		Revision: l.Match}, queue.Local)
	if err != nil {
		return 0, err
	}
	return fresh.Number, d.Discard(number)
}

// roomForDead goes on sending if it had stopped for want of room among the dead letters.
func (d *Device) roomForDead() {
	d.mu.Lock()
	if d.core.Stopped() == queue.StopDeadFull {
		d.core.Resume()
	}
	d.mu.Unlock()
	d.wake()
}
