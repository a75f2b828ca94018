package daemon

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"metronome/internal/version"
	"metronome/system/cluster"
	"metronome/system/lane"
	"metronome/system/node"
	"metronome/system/packet"
	"metronome/system/replica"
	"metronome/system/store"
	"metronome/system/stream"
	"metronome/system/wire"
)

// ReplicaConfig is what a replica process is told.
type ReplicaConfig struct {
	Cluster *cluster.Config
	Self    wire.Peer
	Log     *slog.Logger
}

// Replica is a replica as a process.
type Replica struct {
	cfg    ReplicaConfig
	me     *cluster.Replica
	clock  clock
	wait   *waiter
	inbox  *stream.Inbox
	net    *stream.Transport
	port   packet.Port  // nil: with ingest cores
	cores  *ingestCores // nil: without
	unic   unicaster
	core   *replica.Replica
	keep   *keeper // nil: memory
	apply  *applier
	out    node.Output
	id     *cluster.Identity
	ring   *cluster.Ring // in use
	keys   keyWatch
	broken error // why the journal takes nothing any more
	frames [][]byte

	view     ReplicaView // the loop's own
	nextView int64
	calls    chan call // from other goroutines, for the loop

	exporting sync.Mutex // held while a snapshot goes to an operator

	mu    sync.Mutex // guards what other goroutines look at
	shown ReplicaView
}

// ReplicaView is a replica as its operators see it, a few milliseconds old.
type ReplicaView struct {
	Status   replica.View
	Port     packet.Stats // of all that receive frames
	Cores    []IngestView // ingest cores; none: the loop receives
	Lost     uint64       // datagrams that could not be sent
	Loops    uint64
	Sleeps   uint64
	NotReady error
	Failed   error
	FoundErr error // why founding the cluster was given up
	Awaited  []int // seats that have not answered the attempt to found it
	Journal  JournalView
	Ring     *cluster.Ring
}

// NewReplica opens everything a replica needs. Run runs it.
func NewReplica(cfg ReplicaConfig) (*Replica, error) {
	c := cfg.Cluster
	me := c.Replica(cfg.Self)
	if me == nil {
		return nil, fmt.Errorf("daemon: the cluster file has no %v", cfg.Self)
	}
	id, err := c.Identity(cfg.Self)
	if err != nil {
		return nil, err
	}
	ring := id.Ring()
	digest, err := wire.NewDigesterOf(c.Mode(), &ring.Keys)
	if err != nil {
		return nil, err
	}
	keep, core, err := recoverReplica(c, me, replicaConfig(c, cfg.Self, id.Tag(), digest, me), cfg.Log)
	if err != nil {
		return nil, err
	}
	r := &Replica{cfg: cfg, me: me, clock: newClock(), core: core, keep: keep, id: id, ring: ring,
		frames: make([][]byte, c.Port.Burst), calls: make(chan call, 1)}
	if err := r.open(id); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *Replica) open(id *cluster.Identity) (err error) {
	c := r.cfg.Cluster
	ingest, err := r.openDatagrams(c)
	if err != nil {
		return err
	}
	waits := []int{descriptor(r.unic)}
	if r.port != nil {
		waits = append(waits, descriptors(r.port)...)
	}
	if r.wait, err = newWaiter(waits...); err != nil {
		return errors.Join(err, ingest.shut())
	}
	if r.port == nil {
		ingest.cluster, ingest.digest = id.Tag(), func() (*wire.Digester, error) {
			return wire.NewDigesterOf(c.Mode(), &r.ring.Keys)
		}
		ingest.wake, ingest.clock = r.wait.wake, r.clock
		if r.cores, err = newIngestCores(ingest); err != nil {
			return err
		}
	}
	if err = r.keep.start(c, r.wait.wake); err != nil {
		return err
	}
	r.inbox = stream.NewInbox(inboxBytes, r.wait.wake)
	r.net, err = openStreams(c, r.cfg.Self, id, r.me.Stream, r.inbox, r.cfg.Log)
	return err
}

// openDatagrams opens the ways of frames and of unicast datagrams: one and the same if the kernel
// is bypassed. Frames come to the loop's port, or to ports of ingest cores.
func (r *Replica) openDatagrams(c *cluster.Config) (ingest ingestConfig, err error) {
	ingest = ingestConfig{cpus: r.me.IngestCPUs(), burst: c.Port.Burst, polls: c.Port.EmptyPolls,
		close: func() error { return nil }}
	if c.Bypass() {
		b, err := openBypass(c, r.cfg.Self, len(ingest.cpus), r.cfg.Log)
		if err != nil {
			return ingest, err
		}
		r.unic, ingest.close = bypassUnicast{b, false}, b.Close
		for _, q := range b.queues {
			ingest.ports = append(ingest.ports, q)
		}
		if len(b.queues) == 0 {
			r.port = b
		}
		return ingest, nil
	}
	if len(ingest.cpus) == 0 {
		r.port, err = receivePort(c, r.me, r.cfg.Log)
	} else {
		ingest.ports, ingest.close, err = receivePorts(c, r.me, len(ingest.cpus), r.cfg.Log)
	}
	if err != nil {
		return ingest, err
	}
	own := r.me.Datagram
	if c.Multicast.Mode == "unicast" {
		own = "127.0.0.1:0"
	}
	unic, err := openControl(own, datagramAddresses(c))
	if err != nil {
		return ingest, errors.Join(err, ingest.shut())
	}
	r.unic = unic
	return ingest, nil
}

// inboxBytes bounds the messages that wait for the loop.
const inboxBytes = 64 << 20

// maxMessage holds the largest answer of the store (store.Config.MaxReplyBytes), and others beside
// it.
const maxMessage = 8 << 20

func openStreams(c *cluster.Config, self wire.Peer, id *cluster.Identity, listen string, inbox *stream.Inbox,
	log *slog.Logger,
) (*stream.Transport, error) {
	return stream.Listen(stream.Config{Self: self, Listen: listen, Addresses: c.StreamAddresses(), Identity: id,
		Cluster: id.Tag(), Hello: hello(c), Check: checkHello(c, log),
		Message: inbox.Put, Given: inbox.Give, Log: log,
		MaxMessage: maxMessage, QueueBytes: int(c.Limits.StreamQueueBytes), Timeout: c.Timing.PeerTimeout})
}

// protocol is the version of everything that peers say to each other. Peers of another one are
// refused.
const protocol = 2

func hello(c *cluster.Config) []byte {
	var w wire.Writer
	w.U16(protocol)
	w.Bytes([]byte(version.String()))
	w.B = c.Digest().Append(w.B)
	return w.B
}

// checkHello refuses peers of another protocol version, or whose cluster file contradicts this one.
func checkHello(c *cluster.Config, log *slog.Logger) func(wire.Peer, []byte) error {
	own := c.Digest()
	var mu sync.Mutex
	told := map[wire.Peer]cluster.Digest{} // whose difference was logged
	return func(from wire.Peer, b []byte) error {
		r := wire.NewReader(b)
		if p := r.U16(); p != protocol {
			return fmt.Errorf("%v speaks protocol %d, this build %d: run one version on both sides", from, p, protocol)
		}
		r.Bytes()
		theirs, ok := cluster.DecodeDigest(r.Rest())
		if !r.OK() || !ok {
			return fmt.Errorf("%v sent a hello that cannot be read", from)
		}
		var fatal []string
		for _, section := range own.Differs(theirs) {
			if section == "replicas" || section == "proxies" {
				mu.Lock()
				if told[from] != theirs {
					log.Warn("cluster files differ", "peer", from.String(), "section", section)
				}
				mu.Unlock()
				continue
			}
			fatal = append(fatal, section)
		}
		mu.Lock()
		told[from] = theirs
		mu.Unlock()
		if len(fatal) > 0 {
			return fmt.Errorf("the cluster file of %v differs in %v: give all processes the same file", from, fatal)
		}
		return nil
	}
}

func replicaConfig(c *cluster.Config, self wire.Peer, tag uint32, d *wire.Digester,
	me *cluster.Replica,
) replica.Config {
	parts := 1
	if me.Cores != nil && len(me.Cores.Apply) > 0 {
		parts = len(me.Cores.Apply)
	}
	tick := c.Timing.Tick.Nanoseconds()
	ttl := uint64(c.Limits.SessionTTL.Nanoseconds() / tick)
	return replica.Config{Cluster: tag, Seat: self.Seat(), Seats: len(c.Replicas), Nonce: nonce(), Seed: nonce(),
		Digest:  d,
		MaxItem: int(c.Limits.Value),
		Lane:    lane.Config{Window: c.Limits.LaneWindowFrames, Arena: int(c.Limits.LaneArenaBytes)},
		Store:   store.Config{MaxSessions: c.Limits.Sessions, SessionTTL: ttl, Parts: parts},
		Tick:    tick, ElectionTicks: c.Timing.ElectionTicks, HeartbeatTicks: c.Timing.HeartbeatTicks,
		Consensus: c.Consensus, AcceptQuorum: c.AcceptQuorum,
		RoundInterval: c.Timing.RoundInterval.Nanoseconds(), ForceInterval: c.Experiment.ForceRoundInterval,
		RetainBytes: int(c.Limits.RetainBytes),
		ReadBytes:   int(c.Limits.StreamQueueBytes) / 4, StoreBytes: int(c.Limits.StoreBytes),
		Feature: c.Experiment.FeatureLevel, Durable: c.Durable(), JournalBytes: int(c.Storage.Journal),
		EachFrame:    c.Experiment.FsyncEachFrame,
		TransferRate: int64(c.Storage.TransferRate)}
}

// nonce is a random number that is not 0.
func nonce() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return binary.LittleEndian.Uint64(b[:]) | 1
}

func datagramAddresses(c *cluster.Config) map[wire.Peer]string {
	m := map[wire.Peer]string{}
	for i := range c.Replicas {
		m[c.Replicas[i].Peer()] = c.Replicas[i].Datagram
	}
	for i := range c.Proxies {
		m[c.Proxies[i].Peer()] = c.Proxies[i].Datagram
	}
	return m
}

// descriptor is what to wait for on a port, -1 if it has to be polled.
func descriptor(p any) int {
	if d, ok := p.(interface{ Descriptor() int }); ok {
		return d.Descriptor()
	}
	return -1
}

// Initiate begins to found the cluster; see replica.Replica.Initiate. View tells how it goes.
func (r *Replica) Initiate(ctx context.Context) error {
	return r.do(ctx, (*replica.Replica).Initiate)
}

// call is something to be done by the loop, to which the core belongs.
type call struct {
	do     func(core *replica.Replica) error
	answer chan error
}

// do has the loop do something, and returns what it answers. Whoever looks at View then sees what
// came of it at once.
func (r *Replica) do(ctx context.Context, what func(core *replica.Replica) error) error {
	c := call{what, make(chan error, 1)}
	select {
	case r.calls <- c:
		r.wait.wake()
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-c.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run polls until ctx ends or the replica stops loudly.
func (r *Replica) Run(ctx context.Context) error {
	defer func() {
		if err := r.close(); err != nil {
			r.cfg.Log.Warn("closing", "error", err)
		}
	}()
	defer context.AfterFunc(ctx, r.wait.wake)()
	if err := r.startCores(); err != nil {
		return err
	}
	defer runtime.UnlockOSThread()
	detach, err := attach(r.unic)
	if err != nil {
		return err
	}
	defer detach()
	polled, idle := r.port != nil && descriptor(r.port) < 0, idler{limit: r.cfg.Cluster.Port.EmptyPolls}
	for last := r.clock.now(); ctx.Err() == nil; {
		busy, err := r.turn()
		if err != nil {
			return err
		}
		now := r.clock.now()
		if busy {
			last, idle.empty = now, 0
			continue
		}
		if polled && idle.spins() {
			continue
		}
		r.wait.prepare()
		if !r.inbox.Empty() || r.apply.ready() || r.keep.ready() || r.cores.ready() && !r.keep.behind() {
			continue
		}
		r.wait.sleep(pause(r.core.Next()-now, now-last, polled))
		r.sleeps()
	}
	return nil
}

// The limits of a pause: a core wants to be called at least so often, and a port without a
// descriptor has to be looked at; the longer nothing came, the less often.
const (
	longestPause = 100 * time.Millisecond
	pollPause    = 50 * time.Microsecond
)

func pause(due, idle int64, polled bool) time.Duration {
	d := min(max(time.Duration(due), 0), longestPause)
	if polled {
		d = min(d, pollPause+time.Duration(idle)/16)
	}
	return d
}

func (r *Replica) startCores() error {
	if r.me.Cores == nil {
		return nil
	}
	if r.cores != nil {
		r.cores.start(r.cfg.Log)
	}
	if err := pin(r.me.Cores.Ordering); err != nil {
		return err
	}
	if n := len(r.me.Cores.Apply); n > 0 {
		r.apply = newApplier(r.me.Cores.Apply, r.wait.wake)
		r.core.Parallel = r.apply.parallel
	}
	return nil
}

// turn does everything that can be done now; busy reports whether that was anything.
func (r *Replica) turn() (busy bool, err error) {
	now := r.clock.now()
	select {
	case c := <-r.calls:
		err := c.do(r.core)
		r.nextView = now
		r.publish(now)
		c.answer <- err
	default:
	}
	n := 0
	if !r.keep.behind() {
		if n, err = r.ingest(now); err != nil {
			return false, err
		}
	}
	n += r.unic.receive(func(b []byte) { r.core.Datagram(now, b) })
	n += r.inbox.Drain(func(from wire.Peer, msg []byte, given bool) {
		if given {
			r.core.Given(now, from, msg)
		} else {
			r.core.Message(now, from, msg)
		}
	})
	told, err := r.keep.tell(now, r.core)
	if err != nil {
		return false, err
	}
	n += told
	r.core.Tick(now)
	r.send()
	n += r.work()
	r.view.Loops++
	r.publish(now)
	return n > 0, errors.Join(r.core.Err(), r.broken)
}

// maxBursts bounds the bursts of one turn, so that a flood of frames cannot keep messages waiting.
const maxBursts = 16

// ingest takes the frames that are there, all of them if it can: a message that refers to frames
// must not overtake them, or they would be asked for although they wait in the port. (Behind ingest
// cores it may, by as long as those take; the guard of requests for repair learns how long that is.)
func (r *Replica) ingest(now int64) (total int, err error) {
	if r.cores != nil {
		return r.cores.take(now, r.core)
	}
	for range maxBursts {
		n, err := r.port.Recv(r.frames)
		if err != nil {
			return total, err
		}
		for _, f := range r.frames[:n] {
			r.core.Datagram(now, f)
		}
		if total += n; n == 0 {
			break
		}
	}
	return total, nil
}

// maxWork bounds the batches of one turn: while they are applied here, frames wait in the port.
const maxWork = 4

// work applies what is agreed, here or on cores of its own.
func (r *Replica) work() (n int) {
	if r.apply != nil {
		return r.apply.pump(r.core, r.send)
	}
	for ; n < maxWork; n++ {
		w := r.core.Work()
		if w == nil {
			break
		}
		w.Run()
		waste(w.Items(), r.cfg.Cluster.Experiment.ApplyPerItem)
		r.core.Done(w)
	}
	if n > 0 {
		r.send()
	}
	return n
}

// waste spends CPU time as if applying items took that much longer: an experiment's knob.
func waste(items int, each time.Duration) {
	if each > 0 {
		for end := time.Now().Add(time.Duration(items) * each); time.Now().Before(end); {
		}
	}
}

func (r *Replica) send() {
	r.out.Reset()
	r.core.Output(&r.out)
	if err := r.keep.take(&r.out); err != nil {
		r.broken = err // and nothing of this goes out: it may rest on what was not written
		return
	}
	r.unic.send(r.out.Unicast)
	sendMessages(r.net, r.out.Messages)
}

func sendMessages(t *stream.Transport, list []node.Message) {
	for i := range list {
		m := &list[i]
		// A message that is not taken is as good as lost on the way: cores repeat what matters.
		if bulk(wire.Kind(m.Bytes[0])) {
			_ = t.Give(m.To, m.Bytes)
		} else {
			_ = t.Post(m.To, m.Bytes, false)
		}
	}
	for i := range list {
		t.Flush(list[i].To)
	}
}

// bulk are the messages that may be late. Each has memory of its own, which the core leaves to its driver.
func bulk(k wire.Kind) bool { return k == wire.KindChunk || k == wire.KindFrames }

func (r *Replica) sleeps() { r.view.Sleeps++ }

// publish lets other goroutines see how the replica is.
func (r *Replica) publish(now int64) {
	if now < r.nextView {
		return
	}
	r.nextView = now + int64(viewEvery)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = r.view
	r.shown.Lost, r.shown.Cores = r.unic.unsent(), r.cores.views()
	if r.port != nil {
		r.shown.Port = r.port.Stats()
	}
	r.shown.NotReady, r.shown.Failed = r.core.Ready(), r.core.Err()
	r.shown.Status = r.core.View()
	for i := range r.shown.Cores {
		r.shown.Status.Ingest.Add(&r.shown.Cores[i].Verified)
		addStats(&r.shown.Port, r.shown.Cores[i].Port)
	}
	r.shown.Journal, r.shown.Ring = r.keep.view(), r.ring
	r.keys.note(now, r.cfg.Log, r.ring, &r.shown.Status.Ingest.BadKeys)
	r.shown.FoundErr, r.shown.Awaited = r.core.FoundErr(), r.core.Awaited()
}

const viewEvery = 20 * time.Millisecond

// View is the replica as it was a few milliseconds ago.
func (r *Replica) View() ReplicaView {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shown
}

// Streams are the replica's connections.
func (r *Replica) Streams() *stream.Transport { return r.net }

func (r *Replica) close() error {
	var errs []error
	if r.inbox != nil {
		r.inbox.Close()
	}
	if r.net != nil {
		errs = append(errs, r.net.Close())
	}
	errs = append(errs, r.cores.close())
	if r.port != nil {
		errs = append(errs, r.port.Close())
	}
	if r.unic != nil {
		r.unic.close()
	}
	if r.wait != nil {
		r.wait.close()
	}
	r.apply.close()
	errs = append(errs, r.keep.close())
	return errors.Join(errs...)
}
