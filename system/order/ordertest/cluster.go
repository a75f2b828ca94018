package ordertest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"metronome/system/order"
)

// Algorithm is what is tested.
type Algorithm struct {
	Name     string
	Start    func(c order.Config) (order.Orderer, error)
	Describe func(message []byte) string
	// Leaderless: every member proposes, once it hears a majority. Nobody is elected and nobody hands over.
	Leaderless bool
	// Fixed: members are those that the cluster was founded with.
	Fixed bool
	// OneTerm: a position has the same term at every member; otherwise the term is a ballot, and its own.
	OneTerm bool
	// Drawn: a coin draws who leads. Who is to lead in a test has it handed over.
	Drawn bool
	// Networks is how many random networks there are by default; 0: 60.
	Networks int
	// Seed makes reproducible what order.Config.Seed does not reach; nil: it reaches everything (R18).
	Seed func(t testing.TB, seed uint64)
}

// At is the n-th frame boundary of a test's lane: ten items a frame.
func At(lane order.LaneID, n uint64) order.Mark {
	return order.Mark{Lane: lane, Items: 10 * n, Frames: n, Chain: uint64(lane)<<32 | n}
}

// Decision encodes a decision of a cut.
func Decision(marks ...order.Mark) []byte {
	return order.AppendDecision(nil, &order.Decision{Cut: marks})
}

// Shelf is a gate: how many frames of each lane are held.
type Shelf struct {
	Frames map[order.LaneID]uint64
	Forged map[order.LaneID]bool // another history of the lane is held
}

// NewShelf holds nothing.
func NewShelf() *Shelf { return &Shelf{map[order.LaneID]uint64{}, map[order.LaneID]bool{}} }

// Holds implements [order.Gate].
func (s *Shelf) Holds(c order.Cut) order.Verdict {
	v := order.Held
	for _, m := range c {
		switch {
		case s.Forged[m.Lane]:
			return order.Mismatch
		case s.Frames[m.Lane] < m.Frames:
			v = order.Missing
		}
	}
	return v
}

// Hold makes a lane held up to a frame.
func (s *Shelf) Hold(lane order.LaneID, n uint64) { s.Frames[lane] = max(s.Frames[lane], n) }

// Member is a replica around one orderer, at its simplest: State is the list of decisions.
type Member struct {
	ID      uint64
	O       order.Orderer
	Shelf   *Shelf
	Up      bool
	Slow    bool             // what it writes is durable only after Sync
	Records [][]byte         // durable
	Writing []*order.Persist // not durable yet
	State   []string         // position:decision, or position@term:decision, in order
	Durable order.SnapshotMeta
	Place   order.SnapshotMeta // where State stands
	Reads   []order.Read
	Refused int

	want   bool
	config order.Config
}

type envelope struct {
	from, to uint64
	data     []byte
}

// Cluster is members and the network between them. Nothing moves by itself.
type Cluster struct {
	T       testing.TB
	Members map[uint64]*Member
	Lost    func(from, to uint64) bool // nil: nothing is lost
	Trace   *strings.Builder           // nil: none
	Agreed  map[uint64]string          // position → what the first member to apply it saw
	Sent    []order.SnapshotMeta       // every transfer begun

	by  Algorithm
	net []envelope
}

// New is a cluster of members 1 to n. adjust, if not nil, changes what they are started with.
func New(t testing.TB, by Algorithm, n int, seed uint64, adjust func(*order.Config)) *Cluster {
	c := &Cluster{T: t, by: by, Members: map[uint64]*Member{}, Agreed: map[uint64]string{}}
	if by.Seed != nil {
		by.Seed(t, seed)
	}
	initial := order.Members{}
	for id := range uint64(n) {
		initial.Voters = append(initial.Voters, id+1)
	}
	for _, id := range initial.Voters {
		m := &Member{ID: id, Up: true, Shelf: NewShelf()}
		m.Place = order.SnapshotMeta{Position: 1, Term: 1, Members: initial}
		m.Durable = m.Place
		m.config = order.Config{ID: id, Gate: m.Shelf, ElectionTicks: 10, HeartbeatTicks: 2, Bootstrap: &initial,
			Seed: seed + id}
		if adjust != nil {
			adjust(&m.config)
		}
		m.O = c.start(m.config)
		c.Members[id] = m
	}
	return c
}

func (c *Cluster) start(config order.Config) order.Orderer {
	c.T.Helper()
	o, err := c.by.Start(config)
	if err != nil {
		c.T.Fatal(err)
	}
	return o
}

// IDs are the members, ascending.
func (c *Cluster) IDs() []uint64 { return slices.Sorted(maps.Keys(c.Members)) }

// Ready does what an orderer wants done, except that a slow member's disk waits for Sync.
func (c *Cluster) Ready(m *Member) {
	for range 100 {
		rd := m.O.Ready()
		c.note(m, rd)
		if rd.Persist != nil {
			m.Writing = append(m.Writing, rd.Persist)
		}
		for _, out := range rd.Messages {
			c.net = append(c.net, envelope{m.ID, out.To, out.Data})
		}
		for _, k := range rd.Committed {
			c.apply(m, k)
		}
		m.Reads, m.Refused = append(m.Reads, rd.Reads...), m.Refused+len(rd.Refused)
		m.want = m.want || rd.WantSnapshot
		for _, s := range rd.Snapshots {
			c.transfer(m, s)
		}
		if len(rd.Committed) > 0 {
			m.O.Applied(m.Place.Position)
		}
		if rd.Persist != nil && !m.Slow {
			c.Sync(m)
		}
		if rd.Persist == nil && len(rd.Committed) == 0 {
			return
		}
	}
	c.T.Fatalf("member %d never comes to rest", m.ID)
}

// Sync makes durable what was written.
func (c *Cluster) Sync(m *Member) {
	for _, p := range m.Writing {
		if p.Fresh > 0 && m.Durable.Position >= p.Fresh {
			m.Records = nil
		}
		m.Records = append(m.Records, p.Records...)
		m.O.Persisted(p.Seq)
	}
	m.Writing = nil
}

func (c *Cluster) apply(m *Member, k order.Committed) {
	if k.Position != m.Place.Position+1 {
		c.T.Fatalf("member %d: position %d after %d", m.ID, k.Position, m.Place.Position)
	}
	m.Place.Position, m.Place.Term = k.Position, k.Term
	line := fmt.Sprintf("%d:%x", k.Position, k.Decision)
	if c.by.OneTerm {
		line = fmt.Sprintf("%d@%d:%x", k.Position, k.Term, k.Decision)
	}
	m.State = append(m.State, line)
	if first, ok := c.Agreed[k.Position]; !ok {
		c.Agreed[k.Position] = line
		c.proveHeld(m.Place.Members.Voters, k)
	} else if first != line {
		c.T.Fatalf("I2: member %d applied %q, another %q", m.ID, line, first)
	}
}

// proveHeld is I1: when anyone first applies a decision, a majority of the voters hold what is under
// its cut.
func (c *Cluster) proveHeld(voters []uint64, k order.Committed) {
	cut, err := order.CutOf(k.Decision)
	if err != nil {
		c.T.Fatal(err)
	}
	holding := 0
	for _, id := range voters {
		if c.Members[id].Shelf.Holds(cut) == order.Held {
			holding++
		}
	}
	if 2*holding <= len(voters) {
		c.T.Fatalf("I1: %v is committed at %d, and %d of the voters %v hold it", cut, k.Position, holding, voters)
	}
}

// transfer carries state from one member to another at once.
func (c *Cluster) transfer(from *Member, s order.SnapshotMeta) {
	c.Sent = append(c.Sent, s)
	to := c.Members[s.To]
	if !to.Up || c.Lost != nil && c.Lost(from.ID, s.To) {
		from.O.SnapshotSent(s.To, false)
		return
	}
	if s.Position > to.Place.Position {
		before := to.Place
		err := to.O.Restore(s)
		if err != nil && !errors.Is(err, order.ErrStale) {
			c.T.Fatalf("restore of %d: %v", s.To, err)
		}
		if to.Place = before; err == nil {
			to.State = slices.Clone(from.State[:s.Position-1])
			to.Place, to.Durable = s, s
			for lane, n := range from.Shelf.Frames { // the state covers every item under it
				to.Shelf.Hold(lane, n)
			}
		}
	}
	c.Ready(to)
	from.O.SnapshotSent(s.To, true)
}

// Restart crashes a member and starts it again from what was durable.
func (c *Cluster) Restart(m *Member) {
	config := m.config
	config.Bootstrap = nil
	config.Restart = &order.Restart{Snapshot: m.Durable, Records: m.Records}
	config.Seed += 100
	m.Writing, m.Up = nil, true
	m.State, m.Place = m.State[:m.Durable.Position-1], m.Durable
	m.O = c.start(config)
	c.Ready(m)
}

// deliver moves the i-th message; again says that it comes another time, too.
func (c *Cluster) deliver(i int, again bool) {
	e := c.net[i]
	if !again {
		c.net = slices.Delete(c.net, i, i+1)
	}
	m := c.Members[e.to]
	if !m.Up || c.Lost != nil && c.Lost(e.from, e.to) {
		return
	}
	if err := m.O.Step(e.from, e.data); err != nil && c.Trace != nil {
		fmt.Fprintf(c.Trace, "%d ! %v\n", e.to, err)
	}
	c.Ready(m)
}

// Settle delivers until the network is silent.
func (c *Cluster) Settle() {
	for n := 0; len(c.net) > 0; n++ {
		if n > 100_000 {
			c.T.Fatal("the network never falls silent")
		}
		c.deliver(0, false)
	}
}

// Tick lets time pass for some members, or for all. Without a leader everybody's heartbeats count.
func (c *Cluster) Tick(ids ...uint64) {
	if len(ids) == 0 || c.by.Leaderless {
		ids = c.IDs()
	}
	for _, id := range ids {
		if m := c.Members[id]; m.Up {
			m.O.Tick()
			c.Ready(m)
		}
	}
	c.Settle()
}

// decisions is how many positions have more than nothing.
func (c *Cluster) decisions() (n int) {
	for _, line := range c.Agreed {
		if !strings.HasSuffix(line, ":") {
			n++
		}
	}
	return n
}

// Outwait lets time pass until nobody waits any more for who is cut off, where all wait for all.
func (c *Cluster) Outwait() {
	for range 30 {
		if c.by.Leaderless {
			c.Tick()
		}
	}
}

// Elect lets only one member's time pass until it leads.
func (c *Cluster) Elect(id uint64) *Member {
	c.T.Helper()
	for range 100 {
		if m := c.Members[id]; m.O.Status().Leading {
			return m
		}
		if by := c.Leader(); c.by.Drawn && by != nil {
			by.O.TransferLeader(id)
			c.Ready(by)
			c.Settle()
		} else if c.by.Drawn {
			c.Tick()
		} else {
			c.Tick(id)
		}
	}
	c.T.Fatalf("%d is not elected: %+v", id, c.Members[id].O.Status())
	return nil
}

// Met is a cluster whose first member leads, and whose members heard each other.
func Met(t testing.TB, by Algorithm, n int, adjust func(*order.Config)) *Cluster {
	c := New(t, by, n, 1, adjust)
	c.Elect(1)
	c.Tick()
	c.Tick()
	return c
}

// Leader is a member that leads, or nil.
func (c *Cluster) Leader() *Member {
	for _, id := range c.IDs() {
		if m := c.Members[id]; m.Up && m.O.Status().Leading {
			return m
		}
	}
	return nil
}

// Propose proposes a cut, which the proposer is made to hold.
func (c *Cluster) Propose(m *Member, marks ...order.Mark) {
	c.T.Helper()
	for _, k := range marks {
		m.Shelf.Hold(k.Lane, k.Frames)
	}
	if err := m.O.Propose(Decision(marks...)); err != nil {
		c.T.Fatal(err)
	}
	c.Ready(m)
}

// Holds makes members hold a lane up to a frame, and look again.
func (c *Cluster) Holds(lane order.LaneID, n uint64, ids ...uint64) {
	for _, id := range ids {
		m := c.Members[id]
		if m.Shelf.Hold(lane, n); m.Up {
			m.O.Recheck()
			c.Ready(m)
		}
	}
}

// note writes the trace of a golden test.
func (c *Cluster) note(m *Member, rd order.Ready) {
	if c.Trace == nil {
		return
	}
	for _, out := range rd.Messages {
		fmt.Fprintf(c.Trace, "%d > %d %s\n", m.ID, out.To, c.by.Describe(out.Data))
	}
	for i := 0; i < len(rd.Committed); i++ {
		k, more := rd.Committed[i], i+1
		for k.Decision == nil && more < len(rd.Committed) && rd.Committed[more].Decision == nil {
			more++
		}
		if n := uint64(more - i - 1); n > 0 {
			fmt.Fprintf(c.Trace, "%d   decided %d to %d: nothing\n", m.ID, k.Position, k.Position+n)
		} else {
			fmt.Fprintf(c.Trace, "%d   decided %d%s\n", m.ID, k.Position, inside(k.Decision))
		}
		i = more - 1
	}
	for _, s := range rd.Snapshots {
		fmt.Fprintf(c.Trace, "%d > %d snapshot at %d\n", m.ID, s.To, s.Position)
	}
	for _, k := range rd.Refused {
		fmt.Fprintf(c.Trace, "%d   refused a cut of leader %d\n", m.ID, k.Leader)
	}
	for _, k := range rd.Reads {
		fmt.Fprintf(c.Trace, "%d   read %d waits for %d\n", m.ID, k.Ctx, k.Position)
	}
	if rd.WantSnapshot {
		fmt.Fprintf(c.Trace, "%d   wants a snapshot\n", m.ID)
	}
}

func inside(decision []byte) string {
	if decision == nil {
		return ": nothing"
	}
	s := ":"
	cut, _ := order.CutOf(decision)
	for _, m := range cut {
		s += fmt.Sprintf(" lane %d to frame %d", m.Lane, m.Frames)
	}
	return s
}

// Say writes what happens next into the trace.
func (c *Cluster) Say(format string, args ...any) {
	fmt.Fprintf(c.Trace, "\n# "+format+"\n", args...)
}

// Unseen sets a scene without a trace.
func (c *Cluster) Unseen(set func()) {
	trace := c.Trace
	c.Trace = nil
	set()
	c.Trace = trace
}

// Glance writes how members stand.
func (c *Cluster) Glance(ids ...uint64) {
	for _, id := range ids {
		s := c.Members[id].O.Status()
		fmt.Fprintf(c.Trace, "%d   log to %d, decided %d, applied %d, waiting %d\n", id, s.Last, s.Position,
			s.Applied, s.Waiting)
	}
}
