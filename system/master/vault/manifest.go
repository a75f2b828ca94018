package vault

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"
)

// Manifest is what is known of one backup: a checkpoint of an edge's store.
type Manifest struct {
	Format  string `json:"format"` // "metronome-edge-backup-1"
	Edge    string `json:"edge"`
	Number  uint64 `json:"number"` // grows; given by the master
	Lease   uint64 `json:"lease"`  // of the process at the edge that sent it
	Started string `json:"started_by,omitempty"`

	Taken    time.Time `json:"taken"`    // by the edge's clock
	Received time.Time `json:"received"` // by the master's

	Incarnation string `json:"incarnation"`
	Epoch       uint16 `json:"epoch"`
	Revision    uint64 `json:"revision"`
	Keys        uint64 `json:"keys"`
	Bytes       uint64 `json:"bytes"` // of keys and values
	Digest      string `json:"digest"`
	Sessions    int    `json:"sessions"`
	Software    string `json:"software"`

	Files []File `json:"files"`
}

// File is one file of a checkpoint.
type File struct {
	Path   string  `json:"path"` // relative, with slashes
	Size   int64   `json:"size"`
	Chunks []Chunk `json:"chunks"`
}

// Chunk is a piece of a file, named by its content.
type Chunk struct {
	Name string `json:"name"`
	Size int    `json:"size"`
}

// ManifestFormat is what Manifest.Format says.
const ManifestFormat = "metronome-edge-backup-1"

// Bounds of a manifest.
const (
	maxFiles  = 1 << 16
	maxPath   = 255
	maxChunks = 1 << 18 // 1 TiB
)

// draft is the name under which an edge seals a manifest that has no number yet.
const draft = "draft"

// SealDraft is what an edge sends to be committed.
func (s *Sealer) SealDraft(m *Manifest) ([]byte, error) { return s.sealManifest(m, draft) }

func (s *Sealer) sealManifest(m *Manifest, name string) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("vault: manifest: %w", err)
	}
	return s.Seal(ManifestKind, name, b)
}

func (s *Sealer) openManifest(name string, sealed []byte) (*Manifest, error) {
	b, err := s.Open(ManifestKind, name, sealed)
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("vault: manifest %s: %w: %w", name, ErrDamaged, err)
	}
	return m, m.check()
}

// check refuses what could not be restored, or would be restored to where it does not belong.
func (m *Manifest) check() error {
	if m.Format != ManifestFormat {
		return fmt.Errorf("vault: a manifest of format %.40q; this version reads %s", m.Format, ManifestFormat)
	}
	if len(m.Files) == 0 || len(m.Files) > maxFiles {
		return fmt.Errorf("vault: a manifest of %d files: 1 to %d are right", len(m.Files), maxFiles)
	}
	seen := make(map[string]bool, len(m.Files))
	chunks := 0
	for i := range m.Files {
		f := &m.Files[i]
		if err := f.check(); err != nil {
			return err
		}
		if chunks += len(f.Chunks); seen[f.Path] || chunks > maxChunks {
			return fmt.Errorf("vault: a manifest names %q twice, or has more than %d chunks", f.Path, maxChunks)
		}
		seen[f.Path] = true
	}
	return nil
}

func (f *File) check() error {
	if f.Path == "" || len(f.Path) > maxPath || path.Clean("/"+f.Path) != "/"+f.Path ||
		strings.ContainsAny(f.Path, "\\\x00") {
		return fmt.Errorf("vault: a manifest with a file %.60q: that is no path inside a store", f.Path)
	}
	var size int64
	for _, c := range f.Chunks {
		if !IsChunk(c.Name) || c.Size < 1 || c.Size > MaxChunk {
			return fmt.Errorf("vault: a manifest with a chunk %.70q of %d bytes", c.Name, c.Size)
		}
		size += int64(c.Size)
	}
	if size != f.Size {
		return fmt.Errorf("vault: the chunks of %s have %d bytes, the file has %d", f.Path, size, f.Size)
	}
	return nil
}

// names are all chunks of a manifest.
func (m *Manifest) names(visit func(name string)) {
	for i := range m.Files {
		for _, c := range m.Files[i].Chunks {
			visit(c.Name)
		}
	}
}

// Size is how many bytes the files have.
func (m *Manifest) Size() (n int64) {
	for i := range m.Files {
		n += m.Files[i].Size
	}
	return n
}

// IsChunk reports whether a name is one that Sealer.Name makes.
func IsChunk(name string) bool {
	return len(name) == 64 && strings.Trim(name, "0123456789abcdef") == ""
}
