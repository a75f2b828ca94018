package local

import (
	"crypto/rand"
	"encoding/base64"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"metronome/system/edge"
)

// cursorID names an open listing; nobody can guess it.
type cursorID [16]byte

// cursor is a listing whose pages are of one revision.
type cursor struct {
	mu       sync.Mutex // held while a page is read, so that closing waits
	snapshot *pebble.Snapshot
	listing  edge.Listing
	revision uint64
	made     time.Time
}

// cursors are the open listings.
type cursors struct {
	mu   sync.Mutex
	open map[cursorID]*cursor
}

// token is what the client is given: which listing, and behind which key it goes on.
func (id cursorID) token(after []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(id[:], after...))
}

func parseToken(token string) (id cursorID, after []byte, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < len(id) || len(b) > len(id)+edge.MaxKey {
		return id, nil, false
	}
	copy(id[:], b)
	return id, b[len(id):], true
}

// add keeps a listing open. At the bound the oldest goes, of the same client if that has an equal share.
func (c *cursors) add(cur *cursor, bound int) cursorID {
	var id cursorID
	_, _ = rand.Read(id[:]) // never fails
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.open) >= bound {
		c.evict(cur.listing.Client, bound)
	}
	c.open[id] = cur
	return id
}

func (c *cursors) evict(client string, bound int) {
	own := 0
	for _, cur := range c.open {
		if cur.listing.Client == client {
			own++
		}
	}
	var oldest cursorID
	var found *cursor
	for id, cur := range c.open {
		if own > bound/8 && cur.listing.Client != client {
			continue
		}
		if found == nil || cur.made.Before(found.made) {
			oldest, found = id, cur
		}
	}
	delete(c.open, oldest)
	found.close()
}

// get finds a client's own listing.
func (c *cursors) get(id cursorID, client string) *cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	cur := c.open[id]
	if cur == nil || cur.listing.Client != client {
		return nil
	}
	return cur
}

// expire closes what is too old.
func (c *cursors) expire(before time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, cur := range c.open {
		if cur.made.Before(before) {
			delete(c.open, id)
			cur.close()
		}
	}
}

func (c *cursors) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, cur := range c.open {
		delete(c.open, id)
		cur.close()
	}
}

func (c *cursors) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

func (c *cursor) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.snapshot != nil {
		_ = c.snapshot.Close()
		c.snapshot = nil
	}
}
