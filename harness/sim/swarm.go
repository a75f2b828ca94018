package sim

import (
	"fmt"
	"math/rand/v2"
)

// Units of virtual time, in nanoseconds.
const (
	micro  = 1_000
	milli  = 1_000_000
	second = 1_000_000_000
)

// params is one seed's draw: what the cluster is like and what befalls it. Swarm testing (Groce et
// al. 2012): every rate is sometimes zero, because a fault that is always there hides others.
type params struct {
	replicas, proxies, clients int
	operations                 int
	safety                     int64 // length of the safety phase

	tick              int64
	delay             int64 // typical one-way delay
	jitter, asymmetry float64
	loss, duplicate   float64
	reorder, corrupt  float64
	burst, burstEnd   float64 // of losing everything, per datagram
	reconnect         int64

	clockOffset, drift int64
	skewed             bool
	level              int

	disk diskParams

	faults    [faultCount]int // weights
	calm      int64           // mean time between faults; 0 = none
	restore   bool            // in the end, found a new cluster on a backup
	unlimited bool            // beyond the fault model: safety only
	altered   float64         // probability that a frame to seat 0 is another one, and valid

	depth   int // operations a connection has outstanding
	keys    int
	think   int64
	timeout int64
	mix     [mixCount]int // weights of operations

	accepts   int   // how many have to accept a decision; 0: a majority
	anyQuorum bool  // demand progress of a bare quorum
	deserted  bool  // in the end, demand that replicas come to one state although all proxies are gone
	patience  int64 // how long progress may take once healed
}

// Profile is a family of draws.
type Profile struct {
	Name, Doc string
	adjust    func(r *rand.Rand, p *params)
}

// endsLives says that a profile is about lives that end and new ones that join.
func (p *Profile) endsLives() bool { return p.Name == "disk-damage" }

// ProfilesFor are those that a system can have: all, or those that end no life.
func ProfilesFor(s System) (all []Profile) {
	for _, p := range Profiles {
		if f, ok := s.(Fixed); !ok || !f.Static() || !p.endsLives() {
			all = append(all, p)
		}
	}
	return all
}

// Profiles are the families there are; the first is the usual one.
var Profiles = []Profile{
	{"swarm", "everything, each sometimes absent", func(*rand.Rand, *params) {}},
	{"calm", "no faults and a perfect network", func(_ *rand.Rand, p *params) {
		p.calm, p.loss, p.duplicate, p.reorder, p.corrupt, p.burst = 0, 0, 0, 0, 0, 0
	}},
	{"network", "a bad network, processes stay up", func(_ *rand.Rand, p *params) {
		for f := range p.faults {
			if !fault(f).ofNetwork() {
				p.faults[f] = 0
			}
		}
	}},
	{"crash", "replicas crash and rejoin as new lives, often", func(_ *rand.Rand, p *params) {
		p.faults[faultCrash], p.calm = 40, 15*milli
	}},
	{"proxy", "proxies crash, linger and double", func(_ *rand.Rand, p *params) {
		p.faults[faultProxyCrash], p.faults[faultProxyZombie], p.faults[faultProxyTwin] = 20, 20, 20
		p.faults[faultMidRange], p.calm = 20, 20*milli
	}},
	{"wide", "five or seven replicas and more clients", func(r *rand.Rand, p *params) {
		p.replicas, p.proxies, p.clients = 5+2*r.IntN(2), 3, 6
	}},
	{"whole", "few operations, so that histories are also judged whole", func(_ *rand.Rand, p *params) {
		p.operations, p.keys = 40, 4
	}},
	{"disk", "replicas keep their state on disks; power fails, for one and for all", func(r *rand.Rand,
		p *params) {
		p.onDisks(r, faultCrash, faultCrashLeader, faultKill, faultPowerAll, faultPlug, faultIOError)
	}},
	{"disk-damage", "disks are damaged or wiped, one after another", func(r *rand.Rand, p *params) {
		p.onDisks(r, faultWipe, faultDamage, faultDamage, faultKill, faultPowerAll)
	}},
	{"disk-slow", "disks are slow", func(r *rand.Rand, p *params) {
		p.onDisks(r, faultDiskSlow, faultDiskSlow, faultPowerAll)
	}},
	{"disk-full", "disks are full", func(r *rand.Rand, p *params) {
		p.onDisks(r, faultDiskFull, faultDiskFull, faultKill)
	}},
	{"disk-all", "everything that befalls disks, together", func(r *rand.Rand, p *params) {
		p.onDisks(r, faultCrash, faultKill, faultPowerAll, faultPlug, faultIOError, faultDiskFull, faultDiskSlow,
			faultWipe, faultDamage)
	}},
	{"disk-restore", "in the end a new cluster begins with a backup of the old one", func(r *rand.Rand,
		p *params) {
		p.onDisks(r, faultCrash, faultKill)
		p.restore, p.operations = true, p.operations+100
		p.mix[mixCAS] += 4
	}},
	{"leaders", "leaders are killed, cut off and stopped again and again; disks", func(r *rand.Rand,
		p *params) {
		p.onDisks(r, faultCrashLeader)
		p.loss, p.corrupt, p.burst = 0, 0, 0
		clear(p.faults[:])
		for _, f := range []fault{faultCrashLeader, faultPauseLeader, faultIsolate, faultOneWay, faultHalves,
			faultBridge, faultPowerAll} {
			p.faults[f] = r.IntN(12)
		}
		p.faults[faultCrashLeader]++
		p.replicas, p.calm, p.disk.restart = 3+2*r.IntN(2), 3*milli+r.Int64N(15*milli), 1+r.Int64N(20*milli)
	}},
	{"altered", "one replica's memory holds other values than were sent: safety only", func(_ *rand.Rand,
		p *params) {
		p.altered, p.mix[mixPut] = 0.05, p.mix[mixPut]+8
	}},
	{"unlimited", "more faults than promised: safety of what was agreed only", func(_ *rand.Rand, p *params) {
		p.unlimited, p.calm = true, 10*milli
	}},
}

// fixMembers takes out what ends lives, where no new ones can come: replicas that crash have disks
// or do not crash.
func (p *params) fixMembers(r *rand.Rand, always bool) {
	p.faults[faultWipe], p.faults[faultDamage] = 0, 0
	crashes := p.faults[faultCrash]+p.faults[faultCrashLeader] > 0
	if !p.disk.on && crashes && (always || r.IntN(2) == 0) {
		p.disk = diskParams{on: true, sync: 20*micro + r.Int64N(milli), flush: 0.3 * float64(r.IntN(3)),
			saveStep: 1 + r.IntN(32<<10), audits: 0.02, restart: 1 + r.Int64N(60*milli)}
	} else if !p.disk.on {
		p.faults[faultCrash], p.faults[faultCrashLeader] = 0, 0
	}
	if p.replicas >= 5 && r.IntN(4) == 0 {
		p.accepts = p.replicas/2 + 2
	}
}

// onDisks gives replicas disks, which some faults befall. Half of the seeds have no other faults.
func (p *params) onDisks(r *rand.Rand, faults ...fault) {
	p.disk = diskParams{on: true, sync: 50*micro + r.Int64N(2*milli), flush: 0.3 * float64(r.IntN(3)),
		saveStep: 1 + r.IntN(32<<10), audits: 0.02, restart: 1 + r.Int64N(60*milli),
		again: 0.1 * float64(r.IntN(3))}
	if r.IntN(2) == 0 {
		clear(p.faults[:])
		p.loss, p.duplicate, p.reorder, p.corrupt, p.burst = 0, 0, 0, 0, 0
	}
	for _, f := range faults {
		p.faults[f] += r.IntN(20)
	}
	p.calm = 8*milli + r.Int64N(40*milli)
}

// profileNamed finds a profile; an empty name is the usual one.
func profileNamed(name string) (Profile, error) {
	if name == "" {
		return Profiles[0], nil
	}
	known := ""
	for _, p := range Profiles {
		if p.Name == name {
			return p, nil
		}
		known += " " + p.Name
	}
	return Profile{}, fmt.Errorf("sim: no profile %q: use one of%s", name, known)
}

// draw makes a seed's parameters.
func draw(seed uint64, profile Profile) params {
	r := stream(seed, streamSwarm)
	sometimes := func(zero int, most float64) float64 {
		if r.IntN(100) < zero {
			return 0
		}
		return most * r.Float64() * r.Float64()
	}
	p := params{
		replicas: []int{3, 3, 3, 3, 5, 5, 7}[r.IntN(7)], proxies: 1 + r.IntN(3), clients: 2 + r.IntN(4),
		operations: 60 + r.IntN(120), safety: 200*milli + r.Int64N(300*milli),
		tick: milli, delay: 20*micro + r.Int64N(200*micro),
		jitter: r.Float64(), asymmetry: sometimes(50, 8),
		loss: sometimes(40, 0.3), duplicate: sometimes(50, 0.4), reorder: sometimes(50, 0.4),
		corrupt: sometimes(60, 0.1), burst: sometimes(60, 0.02), burstEnd: 0.02 + 0.3*r.Float64(),
		reconnect:   r.Int64N(10 * milli),
		clockOffset: 1 + r.Int64N(3600*second), drift: int64(sometimes(40, 30_000)), skewed: r.IntN(2) == 0,
		calm:  8*milli + r.Int64N(60*milli),
		depth: 1 + r.IntN(6), keys: 2 + r.IntN(12), think: 200*micro + r.Int64N(6*milli),
		timeout: 30*milli + r.Int64N(120*milli), anyQuorum: true, patience: 5 * second,
	}
	for f := range p.faults {
		if !fault(f).ofDisk() {
			p.faults[f] = max(0, r.IntN(16)-6)
		}
	}
	for m := range p.mix {
		p.mix[m] = max(0, r.IntN(14)-4)
	}
	p.mix[mixPut] += 2
	if r.IntN(8) == 0 {
		p.calm = 0
	}
	profile.adjust(r, &p)
	p.deserted = stream(seed, streamDeserted).IntN(3) == 0
	return p
}

// pick draws from weights; -1 if all are zero.
func pick(r *rand.Rand, weights []int) int {
	sum := 0
	for _, n := range weights {
		sum += n
	}
	if sum == 0 {
		return -1
	}
	at := r.IntN(sum)
	for i, n := range weights {
		if at -= n; at < 0 {
			return i
		}
	}
	return -1
}
