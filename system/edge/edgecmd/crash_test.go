package edgecmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Environment of the crash test.
const (
	beEdge   = "METRONOME_TEST_EDGE" // the test's own binary is an edge on this directory
	killsEnv = "METRONOME_KILLS"     // how often it is killed; default 12
	seedEnv  = "METRONOME_SEED"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(beEdge); dir != "" {
		cmd := Command()
		cmd.SetArgs([]string{"--plain-loopback", "--users=", "--listen=127.0.0.1:0", "--admin=", "--min-free=1",
			"--data=" + dir, "--name=hall"})
		if cmd.Execute() != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// process is an edge that can be killed.
type process struct {
	cmd *exec.Cmd
	url string
}

func spawn(t *testing.T, dir string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), beEdge+"="+dir)
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the edge does not start again: %v", err)
	}
	_, p.url, _ = strings.Cut(strings.TrimSpace(line), ": ")
	return p
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// device is a client that numbers what it sends, and repeats what was not answered.
type device struct {
	name string
	mark uint64          // acknowledged
	sent uint64          // the highest number ever sent
	ends map[uint64]bool // the last numbers of batches that were not acknowledged
	http *http.Client
}

const deviceKeys = 5

// turn sends the next batch: each number goes to one key, so that the state tells the numbers.
func (d *device) turn(url string, n uint64) error {
	last := max(d.sent, d.mark+n)
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"session":"%s","epoch":1,"prev":%d,"mode":"atomic","ops":[`, d.name, d.mark)
	for seq := d.mark + 1; seq <= last; seq++ {
		if seq > d.mark+1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"seq":%d,"op":"put","key":"%s/%d","value":"%d"}`, seq, d.name, seq%deviceKeys, seq)
	}
	b.WriteString("]}")
	d.sent, d.ends[last] = last, true
	r, err := http.NewRequest("POST", url+"/v1/batch", &b)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", fmt.Sprintf("%s-%d", d.name, last))
	resp, err := d.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != 200 || !strings.Contains(string(body), fmt.Sprintf(`"hwm":%d`, last)) {
		return fmt.Errorf("%w: %d %s", errWrong, resp.StatusCode, body)
	}
	d.mark = last
	clear(d.ends)
	return nil
}

var errWrong = errors.New("a wrong answer")

// work sends until the edge is killed.
func (d *device) work(t *testing.T, url string, rng *rand.Rand) {
	for {
		if err := d.turn(url, 1+rng.Uint64N(40)); err != nil {
			if errors.Is(err, errWrong) {
				t.Error(err)
			}
			return
		}
	}
}

// check: what was acknowledged is there; what was sent is there whole or not at all; nothing else.
func (d *device) check(t *testing.T, url string) {
	t.Helper()
	_, body, _ := ask(t, "GET", url+"/v1/sessions/"+d.name, "", "", "")
	var s struct{ Hwm uint64 }
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	if s.Hwm != d.mark && !d.ends[s.Hwm] {
		t.Fatalf("%s: mark %d, want %d, or one of %v that were under way", d.name, s.Hwm, d.mark, d.ends)
	}
	for k := range uint64(deviceKeys) {
		want := s.Hwm - (s.Hwm+deviceKeys-k)%deviceKeys // the last number of this key
		status, got, _ := ask(t, "GET", fmt.Sprintf("%s/v1/kv/%s/%d", url, d.name, k), "", "", "")
		if want > s.Hwm { // it has none yet
			want = 0
		}
		if want == 0 && status != 404 || want > 0 && got != fmt.Sprint(want) {
			t.Fatalf("%s/%d: %d %q at mark %d, want %d", d.name, k, status, got, s.Hwm, want)
		}
	}
}

// TestDuplicatesOrResendsAfterRestart kills an edge at random moments under load: exactly once, in order.
func TestDuplicatesOrResendsAfterRestart(t *testing.T) {
	kills, seed := number(t, killsEnv, 12), uint64(number(t, seedEnv, 1))
	t.Logf("replay: %s=%d %s=%d", killsEnv, kills, seedEnv, seed)
	rng := rand.New(rand.NewPCG(seed, 7))
	dir := t.TempDir()
	var devices []*device
	for i := range 4 {
		devices = append(devices, &device{name: fmt.Sprint("d", i), ends: map[uint64]bool{},
			http: &http.Client{Transport: &http.Transport{}}})
	}
	acknowledged := func() (total uint64) {
		for _, d := range devices {
			total += d.mark
		}
		return total
	}
	for round := 0; round < kills || acknowledged() == 0 && round < 20*kills; round++ { // on a slow disk, later
		p := spawn(t, dir)
		for _, d := range devices {
			d.check(t, p.url)
		}
		var all sync.WaitGroup
		for _, d := range devices {
			own := rand.New(rand.NewPCG(rng.Uint64(), 1))
			all.Go(func() { d.work(t, p.url, own) })
		}
		time.Sleep(time.Duration(rng.Int64N(int64(150*time.Millisecond) * int64(1+round/kills))))
		p.kill()
		all.Wait()
	}
	p := spawn(t, dir)
	for _, d := range devices {
		d.check(t, p.url)
	}
	t.Logf("%d kills, %d numbers acknowledged", kills, acknowledged())
	if acknowledged() == 0 {
		t.Error("nothing was ever acknowledged")
	}
}

func number(t *testing.T, env string, otherwise int) int {
	t.Helper()
	s := os.Getenv(env)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return n
}

// TestSIGTERMEndsInOrder: an edge that is asked to end does, with code 0.
func TestSIGTERMEndsInOrder(t *testing.T) {
	p := spawn(t, t.TempDir())
	if status, _, _ := ask(t, "PUT", p.url+"/v1/kv/a", "1", "", ""); status != 201 {
		t.Fatal(status)
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%v", err)
		}
	case <-ctx.Done():
		t.Error("it does not end")
	}
}
