package paxos

import (
	"slices"

	"metronome/system/order"
	"metronome/system/order/slots"
)

// readings are reads that wait until a quorum has confirmed that it follows this leader.
type readings struct {
	round uint64 // of confirmations
	asked []reading
}

type reading struct {
	from     int
	ctx      uint64
	round    uint64
	position uint64
}

// ReadIndex implements [order.Orderer].
func (c *Core) ReadIndex(ctx uint64) {
	if c.Role == Leading {
		c.read(c.Self, ctx)
	} else if to := slices.Index(c.Members, c.Leader); to >= 0 {
		c.Send(to, Message{Kind: Read, Ballot: c.Promised, Read: ctx})
	}
}

func (c *Core) onRead(from int, m *Message) {
	if c.Role == Leading {
		c.read(from, m.Read)
	}
}

// read notes the position that a read waits for, and asks who still follows. A leader that does not
// know yet what earlier ones decided does not answer: the asker asks again.
func (c *Core) read(from int, ctx uint64) {
	if c.Commit < c.lead.recovered || len(c.reads.asked) >= maxReads {
		return
	}
	c.reads.round++
	c.reads.asked = append(c.reads.asked, reading{from, ctx, c.reads.round, c.Commit})
	c.heartbeat()
	c.confirm()
}

// confirm answers the reads since which a quorum of phase 2 has answered a heartbeat: each quorum of
// phase 1 has a member of it, which had promised no higher ballot then.
func (c *Core) confirm() {
	n := 0
	for _, r := range c.reads.asked {
		votes := Bit(c.Self)
		c.Others(func(i int) {
			if c.peers[i].confirmed >= r.round {
				votes |= Bit(i)
			}
		})
		if !slots.Quorum(votes, c.Accepts) {
			break
		}
		n++
		if r.from == c.Self {
			c.out.Ready.Reads = append(c.out.Ready.Reads, order.Read{Ctx: r.ctx, Position: r.position})
		} else {
			c.Send(r.from, Message{Kind: ReadAt, Ballot: c.Promised, Commit: r.position, Read: r.ctx})
		}
	}
	c.reads.asked = c.reads.asked[n:]
}

func (c *Core) onReadAt(m *Message) {
	c.out.Ready.Reads = append(c.out.Ready.Reads, order.Read{Ctx: m.Read, Position: m.Commit})
}
