package racs

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
func (p *Racs) ReadIndex(ctx uint64) {
	if p.role == leading {
		p.read(p.Self, ctx)
	} else if to := slices.Index(p.Members, p.leader); to >= 0 {
		p.send(to, message{kind: kindRead, ballot: p.promised, read: ctx})
	}
}

func (p *Racs) onRead(from int, m *message) {
	if p.role == leading {
		p.read(from, m.read)
	}
}

// read notes the position that a read waits for, and asks who still follows. A leader that does not
// know yet what earlier ones decided does not answer: the asker asks again.
func (p *Racs) read(from int, ctx uint64) {
	if p.Commit < p.lead.recovered || len(p.reads.asked) >= maxReads {
		return
	}
	p.reads.round++
	p.reads.asked = append(p.reads.asked, reading{from, ctx, p.reads.round, p.Commit})
	p.heartbeat()
	p.confirm()
}

// confirm answers the reads since which a quorum of phase 2 has answered a heartbeat: each quorum of
// phase 1 has a member of it, which had promised no higher ballot then.
func (p *Racs) confirm() {
	n := 0
	for _, r := range p.reads.asked {
		votes := bit(p.Self)
		p.Others(func(i int) {
			if p.peers[i].confirmed >= r.round {
				votes |= bit(i)
			}
		})
		if !slots.Quorum(votes, p.Accepts) {
			break
		}
		n++
		if r.from == p.Self {
			p.out.Ready.Reads = append(p.out.Ready.Reads, order.Read{Ctx: r.ctx, Position: r.position})
		} else {
			p.send(r.from, message{kind: kindReadAt, ballot: p.promised, commit: r.position, read: r.ctx})
		}
	}
	p.reads.asked = p.reads.asked[n:]
}

func (p *Racs) onReadAt(_ int, m *message) {
	p.out.Ready.Reads = append(p.out.Ready.Reads, order.Read{Ctx: m.read, Position: m.commit})
}
