package vswitch

import (
	"fmt"
	"math"
	"math/bits"

	"metronome/system/packet/ethernet"
)

// Never is a time that does not come.
const Never = math.MaxInt64

// Core is the switch. It belongs to one goroutine. Times are ns of any one clock.
type Core struct {
	cfg   Config
	hash  *Toeplitz
	table *table
	ports []port
	links [][]link // [from][to]
	store store
	ready []*Out
	late  [][]byte // copies handed out, spare again at the next call
	query int64    // when to ask for membership next
	sweep int64    // when to forget next

	queryPkt []byte
	stats    Stats
}

// port is what the switch knows about a port.
type port struct {
	outs []Out
	dead []bool // queues that deliver nothing
	up   bool
	src  mac   // the last sender heard here …
	host *host // … and what is known of it
}

// Out is what leaves by one queue of a port. It is valid until the next Step or Due.
type Out struct {
	Port, Queue int
	Refs        []uint16 // places in the burst of the last Step, in order; a place may occur twice
	Copies      [][]byte // whole packets, sent after Refs
}

// Stats counts what the switch itself did.
type Stats struct {
	Packets  uint64 `json:"packets"`  // taken in
	Runts    uint64 `json:"runts"`    // refused: too short, too long, or in pieces
	Flooded  uint64 `json:"flooded"`  // sent to all for want of knowledge
	Nowhere  uint64 `json:"nowhere"`  // that had no port to go to
	Unheard  uint64 `json:"unheard"`  // addresses and groups there was no room to learn
	Queries  uint64 `json:"queries"`  // for membership, asked
	Dead     uint64 `json:"dead"`     // swallowed by dead queues, those that were held back too
	Holding  int    `json:"holding"`  // packets held back now
	Hosts    int    `json:"hosts"`    // addresses known
	Groups   int    `json:"groups"`   // groups with a listener
	Memory   int    `json:"memory"`   // bytes of buffers for packets held back
	Balanced bool   `json:"balanced"` // every link's counters add up
}

// New makes a switch.
func New(cfg Config) (*Core, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Core{cfg: cfg, hash: NewToeplitz(cfg.Key), table: newTable(), store: store{most: cfg.Held},
		ports: make([]port, len(cfg.Ports)), links: make([][]link, len(cfg.Ports))}
	for i, p := range cfg.Ports {
		c.ports[i] = port{outs: make([]Out, p.Queues), dead: make([]bool, p.Queues), up: true}
		for q := range c.ports[i].outs {
			c.ports[i].outs[q] = Out{Port: i, Queue: q}
		}
		c.links[i] = make([]link, len(cfg.Ports))
		for j := range c.links[i] {
			c.links[i][j] = link{clean: true, seed: mix(mix(cfg.Seed+uint64(i)<<8) + uint64(j))}
		}
	}
	query := ethernet.Host{MAC: [6]byte{2, 'm', 't', 'n', 's', 'w'}}
	c.queryPkt = query.GeneralQuery(make([]byte, ethernet.MaxIGMP))
	return c, nil
}

// Step takes a burst of packets that came in by a port, at most 65,535, and says where they go. A
// packet of no bytes is one that the port could not hand over whole.
func (c *Core) Step(now int64, from int, pkts [][]byte) []*Out {
	c.reset()
	for i, pkt := range pkts {
		c.stats.Packets++
		if len(pkt) < ethernetBytes || len(pkt) > MaxPacket {
			c.stats.Runts++
			continue
		}
		c.learn(now, from, pkt)
		to := c.targets(from, pkt)
		if to == 0 {
			c.stats.Nowhere++
		}
		for ; to != 0; to &= to - 1 {
			c.pass(now, from, bits.TrailingZeros64(to), uint16(i), pkt)
		}
	}
	return c.ready
}

// learn notes who sent the packet, and what membership it reports.
func (c *Core) learn(now int64, from int, pkt []byte) {
	src, p := macAt(pkt[6:]), &c.ports[from]
	if h := p.host; h != nil && src == p.src && h.port == from {
		h.seen = now
	} else if !src.multicast() {
		p.src, p.host = src, c.table.learn(src, from, now)
	}
	if !c.cfg.Flood && pkt[0] == 1 && len(pkt) > 23 && pkt[23] == 2 && pkt[12] == 8 {
		until := now + 3*c.cfg.QueryGap
		_ = ethernet.Snoop(pkt, func(g [4]byte, listens bool) { // what cannot be read tells nothing
			c.table.listen(groupMAC(g), from, listens, until)
		})
	}
}

// targets is the set of ports that a packet goes to, without impairments.
func (c *Core) targets(from int, pkt []byte) uint64 {
	all := uint64(1)<<len(c.ports) - 1
	dst, to := macAt(pkt), uint64(0)
	if dst.multicast() {
		g := c.table.groups[dst]
		if c.cfg.Flood || g == nil || dst.linkLocal() {
			to = all
			c.stats.Flooded++
		} else {
			to = g.ports
		}
	} else if h := c.table.hosts[dst]; h != nil {
		to = 1 << h.port
	} else {
		to = all
		c.stats.Flooded++
	}
	return to &^ (1 << from)
}

// pass sends a packet over one link.
func (c *Core) pass(now int64, from, to int, ref uint16, pkt []byte) {
	l, queue := &c.links[from][to], 0
	if n := len(c.ports[to].outs); n > 1 {
		queue = Queue(c.hash.Packet(pkt), n)
	}
	l.count.In++
	f := fate{copies: 1, bit: -1}
	if !l.clean {
		f = l.judge(now, pkt)
		l.settle(now)
	}
	for range f.copies {
		if f.due == 0 && c.ports[to].dead[queue] {
			l.count.Dead++
			c.stats.Dead++
			continue
		}
		if f.due == 0 {
			l.count.Passed++
			out := c.out(to, queue)
			out.Refs = append(out.Refs, ref)
			continue
		}
		c.hold(l, f, now, to, queue, pkt)
	}
}

// hold keeps a copy of the packet until it is due, damaged if it is to be.
func (c *Core) hold(l *link, f fate, now int64, to, queue int, pkt []byte) {
	buf := c.store.put(max(f.due, now), to, queue, pkt)
	if buf == nil {
		l.count.NoRoom++
		return
	}
	l.count.Held++
	if f.bit >= 0 {
		buf[ethernetBytes+f.bit/8] ^= 1 << (f.bit % 8)
	}
}

// out is a queue's list, on the list of those that have something.
func (c *Core) out(port, queue int) *Out {
	o := &c.ports[port].outs[queue]
	if len(o.Refs) == 0 && len(o.Copies) == 0 {
		c.ready = append(c.ready, o)
	}
	return o
}

// reset takes back what the last call handed out.
func (c *Core) reset() {
	for _, o := range c.ready {
		o.Refs, o.Copies = o.Refs[:0], o.Copies[:0]
	}
	c.ready = c.ready[:0]
	for _, buf := range c.late {
		c.store.giveBack(buf)
	}
	c.late = c.late[:0]
}

// maxDue bounds what one Due hands out.
const maxDue = 4096

// Due says what is due by now: packets that were held back, and queries.
func (c *Core) Due(now int64) []*Out {
	c.reset()
	for len(c.late) < maxDue && c.store.next() <= now {
		h := c.store.pop()
		c.late = append(c.late, h.pkt)
		if c.ports[h.port].dead[h.queue] {
			c.stats.Dead++
			continue
		}
		o := c.out(h.port, h.queue)
		o.Copies = append(o.Copies, h.pkt)
	}
	if now >= c.sweep {
		c.sweep = now + 1e9
		c.age(now)
	}
	if !c.cfg.Flood && now >= c.query {
		c.query = now + c.cfg.QueryGap
		c.stats.Queries++
		for i := range c.ports {
			if c.ports[i].dead[0] {
				continue
			}
			o := c.out(i, 0)
			o.Copies = append(o.Copies, c.queryPkt)
		}
	}
	return c.ready
}

// age forgets; what ports remember of their last sender goes with it.
func (c *Core) age(now int64) {
	c.table.age(now, c.cfg.MaxAge)
	for i := range c.ports {
		c.ports[i].host = nil
	}
}

// Next is when Due has something to do.
func (c *Core) Next() int64 {
	next := min(c.store.next(), c.sweep)
	if !c.cfg.Flood {
		next = min(next, c.query)
	}
	return next
}

// Link tells whether the host behind a port is there. When it goes, what was learned of it is
// forgotten; when it comes, it is asked at once which groups it wants.
func (c *Core) Link(port int, up bool) {
	p := &c.ports[port]
	if p.up == up {
		return
	}
	p.up = up
	if up {
		c.query = 0
		return
	}
	c.table.forget(port)
	for i := range c.ports {
		c.ports[i].host = nil
	}
}

// Impair sets what befalls packets between the ports of these names; "*" means every port.
func (c *Core) Impair(now int64, from, to string, m Impairment) error {
	if err := m.Validate(); err != nil {
		return err
	}
	sources, err := c.named(from)
	if err != nil {
		return err
	}
	sinks, err := c.named(to)
	if err != nil {
		return err
	}
	for _, i := range sources {
		for _, j := range sinks {
			l := &c.links[i][j]
			l.Impairment = m
			if m.Rate == 0 {
				l.free = 0
			}
			l.settle(now)
		}
	}
	return nil
}

// Dead sets which receive queues of the ports of this name ("*": every port) deliver nothing, as those of a
// NIC whose interrupt or descriptor ring is stuck; all others deliver. What their host sends leaves as
// ever. The fate of other packets does not change. When a queue lives again, its host is asked at once
// which groups it wants.
func (c *Core) Dead(to string, queues ...int) error {
	sinks, err := c.named(to)
	if err != nil {
		return err
	}
	for _, i := range sinks {
		for _, q := range queues {
			if n := len(c.ports[i].dead); q < 0 || q >= n {
				return fmt.Errorf("vswitch: port %s has no queue %d: use 0 to %d", c.cfg.Ports[i].Name, q, n-1)
			}
		}
	}
	for _, i := range sinks {
		clear(c.ports[i].dead)
		for _, q := range queues {
			c.ports[i].dead[q] = true
		}
	}
	c.query = 0
	return nil
}

// named are the ports of that name.
func (c *Core) named(name string) (found []int, err error) {
	for i := range c.cfg.Ports {
		if name == "*" || name == c.cfg.Ports[i].Name {
			found = append(found, i)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("vswitch: no port is named %q", name)
	}
	return found, nil
}

// Ports are the ports, as configured.
func (c *Core) Ports() []Port { return c.cfg.Ports }

// Stats reads the switch's counters.
func (c *Core) Stats() Stats {
	s := c.stats
	s.Unheard, s.Holding = c.table.full, len(c.store.heap)
	s.Hosts, s.Groups, s.Memory = len(c.table.hosts), len(c.table.groups), c.store.made*MaxPacket
	s.Balanced = true
	for i := range c.links {
		for j := range c.links[i] {
			s.Balanced = s.Balanced && c.links[i][j].count.balanced()
		}
	}
	return s
}

// LinkStats reads the counters of the link between two ports, by number.
func (c *Core) LinkStats(from, to int) LinkStats { return c.links[from][to].count }

// balanced reports whether every packet of the link is accounted for. Overrun and NoRoom count
// copies.
func (s *LinkStats) balanced() bool {
	return s.In+s.Duplicated == s.Passed+s.Held+s.Lost+s.Burst+s.Cut+s.Overrun+s.NoRoom+s.Dead
}
