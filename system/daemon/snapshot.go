package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"metronome/system/cluster"
	"metronome/system/replica"
	"metronome/system/wire"
)

// SnapshotInfo says which state a snapshot is of.
type SnapshotInfo struct {
	Position uint64 `json:"position"` // in the agreed sequence
	Index    uint64 `json:"index"`    // items applied
	Epoch    uint64 `json:"epoch"`
	Bytes    int64  `json:"bytes"`
}

// snapshotPatience is how long a snapshot may take to be captured, or one piece of it to be taken.
const snapshotPatience = time.Minute

var errExporting = errors.New("a snapshot is being read already: wait for it to end")

// sendSnapshot answers an operator with a consistent snapshot, while the replica goes on.
func (r *Replica) sendSnapshot(ctx context.Context, c net.Conn) error {
	if !r.exporting.TryLock() {
		return json.NewEncoder(c).Encode(&AdminAnswer{Error: errExporting.Error()})
	}
	defer r.exporting.Unlock()
	defer func() {
		_ = r.do(ctx, func(core *replica.Replica) error { core.ExportDone(); return nil })
	}()
	soon, cancel := context.WithTimeout(ctx, snapshotPatience)
	defer cancel()
	s, err := r.snapshot(soon)
	if err != nil {
		return json.NewEncoder(c).Encode(&AdminAnswer{Error: err.Error()})
	}
	info := SnapshotInfo{s.Position, s.Index, s.Epoch, int64(len(s.Header) + s.Size)}
	_ = c.SetDeadline(time.Now().Add(snapshotPatience))
	if err := json.NewEncoder(c).Encode(&AdminAnswer{Snapshot: &info}); err != nil {
		return err
	}
	_, err = c.Write(s.Header)
	for at := 0; err == nil && at < s.Size; {
		b := s.Read(at, saveStep)
		_ = c.SetDeadline(time.Now().Add(snapshotPatience))
		_, err = c.Write(b)
		at += len(b)
	}
	return err
}

// snapshot has the core capture its state, and waits for it.
func (r *Replica) snapshot(ctx context.Context) (s *replica.Save, err error) {
	if err := r.do(ctx, (*replica.Replica).Export); err != nil {
		return nil, err
	}
	for {
		err := r.do(ctx, func(core *replica.Replica) error {
			s = core.Exported()
			return nil
		})
		if err != nil || s != nil {
			return s, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("no snapshot within %v: a state transfer is under way, or the replica stands still",
				snapshotPatience)
		}
	}
}

// Snapshot asks a replica of this machine for a consistent snapshot of its state: a file as it saves
// them itself. The caller closes it.
func Snapshot(ctx context.Context, c *cluster.Config, from wire.Peer) (SnapshotInfo, io.ReadCloser, error) {
	conn, err := dialAdmin(ctx, c, from)
	if err != nil {
		return SnapshotInfo{}, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	a, rest, err := exchange(conn, from, &AdminRequest{Cmd: "snapshot"})
	if err == nil && a.Snapshot == nil {
		err = fmt.Errorf("%v answers without a snapshot: does it run another version?", from)
	}
	if err != nil {
		stop()
		return SnapshotInfo{}, nil, errors.Join(err, conn.Close())
	}
	body := &snapshotReader{Reader: io.LimitReader(rest, a.Snapshot.Bytes), conn: conn, stop: stop}
	return *a.Snapshot, body, nil
}

type snapshotReader struct {
	io.Reader
	conn net.Conn
	stop func() bool
}

// Close ends the connection, whatever is left of the snapshot.
func (s *snapshotReader) Close() error {
	s.stop()
	return s.conn.Close()
}
