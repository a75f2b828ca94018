package vault

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"metronome/system/edge/local"
)

// EncodeLog joins records of an edge's log into one piece: each with its length before it.
func EncodeLog(records [][]byte) []byte {
	n := 0
	for _, r := range records {
		n += len(r) + binary.MaxVarintLen32
	}
	b := make([]byte, 0, n)
	for _, r := range records {
		b = binary.AppendUvarint(b, uint64(len(r)))
		b = append(b, r...)
	}
	return b
}

// decodeLog takes a piece apart. The records are b's.
func decodeLog(b []byte) (records [][]byte, err error) {
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil, fmt.Errorf("vault: a piece of the log: %w", ErrDamaged)
		}
		records = append(records, b[k:k+int(n)])
		b = b[k+int(n):]
	}
	return records, nil
}

// span decodes records, which must follow one another, and says what revisions they hold.
func span(records [][]byte) (first, last uint64, err error) {
	for i, b := range records {
		r, err := local.DecodeRecord(b)
		switch {
		case err != nil:
			return 0, 0, fmt.Errorf("vault: record %d: %w: %w", i, ErrDamaged, err)
		case r.Last < r.First:
			return 0, 0, fmt.Errorf("vault: record %d: %w: revisions %d to %d", i, ErrDamaged, r.First, r.Last)
		case i == 0:
			first = r.First
		case r.First != last+1:
			return 0, 0, fmt.Errorf("vault: record %d: %w: after revision %d comes %d", i, ErrDamaged, last, r.First)
		}
		last = r.Last
	}
	if len(records) == 0 {
		return 0, 0, fmt.Errorf("vault: a piece of the log without records: %w", ErrDamaged)
	}
	return first, last, nil
}

// piece is one object of a chain's log.
type piece struct {
	number      uint64 // of the manifest
	first, last uint64 // revisions
	size        int64  // sealed
}

const (
	backupFolder = "backups"
	chunkFolder  = "chunks"
	doomedFolder = "doomed"
	manifestExt  = ".json"
	logExt       = ".log"
	badExt       = ".bad" // damaged, set aside
)

func (p piece) name() string {
	return fmt.Sprintf("%08d.%016x-%016x%s", p.number, p.first, p.last, logExt)
}

func manifestName(number uint64) string { return fmt.Sprintf("%08d%s", number, manifestExt) }

// logName is under which name an edge seals a piece that it sends.
func logName(number uint64) string { return fmt.Sprintf("log of %d", number) }

// SealLog is what an edge sends to be appended to a chain.
func (s *Sealer) SealLog(number uint64, records [][]byte) ([]byte, error) {
	return s.Seal(LogKind, logName(number), EncodeLog(records))
}

func parsePiece(name string, size int64) (p piece, ok bool) {
	rest, ok := strings.CutSuffix(name, logExt)
	number, spans, ok2 := strings.Cut(rest, ".")
	first, last, ok3 := strings.Cut(spans, "-")
	if !ok || !ok2 || !ok3 {
		return p, false
	}
	var errs [3]error
	p.number, errs[0] = strconv.ParseUint(number, 10, 64)
	p.first, errs[1] = strconv.ParseUint(first, 16, 64)
	p.last, errs[2] = strconv.ParseUint(last, 16, 64)
	p.size = size
	return p, errs == [3]error{} && p.first <= p.last && p.name() == name
}

func parseManifestName(name string) (number uint64, ok bool) {
	rest, ok := strings.CutSuffix(name, manifestExt)
	number, err := strconv.ParseUint(rest, 10, 64)
	return number, ok && err == nil && manifestName(number) == name
}
