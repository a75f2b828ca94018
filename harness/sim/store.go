package sim

import (
	"fmt"
	"slices"

	"metronome/harness/history"
	"metronome/internal/mutate"
	"metronome/system/lane"
	"metronome/system/node"
	"metronome/system/order"
	"metronome/system/order/orderers"
	"metronome/system/replica"
	"metronome/system/store"
	"metronome/system/wire"
)

// The store under test, small: bounds are low so that they are met.
const (
	storeCluster   = 0x5eed
	storeSessions  = 4
	storeWindow    = 12
	storeIdle      = 400 // ticks
	storeFrames    = 512
	storeItem      = 36 << 10 // the largest item
	storeTick      = milli
	storeElection  = 12 // ticks
	storeHeartbeat = 2
	storeChunk     = 128 // bytes of a snapshot in one message, at least; then doubled up to so many times
	storeChunks    = 12
)

// Store is the replicated store of system/replica and system/proxy, ordered by the default algorithm.
func Store() System {
	s, _ := StoreBy("") // the default is known
	return s
}

// StoreBy is the store ordered by an algorithm of package orderers.
func StoreBy(algorithm string) (System, error) {
	by, err := orderers.Parse(algorithm)
	return storeSystem{by}, err
}

type storeSystem struct{ by orderers.Choice }

// Orderer names the algorithm.
func (s storeSystem) Orderer() string { return s.by.String() }

// Static reports that members are fixed.
func (s storeSystem) Static() bool { return s.by.Static() }

// Switched is the store ordered by the next algorithm of the table.
func (s storeSystem) Switched() System {
	names := orderers.Names()
	next, _ := StoreBy(names[(slices.Index(names, s.by.String())+1)%len(names)])
	return next
}

// Describe says what a replica's message to another is.
func (s storeSystem) Describe(k wire.Kind, b []byte) string {
	if k != wire.KindOrder || len(b) < orderHeader {
		return k.String()
	}
	return s.by.Describe(b[orderHeader:])
}

// orderHeader is how many bytes of addresses precede an orderer's message.
const orderHeader = 16

// Limits are the same for every replica.
func (storeSystem) Limits() history.Limits {
	return history.Limits{Window: storeWindow, Sessions: storeSessions, Idle: storeIdle}
}

// Decision reads a decision as system/order wrote it.
func (storeSystem) Decision(b []byte) (d Decision, err error) {
	in, err := order.DecodeDecision(b)
	if err != nil {
		return d, err
	}
	for _, m := range in.Cut {
		d.Cut = append(d.Cut, Mark{uint32(m.Lane), m.Items})
	}
	for i := range in.Commands {
		switch c := &in.Commands[i]; c.Kind {
		case order.OpenLanes, order.OpenLanesFrom:
			d.Opens = append(d.Opens, Opening{c.Proxy, c.Nonce, int(c.Lanes), c.Incarnation})
		case order.CloseProxy:
			d.Closes = append(d.Closes, Closing{c.Proxy, c.Incarnation})
		}
	}
	return d, nil
}

// Forge changes a value in a frame and seals the frame again.
func (storeSystem) Forge(frame []byte) []byte {
	var h wire.Header
	opener := wire.Opener{Cluster: storeCluster, Digest: digester()}
	if opener.Open(frame, &h) != wire.OK || h.Type != wire.TypeData {
		return nil
	}
	forged := append([]byte(nil), opener.Opened(frame, &h)...)
	for b := wire.Items(forged); len(b) > 0; {
		var it wire.Item
		n, ok := wire.DecodeItem(b, &it)
		if !ok {
			return nil
		}
		if it.Op == wire.OpPut && len(it.Value) > 0 {
			it.Value[len(it.Value)-1] ^= 1
			return resealed(forged, &h)
		}
		b = b[n:]
	}
	return nil
}

func resealed(frame []byte, h *wire.Header) []byte {
	if wire.Seal(frame, h, digester()) != nil {
		return nil
	}
	return frame
}

// storeReplica drives a replica and turns what it can see of it into what an Observer hears.
type storeReplica struct {
	*replica.Replica
	c  ReplicaConfig
	by orderers.Choice
	o  Observer // nil: not watched yet

	commits   []commit           // of the call under way
	before    []func(o Observer) // batches before it was watched
	base      uint64             // index before the first of these
	installed uint64
	index     uint64
	hash      uint64
	seen      replica.View
	bounds    []replica.Bound
	stale     bool   // seen may have changed
	applied   bool   // index and hash have changed
	calls     uint64 // of apply
}

type commit struct {
	position uint64
	decision []byte
}

// Replica makes a life. Under a mutation a lost one comes back by its old id.
func (s storeSystem) Replica(c ReplicaConfig, o Observer) Replica {
	r := &storeReplica{c: c, by: s.by, o: o, stale: true}
	core, err := replica.New(r.config())
	if err != nil {
		panic(fmt.Sprintf("sim: a replica that cannot be made: %v", err))
	}
	r.Replica = core
	if c.Found || mutate.On(mutate.RestartUnderOldID) {
		r.found()
	}
	return r
}

func (r *storeReplica) config() replica.Config {
	c := &r.c
	return replica.Config{
		Cluster: storeCluster + c.Generation, Seat: c.Seat, Seats: c.Seats, Nonce: c.Seed | 1, Seed: c.Seed,
		Consensus: r.by.String(), AcceptQuorum: c.Accepts,
		Digest: digester(), Lane: lane.Config{Window: storeFrames, Arena: 1 << 18}, MaxItem: storeItem,
		Store: store.Config{Slots: 64, MaxSessions: storeSessions, SessionWindow: storeWindow,
			SessionTTL: storeIdle, Parts: 1 + int(c.Seed>>8%3), MaxResultBytes: int(6 * c.Skew.Limits)},
		Tick: storeTick * c.Skew.Timing / 1000, ElectionTicks: storeElection, HeartbeatTicks: storeHeartbeat,
		RoundInterval: 300 * micro * c.Skew.Timing / 1000, Silence: 150 * milli * c.Skew.Timing / 1000,
		ReportInterval: 2 * milli, ResultBytes: int(1 << 20 * c.Skew.Limits / 1000), Observer: r,
		ChunkBytes: storeChunk << (c.Seed >> 20 % storeChunks), RetainBytes: retained[c.Seed>>28%4],
	}
}

// retained is what replicas keep of frames that are applied, for each other: by lane alone, or of all lanes
// together so little that whoever is behind soon needs a snapshot (R17).
var retained = [4]int{0, 0, 2 << 10, 16 << 10}

// found makes this replica a founding member of a cluster of all seats.
func (r *storeReplica) found() {
	seats := make([]int, r.c.Seats)
	for i := range seats {
		seats[i] = i
	}
	if err := r.Found(seats); err != nil {
		panic(fmt.Sprintf("sim: a founding member that cannot be: %v", err))
	}
}

func digester() *wire.Digester {
	d, err := wire.NewDigester(wire.ModeXXH3, []byte("a key for simulations"))
	if err != nil {
		panic(err)
	}
	return d
}

// Message takes a message, and applies what that decided.
func (r *storeReplica) Message(now int64, from wire.Peer, b []byte) {
	r.Replica.Message(now, from, b)
	r.settle()
}

// Datagram takes a frame.
func (r *storeReplica) Datagram(now int64, b []byte) {
	r.Replica.Datagram(now, b)
	r.settle()
}

// Tick lets time pass.
func (r *storeReplica) Tick(now int64) {
	r.stale = true
	r.Replica.Tick(now)
	r.settle()
}

// Output takes what is to be sent.
func (r *storeReplica) Output(out *node.Output) {
	r.Replica.Output(out)
	r.settle()
}

// settle tells the observer what the call did, and applies what it decided. A snapshot may have
// been installed between two commits: until something is applied, the orderer says where.
func (r *storeReplica) settle() {
	if n := r.Counters().SnapshotsTaken; n != r.installed {
		r.installed, r.stale, r.applied = n, true, true
		at := r.Replica.Status().Applied
		before := 0
		for before < len(r.commits) && r.commits[before].position <= at {
			before++
		}
		r.tell(r.commits[:before])
		r.o.OnInstall(at, r.Index())
		r.commits = r.commits[before:]
	}
	r.tell(r.commits)
	r.commits = r.commits[:0]
	r.apply()
}

// apply applies what was agreed: everything at once, or, on some replicas, batch by batch with other
// things in between, as where applying is slow or has cores of its own.
func (r *storeReplica) apply() {
	if r.o == nil || r.c.Seed%lazyOf != 0 {
		r.Settle()
		return
	}
	every := r.c.Seed>>8%lazyCalls + 1
	if r.calls++; r.calls%every != 0 {
		return
	}
	if r.calls%(every*lazyUntil) == 0 {
		r.Settle() // late, and not ever later
		return
	}
	if w := r.Work(); w != nil {
		w.Run()
		r.Done(w)
		r.applied = true
	}
}

// One life in lazyOf applies late: a batch every lazyCalls calls or sooner.
const (
	lazyOf    = 3
	lazyCalls = 40
	lazyUntil = 4 // every so many batches it catches up
)

func (r *storeReplica) tell(commits []commit) {
	for _, c := range commits {
		r.o.OnCommit(c.position, c.decision)
	}
}

// Commit is replica.Observer's.
func (r *storeReplica) Commit(_ int, position uint64, decision []byte) {
	r.stale = r.stale || decision == nil
	r.commits = append(r.commits, commit{position, append([]byte(nil), decision...)})
	if decision == nil {
		r.commits[len(r.commits)-1].decision = nil
	}
}

// Batch is replica.Observer's.
func (r *storeReplica) Batch(_ int, position uint64, b *store.Batch) {
	r.applied = true
	if r.o != nil {
		tellBatch(r.o, position, b)
		return
	}
	if len(r.before) == 0 {
		r.base = b.Index - 1
	}
	kept := *b
	kept.Spans = nil
	for _, span := range b.Spans {
		payloads := make([][]byte, len(span.Payloads))
		for i, payload := range span.Payloads {
			payloads[i] = append([]byte(nil), payload...)
		}
		span.Payloads = payloads
		kept.Spans = append(kept.Spans, span)
	}
	r.before = append(r.before, func(o Observer) { tellBatch(o, position, &kept) })
}

func tellBatch(o Observer, position uint64, b *store.Batch) {
	if b.ExpireBefore > 0 {
		o.OnExpire(position, b.Index, b.ExpireBefore)
	}
	index := b.Index
	for i := range b.Spans {
		span := &b.Spans[i]
		number := span.First
		items(span.Payloads, func(item []byte) {
			o.OnApply(index, b.Time, span.Lane, number, item)
			index++
			number++
		})
	}
}

// items visits the items of consecutive payloads, fragments put together.
func items(payloads [][]byte, visit func(item []byte)) {
	var whole []byte
	for _, b := range payloads {
		for len(b) > 0 {
			var it wire.Item
			n, ok := wire.DecodeItem(b, &it)
			if !ok {
				return
			}
			if !it.Fragment {
				visit(b[:n])
			} else if whole = append(whole, it.Value...); it.Completes() {
				it.Fragment, it.Value = false, whole
				joined, _ := wire.AppendItem(nil, &it)
				visit(joined)
				whole = nil
			}
			b = b[n:]
		}
	}
}

// Holds reports whether everything under a decision's cut is held.
func (r *storeReplica) Holds(decision []byte) bool {
	d, err := order.DecodeDecision(decision)
	return err == nil && r.Replica.Holds(d.Cut) == order.Held
}

// Inspect fills in v. The replica is looked at when something may have changed only.
func (r *storeReplica) Inspect(v *View) {
	if r.stale {
		r.seen, r.stale = r.View(), false
		r.seen.Status = r.Status() // the view's may be a tick old
	}
	if r.applied {
		r.index, r.hash, r.applied = r.Index(), r.StateHash(), false
	}
	at := &r.seen.Status
	v.ID, v.Term, v.Leading, v.Position = r.ID(), at.Term, at.Leading, at.Position
	v.Last, v.Holes = at.Last, at.Holes
	v.Voters = append(v.Voters, r.seen.Members.Voters...)
	v.Learners = append(v.Learners, r.seen.Members.Learners...)
	v.Index, v.Hash = r.index, r.hash
	for i := range r.seen.Lanes {
		l := &r.seen.Lanes[i]
		v.Bounds = append(v.Bounds, Bound{"frames of a lane", int64(l.Mark.Frames - l.Trimmed), storeFrames})
	}
	v.Bounds = append(v.Bounds, Bound{"open sessions", int64(r.seen.Sessions), storeSessions})
	r.bounds = r.Bounds(r.bounds[:0])
	for _, b := range r.bounds {
		v.Bounds = append(v.Bounds, Bound{b.Name, b.Used, b.Limit})
	}
}
