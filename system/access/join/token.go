package join

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
)

// SecretBytes is how much chance a token holds: too much to guess.
const SecretBytes = 20

const (
	tokenPrefix = "mtj_"
	tokenBytes  = SecretBytes + sha256.Size + crc32.Size
)

// Token is what a new member is given.
type Token struct {
	Secret      [SecretBytes]byte
	Fingerprint [sha256.Size]byte // SHA-256 of the CA's certificate
}

func newToken(fingerprint [sha256.Size]byte) Token {
	t := Token{Fingerprint: fingerprint}
	_, _ = rand.Read(t.Secret[:]) // never fails: crypto/rand ends the process instead
	return t
}

// Text is the token as people copy it. It is a secret, so it is no String method: nothing prints it by
// accident.
func (t Token) Text() string {
	b := append(t.Secret[:], t.Fingerprint[:]...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// String does not show the token.
func (t Token) String() string { return "join token" }

// GoString does not either.
func (t Token) GoString() string { return t.String() }

// errToken does not quote what was given: it may be a token with a letter missing.
var errToken = errors.New("no join token: copy the whole word that metronome master enroll printed: " +
	"it begins with " + tokenPrefix)

// Parse reads a token and finds out if it was copied badly.
func Parse(text string) (Token, error) {
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	if !ok || len(encoded) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return Token{}, errToken
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(b) != tokenBytes { // the decoder passes over line ends
		return Token{}, errToken
	}
	body, sum := b[:tokenBytes-crc32.Size], b[tokenBytes-crc32.Size:]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(sum) {
		return Token{}, errToken
	}
	return Token{[SecretBytes]byte(body), [sha256.Size]byte(body[SecretBytes:])}, nil
}
