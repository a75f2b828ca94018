package vault

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Key is an edge's backup key. It does not print itself.
type Key struct{ b [32]byte }

const keyPrefix = "mbk1_"

// NewKey draws a key.
func NewKey() (k Key) {
	_, _ = rand.Read(k.b[:]) // never fails: crypto/rand
	return k
}

// ErrKey is wrapped by what is wrong with a key's text.
var ErrKey = errors.New("no backup key")

// ParseKey reads what Text wrote.
func ParseKey(text string) (k Key, err error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), keyPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if !ok || err != nil || len(b) != len(k.b)+2 {
		return k, fmt.Errorf("vault: %w: it begins with %s and has 46 characters more; copy it again from the "+
			"master's or the edge's file", ErrKey, keyPrefix)
	}
	copy(k.b[:], b)
	if sum := k.sum(); sum[0] != b[32] || sum[1] != b[33] {
		return Key{}, fmt.Errorf("vault: %w: a character of it is wrong", ErrKey)
	}
	return k, nil
}

func (k Key) sum() [sha256.Size]byte { return sha256.Sum256(append([]byte("check"), k.b[:]...)) }

// Text is the key as it is stored and handed out. It is a secret, so it is no String method.
func (k Key) Text() string {
	sum := k.sum()
	return keyPrefix + base64.RawURLEncoding.EncodeToString(append(k.b[:], sum[:2]...))
}

// String does not show the key.
func (k Key) String() string { return "backup key " + k.ID() }

// GoString does not either.
func (k Key) GoString() string { return k.String() }

// ID tells one key from another and gives nothing of it away.
func (k Key) ID() string { return hex.EncodeToString(k.derive("id", 4)) }

// derive makes a key for one purpose (HKDF, RFC 5869).
func (k Key) derive(purpose string, n int) []byte {
	b, err := hkdf.Key(sha256.New, k.b[:], nil, "metronome edge backup 1: "+purpose, n)
	if err != nil {
		panic(err) // only for lengths that no caller here uses
	}
	return b
}
