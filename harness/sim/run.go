package sim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"strings"

	"metronome/harness/history"
	"metronome/internal/mutate"
	"metronome/system/order/orderers"
	"metronome/system/wire"
)

// Config says what to simulate.
type Config struct {
	Seed    uint64
	Profile string    // one of Profiles; empty = the first
	System  System    // nil = the store
	Trace   io.Writer // what happens, for people; nil = nothing
	Verbose bool      // every delivery too
	// Mutation to be on while the simulation runs; only in builds with the tag "mutation".
	Mutation mutate.Mutation

	adjust func(*params) // tests: change what was drawn
}

// Report is what a simulation found.
type Report struct {
	Seed       uint64
	Profile    string
	Violations []history.Violation // none: it passed
	Trace      uint64              // a hash of everything that happened
	Events     uint64
	Virtual    int64 // nanoseconds of virtual time
	Operations int
	Answered   int
	Items      int
	Coverage   Coverage

	orderer string // not the default one
}

// Replay is the line that runs this simulation again.
func (r *Report) Replay() string {
	line := fmt.Sprintf("go run ./harness/cmd/lab sim --seed %#x --profile %s", r.Seed, r.Profile)
	if r.orderer != "" {
		line += " --orderer " + r.orderer
	}
	return line
}

// Run simulates one seed. It replaces the process' source of random bytes while it runs (R18): one
// simulation at a time, and nothing beside it that needs secrets.
func Run(c Config) (*Report, error) {
	profile, err := profileNamed(c.Profile)
	if err != nil {
		return nil, err
	}
	if c.System == nil {
		return nil, fmt.Errorf("sim: no system to simulate")
	}
	defer seedEntropy(c.Seed)()
	mutate.Set(c.Mutation)
	defer mutate.Set(mutate.None)
	p := draw(c.Seed, profile)
	if f, ok := c.System.(Fixed); ok && f.Static() {
		if profile.endsLives() {
			return nil, fmt.Errorf("sim: profile %s ends lives, and this orderer's members are fixed", profile.Name)
		}
		p.fixMembers(stream(c.Seed, streamMembers), profile.Name == "crash" || profile.Name == "unlimited")
	}
	if c.adjust != nil {
		c.adjust(&p)
	}
	w := newWorld(&c, p)
	w.survive(w.play)
	report := w.report(profile.Name)
	if o, ok := c.System.(interface{ Orderer() string }); ok && o.Orderer() != orderers.Default {
		report.orderer = o.Orderer()
	}
	return report, nil
}

// survive turns a panic of a core into a violation, with the place.
func (w *world) survive(do func()) {
	defer func() {
		if r := recover(); r != nil {
			w.truth.fail("panic", "%v at %s", r, place(debug.Stack()))
		}
	}()
	do()
}

// place is the innermost frames of a stack that are ours, after the panic itself.
func place(stack []byte) string {
	_, after, _ := strings.Cut(string(stack), "panic(")
	var frames []string
	for _, line := range strings.Split(after, "\n") {
		if strings.Contains(line, ".go:") {
			at, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			frames = append(frames, shorten(at))
		}
	}
	return strings.Join(frames[min(1, len(frames)):min(5, len(frames))], " < ")
}

// shorten keeps the last two parts of a path: what is before depends on the machine.
func shorten(path string) string {
	parts := strings.Split(path, "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}

// twins is how many slots there are for second processes under a proxy's number.
const twins = 2

func newWorld(c *Config, p params) *world {
	w := &world{seed: c.Seed, params: p, system: c.System, cover: Coverage{}, rng: stream(c.Seed, streamProcess)}
	w.trace = trace{hash: c.Seed, out: c.Trace, verbose: c.Verbose}
	w.truth = newTruth(w)
	w.net = newNetwork(stream(c.Seed, streamNetwork), &p, p.replicas+p.proxies+twins)
	w.work = newWorkload(stream(c.Seed, streamClients), &p)
	w.fault = nemesis{rng: stream(c.Seed, streamNemesis)}
	for i := range p.replicas + p.proxies + twins {
		peer := wire.ReplicaPeer(i)
		if i >= p.replicas {
			peer = wire.ProxyPeer(uint32(i - p.replicas + 1))
		}
		w.procs = append(w.procs, &process{slot: int32(i), peer: peer})
		if p.disk.on && i < p.replicas {
			w.procs[i].disk = newSeatDisk(c.Seed, i)
		}
	}
	return w
}

// firstSpare is the first slot kept for a proxy's twin.
func (w *world) firstSpare() int { return w.params.replicas + w.params.proxies }

// pickWith is random with another source.
func (n *nemesis) pickWith(rng *rand.Rand, w *world, fits func(*process) bool) *process {
	other := nemesis{rng: rng}
	return other.random(w, fits)
}

// play is a simulation from birth to the last comparison.
func (w *world) play() {
	w.trace.note(w, "parameters %+v", w.params)
	for _, p := range w.procs[:w.firstSpare()] {
		if p.peer.IsReplica() {
			w.truth.members.voters = append(w.truth.members.voters, 1<<8|uint64(p.peer.Seat()))
		}
	}
	for _, p := range w.procs[:w.firstSpare()] {
		w.start(p)
	}
	for _, c := range w.work.clients {
		w.work.sleep(w, c, w.work.rng.Int64N(w.params.think)+1)
	}
	w.fault.plan(w)
	w.planBackup()
	w.run(w.params.safety, nil)
	w.fault.over = true
	if w.params.unlimited || w.params.altered > 0 {
		return
	}
	w.desert()
	w.progress()
	w.converge()
	if w.params.restore && !w.truth.failed() {
		w.restore()
	}
}

// maxOverlap is up to how many operations at once porcupine is asked: its search doubles with each.
const maxOverlap = 9

func (w *world) report(profile string) *Report {
	r := &Report{Seed: w.seed, Profile: profile, Trace: w.trace.hash, Events: w.steps, Virtual: w.now,
		Operations: len(w.work.ops), Items: len(w.truth.items), Coverage: w.cover}
	for i := range w.work.ops {
		if w.work.ops[i].Outcome == history.Answered {
			r.Answered++
		}
	}
	if w.truth.failed() {
		r.Violations = append(r.Violations, *w.truth.violation)
		return r
	}
	h := w.work.history(w)
	if w.params.unlimited || w.params.altered > 0 {
		return r // who fetches from a bad memory gets what it holds: no promise to clients
	}
	if r.Violations = history.Exact(h); len(r.Violations) > 0 {
		return r
	}
	if w.generation > 0 {
		return r // what the old cluster answered beyond the backup is undone
	}
	budget := history.Budget{Keys: 3, Whole: 60, Overlap: maxOverlap, Steps: 2_000_000}
	f := history.Linearizable(h, budget, stream(w.seed, streamJudge).IntN)
	w.cover["history or key judged by porcupine"] += uint64(f.Judged)
	w.cover["history or key with too much overlap for porcupine"] += uint64(f.Passed)
	switch f.Verdict {
	case history.Illegal:
		r.Violations = []history.Violation{{Rule: "linearizable", Text: "no order explains " + f.What}}
	case history.Unfinished:
		r.Violations = []history.Violation{{Rule: "unfinished", Text: "porcupine's budget ran out on " + f.What}}
	}
	return r
}
