package master_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"metronome/system/device"
	"metronome/system/device/queue"
	"metronome/system/edge"
	"metronome/system/master/ship"
	"metronome/system/master/vault"
)

// named takes a device by the user name it shows.
type named struct{}

func (named) Authorize(r *http.Request) (edge.Principal, error) {
	user, _, _ := r.BasicAuth()
	return edge.Principal{Name: user, May: func(edge.Verb, []byte) bool { return true }}, nil
}

// serving is an edge's server for devices.
type serving struct {
	server *edge.Server
	done   chan struct{}
}

func (h *home) serve(address string) (*serving, string) {
	h.w.t.Helper()
	s := &serving{done: make(chan struct{})}
	var err error
	if s.server, err = edge.New(edge.Config{Name: h.name, Store: h.store, Access: named{},
		Log: quiet()}); err != nil {
		h.w.t.Fatal(err)
	}
	l := listen(h.w.t, address)
	go func() { defer close(s.done); _ = s.server.Serve(l, nil) }()
	return s, l.Addr().String()
}

func (s *serving) stop() { _ = s.server.Close(); <-s.done }

// sensor is a device with what it has written.
type sensor struct {
	d    *device.Device
	rng  *rand.Rand
	name string
	want map[string]string
}

// write puts and deletes under the sensor's own prefix.
func (s *sensor) write(t *testing.T, round string, n int) {
	for i := range n {
		key := fmt.Sprintf("home/%s/%d", s.name, s.rng.IntN(12))
		if s.rng.IntN(6) == 0 {
			if _, err := s.d.Delete(context.Background(), key); err != nil {
				t.Error(err)
				return
			}
			delete(s.want, key)
			continue
		}
		value := fmt.Sprint(round, i)
		if _, err := s.d.Put(context.Background(), key, []byte(value)); err != nil {
			t.Error(err)
			return
		}
		s.want[key] = value
	}
}

type sensors []*sensor

func newSensors(t *testing.T, n int, url string) (all sensors) {
	for i := range n {
		s := &sensor{name: fmt.Sprintf("sensor-%02d", i), rng: rand.New(rand.NewPCG(uint64(i), 1)),
			want: map[string]string{}}
		var err error
		s.d, err = device.Open(device.Config{Dir: filepath.Join(t.TempDir(), s.name), Client: s.name,
			Edges:  []string{url},
			Linger: time.Millisecond, RetryLeast: 5 * time.Millisecond, RetryMost: 200 * time.Millisecond, BatchOps: 8,
			MaxBytes: 4 << 20, SegmentBytes: 64 << 10, FreeFloor: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.d.Close() })
		all = append(all, s)
	}
	return all
}

// each does something at all sensors at once.
func (all sensors) each(do func(s *sensor)) {
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() { do(s) })
	}
	wg.Wait()
}

func (all sensors) flush(t *testing.T, mark queue.Mark) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	all.each(func(s *sensor) {
		if err := s.d.Flush(ctx, mark); err != nil {
			t.Errorf("%s: %v: %+v", s.name, err, s.d.Status())
		}
	})
}

func (all sensors) want() map[string]string {
	want := map[string]string{}
	for _, s := range all {
		for k, v := range s.want {
			want[k] = v
		}
	}
	return want
}

// TestFiftyDevicesReplayWhatARestoredEdgeLacks: the edge's disk dies after a day without backups;
// the backup of the day before is restored; the devices send the difference again, once.
func TestFiftyDevicesReplayWhatARestoredEdgeLacks(t *testing.T) {
	t.Parallel()
	const devices = 50
	w := newWorld(t)
	h := w.join("hallway").open()
	server, address := h.serve("127.0.0.1:0")
	all := newSensors(t, devices, "http://"+address)
	h.begin()
	all.each(func(s *sensor) { s.write(t, "first ", 20) })
	all.flush(t, queue.BackedUp)
	h.end() // the line to the master is cut: from here on nothing is in a backup
	backedUp := h.store.Status().BackedUp.At
	all.each(func(s *sensor) { s.write(t, "second ", 20) })
	all.flush(t, queue.Edge)
	before := h.store.Status()
	if backedUp == 0 || before.Revision <= backedUp {
		t.Fatalf("at revision %d, backed up to %d: this shows nothing", before.Revision, backedUp)
	}

	server.stop()
	h.close()
	if err := os.RemoveAll(h.dir); err != nil { // the disk dies, certificate and all
		t.Fatal(err)
	}
	all.each(func(s *sensor) { s.write(t, "third ", 5) }) // devices go on meanwhile
	h.enter()
	if !joinedRestorable(t, w, h) {
		t.Error("the master does not say that there is something to restore")
	}
	done, err := ship.Restore(t.Context(), h.member, ship.Client(h.keeper),
		vault.Restoration{Dir: h.data(), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if done.Revision < backedUp || done.Sessions != devices {
		t.Errorf("restored %+v, %d was backed up", done, backedUp)
	}
	h.open().begin()
	server, _ = h.serve(address)
	defer server.stop()
	all.flush(t, queue.BackedUp)
	same(t, holds(t, h.store), all.want())
	replayed := uint64(0)
	for _, s := range all {
		st := s.d.Status()
		replayed += st.Counters.Replayed
		if st.Counters.Lost > 0 || st.DeadLetters > 0 || st.Pending > 0 {
			t.Errorf("%s: %+v", s.name, st)
		}
	}
	if replayed == 0 {
		t.Error("nothing was replayed: this shows nothing")
	}
	_, dir, err := h.restored(vault.Target{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, contents(t, dir), all.want())
}

// joinedRestorable asks again what joining says.
func joinedRestorable(t *testing.T, w *world, h *home) bool {
	t.Helper()
	m, err := ship.Join(t.Context(), ship.Joining{Master: w.url, Token: w.token(h.name), Dir: t.TempDir(),
		Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	return m.Restorable
}
