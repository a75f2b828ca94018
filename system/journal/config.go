package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// Limits that no configuration moves.
const (
	// MaxRecord is the longest record, in bytes.
	MaxRecord = 32 << 20
	// MaxIdentity is the longest Config.Identity, in bytes.
	MaxIdentity = 1024

	minSegment    = 16 * blockSize
	maxBatchBytes = 64 << 20
)

// Errors. All but [ErrFull] are for good: Append again gives the same answer.
var (
	// ErrFull says that there is no room now: Config.MaxBytes or Config.FreeFloor is reached, the disk
	// is full, or a Writer's buffer is. Nothing is lost; try again after a Trim, or later.
	ErrFull = errors.New("journal: no room")
	// ErrBehind is an [ErrFull] of a Writer that has not got so far: its buffer is full, or the next
	// segment is being made. The same record is taken, or refused for another reason, as soon as the
	// disk has done that.
	ErrBehind = fmt.Errorf("%w: the writer's buffer is full, the disk is behind: try again", ErrFull)
	// ErrBroken says that the disk failed to write or to sync. What is durable beyond Synced is not
	// known, and no later sync can tell: stop, and let Open find out.
	ErrBroken = errors.New("journal: broken: the disk failed, stop and open the journal again")
	// ErrTooLarge refuses a record longer than [MaxRecord].
	ErrTooLarge = errors.New("journal: record too large")
	// ErrForeign refuses a journal that was written under another Config.Identity.
	ErrForeign = errors.New("journal: of another owner")
	// ErrVersion refuses a journal of a format that this program does not know.
	ErrVersion = errors.New("journal: unknown format version")
	// ErrClosed says that the journal was closed.
	ErrClosed = errors.New("journal: closed")
)

// Config says how a journal is kept. The zero value is good for a server. All but Identity may
// differ from one Open to the next.
type Config struct {
	// SegmentBytes is the size of a segment: what is allocated at once, and freed by Trim at once.
	// Default 64 MiB, least 64 KiB; rounded up to whole blocks.
	SegmentBytes int64
	// BatchBytes is how large the open batch may grow before it is written. Default 1 MiB; less than
	// a segment. A record that is larger has a batch of its own.
	BatchBytes int
	// MaxBytes bounds the journal's files together; 0 is no bound. A segment is taken whole.
	MaxBytes int64
	// FreeFloor is what must stay free on the file system, in bytes, after a new segment is taken.
	FreeFloor uint64
	// Spares is how many freed segments are kept for use again. Default and least: 2.
	Spares int
	// Identity names whose journal it is: cluster and owner. Open refuses another's.
	Identity string
	// First is the first record's number when the journal is empty.
	First uint64
	// Salt gives random numbers that tell this life's batches from what lay in their place before. A
	// simulator hands in its own; nil is crypto/rand.
	Salt func() uint32
	// Visit, if not nil, is called by Open for each record that Records would yield, in order. The
	// slice is the callee's until it returns. So a journal is verified and read in one pass.
	Visit func(number uint64, record []byte)
}

func (c Config) withDefaults() (Config, error) {
	if c.SegmentBytes == 0 {
		c.SegmentBytes = 64 << 20
	}
	if c.BatchBytes == 0 {
		c.BatchBytes = 1 << 20
	}
	c.Spares = max(c.Spares, 2)
	if c.Salt == nil {
		c.Salt = randomSalt
	}
	switch {
	case c.SegmentBytes < minSegment:
		return c, fmt.Errorf("journal: SegmentBytes is %d: give at least %d", c.SegmentBytes, minSegment)
	case c.BatchBytes < 0 || c.BatchBytes > maxBatchBytes:
		return c, fmt.Errorf("journal: BatchBytes is %d: give 1 to %d", c.BatchBytes, maxBatchBytes)
	case len(c.Identity) > MaxIdentity:
		return c, fmt.Errorf("journal: Identity has %d bytes: give at most %d", len(c.Identity), MaxIdentity)
	}
	c.SegmentBytes = alignUp(c.SegmentBytes)
	c.BatchBytes = min(c.BatchBytes, int(c.SegmentBytes-overhead))
	return c, nil
}

func randomSalt() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return binary.LittleEndian.Uint32(b[:])
}
