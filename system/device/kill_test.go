package device

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"metronome/system/device/queue"
)

var (
	kills    = flag.Int("device.kills", 20, "how often TestCrashDevice kills a device")
	killSeed = flag.Uint64("device.seed", 1, "of TestCrashDevice")
)

// victimEnv tells this test program to be the device that is killed.
const victimEnv = "METRONOME_DEVICE_VICTIM"

type victim struct {
	Dir, Edge string
	Life      int
	Seed      uint64
}

// TestMain is the main of the processes that tests start, too.
func TestMain(m *testing.M) {
	for env, be := range map[string]func(string) error{victimEnv: beVictim, readerEnv: beReader} {
		if spec := os.Getenv(env); spec != "" {
			if err := be(spec); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// beVictim enqueues until it is killed, and says on standard output what it was told is durable.
func beVictim(spec string) error {
	var v victim
	if err := json.Unmarshal([]byte(spec), &v); err != nil {
		return err
	}
	d, err := Open(Config{Dir: v.Dir, Client: "lamp", Edges: []string{v.Edge}, Linger: time.Millisecond,
		RetryLeast: time.Millisecond, RetryMost: 10 * time.Millisecond, SegmentBytes: 64 << 10, FreeFloor: 1})
	if err != nil {
		return err
	}
	if s := d.Status(); s.Found.Damaged || s.Found.Anew || s.Found.Copied {
		return fmt.Errorf("life %d found %+v", v.Life, s.Found)
	}
	rng := rand.New(rand.NewPCG(v.Seed, uint64(v.Life)))
	for i := 0; ; i++ {
		value := fmt.Sprintf("%d.%d", v.Life, i)
		if rng.IntN(4) == 0 {
			_, err = d.Put(context.Background(), fmt.Sprint("same", rng.IntN(3)), []byte(value))
		} else if _, err = d.Put(context.Background(), "k"+value, []byte(value)); err == nil {
			_, err = fmt.Fprintln(os.Stdout, value)
		}
		if err != nil {
			return err
		}
	}
}

// Anchors §11, 3: "duplicates or re-sends after restart". A device is killed -9 at random instants,
// over and over; what it was told is durable is executed exactly once, in order.
//
//	go test -run TestCrashDevice ./system/device -device.kills=10000 -device.seed=1
func TestCrashDevice(t *testing.T) {
	b := newBench(t)
	b.edge.Break(flaky(*killSeed))
	rng := rand.New(rand.NewPCG(*killSeed, 0))
	var acknowledged []string
	for life := range *kills {
		v := victim{Dir: b.cfg.Dir, Edge: b.http.URL, Life: life, Seed: *killSeed}
		acknowledged = append(acknowledged, b.oneLife(&v, time.Duration(rng.Int64N(int64(15*time.Millisecond))))...)
	}
	b.edge.Break(nil)
	b.open()
	b.flush(queue.Edge)
	b.executed(fmt.Sprint("seed ", *killSeed), acknowledged)
	b.once()
	b.ascending()
	t.Logf("%d kills, %d puts acknowledged, %d executed, %d requests", *kills, len(acknowledged),
		len(b.edge.Backup().History), b.edge.Requests())
}

// oneLife starts a victim, kills it a while after its first words, and returns what it was told.
func (b *bench) oneLife(v *victim, after time.Duration) (acknowledged []string) {
	b.t.Helper()
	spec, err := json.Marshal(v)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+string(spec))
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for first := true; ; first = false {
		line, err := lines.ReadString('\n')
		if err != nil { // a last line without an end was not said
			if err != io.EOF {
				b.t.Error(err)
			}
			break
		}
		if acknowledged = append(acknowledged, strings.TrimSpace(line)); first {
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); complaints.Len() > 0 || len(acknowledged) == 0 {
		b.t.Fatalf("life %d: %v: %s", v.Life, err, complaints.String())
	}
	return acknowledged
}

// ascending checks that what was executed came in the order in which it was enqueued.
func (b *bench) ascending() {
	b.t.Helper()
	lastLife, lastIndex := -1, -1
	for _, a := range b.edge.Backup().History {
		var life, index int
		if _, err := fmt.Sscanf(a.Value, "%d.%d", &life, &index); err != nil {
			b.t.Fatal(err)
		}
		if life < lastLife || life == lastLife && index <= lastIndex {
			b.t.Fatalf("%s was executed after %d.%d", a.Value, lastLife, lastIndex)
		}
		lastLife, lastIndex = life, index
	}
}
