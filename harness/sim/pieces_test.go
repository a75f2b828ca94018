package sim

import (
	"crypto/rand"
	"strings"
	"testing"

	"metronome/harness/history"
	"metronome/system/wire"
)

// Events come out by time, and those of one time in the order they went in.
func TestQueueIsStable(t *testing.T) {
	var q queue
	r := stream(1, streamNetwork)
	for i := range 1000 {
		q.push(event{at: r.Int64N(50), to: int32(i)})
	}
	last := event{at: -1}
	for len(q.heap) > 0 {
		e := q.pop()
		if e.at < last.at || e.at == last.at && e.to < last.to {
			t.Fatalf("event %d at %d came after event %d at %d", e.to, e.at, last.to, last.at)
		}
		last = e
	}
}

// Every call the generator makes must survive the way into an item and back: else the checkers
// would judge something that was not sent.
func TestCallsSurviveTheirItems(t *testing.T) {
	p := draw(7, Profiles[0])
	for m := range p.mix {
		p.mix[m] = 1
	}
	g := generator{rng: stream(7, streamClients), revisions: map[string]uint64{"k0": 9}}
	for range 2000 {
		c, _ := g.call(&p)
		if g.rng.IntN(2) == 0 && c.Op != wire.OpScan && c.Op != wire.OpCount {
			c.Session, c.Number, c.Low = 5, 7, 3
		}
		it, err := ItemOf(&c)
		if err != nil {
			t.Fatal(err)
		}
		b, err := wire.AppendItem(nil, &it)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		var back wire.Item
		if n, ok := wire.DecodeItem(b, &back); !ok || n != len(b) {
			t.Fatalf("%v does not decode", c)
		}
		if got, ok := CallOf(&back); !ok || got.String() != c.String() {
			t.Fatalf("%v came back as %v", c, got)
		}
	}
}

func TestResultsBecomeAnswers(t *testing.T) {
	multi := &history.Call{Op: wire.OpMulti, Calls: []history.Call{{Op: wire.OpGet}, {Op: wire.OpPut}}}
	parts := wire.AppendResult(nil, &wire.Result{Revision: 3, Value: []byte("x")})
	parts = wire.AppendResult(parts, &wire.Result{Revision: 9})
	for _, c := range []struct {
		call    *history.Call
		result  wire.Result
		outcome history.Outcome
		want    string
	}{
		{&history.Call{Op: wire.OpPut}, wire.Result{Status: wire.StatusBusy}, history.Refused, "status 128"},
		{&history.Call{Op: wire.OpPut}, wire.Result{Status: wire.StatusUnknown}, history.Unknown, "status 130"},
		{&history.Call{Op: wire.OpPut}, wire.Result{}, history.Answered, "blind"},
		{&history.Call{Op: wire.OpGet}, wire.Result{Status: wire.StatusNotFound}, history.Answered, "status 1"},
		{multi, wire.Result{Number: 2, Value: parts}, history.Answered, `revision 3 number 0 value "x"`},
	} {
		o, a := AnswerOf(c.call, &c.result)
		if o != c.outcome || !strings.Contains(a.String(), c.want) {
			t.Errorf("%v, %+v: %v %v, want %v and %q", c.call, c.result, o, a, c.outcome, c.want)
		}
	}
}

// Seeded entropy is the seed's, and the real source comes back.
func TestEntropyIsSeededAndRestored(t *testing.T) {
	before := rand.Reader
	var drawn [2][24]byte
	for i := range drawn {
		restore := seedEntropy(42)
		if _, err := rand.Reader.Read(drawn[i][:]); err != nil {
			t.Fatal(err)
		}
		restore()
	}
	if drawn[0] != drawn[1] || drawn[0] == [24]byte{} {
		t.Errorf("one seed drew %x and %x", drawn[0], drawn[1])
	}
	if rand.Reader != before {
		t.Error("the source of random bytes was not put back")
	}
}

// Swarm: over many seeds every rate and every fault is sometimes absent and sometimes present; those
// of disks where there are some.
func TestEveryRateIsSometimesZero(t *testing.T) {
	const seeds = 500
	disks, err := profileNamed("disk-all")
	if err != nil {
		t.Fatal(err)
	}
	absent := map[string]int{}
	note := func(name string, v float64) {
		if v == 0 {
			absent[name]++
		} else {
			absent[name] += 0
		}
	}
	for seed := range uint64(seeds) {
		p := draw(seed, Profiles[0])
		note("loss", p.loss)
		note("duplicate", p.duplicate)
		note("reorder", p.reorder)
		note("corrupt", p.corrupt)
		note("burst", p.burst)
		note("drift", float64(p.drift))
		note("calm", float64(p.calm))
		for f := range p.faults {
			drawn := p
			if fault(f).ofDisk() {
				drawn = draw(seed, disks)
			}
			note(faultNames[f], float64(drawn.faults[f]))
		}
	}
	for name, n := range absent {
		if n == 0 || n == seeds {
			t.Errorf("%s is absent in %d of %d seeds", name, n, seeds)
		}
	}
}

func TestMainSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--profile", "nonsense"}, "no profile"},
		{[]string{"--seed", "nonsense"}, "no number"},
		{[]string{"--mutation", "nonsense"}, "unknown"},
		{[]string{"--nonsense"}, "not defined"},
	} {
		var out strings.Builder
		if status := Main(c.args, &out); status != 2 || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v: status %d, %q; want 2 and %q", c.args, status, out.String(), c.want)
		}
	}
}
