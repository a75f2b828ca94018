package device

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"

	"metronome/system/device/queue"
	"metronome/system/disk"
)

// identity is who the directory's operations are sent as. It is written before anything is sent
// under it, twice, so that one damaged file does no harm.
type identity struct {
	Generation uint64         `json:"generation"` // grows with every writing
	Client     string         `json:"client"`
	Place      string         `json:"place"` // where the directory lay: a copy lies elsewhere
	Sessions   []savedSession `json:"sessions"`
	Sent       uint64         `json:"sent"`   // no life before this one sent a higher number
	Sends      bool           `json:"sends"`  // this life may have sent anything
	Fenced     bool           `json:"fenced"` // another copy took over; somebody must decide
	Rival      uint64         `json:"rival"`  // its epoch
}

type savedSession struct {
	ID       string `json:"id"`
	Instance string `json:"instance"`
	Epoch    uint64 `json:"epoch"`
	From     uint64 `json:"from"`
}

var identityFiles = [2]string{"identity.a", "identity.b"}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maxIdentity bounds an identity file, in bytes.
const maxIdentity = 1 << 16

// seal appends a line with the checksum of what is before it.
func seal(body []byte) []byte {
	return fmt.Appendf(body, "\n%08x\n", crc32.Checksum(body, castagnoli))
}

// unseal takes the checksum off again.
func unseal(file []byte) ([]byte, bool) {
	const tail = 10
	if len(file) < tail {
		return nil, false
	}
	body := file[:len(file)-tail]
	return body, bytes.Equal(seal(bytes.Clone(body)), file)
}

// save writes the identity durably, both copies.
func (id *identity) save(fs disk.FS, dir string) error {
	id.Generation++
	body, err := json.Marshal(id)
	if err != nil {
		return err
	}
	for _, name := range identityFiles {
		if err := replaceFile(fs, dir, name, seal(bytes.Clone(body))); err != nil {
			return fmt.Errorf("device: write %s: %w. Next: free space or mend the disk, then open again", name, err)
		}
	}
	return nil
}

// replaceFile makes name hold data, durably and at once.
func replaceFile(fs disk.FS, dir, name string, data []byte) error {
	path := filepath.Join(dir, name)
	f, err := fs.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = fs.Rename(path+".new", path)
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	return err
}

// loadIdentity returns the newest good copy; nil if there is none. bad counts copies that are
// damaged.
func loadIdentity(fs disk.FS, dir string) (best *identity, bad int, err error) {
	entries, err := fs.List(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		if e.Name != identityFiles[0] && e.Name != identityFiles[1] {
			continue
		}
		id, err := readIdentity(fs, filepath.Join(dir, e.Name), e.Size)
		switch {
		case err != nil:
			return nil, bad, err
		case id == nil:
			bad++
		case best == nil || id.Generation > best.Generation:
			best = id
		}
	}
	return best, bad, nil
}

func readIdentity(fs disk.FS, path string, size int64) (*identity, error) {
	file, err := readFile(fs, path, size, maxIdentity)
	if err != nil {
		return nil, err
	}
	body, ok := unseal(file)
	id := new(identity)
	if !ok || json.Unmarshal(body, id) != nil || len(id.Sessions) == 0 {
		return nil, nil
	}
	return id, nil
}

func readFile(fs disk.FS, path string, size int64, most int) ([]byte, error) {
	if size > int64(most) {
		return nil, nil // not one that we wrote
	}
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data := make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data[:n], nil
}

// sessions returns the identity's sessions for the core.
func (id *identity) sessions() []queue.Session {
	list := make([]queue.Session, len(id.Sessions))
	for i, s := range id.Sessions {
		list[i] = queue.Session{Epoch: s.Epoch, From: s.From}
		_, _ = hex.Decode(list[i].ID[:], []byte(s.ID[:min(32, len(s.ID))]))
		_, _ = hex.Decode(list[i].Instance[:], []byte(s.Instance[:min(32, len(s.Instance))]))
	}
	return list
}

func (id *identity) setSessions(list []queue.Session) {
	id.Sessions = nil
	for _, s := range list {
		id.Sessions = append(id.Sessions, savedSession{hex.EncodeToString(s.ID[:]),
			hex.EncodeToString(s.Instance[:]), s.Epoch, s.From})
	}
}

// freshSession is a session that nobody else has.
func freshSession(from uint64) (s queue.Session) {
	_, _ = rand.Read(s.ID[:]) // never fails: it ends the program instead
	_, _ = rand.Read(s.Instance[:])
	s.Epoch, s.From = 1, from
	return s
}
