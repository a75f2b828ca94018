package local

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"metronome/system/edge"
)

// small is a disk with so many free bytes.
type small struct {
	vfs.FS
	free atomic.Uint64
}

// GetDiskUsage implements vfs.FS.
func (s *small) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: s.free.Load()}, nil
}

func TestFullDiskRefusesWritesBeforeItIsFull(t *testing.T) {
	disk := &small{FS: vfs.NewMem()}
	disk.free.Store(100 << 20)
	s := open(t, Config{Dir: "d", FS: disk, MinFree: 50 << 20})
	s.checkDisk()
	apply(t, s, put("a", "1"))
	disk.free.Store(49 << 20)
	s.checkDisk()
	two := &edge.Batch{Ops: []edge.Op{put("a", "2")}}
	if _, err := s.Apply(t.Context(), two); !errors.Is(err, edge.ErrDiskFloor) {
		t.Fatalf("%v", err)
	}
	if e, err := s.Get(t.Context(), []byte("a"), edge.Read{}); err != nil || string(e.Value) != "1" {
		t.Errorf("reads must go on: %s, %v", e.Value, err)
	}
	if why := s.Check(); len(why) != 1 || why[0].Part != "disk" {
		t.Errorf("%v", why)
	}
	disk.free.Store(51 << 20)
	s.checkDisk()
	apply(t, s, put("a", "3"))
}

// TestFailedFsyncAcknowledgesNothing: once the disk fails a commit, the process is to end, and until then
// nothing is taken for durable.
func TestFailedFsyncAcknowledgesNothing(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var broken atomic.Bool
	disk := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			return errors.New("input/output error")
		}
		return nil
	}))
	fatal := make(chan error, 100)
	s, err := Open(Config{Dir: "d", FS: disk, MinFree: 1, Fatal: func(err error) {
		select {
		case fatal <- err:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, put("a", "1"))
	broken.Store(true)
	two := &edge.Batch{Ops: []edge.Op{put("a", "2")}}
	if _, err := s.Apply(t.Context(), two); !errors.Is(err, edge.ErrFailed) {
		t.Fatalf("%v", err)
	}
	if err := <-fatal; err == nil {
		t.Fatal("the process was not told to end")
	}
	if _, err := s.Apply(t.Context(), two); !errors.Is(err, edge.ErrFailed) {
		t.Errorf("a later write: %v", err)
	}
	if why := s.Check(); len(why) == 0 || why[0].Part != "store" {
		t.Errorf("%v", why)
	}
	again := open(t, Config{Dir: "d", FS: mem.CrashClone(vfs.CrashCloneCfg{}), MinFree: 1})
	if e, err := again.Get(t.Context(), []byte("a"), edge.Read{}); err != nil || string(e.Value) != "1" {
		t.Errorf("%s, %v", e.Value, err)
	}
}

func TestAFullQueueSaysBusy(t *testing.T) {
	s := open(t, Config{Queue: 2})
	hold, held := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_ = s.submit(context.Background(), &request{work: func(*writer) error {
			close(held)
			<-hold
			return nil
		}})
	})
	<-held
	busy := make(chan error, 8)
	for i := range 8 {
		all.Go(func() {
			_, err := s.Apply(context.Background(), &edge.Batch{Ops: []edge.Op{put(fmt.Sprint(i), "1")}})
			busy <- err
		})
	}
	for range 6 { // two wait
		if err := <-busy; !errors.Is(err, edge.ErrBusy) {
			t.Errorf("%v", err)
		}
	}
	close(hold)
	all.Wait()
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := open(t, Config{})
	apply(t, s, put("a", "1"), put("b", "1"))
	page := list(t, s, edge.Listing{Limit: 1, Client: "c"})
	watching := make(chan error)
	go func() {
		_, _, err := s.Watch(context.WithoutCancel(t.Context()), nil, 3, 1)
		watching <- err
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err1 := s.Apply(t.Context(), &edge.Batch{Ops: []edge.Op{put("a", "1")}})
	_, err2 := s.Get(t.Context(), []byte("a"), edge.Read{})
	_, err3 := s.List(t.Context(), edge.Listing{Limit: 1, Client: "c", Cursor: page.Next})
	for i, err := range []error{err1, err2, err3, <-watching} {
		if !errors.Is(err, edge.ErrFailed) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	var r recordBuilder
	op := put("a/b", "value")
	r.add(&op)
	f.Add(append([]byte(nil), r.finish(1, 1, 0, timeZero, sessionKey("c", "s"), new(session).encode(nil))...))
	f.Fuzz(func(t *testing.T, b []byte) {
		record, err := DecodeRecord(b)
		if err != nil {
			return
		}
		if len(record.Ops) > len(b) {
			t.Errorf("%d operations in %d bytes", len(record.Ops), len(b))
		}
	})
}

var timeZero = time.UnixMilli(0)
