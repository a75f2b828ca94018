package worker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"metronome/harness/load"
	"metronome/system/packet"
	"metronome/system/packet/dpdk"
	"metronome/system/wire"
)

func setup(lanes int) *Setup {
	return &Setup{Wire: Replay, Cores: 1, Burst: 8, Groups: 1, Shape: load.Shape{Items: 1, KeyBytes: 8,
		ValueBytes: 8, Lanes: lanes, Mode: wire.ModeXXH3, ClusterKey: []byte("key"), Cluster: 1, Proxy: 1,
		Window: 64}}
}

// What one core hands on the others take, each the frames of its own lanes, in order and whole.
func TestHandingOn(t *testing.T) {
	const lanes, cores = 5, 2
	s := setup(lanes)
	port, err := s.newReplay()
	if err != nil {
		t.Fatal(err)
	}
	rings := []*ring{newRing(), newRing()}
	first := s.handing(port, rings)
	var takers []*runner
	for i, r := range rings {
		c, err := s.ingesting(i, r, 1)
		if err != nil {
			t.Fatal(err)
		}
		takers = append(takers, c)
	}
	const polls = 3 * ringSlots / 8 // more than once around each ring
	for range polls {
		for _, r := range append([]*runner{first}, takers...) {
			if _, err := r.poll(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, r := range takers { // a poll takes 8, of up to 8 handed on
		if _, err := r.poll(); err != nil {
			t.Fatal(err)
		}
	}
	var handed Core
	first.read(&handed)
	var got [cores]Core
	for i, r := range takers {
		r.read(&got[i])
	}
	if handed.Dropped != 0 || handed.Frames != polls*8 || got[0].Frames+got[1].Frames != handed.Frames {
		t.Errorf("handed on %+v, taken %+v", handed, got)
	}
	if got[0].Lanes != 3 || got[1].Lanes != 2 {
		t.Errorf("lanes %+v", got)
	}
}

// A full ring refuses, loses nothing that it took, and what was lent stays as it is until the next Recv.
func TestRingIsBounded(t *testing.T) {
	r := newRing()
	for i := range ringSlots {
		if !r.push(fmt.Appendf(nil, "%d", i)) {
			t.Fatalf("frame %d refused", i)
		}
	}
	if r.push([]byte("one more")) || r.push(make([]byte, wire.MaxFrame+1)) {
		t.Error("a full ring took a frame")
	}
	burst := make([][]byte, 3)
	if n, _ := r.Recv(burst); n != 0 {
		t.Errorf("%d frames before they were published", n)
	}
	r.publish()
	if n, _ := r.Recv(burst); n != 3 || string(burst[2]) != "2" {
		t.Fatalf("%d frames, %q", n, burst[:n])
	}
	if r.push([]byte("too early")) || string(burst[0]) != "0" {
		t.Error("a slot that is lent was taken")
	}
	if n, _ := r.Recv(burst); n != 3 || !r.push([]byte("now")) || r.push(make([]byte, wire.MaxFrame+1)) {
		t.Errorf("%d frames; or no place for one, or one for what is too long", n)
	}
	if allocs := testing.AllocsPerRun(100, func() {
		r.push([]byte("frame"))
		r.publish()
		_, _ = r.Recv(burst)
	}); allocs != 0 {
		t.Errorf("%v allocations a frame", allocs)
	}
}

// A replay works through all frames and lets none pass twice.
func TestReplay(t *testing.T) {
	runtime.LockOSThread() // it measures itself by its thread's time
	defer runtime.UnlockOSThread()
	s := setup(3)
	r, err := s.replaying(0)
	if err != nil {
		t.Fatal(err)
	}
	var before, after Core
	for _, c := range []*Core{&before, &after} {
		if _, err := r.poll(); err != nil {
			t.Fatal(err)
		}
		r.read(c)
	}
	f, err := s.Shape.New(1)
	if err != nil {
		t.Fatal(err)
	}
	want := uint64(replayBytes/f.Len()/3) * 3
	if before.Frames != want || after.Frames != 2*want || r.cpu() <= 0 {
		t.Errorf("%d, then %d frames of %d in %d ns", before.Frames, after.Frames, want, r.cpu())
	}
}

// Lanes leave by the socket of their group, and each group's frames in order.
func TestGroups(t *testing.T) {
	var sent [2][]string
	g := &groups{burst: make([][]byte, 0, 4)}
	for i := range sent {
		g.ports = append(g.ports, sink{to: &sent[i]})
	}
	for i := range 4 {
		g.out = append(g.out, dpdk.Out{Payload: []byte(fmt.Sprint(i)), Lane: uint16(i)})
	}
	if n, err := g.Transmit(4); n != 4 || err != nil || fmt.Sprint(sent) != "[[0 2] [1 3]]" {
		t.Errorf("%d, %v: %v", n, err, sent)
	}
}

type sink struct {
	packet.Port
	to *[]string
}

func (s sink) Send(frames [][]byte) (int, error) {
	for _, f := range frames {
		*s.to = append(*s.to, string(f))
	}
	return len(frames), nil
}

func TestCommandRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"receive --cores 0":                  "0 cores",
		"receive --cores 1 --software":       "software distribution",
		"receive --cores 2 --software":       "replay has no queue",
		"receive --wire carrier":             "carrier",
		"send --wire memif --lanes 2":        "0 for 2 lanes",
		"send --wire memif --ports 1,66000":  "66000",
		"receive --wire replay --lanes=-1":   "lanes",
		"send --wire socket --burst 1 extra": "extra",
	} {
		cmd := Command()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(strings.Fields(args))
		cmd.SetIn(strings.NewReader(`{"cmd":"run","duration_ns":1}` + "\n"))
		cmd.SetOut(&bytes.Buffer{})
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// A process that is not told anything ends; one that is tells what came of it.
func TestOneRun(t *testing.T) {
	const run = `{"cmd":"run","duration_ns":1000000,"incarnation":1}` + "\n"
	for in, want := range map[string]int{"": 0, run: 1} {
		cmd, out := Command(), &bytes.Buffer{}
		cmd.SetArgs([]string{"receive", "--lanes", "2"})
		cmd.SetIn(strings.NewReader(in))
		cmd.SetOut(out)
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(out)
		var ready load.Ready
		if err := d.Decode(&ready); err != nil || ready.Event != "ready" {
			t.Fatalf("%+v, %v", ready, err)
		}
		var r Result
		_ = d.Decode(&r) // nothing, if it was told nothing
		if len(r.Cores) != want {
			t.Errorf("told %q: %+v", in, r)
		}
	}
}
