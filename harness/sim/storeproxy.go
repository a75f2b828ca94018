package sim

import (
	"fmt"

	"metronome/harness/history"
	"metronome/system/lane"
	"metronome/system/proxy"
	"metronome/system/wire"
)

// storeProxy drives a proxy.
type storeProxy struct {
	*proxy.Proxy
	calls    map[uint64]*history.Call
	answered []ended
}

type ended struct {
	ticket  uint64
	outcome history.Outcome
	answer  history.Answer
}

// Proxy makes a life.
func (storeSystem) Proxy(c ProxyConfig, o ProxyObserver) Proxy {
	p := &storeProxy{calls: map[uint64]*history.Call{}}
	core, err := proxy.New(proxy.Config{
		Cluster: storeCluster + c.Generation, Number: c.Number, Nonce: c.Seed | 1, Seed: c.Seed, Seats: c.Seats,
		Lanes: 1 + int(c.Seed>>16%2), Digest: digester(),
		Sender:  lane.SenderConfig{Window: 256, Arena: 1 << 19, FrameBytes: 1224 + int(c.Seed>>24%249)},
		Pending: 64, HedgeDelay: 4 * milli * c.Skew.Timing / 1000, Deadline: 100 * milli, OpenRetry: 8 * milli,
		Complete: p.complete,
		Taken: func(token uint64, incarnation uint32, lane uint16, number uint64) {
			o.OnItem(token, c.Number, incarnation, int(lane), number)
		},
	})
	if err != nil {
		panic(fmt.Sprintf("sim: a proxy that cannot be made: %v", err))
	}
	p.Proxy = core
	return p
}

func (p *storeProxy) complete(token uint64, r *wire.Result) {
	c := p.calls[token]
	if c == nil {
		p.answered = append(p.answered, ended{ticket: token, outcome: history.Answered})
		return
	}
	o, a := AnswerOf(c, r)
	p.answered = append(p.answered, ended{token, o, a})
	delete(p.calls, token)
}

// Submit takes a client's operation.
func (p *storeProxy) Submit(now int64, connection, ticket uint64, c *history.Call, barrier bool) {
	it, err := ItemOf(c)
	if err != nil {
		panic(fmt.Sprintf("sim: a call that is no item: %v", err))
	}
	p.calls[ticket] = c
	var status wire.Status
	if barrier {
		status = p.SubmitRead(now, connection, &it, ticket)
	} else {
		status = p.Proxy.Submit(now, int(connection), &it, ticket)
	}
	if status != wire.StatusOK {
		p.complete(ticket, &wire.Result{Status: status})
	}
}

// Answers visits what has ended.
func (p *storeProxy) Answers(visit func(ticket uint64, o history.Outcome, a history.Answer)) {
	answered := p.answered
	p.answered = nil
	for _, e := range answered {
		visit(e.ticket, e.outcome, e.answer)
	}
}

// Idle reports that every item is committed and answered.
func (p *storeProxy) Idle() bool {
	for _, l := range p.View().Lanes {
		if l.Committed < l.Items || l.Answered < l.Items {
			return false
		}
	}
	return true
}

// Fenced reports that another instance took over.
func (p *storeProxy) Fenced() bool { return p.Err() != nil }
