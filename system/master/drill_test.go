package master_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"metronome/system/access/pki"
	"metronome/system/edge"
	"metronome/system/master"
	"metronome/system/master/api"
	"metronome/system/master/keep"
	"metronome/system/master/phi"
	"metronome/system/master/ship"
)

// TestDrill: the newest backup is restored, recounted, compared with what the edge reported, and is
// proven then.
func TestDrill(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open()
	if _, err := admin(w.m, "hallway", "drill"); err == nil || !strings.Contains(err.Error(), "no-backup") {
		t.Errorf("a drill without a backup: %v", err)
	}
	if _, err := admin(w.m, "cellar", "drill"); err == nil || !strings.Contains(err.Error(), "not enrolled") {
		t.Errorf("a drill of nobody: %v", err)
	}
	h.put("a", 0, 500)
	h.begin()
	h.safe()
	h.put("b", 0, 100)
	h.safe()
	w.wait("a report that can be compared with", func() bool {
		e := h.show()
		return e.Report != nil && e.Report.Revision >= e.Newest.Revision && e.Report.Revision <= e.Newest.Reach
	})
	h.admin("drill")
	e := h.show()
	if e.Drill == nil || !e.Drill.Good || e.Proof == nil || !e.Proof.Compared ||
		e.Proof.Backup != e.Newest.Number {
		t.Fatalf("%+v %+v", e.Drill, e.Proof)
	}
	if _, err := os.Stat(filepath.Join(w.cfg.Dir, "drill", "hallway")); err == nil {
		t.Error("the scratch directory is still there")
	}
	w.restart(func() {})
	if again := h.show(); again.Proof == nil || *again.Proof != *e.Proof {
		t.Errorf("after a restart %+v", again.Proof)
	}
	if done, _, err := h.restored(targetNewest()); err != nil || done.Epoch != 1 {
		t.Errorf("a drill used up a restore's number: %+v, %v", done, err)
	}
}

// TestRestoreFailedWhenINeededIt (litestream#582): what cannot be restored is found by a drill, not
// by the fire.
func TestRestoreFailedWhenINeededIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open()
	h.put("a", 0, 500)
	h.begin()
	h.safe()
	h.admin("drill")
	proof := h.show().Proof
	h.end() // the edge is away: nothing heals
	for _, path := range h.objects("chunks") {
		if err := os.Truncate(path, 30); err != nil {
			t.Fatal(err)
		}
	}
	h.admin("drill")
	e := h.show()
	if e.Drill.Good || e.Level != api.Bad || e.Proof == nil || *e.Proof != *proof {
		t.Fatalf("%+v, proof %+v", e.Drill, e.Proof)
	}
	found := false
	for _, f := range e.Findings {
		found = found || f.Code == "drill-failed"
	}
	if !found {
		t.Errorf("%+v", e.Findings)
	}
}

// TestADigestThatDiffers: the edge reported another digest than its backup has.
func TestADigestThatDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway").open()
	h.put("a", 0, 50)
	h.begin(func(c *ship.Config) { c.Describe = func(r *api.Report) { r.Digest = "0123456789abcdef" } })
	h.safe()
	w.wait("a report", func() bool { return h.show().Report != nil })
	h.admin("drill")
	if d := h.show().Drill; d.Good || !strings.Contains(d.Error, "0123456789abcdef") {
		t.Errorf("%+v", d)
	}
}

// TestTheLastProvenBackupStays through pruning, however old.
func TestTheLastProvenBackupStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *master.Config) {
		c.Policy, c.Grace, c.PruneEvery = keep.Policy{Last: 3}, time.Nanosecond, time.Nanosecond
	})
	h := w.join("hallway").open().begin()
	h.put("a", 0, 20)
	h.safe()
	h.admin("drill")
	proven := h.show().Proof.Backup
	for i := range 6 {
		h.end()
		h.put("b", i, i+20)
		h.begin()
		h.safe()
	}
	for range 4 {
		w.m.Tend(t.Context())
	}
	var numbers []uint64
	for _, b := range h.show().Backups {
		numbers = append(numbers, b.Number)
	}
	if len(numbers) != 4 || numbers[0] != proven {
		t.Fatalf("kept %v, %d is proven", numbers, proven)
	}
	done, dir, err := h.restored(targetOf(proven))
	if err != nil || done.Keys != 20 {
		t.Fatalf("%+v, %v", done, err)
	}
	if got := contents(t, dir); got["k000019"] == "" {
		t.Errorf("%v", got)
	}
}

// TestHeartbeats: the master asks, and a server that is not that edge counts for nothing.
func TestHeartbeats(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *master.Config) { c.Heartbeat = 20 * time.Millisecond })
	h := w.join("hallway").open()
	server, err := edge.New(edge.Config{Name: "hallway", Store: h.store, Access: edge.Everybody("x"),
		Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(l, h.keeper.ServerTLS(pki.Policy{Roles: []pki.Role{pki.Device}, Optional: true}))
	}()
	url := "https://" + l.Addr().String()
	h.begin(func(c *ship.Config) { c.Describe = func(r *api.Report) { r.URL = url } })
	w.wait("a heartbeat is answered", func() bool {
		b := h.show().Heartbeat
		return b != nil && b.State == phi.Fresh && b.Interval > 0 && w.m.Status().Heartbeats != "off"
	})
	other := w.join("kitchen").open().begin(func(c *ship.Config) {
		c.Describe = func(r *api.Report) { r.URL = url } // the hallway's
	})
	w.wait("the kitchen is not found at the hallway's", func() bool {
		b := other.show().Heartbeat
		return b != nil && b.State == phi.Suspect && other.show().Passive.State == phi.Fresh
	})
	_ = server.Close()
	<-done
	w.wait("silence is seen", func() bool { return h.show().Heartbeat.State == phi.Suspect })
}

// TestPassiveLiveness: any request of an edge is a sign of life, and silence is noticed, with the
// reason.
func TestPassiveLiveness(t *testing.T) {
	t.Parallel()
	var mono int64 = 1e9
	clock := make(chan int64, 1)
	clock <- mono
	w := newWorld(t, func(c *master.Config) {
		c.Mono = func() int64 { m := <-clock; clock <- m; return m }
	})
	turn := func(by time.Duration) { m := <-clock; clock <- m + int64(by) }
	w.token("cellar")
	h := w.join("hallway")
	client := w.as(h.keeper)
	report := func() {
		r := api.Report{Promise: 10 * time.Second, Clock: w.now(), CertDays: 5, DiskFree: 1, DiskFloor: 2,
			Reasons: []string{"the cat sits on it"}}
		if err := client.Call(t.Context(), http.MethodPost, api.EdgePath("hallway", "report"), r, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 30 {
		report()
		turn(10 * time.Second)
	}
	if e := h.show(); e.Passive.State != phi.Fresh {
		t.Fatalf("%+v", e.Passive)
	}
	turn(5 * time.Second)
	if e := h.show(); e.Passive.State != phi.Late {
		t.Fatalf("%+v", e.Passive)
	}
	turn(25 * time.Second)
	if e := h.show(); e.Passive.State != phi.Suspect || e.Level != api.Bad {
		t.Fatalf("%+v", e.Passive)
	}
	if err := client.Call(t.Context(), http.MethodGet, api.EdgePath("hallway"), nil, nil); err != nil {
		t.Fatal(err)
	}
	e := h.show()
	if e.Passive.State != phi.Fresh {
		t.Fatalf("a request that is no report is a sign of life too: %+v", e.Passive)
	}
	codes := map[string]bool{}
	for _, f := range e.Findings {
		codes[f.Code] = true
	}
	if !codes["certificate"] || !codes["disk"] || !codes["edge"] {
		t.Errorf("%+v", e.Findings)
	}
	turn(20 * time.Minute)
	if e := h.show(); e.Passive.State != phi.Gone {
		t.Fatalf("%+v", e.Passive)
	}
	for _, e := range w.m.Status().Edges {
		if e.Name == "cellar" && (e.Passive.State != phi.Never || e.Findings[0].Code != "never-seen") {
			t.Errorf("%+v", e)
		}
	}
}

// TestAReportsWordsAreBounded: an edge cannot fill the master's memory or page.
func TestAReportsWordsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.join("hallway")
	long := strings.Repeat("x", 1<<14)
	r := api.Report{Promise: 1e18, URL: long, Reasons: make([]string, 50), Incarnation: long}
	for i := range r.Reasons {
		r.Reasons[i] = fmt.Sprint(i, long[:1000])
	}
	if err := w.as(h.keeper).Call(context.Background(), http.MethodPost, api.EdgePath("hallway", "report"), r,
		nil); err != nil {
		t.Fatal(err)
	}
	got := h.show().Report
	if len(got.URL) > 400 || len(got.Reasons) > 16 || len(got.Reasons[0]) > 400 || got.Promise > time.Hour {
		t.Errorf("%+v", got)
	}
}
