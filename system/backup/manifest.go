package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"metronome/system/store"
)

// Manifest is what is known of one backup. As JSON it is what lies at the destination.
type Manifest struct {
	Format  string `json:"format"` // "metronome-backup"
	Version int    `json:"version"`
	ID      string `json:"id"`

	Time     time.Time `json:"time"`     // when the backup began, UTC
	Software string    `json:"software"` // the build that made it
	Cluster  string    `json:"cluster"`  // name
	Tag      uint32    `json:"tag"`
	Replica  string    `json:"replica"` // that was asked
	Life     uint64    `json:"life"`    // its id

	Position uint64 `json:"position"` // of the agreed sequence
	Term     uint64 `json:"term"`
	Epoch    uint64 `json:"epoch"`
	Index    uint64 `json:"index"` // of the last item
	Keys     uint64 `json:"keys"`
	Sessions uint64 `json:"sessions"`
	Hash     string `json:"state_hash"`

	Bytes    uint64  `json:"bytes"`    // of the snapshot's file
	SHA256   string  `json:"sha256"`   // of these
	Head     uint64  `json:"head"`     // of these, before the sections
	Sections string  `json:"sections"` // what was taken out: see layout
	Chunks   []Chunk `json:"chunks"`
	Sum      string  `json:"sum"` // SHA-256 of all this with an empty sum, as compact JSON
}

// Chunk is a part of what the sections hold.
type Chunk struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"`
}

// The bounds and constants of a manifest.
const (
	manifestFormat  = "metronome-backup"
	manifestVersion = 1
	maxManifest     = 64 << 20
	maxSnapshot     = 1 << 40
)

// encode completes a manifest with its sum.
func (m *Manifest) encode() ([]byte, error) {
	m.Format, m.Version, m.Sum = manifestFormat, manifestVersion, ""
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	sum := sha256.Sum256(b)
	m.Sum = hex.EncodeToString(sum[:])
	if b, err = json.Marshal(m); err == nil && len(b) > maxManifest {
		err = fmt.Errorf("backup: the manifest would have %d bytes, at most %d: the snapshot is too large", len(b),
			maxManifest)
	}
	return b, err
}

// decodeManifest reads what encode wrote, and nothing else: not a byte may differ.
func decodeManifest(b []byte) (*Manifest, error) {
	var v struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(b, &v); err != nil || v.Format != manifestFormat {
		return nil, fmt.Errorf("backup: the manifest is %w: it is no JSON of this kind", ErrDamaged)
	}
	if v.Version != manifestVersion {
		return nil, fmt.Errorf("backup: a manifest of version %d, this build reads %d: use the build that wrote it",
			v.Version, manifestVersion)
	}
	m := &Manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("backup: the manifest is %w: %w", ErrDamaged, err)
	}
	again := *m
	if c, err := again.encode(); err != nil || !bytes.Equal(b, c) {
		return nil, fmt.Errorf("backup: the manifest is %w: it does not match its sum", ErrDamaged)
	}
	return m, m.check()
}

// check refuses a manifest whose parts do not fit together.
func (m *Manifest) check() error {
	parts, err := decodeLayout(m.Sections)
	if err != nil {
		return err
	}
	inside, whole := m.Head, m.Head
	for _, p := range parts {
		inside, whole = inside+uint64(p.bytes), whole+uint64(p.bytes)+store.SectionHead
	}
	held := uint64(0)
	for _, c := range m.Chunks {
		if _, ok := chunkSum(c.Name); !ok || c.Bytes < 1 || c.Bytes > maxChunk {
			return fmt.Errorf("backup: the manifest is %w: it names a chunk %.100q of %d bytes", ErrDamaged, c.Name,
				c.Bytes)
		}
		held += uint64(c.Bytes)
	}
	switch {
	case m.Head > maxSnapshot || m.Bytes > maxSnapshot || whole != m.Bytes || inside != held:
		return fmt.Errorf("backup: the manifest is %w: %d bytes in sections and %d in chunks, for a snapshot of %d",
			ErrDamaged, whole, held, m.Bytes)
	case CheckID(m.ID) != nil:
		return fmt.Errorf("backup: the manifest is %w: its id is %.50q", ErrDamaged, m.ID)
	}
	return nil
}

// part is one section, without its head.
type part struct {
	kind  uint32
	bytes uint32
}

// appendLayout adds a section to a layout: a varint of its length and kind.
func appendLayout(dst []byte, p part) []byte {
	return binary.AppendUvarint(dst, uint64(p.bytes)<<3|uint64(p.kind))
}

func encodeLayout(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

var errLayout = fmt.Errorf("backup: the manifest is %w: its sections cannot be read", ErrDamaged)

func decodeLayout(s string) (parts []part, err error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.Join(errLayout, err)
	}
	for len(b) > 0 {
		v, n := binary.Uvarint(b)
		p := part{uint32(v & 7), uint32(v >> 3)}
		if n <= 0 || v>>3 > maxSection || p.kind == 0 {
			return nil, errLayout
		}
		parts, b = append(parts, p), b[n:]
	}
	return parts, nil
}
