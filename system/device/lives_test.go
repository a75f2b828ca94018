package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"metronome/system/device/edgetest"
	"metronome/system/device/queue"
)

// copyDir copies a store's directory, as cp -r does.
func copyDir(t *testing.T, from string) (to string) {
	t.Helper()
	to = t.TempDir()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(from, path)
		if err != nil || e.IsDir() {
			return errors.Join(err, os.MkdirAll(filepath.Join(to, rel), 0o755))
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		out, err := os.Create(filepath.Join(to, rel))
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// count tells how often each value of a key's history was executed.
func (b *bench) count() map[string]int {
	n := map[string]int{}
	for _, a := range b.edge.Backup().History {
		n[a.Value]++
	}
	return n
}

// exactly checks that values v0 … v(n-1) were executed once each.
func (b *bench) exactly(n int) {
	b.t.Helper()
	got := b.count()
	for i := range n {
		if v := fmt.Sprint("v", i); got[v] != 1 {
			b.t.Fatalf("%s was executed %d times; in all %v", v, got[v], got)
		}
	}
	if len(got) != n {
		b.t.Fatalf("%d different values were executed, want %d", len(got), n)
	}
}

func (b *bench) puts(from, to int) {
	b.t.Helper()
	for i := from; i < to; i++ {
		b.put(fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
}

// backsUp makes the edge give the mark "backed_up", at numbers that the test decides.
func (b *bench) backsUp(at *uint64) {
	b.edge.Marks = func(string, uint64) map[string]uint64 { return map[string]uint64{"backed_up": *at} }
}

// Anchors §3: an edge restored from an older backup loses nothing that the device still holds.
func TestRestoredEdgeGetsTheDifferenceAgain(t *testing.T) {
	b := newBench(t)
	var backedUp uint64
	b.backsUp(&backedUp)
	d := b.open()
	b.puts(0, 50)
	b.flush(queue.Edge)
	old := b.edge.Backup()
	b.puts(50, 100)
	b.flush(queue.Edge)
	b.edge.Restore(&old)
	r := b.put("k100", "v100")
	if _, err := d.Wait(b.patient(), r.Number, queue.Edge); err != nil {
		t.Fatal(err)
	}
	b.flush(queue.Edge)
	b.exactly(101)
	b.once()
	if c := d.Status().Counters; c.Replayed < 50 || c.Lost != 0 {
		t.Fatalf("replayed %d, lost %d", c.Replayed, c.Lost)
	}
}

// A flush in a new life asks the edge, which was restored meanwhile, before it believes what the last life
// heard; and without an edge it does not say that all is well.
func TestFlushOfANewLifeAsksTheEdge(t *testing.T) {
	b := newBench(t)
	var backedUp uint64
	b.backsUp(&backedUp)
	b.open()
	b.puts(0, 20)
	b.flush(queue.Edge)
	old := b.edge.Backup()
	b.puts(20, 40)
	b.flush(queue.Edge)
	b.close()
	b.edge.Restore(&old)
	b.open()
	b.flush(queue.Edge)
	b.exactly(40) // when it returned, not some time after
	b.once()
	b.close()
	b.edge.Answer(down)
	d := b.open()
	b.flush(queue.Local)
	ctx, cancel := context.WithTimeout(b.patient(), 20*time.Millisecond)
	defer cancel()
	if err := d.Flush(ctx, queue.Edge); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("with the edge away: %v", err)
	}
	b.edge.Answer(nil)
	b.flush(queue.Edge)
}

func TestBackedUpIsFreedAndTheRestKept(t *testing.T) {
	b := newBench(t)
	var backedUp uint64
	b.backsUp(&backedUp)
	b.cfg.SegmentBytes = 64 << 10
	d := b.open()
	big := string(make([]byte, 8<<10))
	for i := range 100 {
		b.put(fmt.Sprint("k", i), big)
	}
	b.flush(queue.Edge)
	if kept := d.Status().KeptBytes; kept < 100*8<<10 {
		t.Fatalf("%d bytes kept though nothing is backed up", kept)
	}
	b.edge.Break(func(*http.Request, bool) bool { backedUp = d.newest(); return false })
	b.flush(queue.BackedUp)
	b.until("what is backed up is freed", func() bool { return d.Status().KeptBytes == 0 })
}

func TestKeepBytesBoundsWhatIsKept(t *testing.T) {
	b := newBench(t)
	var none uint64
	b.backsUp(&none)
	b.cfg.KeepBytes = 100 << 10
	b.open()
	big := string(make([]byte, 8<<10))
	for i := range 60 {
		b.put(fmt.Sprint("k", i), big)
		b.flush(queue.Edge)
	}
	b.close()
	if kept := b.open().Status().KeptBytes; kept > 100<<10+1<<20 {
		t.Fatalf("%d bytes kept, allowed 100 KiB", kept)
	}
}

// Anchors §4 and §11: a directory that was copied, both copies alive.
func TestClonedDirectory(t *testing.T) {
	b := newBench(t)
	b.edge.Answer(down)
	b.open()
	b.puts(0, 20)
	b.close()
	clone := *b
	clone.cfg.Dir = copyDir(t, b.cfg.Dir)
	b.edge.Answer(nil)

	b.open()
	if !clone.open().Status().Found.Copied {
		t.Fatal("the copy does not know that it is one")
	}
	for i := 20; i < 40; i += 2 {
		b.puts(i, i+1)
		clone.puts(i+1, i+2)
	}
	b.flush(queue.Edge)
	clone.flush(queue.Edge)
	b.exactly(40)
	b.once()
	clone.close()
	clone.open()
	clone.puts(40, 41)
	clone.flush(queue.Edge)
	b.exactly(41)
}

// A copy that opens after the original has moved on leaves the old operations to it.
func TestCloneOfALivingOriginalCedes(t *testing.T) {
	b := newBench(t)
	b.edge.Answer(down)
	b.open()
	b.puts(0, 10)
	clone := *b
	clone.cfg.Dir = copyDir(t, b.cfg.Dir)
	b.close()
	b.edge.Answer(nil)
	b.open() // a later epoch than the copy has taken along
	b.puts(10, 11)
	b.flush(queue.Edge)
	clone.open()
	clone.puts(11, 12)
	clone.flush(queue.Edge)
	b.exactly(12)
}

// The disk was set back to an older state, in place: numbers are used a second time, and nothing of
// that is lost.
func TestDiskSetBackInPlace(t *testing.T) {
	b := newBench(t)
	b.cfg.Place = func() string { return "here" }
	b.open()
	b.puts(0, 10)
	b.flush(queue.Edge)
	b.close()
	old := copyDir(t, b.cfg.Dir)
	b.open()
	b.puts(10, 30)
	b.flush(queue.Edge)
	b.close()

	b.cfg.Dir = old
	d := b.open() // the same epoch as the life that is forgotten, but another instance
	b.puts(30, 35)
	switch err := d.Flush(b.patient(), queue.Edge); {
	case errors.Is(err, ErrFenced):
		if err := d.Adopt(); err != nil {
			t.Fatal(err)
		}
		b.flush(queue.Edge)
	case err != nil:
		t.Fatal(err)
	}
	b.exactly(35)
	b.close()
	b.open()
	b.puts(35, 40)
	b.flush(queue.Edge)
	b.exactly(40)
}

// Anchors §4: a life that was replaced must not write any more, and says so.
func TestZombieEpoch(t *testing.T) {
	b := newBench(t)
	b.cfg.Place = func() string { return "here" } // a network disk: both think that they are at home
	d := b.open()
	b.puts(0, 5)
	b.flush(queue.Edge)
	twin := *b
	twin.cfg.Dir = copyDir(t, b.cfg.Dir)
	twin.open()
	twin.puts(5, 6)
	twin.flush(queue.Edge)

	r := b.put("k6", "v6")
	if _, err := d.Wait(b.patient(), r.Number, queue.Edge); !errors.Is(err, ErrFenced) {
		t.Fatalf("a zombie's write: %v", err)
	}
	if s := d.Status(); s.State != "fenced" {
		t.Fatalf("state %s", s.State)
	}
	b.close()
	d = b.open()
	if s := d.Status(); s.State != "fenced" {
		t.Fatalf("state after a restart: %s: a restart must not decide it", s.State)
	}
	if err := d.Adopt(); err != nil {
		t.Fatal(err)
	}
	b.flush(queue.Edge)
	b.exactly(7 - 0)
}

// Several edges with stores of their own: the others name the home.
func TestHomeEdge(t *testing.T) {
	b := newBench(t)
	other := edgetest.New("garage")
	other.Answer(func(w http.ResponseWriter, _ *http.Request) {
		edgetest.Problem(w, 421, "misdirected", map[string]any{"home": b.http.URL})
	})
	server := httptest.NewServer(other)
	defer server.Close()
	b.cfg.Edges = []string{server.URL, "http://127.0.0.1:1", b.http.URL}
	b.open()
	b.puts(0, 10)
	b.flush(queue.Edge)
	b.exactly(10)
	if other.Requests() > 1 {
		t.Errorf("%d requests to the wrong edge: it named the home at once", other.Requests())
	}
	if s := b.dev.Status(); s.Edge != "hall" {
		t.Errorf("the edge is %q", s.Edge)
	}
}

// A stranger's address is not followed, even if an edge names it.
func TestForeignHomeIsNotFollowed(t *testing.T) {
	stranger := edgetest.New("stranger")
	server := httptest.NewServer(stranger)
	defer server.Close()
	b := newBench(t)
	b.edge.Answer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/kv/a" {
			http.Redirect(w, r, server.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		edgetest.Problem(w, 421, "misdirected", map[string]any{"home": server.URL})
	})
	d := b.open()
	b.puts(0, 1)
	b.until("3 requests", func() bool { return b.edge.Requests() >= 3 })
	_, _ = d.Get(b.patient(), "a")
	if stranger.Requests() > 0 {
		t.Fatal("the device went to an address that it was not given")
	}
}

// Edges over the replicated core share sessions: any of them continues.
func TestAnyEdgeOfTheCoreContinues(t *testing.T) {
	b := newBench(t)
	second := httptest.NewServer(b.edge) // the same state under another address
	defer second.Close()
	b.cfg.Edges = append(b.cfg.Edges, second.URL)
	b.open()
	b.puts(0, 20)
	b.flush(queue.Edge)
	b.http.CloseClientConnections()
	b.http.Close()
	b.puts(20, 40)
	b.flush(queue.Edge)
	b.exactly(40)
	b.once()
}
