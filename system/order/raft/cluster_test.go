package raft

import (
	"bytes"
	cryptorand "crypto/rand"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"metronome/system/order"
	"metronome/system/order/ordertest"
)

// seedElections makes the library draw its election timeouts from a seeded stream until the test
// ends: it reads crypto/rand.Reader, a variable of the process (R18). Hence no test here is parallel.
func seedElections(t testing.TB, seed uint64) {
	old := cryptorand.Reader
	cryptorand.Reader = seeded(seed)
	t.Cleanup(func() { cryptorand.Reader = old })
}

func seeded(seed uint64) io.Reader {
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	return rand.NewChaCha8(key)
}

// What tests of all algorithms use.
var (
	at       = ordertest.At
	decision = ordertest.Decision
)

// member is a replica around one orderer, at its simplest: state is the list of decisions.
type member struct {
	id      uint64
	r       *Raft
	shelf   *ordertest.Shelf
	up      bool
	slow    bool             // persistence is confirmed only by sync
	lazy    bool             // what nothing waits for is durable only with the next write
	records [][]byte         // durable
	writing []*order.Persist // not durable yet
	state   []string         // position:decision, in order; the state machine
	durable order.SnapshotMeta
	place   order.SnapshotMeta // where state stands
	reads   []order.Read
	refused int
	want    bool
	config  Config
}

type envelope struct {
	from, to uint64
	data     []byte
}

// cluster is members and the network between them. Nothing moves by itself.
type cluster struct {
	t       testing.TB
	members map[uint64]*member
	initial order.Members
	net     []envelope
	lost    func(e envelope) bool // nil: nothing is lost
	trace   *strings.Builder
	liars   bool                 // members lie about what they hold: nothing can be proved
	sent    []order.SnapshotMeta // every transfer begun
	agreed  map[uint64]string    // position → what the first member to apply it saw
}

func newCluster(t testing.TB, ids ...uint64) *cluster {
	c := &cluster{t: t, members: map[uint64]*member{}, agreed: map[uint64]string{},
		initial: order.Members{Voters: ids}}
	for _, id := range ids {
		c.start(id, Config{Bootstrap: &c.initial})
	}
	return c
}

// start adds a member that begins as config says.
func (c *cluster) start(id uint64, config Config) *member {
	m := &member{id: id, up: true, shelf: ordertest.NewShelf()}
	if config.Bootstrap != nil {
		m.place = order.SnapshotMeta{Position: 1, Term: 1, Members: *config.Bootstrap}
		m.durable = m.place
	}
	config.ID, config.Gate, config.ElectionTicks, config.HeartbeatTicks = id, m.shelf, 10, 2
	m.config = config
	m.r = c.orderer(config)
	c.members[id] = m
	return m
}

func (c *cluster) orderer(config Config) *Raft {
	c.t.Helper()
	r, err := New(config)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *cluster) ids() []uint64 { return slices.Sorted(maps.Keys(c.members)) }

// decode opens a message; what stands for a transfer of state is a MsgSnap.
func (e envelope) decode(t testing.TB) *pb.Message {
	if e.data == nil {
		return &pb.Message{Type: pb.MsgSnap.Enum()}
	}
	m := &pb.Message{}
	if err := proto.Unmarshal(e.data, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// ready does what an orderer wants done, except that a slow member's disk waits for sync.
func (c *cluster) ready(m *member) {
	for range 100 {
		rd := m.r.Ready()
		c.note(m, rd)
		if rd.Persist != nil {
			m.writing = append(m.writing, rd.Persist)
		}
		for _, out := range rd.Messages {
			c.net = append(c.net, envelope{m.id, out.To, out.Data})
		}
		for _, k := range rd.Committed {
			c.apply(m, k)
		}
		m.reads, m.refused = append(m.reads, rd.Reads...), m.refused+len(rd.Refused)
		m.want = m.want || rd.WantSnapshot
		for _, s := range rd.Snapshots {
			c.transfer(m, s)
		}
		if len(rd.Committed) > 0 {
			m.r.Applied(m.place.Position)
		}
		if rd.Persist != nil && !m.slow && (!m.lazy || !rd.Persist.Lazy) {
			c.sync(m)
		}
		if rd.Persist == nil && len(rd.Committed) == 0 {
			return
		}
	}
	c.t.Fatalf("member %d never comes to rest", m.id)
}

// sync makes durable what was written.
func (c *cluster) sync(m *member) {
	for _, p := range m.writing {
		if p.Fresh > 0 {
			m.records = nil
		}
		m.records = append(m.records, p.Records...)
		m.r.Persisted(p.Seq)
	}
	m.writing = nil
}

func (c *cluster) apply(m *member, k order.Committed) {
	if k.Position != m.place.Position+1 {
		c.t.Fatalf("member %d: position %d after %d", m.id, k.Position, m.place.Position)
	}
	m.place.Position, m.place.Term = k.Position, k.Term
	line := fmt.Sprintf("%d@%d:%x", k.Position, k.Term, k.Decision)
	if k.Members != nil {
		m.place.Members = *k.Members
		line += fmt.Sprintf("%v", *k.Members)
	}
	m.state = append(m.state, line)
	if first, ok := c.agreed[k.Position]; !ok {
		c.agreed[k.Position] = line
		if c.liars {
			return
		}
		c.proveHeld(m.place.Members.Voters, k)
	} else if first != line {
		c.t.Fatalf("member %d applied %q, another %q", m.id, line, first)
	}
}

// proveHeld is I1: when anyone first applies a decision, a majority of the voters hold what is under
// its cut.
func (c *cluster) proveHeld(voters []uint64, k order.Committed) {
	if k.Decision == nil {
		return
	}
	d, err := order.DecodeDecision(k.Decision)
	if err != nil {
		c.t.Fatal(err)
	}
	holding := 0
	for _, id := range voters {
		if m := c.members[id]; m != nil && m.shelf.Holds(d.Cut) == order.Held {
			holding++
		}
	}
	if 2*holding <= len(voters) {
		c.t.Fatalf("I1: %v is committed at %d, and %d of the voters %v hold it",
			d.Cut, k.Position, holding, voters)
	}
}

// transfer carries state from one member to another at once.
func (c *cluster) transfer(from *member, s order.SnapshotMeta) {
	c.sent = append(c.sent, s)
	to := c.members[s.To]
	if to == nil || !to.up || c.lost != nil && c.lost(envelope{from: from.id, to: s.To}) {
		from.r.SnapshotSent(s.To, false)
		return
	}
	if s.Position > to.place.Position {
		to.state = slices.Clone(c.members[from.id].state[:c.stateAt(from, s.Position)])
		to.place, to.durable = s, s
		maps.Copy(to.shelf.Frames, from.shelf.Frames) // the state covers every item under it
	}
	if err := to.r.Restore(s); err != nil && !bytes.Contains([]byte(err.Error()), []byte("older")) {
		c.t.Fatalf("restore of %d: %v", s.To, err)
	}
	c.ready(to)
	from.r.SnapshotSent(s.To, true)
}

// stateAt is how much of a member's state lies up to a position; positions begin at 2.
func (c *cluster) stateAt(m *member, position uint64) int { return int(position - 1) }

// restart crashes a member and starts it again from what was durable.
func (c *cluster) restart(m *member) {
	config := m.config
	config.Bootstrap = nil
	config.Restart = &Restart{Snapshot: m.durable, Records: m.records}
	m.writing, m.up = nil, true
	if m.durable.Position > 0 {
		m.state = m.state[:m.durable.Position-1]
	}
	m.place = m.durable
	m.r = c.orderer(config)
	c.ready(m)
}

// deliver moves the oldest message.
func (c *cluster) deliver() bool {
	if len(c.net) == 0 {
		return false
	}
	e := c.net[0]
	c.net = c.net[1:]
	m := c.members[e.to]
	if m == nil || !m.up || c.lost != nil && c.lost(e) {
		return true
	}
	if err := m.r.Step(e.from, e.data); err != nil && c.trace != nil {
		fmt.Fprintf(c.trace, "%d ! %v\n", e.to, err)
	}
	c.ready(m)
	return true
}

// settle delivers until the network is silent.
func (c *cluster) settle() {
	for n := 0; c.deliver(); n++ {
		if n > 100_000 {
			c.t.Fatal("the network never falls silent")
		}
	}
}

func (c *cluster) tick(ids ...uint64) {
	if len(ids) == 0 {
		ids = c.ids()
	}
	for _, id := range ids {
		if m := c.members[id]; m.up {
			m.r.Tick()
			c.ready(m)
		}
	}
	c.settle()
}

// elect lets time pass until the given member leads; whoever else is elected hands over to it.
func (c *cluster) elect(id uint64) *member {
	c.t.Helper()
	for range 1000 {
		if m := c.members[id]; m.r.Status().Leading {
			return m
		}
		c.tick()
		for _, other := range c.ids() {
			if m := c.members[other]; m.up && other != id && m.r.Status().Leading {
				m.r.TransferLeader(id)
				c.ready(m)
			}
		}
		c.settle()
	}
	c.t.Fatalf("%d is not elected", id)
	return nil
}

// propose proposes a cut, which the leader is made to hold.
func (c *cluster) propose(m *member, marks ...order.Mark) {
	c.t.Helper()
	for _, k := range marks {
		m.shelf.Hold(k.Lane, k.Frames)
	}
	if err := m.r.Propose(decision(marks...)); err != nil {
		c.t.Fatal(err)
	}
	c.ready(m)
}

// holds makes members hold a lane up to a frame, and look again.
func (c *cluster) holds(lane order.LaneID, n uint64, ids ...uint64) {
	for _, id := range ids {
		c.members[id].shelf.Hold(lane, n)
		c.members[id].r.Recheck()
		c.ready(c.members[id])
	}
}

// progress is how the leader treats a follower.
func (m *member) progress(id uint64) (state tracker.StateType) {
	m.r.node.WithProgress(func(other uint64, _ raft.ProgressType, p tracker.Progress) {
		if other == id {
			state = p.State
		}
	})
	return state
}

// note writes the trace of a golden test.
func (c *cluster) note(m *member, rd order.Ready) {
	if c.trace == nil {
		return
	}
	for _, out := range rd.Messages {
		fmt.Fprintf(c.trace, "%d > %d %s\n", m.id, out.To, describe(c.t, out.Data))
	}
	for _, k := range rd.Committed {
		fmt.Fprintf(c.trace, "%d   committed %d of term %d%s\n", m.id, k.Position, k.Term, inside(k))
	}
	for _, s := range rd.Snapshots {
		fmt.Fprintf(c.trace, "%d > %d snapshot at %d of term %d\n", m.id, s.To, s.Position, s.Term)
	}
	for _, k := range rd.Refused {
		fmt.Fprintf(c.trace, "%d   refused a cut of leader %d\n", m.id, k.Leader)
	}
	for _, k := range rd.Reads {
		fmt.Fprintf(c.trace, "%d   read %d waits for %d\n", m.id, k.Ctx, k.Position)
	}
	if rd.WantSnapshot {
		fmt.Fprintf(c.trace, "%d   wants a snapshot\n", m.id)
	}
}

func inside(k order.Committed) string {
	switch {
	case k.Members != nil:
		return fmt.Sprintf(": voters %v learners %v", k.Members.Voters, k.Members.Learners)
	case k.Decision == nil:
		return ": empty"
	}
	d, _ := order.DecodeDecision(k.Decision)
	return fmt.Sprintf(": %s", marksOf(d.Cut))
}

func marksOf(c order.Cut) string {
	var b strings.Builder
	for _, m := range c {
		fmt.Fprintf(&b, " lane %d to frame %d", m.Lane, m.Frames)
	}
	return strings.TrimSpace(b.String())
}

func describe(t testing.TB, data []byte) string {
	m := envelope{data: data}.decode(t)
	s := fmt.Sprintf("%s term %d", strings.TrimPrefix(m.GetType().String(), "Msg"), m.GetTerm())
	switch m.GetType() {
	case pb.MsgApp:
		s += fmt.Sprintf(" after %d/%d: %d entries, commit %d",
			m.GetIndex(), m.GetLogTerm(), len(m.GetEntries()), m.GetCommit())
	case pb.MsgAppResp:
		s += fmt.Sprintf(" at %d", m.GetIndex())
		if m.GetReject() {
			s += fmt.Sprintf(" REJECTED, try after %d", m.GetRejectHint())
		}
	case pb.MsgHeartbeat:
		s += fmt.Sprintf(" commit %d", m.GetCommit())
	case pb.MsgVote, pb.MsgPreVote:
		s += fmt.Sprintf(" log ends %d/%d", m.GetIndex(), m.GetLogTerm())
	case pb.MsgVoteResp, pb.MsgPreVoteResp:
		s += fmt.Sprintf(" granted %v", !m.GetReject())
	}
	return s
}
