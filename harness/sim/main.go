package sim

import (
	"crypto/rand"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"metronome/internal/mutate"
	"metronome/system/order/orderers"
)

// options are the command's flags.
type options struct {
	seed     string
	seeds    int
	profile  string
	verbose  int
	keep     bool
	limit    time.Duration
	mutation string
	orderer  string
	system   System
}

// Main is the command `lab sim`: with --seed it replays one simulation, else it runs so many fresh
// ones. It returns the status to exit with: 0 all passed, 1 a violation was found, 2 it was called
// wrongly.
//
//	lab sim --seeds 1000                       fresh seeds over all profiles
//	lab sim --seeds 1000 --orderer multipaxos  ordered by another algorithm
//	lab sim --seed 0x1f --profile crash -v 2   one again, with everything that happens
func Main(args []string, stdout io.Writer) int {
	o, err := parse(args, stdout)
	if err != nil {
		return 2
	}
	if o.system, err = StoreBy(o.orderer); err != nil {
		fmt.Fprintf(stdout, "sim: %v\n", err)
		return 2
	}
	m, known := mutate.Parse(o.mutation)
	single := o.profile
	if single == "all" {
		single = ""
	}
	_, err = profileNamed(single)
	switch {
	case !known || m != mutate.None && !mutate.Enabled:
		fmt.Fprintf(stdout, "sim: mutation %q: unknown, or not in this build: use -tags mutation\n", o.mutation)
		return 2
	case err != nil:
		fmt.Fprintln(stdout, err)
		return 2
	}
	if o.seed != "" {
		return replay(o, m, stdout)
	}
	return many(o, m, stdout)
}

func parse(args []string, stdout io.Writer) (o options, err error) {
	f := flag.NewFlagSet("sim", flag.ContinueOnError)
	f.SetOutput(stdout)
	f.StringVar(&o.seed, "seed", "", "replay this seed, as 0x… or decimal")
	f.IntVar(&o.seeds, "seeds", 200, "how many seeds to run, counted from a fresh one")
	f.StringVar(&o.profile, "profile", "all", "family of faults; all takes them in turn")
	f.IntVar(&o.verbose, "v", 0, "with --seed: 1 prints what befalls the cluster, 2 every delivery too")
	f.BoolVar(&o.keep, "keep-going", false, "go on after a violation")
	f.DurationVar(&o.limit, "limit", 0, "begin no seed after this long; 0 = no limit")
	f.StringVar(&o.orderer, "orderer", orderers.Default, "algorithm that orders cuts: "+
		strings.Join(orderers.Names(), " or "))
	f.StringVar(&o.mutation, "mutation", mutate.None.String(), "break the protocol on purpose; needs the tag")
	return o, f.Parse(args)
}

func replay(o options, m mutate.Mutation, stdout io.Writer) int {
	seed, err := strconv.ParseUint(o.seed, 0, 64)
	if err != nil {
		fmt.Fprintf(stdout, "sim: --seed %s is no number: use 0x… or decimal\n", o.seed)
		return 2
	}
	if o.profile == "all" {
		o.profile = ""
	}
	c := Config{Seed: seed, Profile: o.profile, System: o.system, Mutation: m, Verbose: o.verbose > 1}
	if o.verbose > 0 {
		c.Trace = stdout
	}
	r, err := Run(c)
	if err != nil {
		fmt.Fprintln(stdout, err)
		return 2
	}
	r.Coverage.Print(stdout)
	fmt.Fprintf(stdout, "seed %#x, profile %s: %d ms of virtual time, %d events, %d operations, %d answered, "+
		"%d items, trace %016x\n", seed, r.Profile, r.Virtual/milli, r.Events, r.Operations, r.Answered, r.Items,
		r.Trace)
	return r.judge(stdout)
}

// judge prints the violations, and how to see them again.
func (r *Report) judge(stdout io.Writer) int {
	if len(r.Violations) == 0 {
		return 0
	}
	for _, v := range r.Violations {
		fmt.Fprintf(stdout, "VIOLATION %v\n", v)
	}
	fmt.Fprintf(stdout, "replay: %s\n", r.Replay())
	return 1
}

// freshSeed is where a run of fresh seeds begins. It is read before any simulation replaces the
// source of random bytes.
func freshSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) >> 16 << 16
}

func many(o options, m mutate.Mutation, stdout io.Writer) int {
	first, began, status := freshSeed(), time.Now(), 0
	var sum Report
	sum.Coverage = Coverage{}
	done, profiles := 0, ProfilesFor(o.system)
	fmt.Fprintf(stdout, "sim: %d seeds from %#x, profile %s, orderer %s\n", o.seeds, first, o.profile, o.orderer)
	for ; done < o.seeds && (o.limit == 0 || time.Since(began) < o.limit); done++ {
		profile := o.profile
		if profile == "all" {
			profile = profiles[done%len(profiles)].Name
		}
		r, err := Run(Config{Seed: first + uint64(done), Profile: profile, System: o.system, Mutation: m})
		if err != nil {
			fmt.Fprintln(stdout, err)
			return 2
		}
		sum.add(r)
		if r.judge(stdout) != 0 {
			if status = 1; !o.keep {
				done++
				break
			}
		}
	}
	sum.Coverage.Print(stdout)
	fmt.Fprintf(stdout, "sim: %d seeds, %.0f s of virtual time, %d events, %d operations, %d answered, "+
		"%d items, %.1f s on one of %d cores\n", done, float64(sum.Virtual)/second, sum.Events, sum.Operations,
		sum.Answered, sum.Items, time.Since(began).Seconds(), runtime.NumCPU())
	return status
}

func (r *Report) add(other *Report) {
	r.Virtual += other.Virtual
	r.Events += other.Events
	r.Operations += other.Operations
	r.Answered += other.Answered
	r.Items += other.Items
	r.Coverage.Merge(other.Coverage)
}
