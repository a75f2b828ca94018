package backup

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A backup's id is the time it began, so that ids sort by it, and something random.
const idTime = "20060102T150405.000Z"

var (
	idPattern    = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9a-f]{8}$`)
	chunkPattern = regexp.MustCompile(`^[0-9a-f]{64}\.[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9a-f]{8}$`)
)

const sumDigits = 64

func newID(now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return now.UTC().Format(idTime) + "-" + hex.EncodeToString(b[:])
}

// began is the time in an id; the zero time if it is none.
func began(id string) time.Time {
	if !idPattern.MatchString(id) {
		return time.Time{}
	}
	t, err := time.Parse(idTime, id[:len(idTime)])
	if err != nil {
		return time.Time{}
	}
	return t
}

// CheckID refuses what is no backup's id.
func CheckID(id string) error {
	if began(id).IsZero() {
		return fmt.Errorf("backup: %q is no backup's id: use one that \"metronome backup list\" shows", id)
	}
	return nil
}

func chunkName(sum [32]byte, id string) string { return hex.EncodeToString(sum[:]) + "." + id }

// chunkSum is the sum that a chunk's name begins with; ok is false if it is no chunk's name.
func chunkSum(name string) (sum [32]byte, ok bool) {
	if !chunkPattern.MatchString(name) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(name[:sumDigits]))
	return sum, err == nil
}

// age is the time in the name of an object of ours, finished or not: when the backup began that wrote
// it. The zero time for anything else.
func age(name string) time.Time {
	name = strings.TrimSuffix(name, unfinishedExt)
	if chunkPattern.MatchString(name) {
		return began(name[sumDigits+1:])
	}
	return began(strings.TrimSuffix(name, manifestExt))
}
