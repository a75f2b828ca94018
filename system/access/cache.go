package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
	"time"
)

// cacheKey stands for credentials without holding them.
type cacheKey [sha256.Size]byte

// keyer makes cache keys under a random key that never leaves the process.
type keyer struct{ pool sync.Pool }

func newKeyer() *keyer {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	return &keyer{sync.Pool{New: func() any { return &keyed{mac: hmac.New(sha256.New, key)} }}}
}

// keyed is one HMAC with room for what goes in and out, so that a look-up allocates nothing.
type keyed struct {
	mac hash.Hash
	buf [512]byte
	sum cacheKey
}

// credentials is HMAC-SHA-256 of user, password and stored hash, each with its length before it. The hash
// is part of it, so that a changed or removed password is unknown to the cache at once.
func (k *keyer) credentials(user, password []byte, stored string) cacheKey {
	h := k.pool.Get().(*keyed)
	defer k.pool.Put(h)
	b := appendField(h.buf[:0], 'c', user)
	b = binary.BigEndian.AppendUint32(b, uint32(len(password)))
	b = append(b, password...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(stored)))
	b = append(b, stored...)
	return h.end(b)
}

// name is the sum that stands for a user's name in the limits.
func (k *keyer) name(user []byte) cacheKey {
	h := k.pool.Get().(*keyed)
	defer k.pool.Put(h)
	return h.end(appendField(h.buf[:0], 'n', user))
}

func appendField(b []byte, kind byte, field []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, kind), uint32(len(field)))
	return append(b, field...)
}

func (h *keyed) end(b []byte) cacheKey {
	h.mac.Reset()
	_, _ = h.mac.Write(b)
	clear(b) // the password was in it
	h.mac.Sum(h.sum[:0])
	return h.sum
}

// successes remembers credentials that were right. What was wrong is never remembered, so that an attacker
// cannot fill it.
type successes struct {
	life time.Duration

	mu    sync.Mutex
	known *lru[cacheKey, time.Time] // until when
}

func newSuccesses(most int, life time.Duration) *successes {
	return &successes{life: life, known: newLRU[cacheKey, time.Time](most)}
}

// has reports whether credentials were right not long ago, and prolongs that: what is in use need not be
// hashed again, and what changed has another key.
func (s *successes) has(key cacheKey, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := s.known.get(key)
	if until == nil {
		return false
	}
	if !now.Before(*until) {
		s.known.remove(key)
		return false
	}
	*until = now.Add(s.life)
	return true
}

func (s *successes) add(key cacheKey, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.put(key, now.Add(s.life))
}

func (s *successes) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known.len()
}
