package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

// Bounds of passwords and of the hashes that are accepted.
const (
	// MaxPassword is what bcrypt looks at. Its comparison accepts anything after that many bytes, so longer
	// passwords are refused before it.
	MaxPassword = 72
	// MinPassword is the shortest password that people may choose.
	MinPassword = 8
	// MinCost is the least work a guess must be: 64 ms of a core in 2026.
	MinCost = 10
	// MaxCost bounds what one request can cost: about a second.
	MaxCost = 14
	// DefaultCost is the cost of new hashes. Two more are four times the work, for an attacker and for an
	// edge that restarts with a hundred devices.
	DefaultCost = 10
)

// tokenPrefix marks machine secrets. What begins like this is compared as a token and never as a
// password, for known and unknown users alike, so the time an answer takes depends on what was sent alone.
const tokenPrefix = "mtk_"

// tokenBytes is how much chance a token holds: too much to guess, so a fast hash protects it.
const tokenBytes = 32

// digestPrefix marks a token's stored form.
const digestPrefix = "sha256:"

// Hash makes the stored form of a password, after checking that it is one.
func Hash(password string, cost int) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", err
	}
	if err := checkCost(cost); err != nil {
		return "", err
	}
	h, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return string(h), nil
}

// checkPassword refuses what could not be typed into a header, or would be easier to guess than it looks.
func checkPassword(password string) error {
	switch {
	case len(password) < MinPassword:
		return fmt.Errorf("the password has %d bytes: use %d at least", len(password), MinPassword)
	case len(password) > MaxPassword:
		return fmt.Errorf("the password has %d bytes: bcrypt looks at %d, use no more", len(password),
			MaxPassword)
	case !utf8.ValidString(password):
		return errors.New("the password is no UTF-8: browsers and curl could not send it")
	case strings.ContainsFunc(password, unicode.IsControl):
		return errors.New("the password holds a control character: leave it out")
	case strings.HasPrefix(password, tokenPrefix):
		return fmt.Errorf("passwords do not begin with %s: machine secrets do", tokenPrefix)
	case hashCost(password) > 0:
		return errors.New("this is a bcrypt hash: give the password itself")
	}
	return nil
}

// NewPassword makes a password for people to copy: 128 random bits.
func NewPassword() string { return rand.Text() }

// NewToken makes a machine secret, and what the credential file stores of it.
func NewToken() (token, stored string) {
	b := make([]byte, tokenBytes)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
	sum := sha256.Sum256([]byte(token))
	return token, digestPrefix + hex.EncodeToString(sum[:])
}

// tokenDigest reads a token's stored form.
func tokenDigest(stored string) (sum [sha256.Size]byte, err error) {
	digits, ok := strings.CutPrefix(stored, digestPrefix)
	if !ok || len(digits) != hex.EncodedLen(len(sum)) {
		return sum, errors.New("want sha256: and 64 hexadecimal digits, as metronome user passwd --token writes")
	}
	if _, err := hex.Decode(sum[:], []byte(digits)); err != nil {
		return sum, errors.New("want sha256: and 64 hexadecimal digits, as metronome user passwd --token writes")
	}
	return sum, nil
}

// sameToken compares in constant time.
func sameToken(sum *[sha256.Size]byte, token []byte) bool {
	got := sha256.Sum256(token)
	return subtle.ConstantTimeCompare(sum[:], got[:]) == 1
}

func checkCost(cost int) error {
	if cost < MinCost || cost > MaxCost {
		return fmt.Errorf("bcrypt cost %d: use %d to %d", cost, MinCost, MaxCost)
	}
	return nil
}

// hashLen is the length of every bcrypt hash: $2a$10$, 22 characters of salt, 31 of hash.
const hashLen = 60

// hashCost is the cost of a well-formed bcrypt hash, or 0. It is stricter than the library, which finds
// out only while comparing: a malformed hash would answer at once, and tell who exists.
func hashCost(hash string) int {
	if len(hash) != hashLen || hash[0] != '$' || hash[1] != '2' || !strings.Contains("aby", hash[2:3]) ||
		hash[3] != '$' || hash[6] != '$' {
		return 0
	}
	for _, c := range []byte(hash[7:]) {
		if !strings.ContainsRune(bcryptAlphabet, rune(c)) {
			return 0
		}
	}
	cost, err := strconv.Atoi(hash[4:6])
	if err != nil || cost < bcrypt.MinCost || cost > bcrypt.MaxCost {
		return 0
	}
	return cost
}

const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// newDecoys makes a well-formed hash of a random password for every cost from [MinCost] to [MaxCost]. One
// cheap hash is made, and its cost rewritten: comparing costs what the hash says, and equals nothing.
func newDecoys() (decoys [MaxCost + 1]string, err error) {
	h, err := bcrypt.GenerateFromPassword([]byte(rand.Text()), bcrypt.MinCost)
	if err != nil {
		return decoys, fmt.Errorf("make a decoy: %w", err)
	}
	for cost := MinCost; cost <= MaxCost; cost++ {
		decoys[cost] = string(h[:4]) + strconv.Itoa(cost) + string(h[6:])
		if hashCost(decoys[cost]) != cost {
			return decoys, fmt.Errorf("make a decoy: %q is no hash of cost %d", decoys[cost][:7], cost)
		}
	}
	return decoys, nil
}
