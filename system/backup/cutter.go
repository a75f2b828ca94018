package backup

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"
)

// Chunks of keys end where a key's hash says so, so that the same keys are cut at the same places
// whatever lies before them and whatever their values are: on average meanChunk behind minChunk.
const (
	minChunk  = 512 << 10
	meanChunk = 1 << meanBits
	meanBits  = 20
	maxChunk  = 8 << 20
)

// cutSeed makes the hash another one than that which the store sorts keys by.
const cutSeed = 0x63_75_74_73

// A key is length of the value (4 bytes), of the key (2), revision (8), key, value: see sections.go.
const recordFixed = 14

// cutter gathers what sections hold into chunks.
type cutter struct {
	buf  []byte
	emit func(chunk []byte) error // borrows the chunk
}

// records adds the payload of a section of keys.
func (c *cutter) records(b []byte) error {
	for len(b) > 0 {
		n := recordFixed
		if len(b) >= n {
			n += int(binary.LittleEndian.Uint32(b)) + int(binary.LittleEndian.Uint16(b[4:]))
		}
		if n > len(b) {
			return fmt.Errorf("a key goes on beyond its section: %w", ErrDamaged)
		}
		key := b[recordFixed : recordFixed+int(binary.LittleEndian.Uint16(b[4:]))]
		if err := c.add(b[:n]); err != nil {
			return err
		}
		// One byte in meanChunk is a cut; a record has n chances.
		if len(c.buf) >= minChunk && xxh3.HashSeed(key, cutSeed)>>(64-meanBits) < uint64(n) {
			if err := c.flush(); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

// plain adds anything else, and cuts where a chunk is long enough.
func (c *cutter) plain(b []byte) error {
	if err := c.add(b); err != nil || len(c.buf) < minChunk+meanChunk {
		return err
	}
	return c.flush()
}

// add adds bytes to the chunk, and ends it where it would get too long.
func (c *cutter) add(b []byte) error {
	for len(c.buf)+len(b) > maxChunk {
		if len(c.buf) == 0 {
			n := maxChunk
			c.buf, b = append(c.buf, b[:n]...), b[n:]
		}
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.buf = append(c.buf, b...)
	return nil
}

// flush ends the present chunk.
func (c *cutter) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	err := c.emit(c.buf)
	c.buf = c.buf[:0]
	return err
}
