package sim

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"

	"metronome/system/disk"
	"metronome/system/journal"
	"metronome/system/replica"
)

const (
	storeDir      = "data"
	storeSnapshot = "snapshot-"
)

// Saved reads the newest saved snapshot.
func (storeSystem) Saved(fs disk.FS) (file []byte, position, index uint64, err error) {
	entries, err := fs.List(storeDir)
	if err != nil {
		return nil, 0, 0, nil //nolint:nilerr // a disk that nothing was written to
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name, storeSnapshot) {
			file = make([]byte, e.Size)
			if err := readFile(fs, path.Join(storeDir, e.Name), file); err != nil {
				return nil, 0, 0, err
			}
		}
	}
	if file == nil {
		return nil, 0, 0, nil
	}
	info, err := replica.Inspect(bytes.NewReader(file))
	return file, info.At.Position, info.Index, err
}

func readFile(fs disk.FS, name string, into []byte) error {
	f, err := fs.Open(name)
	if err != nil {
		return err
	}
	_, err = f.ReadAt(into, 0)
	return errors.Join(err, f.Close())
}

// Restore writes what package backup would write into a data directory.
func (s storeSystem) Restore(file []byte, c ReplicaConfig, fs disk.FS) (jumped uint64, err error) {
	to := replica.Refounding{Cluster: storeCluster + c.Generation, Consensus: s.by.String()}
	for seat := range c.Seats {
		to.Seats = append(to.Seats, seat)
	}
	made, err := replica.Refound(bytes.NewReader(file), to)
	if err != nil {
		return 0, err
	}
	save, life, err := made.Begin(c.Seat)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(fs.MkdirAll(storeDir), writeSave(fs, save)); err != nil {
		return 0, err
	}
	jc := s.journal(&c)
	jc.First = 1
	j, _, err := journal.Open(fs, path.Join(storeDir, "journal"), jc)
	if err != nil {
		return 0, err
	}
	_, err = j.Append(life)
	return made.Index, errors.Join(err, j.Close())
}

func writeSave(fs disk.FS, save *replica.Save) error {
	name := path.Join(storeDir, fmt.Sprintf("%s%020d", storeSnapshot, save.Position))
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	b := append([]byte(nil), save.Header...)
	for at := 0; at < save.Size; {
		piece := save.Read(at, save.Size-at)
		b, at = append(b, piece...), at+len(piece)
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Sync(), f.Close(), fs.SyncDir(storeDir))
}
