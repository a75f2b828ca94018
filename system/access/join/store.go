package join

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"metronome/system/access/secretfile"
)

// Bounds of the store.
const (
	MaxTokens   = 1024
	DefaultLife = time.Hour
	MaxLife     = 7 * 24 * time.Hour
	maxFile     = 1 << 20
	maxSubject  = 128
	version     = 1
)

// Errors of Redeem that callers branch on. All of them end in a refusal.
var (
	ErrUnknown = errors.New("nobody issued this join token")
	ErrExpired = errors.New("the join token has expired: ask for a new one with metronome master enroll")
	ErrUsed    = errors.New("the join token was used by another key: if that was not you, revoke what it made " +
		"and ask for a new one with metronome master enroll")
)

// Store is the file of tokens that were issued. The command that issues and the server that redeems are
// different processes: every change locks, reads and replaces the file.
type Store struct {
	Path string
	Now  func() time.Time // nil: time.Now
}

// Entry is what is known of a token. None of it leads back to the token.
type Entry struct {
	Subject string    `json:"subject"` // whom it admits: edge/hallway
	Sum     string    `json:"sum"`     // SHA-256 of the secret, hexadecimal
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Used    time.Time `json:"used,omitzero"`
	UsedBy  string    `json:"used_by,omitempty"` // SHA-256 of the public key, hexadecimal
}

type file struct {
	Version int     `json:"version"`
	Tokens  []Entry `json:"tokens"`
}

// Issue makes a token for a subject. Earlier tokens of the subject that nobody used end. A life of 0 is an
// hour.
func (s Store) Issue(subject string, fingerprint [sha256.Size]byte, life time.Duration) (Token, error) {
	if life == 0 {
		life = DefaultLife
	}
	if subject == "" || len(subject) > maxSubject {
		return Token{}, fmt.Errorf("a join token is for somebody: 1 to %d characters", maxSubject)
	}
	if life < 0 || life > MaxLife {
		return Token{}, fmt.Errorf("a join token of %v: use up to %v", life, MaxLife)
	}
	t := newToken(fingerprint)
	return t, s.edit(func(f *file) error {
		now := s.now()
		f.Tokens = slices.DeleteFunc(f.Tokens, func(e Entry) bool {
			return now.After(e.Expires) || (e.Subject == subject && e.UsedBy == "")
		})
		if len(f.Tokens) >= MaxTokens {
			return fmt.Errorf("%d join tokens are open: wait until some expire, or revoke them", MaxTokens)
		}
		f.Tokens = append(f.Tokens, Entry{Subject: subject, Sum: sumOf(t.Secret), Created: now.UTC(),
			Expires: now.Add(life).UTC()})
		return nil
	})
}

// Redeem uses a token for the key with a digest, and returns whom it admits. The same key may come again
// until the token expires. When it returns, the use is on disk.
func (s Store) Redeem(secret [SecretBytes]byte, key [sha256.Size]byte) (subject string, err error) {
	sum, by := sumOf(secret), hex.EncodeToString(key[:])
	f, err := s.read()
	if err != nil {
		return "", err
	}
	if f.find(sum) == nil { // guesses do not take the lock
		return "", ErrUnknown
	}
	err = s.edit(func(f *file) error {
		e := f.find(sum)
		switch {
		case e == nil:
			return ErrUnknown
		case s.now().After(e.Expires):
			return ErrExpired
		case e.UsedBy != "" && e.UsedBy != by:
			return ErrUsed
		case e.UsedBy == "":
			e.Used, e.UsedBy = s.now().UTC(), by
		}
		subject = e.Subject
		return nil
	})
	return subject, err
}

// List is every token that has not been forgotten, in the order of issue.
func (s Store) List() ([]Entry, error) {
	f, err := s.read()
	if err != nil {
		return nil, err
	}
	return f.Tokens, nil
}

// Revoke ends every token of a subject and returns how many those were.
func (s Store) Revoke(subject string) (n int, err error) {
	err = s.edit(func(f *file) error {
		before := len(f.Tokens)
		f.Tokens = slices.DeleteFunc(f.Tokens, func(e Entry) bool { return e.Subject == subject })
		n = before - len(f.Tokens)
		return nil
	})
	return n, err
}

func (s Store) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s Store) edit(change func(*file) error) error {
	unlock, err := secretfile.Lock(s.Path)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := s.read()
	if err != nil {
		return err
	}
	if err := change(f); err != nil {
		return err
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("join tokens: %w", err)
	}
	return secretfile.Write(s.Path, append(b, '\n'))
}

func (s Store) read() (*file, error) {
	b, err := secretfile.Read(s.Path, maxFile)
	if errors.Is(err, os.ErrNotExist) {
		return &file{Version: version}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("join tokens: %w", err)
	}
	f, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("join tokens: %s: %w: move it away, and issue tokens anew", s.Path, err)
	}
	return f, nil
}

func parse(b []byte) (*file, error) {
	f := &file{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("no file of join tokens: %w", err)
	}
	if f.Version != version {
		return nil, fmt.Errorf("version %d: this program reads version %d", f.Version, version)
	}
	return f, nil
}

func (f *file) find(sum string) *Entry {
	for i := range f.Tokens {
		if subtle.ConstantTimeCompare([]byte(f.Tokens[i].Sum), []byte(sum)) == 1 {
			return &f.Tokens[i]
		}
	}
	return nil
}

func sumOf(secret [SecretBytes]byte) string {
	sum := sha256.Sum256(secret[:])
	return hex.EncodeToString(sum[:])
}
