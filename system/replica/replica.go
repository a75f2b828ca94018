package replica

import (
	"errors"
	"fmt"
	"slices"

	"metronome/system/lane"
	"metronome/system/node"
	"metronome/system/order"
	"metronome/system/order/orderers"
	"metronome/system/store"
	"metronome/system/wire"
)

// Replica is a database server without its surroundings (node.Core): ingest, ordering and the queue
// of what is to be applied. It belongs to one goroutine, but for the [Work] it hands out.
type Replica struct {
	cfg Config
	now int64

	consensus orderers.Choice
	id        uint64 // this life's id; 0 until the cluster was founded or joined

	ingest  *lane.Ingest
	orderer order.Orderer // nil while id is 0
	status  order.Status
	members order.Members
	state   state
	lanes   []*laneState // ascending by id
	store   *store.Store

	// Parallel runs store.Execute for every part and returns when all are done; nil runs them one
	// after another. It is the driver's business because it needs goroutines.
	Parallel func(s *store.Store)

	queue   []decided
	work    Work
	working bool
	applied uint64
	failed  error

	round    roundState
	peers    [wire.MaxSeats]peerState
	joins    joinState
	founding foundState
	transfer transferState
	shelves  shelves
	journal  journalState
	export   exportState
	reads    readState
	hashes   []hashAt

	checkpoints     []checkpoint
	checkpointEvery uint64
	safe            uint64 // every member has applied this position
	dropped         uint64 // frames of the cuts up to this position may be gone
	compacted       uint64 // and the log, up to this one

	nextTick int64
	soon     int64 // something was put off until then
	seen     View  // what the store said last
	out      outbox
	scratch  []byte
	advanced []*lane.Receiver
	replying []*laneState
	dirty    bool // a lane has something to report
	moved    bool // frames came that the gate has not looked at
	given    bool // the message under way is this replica's to keep
	diskFull bool
	replays  bool // the journal is being read again: nobody waits for answers

	rounds, committedItems, appliedItems uint64

	ticks         uint64
	committedThen uint64 // items committed at the last tick
	still         int    // ticks since there were many
	quiet         bool   // for a while
	counts        Counters
}

// Counters count what a replica did and refused.
type Counters struct {
	BadMessages     uint64 // from peers: malformed, or not for this life
	Unregistered    uint64 // from a life that was never minted, or superseded (R1)
	Mismatches      uint64 // cuts refused for their digest (R14)
	Fetched         uint64 // frames that peers sent on request
	Served          uint64 // frames sent to peers on request
	ItemBytesToPeer uint64 // bytes of frames sent to peers: 0 unless something was lost
	Hedges          uint64 // answers sent because another replica owed them
	SnapshotsSent   uint64
	SnapshotsTaken  uint64 // installed here
	PutOff          uint64 // messages of reads whose proxy had as many answers as one barrier may give it
	Unsaved         uint64 // snapshots that could not be written
	HashMismatches  uint64
	Proposals       uint64
	Cuts            uint64 // positions that took items
	Handovers       uint64 // of leadership, for leading badly (R15)
	Quantised       uint64 // items that waited for another round, for cuts end at multiples (Status.Quantum)
}

// New makes a replica that belongs to no cluster yet: Init founds one, a peer's answer to its
// requests to join lets it into one.
func New(cfg Config) (*Replica, error) {
	cfg.Defaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Lane.Nack.Enabled = true
	cfg.Lane.Nack.Seed = cfg.Seed
	in, err := lane.NewIngest(cfg.Cluster, cfg.Digest, cfg.Lane)
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	st, err := store.New(cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	consensus, err := orderers.Parse(cfg.Consensus)
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	chunk := int64(cfg.ChunkBytes)
	return &Replica{cfg: cfg, consensus: consensus, ingest: in, store: st, state: newState(), checkpointEvery: 1,
		advanced: make([]*lane.Receiver, 0, maxAdvanced), journal: journalState{next: 1},
		reads:    readState{ctx: cfg.Nonce},
		transfer: transferState{budget: lane.NewBucket(cfg.TransferRate, max(cfg.TransferRate/8, chunk))}}, nil
}

// Found makes this replica a founding member of a new cluster: `cluster init`, which is explicit
// because an empty directory must never vote (R1). Every founding member gets the same seats.
func (r *Replica) Found(seats []int) error {
	if r.id != 0 {
		return fmt.Errorf("replica: already a member, as %x", r.id)
	}
	var m order.Members
	for _, s := range seats {
		m.Voters = append(m.Voters, r.foundSeat(s))
	}
	if !r.state.registered(LifeID(r.cfg.Seat, 1)) {
		return fmt.Errorf("replica: seat %d is not among the founding seats %v", r.cfg.Seat, seats)
	}
	return r.begin(LifeID(r.cfg.Seat, 1), &m)
}

// foundSeat mints the first life of a seat: in no log, for it is where the log begins.
func (r *Replica) foundSeat(seat int) (id uint64) {
	r.state.lives[seat] = lifeRow{life: 1, admitted: true}
	return LifeID(seat, 1)
}

// begin starts ordering under an id: as a founding member, or empty.
func (r *Replica) begin(id uint64, founding *order.Members) error {
	r.journalLife(id, founding)
	return r.order(order.Config{ID: id, Bootstrap: founding})
}

// order makes the orderer, which begins as c says.
func (r *Replica) order(c order.Config) error {
	c.ElectionTicks, c.HeartbeatTicks = r.cfg.ElectionTicks, r.cfg.HeartbeatTicks
	c.Gate, c.Volatile, c.Seed, c.AcceptQuorum = r, !r.cfg.Durable, r.cfg.Seed, r.cfg.AcceptQuorum
	o, err := r.consensus.New(c)
	if err != nil {
		return fmt.Errorf("replica: %w", err)
	}
	r.id, r.orderer = c.ID, o
	r.status = o.Status()
	r.setMembers(r.status.Members)
	return nil
}

// setMembers takes a configuration. Its other voters are who may be asked for frames.
func (r *Replica) setMembers(m order.Members) {
	r.members = m
	r.ingest.SetPeers(r.votingSeats() &^ (1 << r.cfg.Seat))
}

// ID is this life's id, 0 while it belongs to no cluster.
func (r *Replica) ID() uint64 { return r.id }

// Err is why the replica stopped, or nil. A replica that finds itself at odds with what was agreed
// stops loudly instead of answering (R14, R23).
func (r *Replica) Err() error { return r.failed }

// SetKeys replaces the keys (wire.Digester.SetKeys).
func (r *Replica) SetKeys(keys *wire.Keys) error { return r.cfg.Digest.SetKeys(keys) }

// Datagram takes a frame.
func (r *Replica) Datagram(now int64, b []byte) {
	r.now = now
	r.ingest.Clock(now)
	r.take(b)
}

// Verified is Datagram of a frame that a lane.Verifier returned, on another core perhaps. Any number of
// cores may verify; their frames come here one after another, in any order.
func (r *Replica) Verified(now int64, b []byte) {
	r.now = now
	r.ingest.Clock(now)
	if r.homeless(r.ingest.Verified(b)) {
		b = slices.Clone(b) // which is opened; what is put aside is examined again later
		var h wire.Header
		if h.Get(b); h.Type == wire.TypeData {
			r.cfg.Digest.Reseal(b)
		}
		r.aside(b)
	}
}

// Message takes a message from a peer's stream.
func (r *Replica) Message(now int64, from wire.Peer, b []byte) {
	r.now = now
	if len(b) == 0 || r.failed != nil {
		return
	}
	ok := false
	if kind, body := wire.Kind(b[0]), b[1:]; from.IsReplica() {
		ok = r.fromReplica(from.Seat(), kind, body)
	} else if from.IsProxy() {
		ok = r.fromProxy(from.Number(), kind, body)
	}
	if !ok {
		r.counts.BadMessages++
	}
}

// Given is Message of bytes that are the replica's from then on, and so need not be copied.
func (r *Replica) Given(now int64, from wire.Peer, b []byte) {
	r.given = true
	r.Message(now, from, b)
	r.given = false
}

func (r *Replica) fromReplica(seat int, kind wire.Kind, b []byte) bool {
	switch kind {
	case wire.KindOrder:
		return r.onOrder(seat, b)
	case wire.KindHoldings:
		return r.onHoldings(seat, b)
	case wire.KindFetch:
		return r.onFetch(seat, b)
	case wire.KindFrames:
		return r.onFrames(b)
	case wire.KindGone:
		return r.onGone(seat, b)
	case wire.KindOffer:
		return r.onOffer(seat, b)
	case wire.KindPull:
		return r.onPull(seat, b)
	case wire.KindChunk:
		return r.onChunk(seat, b)
	case wire.KindJoin:
		return r.onJoin(seat, b)
	case wire.KindJoined:
		return r.onJoined(b)
	case wire.KindInit:
		return r.onInit(seat, b)
	case wire.KindAsk:
		return r.onAsk(b)
	}
	return false
}

func (r *Replica) fromProxy(number uint32, kind wire.Kind, b []byte) bool {
	switch kind {
	case wire.KindOpen:
		return r.onOpen(number, b)
	case wire.KindWant:
		return r.onWant(number, b)
	case wire.KindRead:
		return r.onRead(number, b)
	case wire.KindGone:
		return r.onSenderGone(number, b)
	}
	return false
}

// Tick lets time pass.
func (r *Replica) Tick(now int64) {
	r.now = now
	if r.failed != nil {
		return
	}
	if r.orderer == nil {
		r.askToJoin()
		r.askToFound()
		return
	}
	// After a pause at most two ticks are made up for: more would only start elections (R16).
	if r.nextTick == 0 || now-r.nextTick > r.cfg.Tick {
		r.nextTick = max(r.nextTick, now-r.cfg.Tick)
	}
	for ; r.nextTick <= now; r.nextTick += r.cfg.Tick {
		r.orderer.Tick()
		r.tickSlow()
	}
	r.soon = lane.Never
	r.progress()
	r.keepPace()
	r.serveTransfers()
}

// tickSlow does what is due once a tick.
func (r *Replica) tickSlow() {
	r.status = r.orderer.Status()
	r.watchProxies()
	r.watchLeadership()
	r.steerMembers()
	if r.still++; r.committedItems-r.committedThen > idleItems {
		r.still = 0
	}
	r.quiet = r.still >= stillTicks
	r.committedThen = r.committedItems
	if r.ticks++; r.refuses(r.id) {
		r.fail(ErrReplaced)
		return
	}
	r.repeatReports()
	r.trimAgain()
	r.tickRoom()
	r.steerSnapshots()
	r.steerExport()
	r.tickTransfer()
	r.compact()
}

// stillTicks is how long nothing much may happen before a cluster counts as quiet: not a moment's hitch, for
// then what is done at leisure comes at full speed, and prolongs it.
const stillTicks = 5

// progress moves everything that can move: holdings to the gate, proposals, what is agreed.
func (r *Replica) progress() {
	r.unshelve()
	r.gather()
	r.steerRoom()
	if r.moved {
		r.moved = false
		r.orderer.Recheck()
	}
	r.propose()
	for r.failed == nil && r.drain() {
		r.propose()
	}
	r.barriers()
	r.requestRepairs()
	r.reportHoldings()
}

// maxAdvanced is how many lanes are looked at together.
const maxAdvanced = 256

// gather takes note of the frames that came in.
func (r *Replica) gather() {
	for {
		r.advanced = r.ingest.Advanced(r.advanced[:0])
		for _, recv := range r.advanced {
			if l := r.find(order.LaneID(recv.Name().ID)); l != nil {
				l.heard = r.now
				l.results.release(recv.Tail())
				r.journalFrames(l)
			}
		}
		r.moved = r.moved || len(r.advanced) > 0
		if len(r.advanced) < maxAdvanced {
			return
		}
	}
}

// drain takes one Ready of the orderer; false if there was nothing.
func (r *Replica) drain() bool {
	rd := r.orderer.Ready()
	if rd.Persist != nil {
		r.journalOrder(rd.Persist)
	}
	for i := range rd.Messages {
		r.sendOrder(rd.Messages[i].To, rd.Messages[i].Data)
	}
	r.counts.Mismatches += uint64(len(rd.Refused))
	for _, c := range rd.Committed {
		if err := r.commit(c); err != nil {
			r.fail(err)
			return false
		}
	}
	for _, read := range rd.Reads {
		r.reads.arrived(read)
	}
	if rd.WantSnapshot {
		r.capture(true)
	}
	for i := range rd.Snapshots {
		r.offer(&rd.Snapshots[i])
	}
	some := rd.Persist != nil || len(rd.Messages)+len(rd.Committed)+len(rd.Reads)+len(rd.Snapshots) > 0
	if some {
		r.status = r.orderer.Status()
	}
	return some
}

func (r *Replica) fail(err error) {
	r.failed = err
}

// Output appends what is to be sent.
func (r *Replica) Output(out *node.Output) {
	r.sendReports()
	r.sendReplies()
	r.out.take(out)
	r.journal.take(out)
	r.reads.sent()
}

// Settle applies everything that is agreed, here and now: for drivers without apply cores.
func (r *Replica) Settle() {
	for w := r.Work(); w != nil; w = r.Work() {
		w.Run()
		r.Done(w)
	}
}

// Busy reports whether agreed work waits to be applied.
func (r *Replica) Busy() bool { return len(r.queue) > 0 }

var errNoMember = errors.New("replica: belongs to no cluster yet")

// errNoJoin is why a replica without state stays outside a cluster whose members are fixed.
var errNoJoin = fmt.Errorf("replica: belongs to no cluster, and joins none: %w", order.ErrStatic)

// Ready is why the replica cannot serve, or nil.
func (r *Replica) Ready() error {
	switch {
	case r.failed != nil:
		return r.failed
	case r.orderer == nil && r.joins.static:
		return errNoJoin
	case r.orderer == nil:
		return errNoMember
	case r.status.Leader == 0:
		return errors.New("replica: no leader is known")
	}
	return nil
}

// outbox gathers messages. Bytes live in one buffer until the next Output.
type outbox struct {
	answers   []node.Message // to proxies
	messages  []node.Message
	datagrams []node.Datagram
}

// message queues a message. Clients wait for what goes to proxies, so that goes first.
func (o *outbox) message(to wire.Peer, b []byte) {
	if to.IsProxy() {
		o.answers = append(o.answers, node.Message{To: to, Bytes: b})
		return
	}
	o.messages = append(o.messages, node.Message{To: to, Bytes: b})
}

func (o *outbox) datagram(to wire.Peer, b []byte) {
	o.datagrams = append(o.datagrams, node.Datagram{To: to, Bytes: b})
}

func (o *outbox) take(out *node.Output) {
	out.Messages = append(append(out.Messages, o.answers...), o.messages...)
	out.Unicast = append(out.Unicast, o.datagrams...)
	clear(o.answers)
	clear(o.messages)
	clear(o.datagrams)
	o.answers, o.messages, o.datagrams = o.answers[:0], o.messages[:0], o.datagrams[:0]
}

// Status is a glance at the orderer; the zero value while the replica belongs to no cluster.
func (r *Replica) Status() order.Status {
	if r.orderer == nil {
		return order.Status{}
	}
	return r.orderer.Status()
}

// StateHash is the hash of keys and sessions as they are applied (I3). Not while Work is out.
func (r *Replica) StateHash() uint64 { return r.store.Hash() }

// Index is how many items are applied.
func (r *Replica) Index() uint64 { return r.store.Index() }

// Counters reads the counters.
func (r *Replica) Counters() Counters { return r.counts }
