package device

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"metronome/system/device/queue"
	"metronome/system/journal"
)

// opLog is what the queue needs of a journal.
type opLog interface {
	queue.Log
	// Append gives a record its number. It waits for nothing.
	Append(record []byte) (uint64, error)
	// Commit has everything appended made durable soon.
	Commit()
	// Wait returns when the record is durable.
	Wait(ctx context.Context, number uint64) error
	// Trim frees what lies below number, soon and by whole segments.
	Trim(number uint64)
	Close() error
}

// writerLog is an opLog on a journal.
type writerLog struct{ *journal.Writer }

// Read implements queue.Log. It looks for the first record from its segment's beginning.
func (l writerLog) Read(from uint64, visit func(number uint64, record []byte) bool) error {
	s := sequel{log: l}
	return errors.Join(s.Read(from, visit), s.close())
}

// sequel reads on where it stopped, request after request: the sender's way to read. One goroutine
// uses it.
type sequel struct {
	log    writerLog
	cursor *journal.Cursor
	number uint64 // that comes next
	record []byte // a copy of it, if the cursor is past it already
}

// Read implements queue.Log.
func (s *sequel) Read(from uint64, visit func(number uint64, record []byte) bool) error {
	if s.cursor == nil || s.number != from {
		if err := s.close(); err != nil {
			return err
		}
		s.cursor, s.record = s.log.Cursor(from), nil
	}
	if len(s.record) > 0 && !visit(s.number, s.record) {
		return nil
	}
	s.record = s.record[:0]
	for number, record := range s.cursor.Records() {
		if !visit(number, record) {
			s.number, s.record = number, append(s.record, record...)
			return nil
		}
	}
	s.number = s.cursor.Next()
	if err := s.cursor.Err(); err != nil && !errors.Is(err, fs.ErrNotExist) { // trimmed meanwhile: nothing there
		return errors.Join(err, s.close())
	}
	return nil
}

func (s *sequel) close() error {
	if s.cursor == nil {
		return nil
	}
	err := s.cursor.Close()
	s.cursor = nil
	return err
}

// appendFailed makes an error of the journal one of ours. The caller holds mu.
func (d *Device) appendFailed(err error) error {
	switch {
	case errors.Is(err, journal.ErrBehind):
		return errBehind
	case errors.Is(err, journal.ErrFull):
		return fmt.Errorf("%w (%w)", errNoRoom, err)
	}
	d.fail(fmt.Errorf("device: write to the queue: %w. Next: mend the disk, then open the store again", err))
	return d.err
}

func isFull(err error) bool { return errors.Is(err, journal.ErrFull) }
