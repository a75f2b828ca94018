package device

import (
	"context"
	"errors"
	"iter"

	"metronome/system/device/queue"
)

// importCommit is after how many operations an import has them made durable.
const importCommit = 4096

// Import enqueues many operations and returns once all are durable. It waits for the disk where
// that is slower, and with wait for room in a full queue; without, it ends with [ErrFull]. An error
// tells how many were taken: they are durable unless the error is of the disk.
func (d *Device) Import(ctx context.Context, writes iter.Seq2[Write, error], wait bool) (
	taken uint64, err error,
) {
	last := uint64(0)
	for w, bad := range writes {
		if bad != nil {
			err = bad
			break
		}
		number, bad := d.importOne(ctx, &w, wait)
		if bad != nil {
			err = bad
			break
		}
		last = number
		if taken++; taken%importCommit == 0 {
			d.log.Commit()
		}
	}
	if last == 0 {
		return 0, err
	}
	return taken, errors.Join(err, d.log.Wait(ctx, last))
}

// importOne enqueues one operation, waiting for whatever may be waited for.
func (d *Device) importOne(ctx context.Context, w *Write, wait bool) (uint64, error) {
	for turn := (waiting{}); ; {
		number, err := d.enqueue(w, queue.Local)
		switch {
		case turn.worth(err):
			err = d.catchUp(ctx, &turn)
		case errors.Is(err, ErrFull) && wait:
			err, turn = d.Room(ctx), waiting{}
		default:
			return number, err
		}
		if err != nil {
			return 0, err
		}
	}
}
