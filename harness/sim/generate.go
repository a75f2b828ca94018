package sim

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"metronome/harness/history"
	"metronome/system/wire"
)

// The kinds of operations a client may choose.
const (
	mixPut = iota
	mixGet
	mixBarrier
	mixDelete
	mixCAS
	mixIncr
	mixAppend
	mixMulti
	mixScan
	mixCount
)

// generator makes operations that are not tidy: few hot keys that everything hits, keys and values
// at their bounds, numbers that are none, conditions that mostly fail.
type generator struct {
	rng *rand.Rand
	// What clients saw of keys' revisions, for compare-and-set.
	revisions map[string]uint64
	unique    uint64
}

// call draws one operation; barrier tells that a get is to be answered without an item.
func (g *generator) call(p *params) (c history.Call, barrier bool) {
	c.Key = g.key(p)
	switch pick(g.rng, p.mix[:]) {
	case mixPut:
		c.Op, c.Value = wire.OpPut, g.value()
		c.Previous, c.Present = g.rng.IntN(4) == 0, g.rng.IntN(6) == 0
	case mixBarrier:
		c.Op, barrier = wire.OpGet, true
	case mixDelete:
		c.Op, c.Previous = wire.OpDelete, g.rng.IntN(3) == 0
	case mixCAS:
		c.Op, c.Value, c.Expect = wire.OpCAS, g.value(), g.expect(c.Key)
		c.Previous = g.rng.IntN(3) == 0
	case mixIncr:
		c.Op, c.Delta = wire.OpIncr, g.delta()
	case mixAppend:
		c.Op, c.Value = wire.OpAppend, g.value()
	case mixMulti:
		c = history.Call{Op: wire.OpMulti}
		for range 1 + g.rng.IntN(4) {
			c.Calls = append(c.Calls, g.part(p))
		}
	case mixScan:
		c = g.scan(p)
	default:
		c.Op, c.Stat = wire.OpGet, g.rng.IntN(5) == 0
	}
	return c, barrier
}

func (g *generator) part(p *params) history.Call {
	c := history.Call{Op: wire.Op(1 + g.rng.IntN(3)), Key: g.key(p)}
	if c.Op == wire.OpPut {
		c.Value = g.value()
	}
	return c
}

// key draws a key, the first ones far more often; some are odd.
func (g *generator) key(p *params) string {
	n := min(int(g.rng.ExpFloat64()*float64(p.keys)/3), p.keys-1)
	switch n {
	case 3:
		return "\x00\xff\r\n"
	case 5:
		return strings.Repeat("K", wire.MaxKey)
	case 7:
		return "k1" // a prefix of k10 and k11
	}
	return "k" + strconv.Itoa(n)
}

func (g *generator) value() string {
	g.unique++
	tag := strconv.FormatUint(g.unique, 10)
	switch n := g.rng.IntN(40); {
	case n < 3:
		return ""
	case n < 5:
		return tag + strings.Repeat("v", 1300+g.rng.IntN(6000)) // several frames
	case n == 5:
		return strconv.FormatInt(math.MaxInt64-int64(g.rng.IntN(3)), 10)
	case n < 16:
		return tag // a number
	}
	return "v" + tag
}

func (g *generator) delta() int64 {
	switch g.rng.IntN(10) {
	case 0:
		return math.MaxInt64
	case 1:
		return math.MinInt64
	}
	return int64(g.rng.IntN(9) - 4)
}

func (g *generator) expect(key string) uint64 {
	if g.rng.IntN(4) == 0 {
		return 0
	}
	return g.revisions[key]
}

func (g *generator) scan(p *params) history.Call {
	if g.rng.IntN(4) == 0 {
		return history.Call{Op: wire.OpCount}
	}
	c := history.Call{Op: wire.OpScan, Key: []string{"", "k", "k1", "nothing"}[g.rng.IntN(4)]}
	c.Scan = history.Scan{Limit: 1 + g.rng.IntN(6), Values: g.rng.IntN(2) == 0, ByHash: g.rng.IntN(3) == 0}
	if !c.Scan.ByHash && g.rng.IntN(2) == 0 {
		c.Scan.After = g.key(p)
	}
	return c
}

// learn notes what an answer told of revisions.
func (g *generator) learn(c *history.Call, a *history.Answer) {
	if a.Revision != 0 && c.Key != "" {
		g.revisions[c.Key] = a.Revision
	}
}
