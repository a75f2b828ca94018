//go:build dpdk

package dpdk

import (
	"sync/atomic"

	"metronome/system/packet"
	"metronome/system/packet/ethernet"
)

// counters of one port. One goroutine writes them, any may read; they are only written once a
// burst.
type counters struct {
	rxFrames, rxBytes, rxCalls, rxEmpty atomic.Uint64
	txFrames, txBytes, txFull           atomic.Uint64
	verdicts                            [ethernet.NumVerdicts]atomic.Uint64
}

// bump adds to a counter with a single writer.
func bump(c *atomic.Uint64, n int) {
	if n != 0 {
		c.Store(c.Load() + uint64(n))
	}
}

func (c *counters) countEmpty() {
	bump(&c.rxCalls, 1)
	bump(&c.rxEmpty, 1)
}

func (c *counters) countRecv(frames, bytes int) {
	bump(&c.rxCalls, 1)
	bump(&c.rxFrames, frames)
	bump(&c.rxBytes, bytes)
	if frames == 0 {
		bump(&c.rxEmpty, 1)
	}
}

func (c *counters) countSend(frames, bytes, refused int) {
	bump(&c.txFrames, frames)
	bump(&c.txBytes, bytes)
	bump(&c.txFull, refused)
}

func (c *counters) countVerdict(v ethernet.Verdict) { bump(&c.verdicts[v], 1) }

// Verdicts counts the packets that Recv got, by what it made of them.
func (p *Port) Verdicts() Verdicts {
	var v Verdicts
	for i := range v {
		v[i] = p.verdicts[i].Load()
	}
	v[ethernet.OK] = p.rxFrames.Load()
	return v
}

// classes sums the refused packets up as packet.Stats does: not for this port, and damaged on the
// way.
func (v Verdicts) classes() (foreign, damaged uint64) {
	for verdict := ethernet.OK + 1; verdict < ethernet.NumVerdicts; verdict++ {
		if verdict.Damaged() {
			damaged += v[verdict]
		} else {
			foreign += v[verdict]
		}
	}
	return foreign, damaged
}

// Stats reads the port's counters. What the device counts for all its queues together (RxDropped,
// RxErrors, TxErrors) is in the Stats of port 0, so that the sum over the ports is right.
func (p *Port) Stats() packet.Stats {
	s := packet.Stats{
		RxFrames: p.rxFrames.Load(), RxBytes: p.rxBytes.Load(), RxSegs: p.rxFrames.Load(),
		RxCalls: p.rxCalls.Load(), RxEmpty: p.rxEmpty.Load(),
		TxFrames: p.txFrames.Load(), TxBytes: p.txBytes.Load(), TxFull: p.txFull.Load(),
	}
	s.RxForeign, s.RxBadUDP = p.Verdicts().classes()
	if p.index != 0 {
		return s
	}
	if d, err := p.dev.Stats(); err == nil {
		s.RxDropped = d.RxMissed + d.RxNoMbuf
		s.RxErrors, s.TxErrors = d.RxErrors, d.TxErrors
	}
	return s
}
