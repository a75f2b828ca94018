package mastercmd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"metronome/system/access"
	"metronome/system/access/secretfile"
	"metronome/system/device"
	"metronome/system/device/queue"
	"metronome/system/edge"
	"metronome/system/edge/edgecmd"
)

// house is an edge as operators run it, and its devices.
type house struct {
	*operator
	edge    edgecmd.Options
	stop    func()
	running *edgecmd.Edge
	sensors []*sensor
}

// sensor is a device, and what its edge has to hold in the end.
type sensor struct {
	*device.Device
	name, token string
	rng         *rand.Rand
	want        map[string]string
}

func newHouse(o *operator, master string, sensors int) *house {
	o.Helper()
	h := &house{operator: o, edge: edgecmd.Defaults()}
	dir := o.TempDir()
	member := filepath.Join(dir, "member")
	token := o.must("", "enroll", "hallway", "--host", "127.0.0.1")
	o.must(token, "edge", "join", "--master", master, "--member", member)
	h.edge.Member, h.edge.Data = member, filepath.Join(dir, "data")
	h.edge.Users, h.edge.Listen, h.edge.Admin = filepath.Join(dir, "users.yaml"), "127.0.0.1:0", ""
	h.edge.MinFree, h.edge.ShipEvery, h.edge.ReportEvery = 1, 10*time.Millisecond, 200*time.Millisecond
	h.edge.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	f := access.NewFile()
	for i := range sensors {
		s := &sensor{name: fmt.Sprintf("sensor-%02d", i), rng: rand.New(rand.NewPCG(uint64(i), 5)),
			want: map[string]string{}}
		token, stored := access.NewToken()
		s.token = token
		if err := f.Add(s.name, access.User{Role: access.RoleDevice, Token: stored, Home: "hallway",
			Rights: []access.Right{{Prefix: "home/" + s.name + "/",
				Verbs: []string{"read", "write", "delete"}}}}); err != nil {
			o.Fatal(err)
		}
		h.sensors = append(h.sensors, s)
	}
	text, err := f.Marshal()
	if err == nil {
		err = secretfile.Write(h.edge.Users, text)
	}
	if err != nil {
		o.Fatal(err)
	}
	return h
}

// start starts the edge, where it was before.
func (h *house) start() {
	h.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	h.running, err = edgecmd.Start(ctx, h.edge)
	for end := time.Now().Add(time.Minute); errors.Is(err, unix.EADDRINUSE) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // somebody has it for a moment
		h.running, err = edgecmd.Start(ctx, h.edge)
	}
	if err != nil {
		cancel()
		h.Fatal(err)
	}
	h.edge.Listen = h.running.Addr.String()
	done := make(chan error, 1)
	go func() { done <- h.running.Wait() }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.Error(err)
		}
	})
	h.Cleanup(h.stop)
}

// open opens the devices' stores.
func (h *house) open() {
	h.Helper()
	ca, err := os.ReadFile(filepath.Join(h.edge.Member, "ca.crt"))
	if err != nil {
		h.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for _, s := range h.sensors {
		s.Device, err = device.Open(device.Config{Dir: filepath.Join(h.TempDir(), s.name), Client: s.name,
			Password: s.token, Edges: []string{h.running.URL}, HTTP: client, BatchOps: 8, Linger: time.Millisecond,
			RetryLeast: 5 * time.Millisecond, RetryMost: 200 * time.Millisecond, MaxBytes: 4 << 20,
			SegmentBytes: 64 << 10, FreeFloor: 1})
		if err != nil {
			h.Fatal(err)
		}
		h.Cleanup(func() { _ = s.Close() })
	}
}

// each does something at all sensors at once.
func (h *house) each(do func(s *sensor)) {
	var all sync.WaitGroup
	for _, s := range h.sensors {
		all.Go(func() { do(s) })
	}
	all.Wait()
}

// write puts and deletes, and remembers.
func (h *house) write(round string, n int) {
	h.each(func(s *sensor) {
		for i := range n {
			key, value := fmt.Sprintf("home/%s/%d", s.name, s.rng.IntN(12)), fmt.Sprint(round, i)
			var err error
			if s.rng.IntN(6) == 0 {
				_, err = s.Delete(h.Context(), key)
				delete(s.want, key)
			} else {
				_, err = s.Put(h.Context(), key, []byte(value))
				s.want[key] = value
			}
			if err != nil {
				h.Error(err)
				return
			}
		}
	})
}

func (h *house) flush(mark queue.Mark) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 5*time.Minute)
	defer cancel()
	h.each(func(s *sensor) {
		if err := s.Flush(ctx, mark); err != nil {
			h.Errorf("%s: %v: %+v", s.name, err, s.Status())
		}
	})
}

// compare compares the edge with what the sensors wrote.
func (h *house) compare() {
	h.Helper()
	want, got := 0, map[string]string{}
	for l := (edge.Listing{Limit: edge.MaxPage, Client: "test"}); ; {
		page, err := h.running.Local.List(h.Context(), l)
		if err != nil {
			h.Fatal(err)
		}
		for _, e := range page.Items {
			got[string(e.Key)] = string(e.Value)
		}
		if page.Next == "" {
			break
		}
		l = edge.Listing{Client: "test", Cursor: page.Next}
	}
	for _, s := range h.sensors {
		want += len(s.want)
		for key, value := range s.want {
			if got[key] != value {
				h.Errorf("%s: %q, want %q", key, got[key], value)
			}
		}
	}
	if len(got) != want {
		h.Errorf("%d keys, want %d", len(got), want)
	}
}

// TestYesterdaysBackupAndFiftyDevices goes the way of an operator whose edge's disk has died: backups
// had failed for a day, the last one is restored by metronome master restore, and fifty devices with
// journals of their own, over HTTPS and with their credentials, send again what it lacks.
func TestYesterdaysBackupAndFiftyDevices(t *testing.T) {
	o := newOperator(t)
	r, stopMaster := o.serve()
	h := newHouse(o, r.URL, 50)
	h.start()
	h.open()
	h.write("yesterday ", 20)
	h.flush(queue.BackedUp)
	stopMaster() // from here on nothing is in a backup
	backedUp := h.running.Local.Status().BackedUp.At
	h.write("today ", 20)
	h.flush(queue.Edge)
	last := h.running.Local.Status()
	h.compare()
	h.stop()
	if err := os.RemoveAll(h.edge.Data); err != nil {
		t.Fatal(err)
	}
	h.write("while it is down ", 5)

	out := o.must("", "restore", "hallway", "--to", h.edge.Data)
	if !strings.Contains(out, "50 sessions") || backedUp == 0 || last.Revision <= backedUp {
		t.Errorf("%d backed up, %d at the end: %s", backedUp, last.Revision, out)
	}
	_, _ = o.serve(func(opts *Options) { opts.Listen = strings.TrimPrefix(r.URL, "https://") })
	h.start()
	h.flush(queue.BackedUp)
	h.compare()
	replayed := uint64(0)
	for _, s := range h.sensors {
		st := s.Status()
		replayed += st.Counters.Replayed
		if st.Counters.Lost > 0 || st.DeadLetters > 0 || st.Pending > 0 {
			t.Errorf("%s: %+v", s.name, st)
		}
	}
	if replayed == 0 {
		t.Error("nothing was sent again: this shows nothing")
	}
	t.Logf("%d revisions were backed up, %d were not; %d operations were sent again", backedUp,
		last.Revision-backedUp, replayed)
}
