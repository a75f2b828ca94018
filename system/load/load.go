// Package load drives a proxy from within its own process: operations that no client protocol
// carries, to see what the store itself can do.
//
// A [Generator] is a daemon.ProxyConfig's Drive and Complete. Closed loop, it keeps so many
// operations outstanding; open loop, it submits each at its intended time, from which its latency
// counts, so that a stall is charged to everything that was due in it (no coordinated omission).
//
// It does not check what the store answers beyond statuses; harness/history does.
package load

import (
	"encoding/base64"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"metronome/system/lane"
	"metronome/system/proxy"
	"metronome/system/wire"
)

// Config says what is submitted.
type Config struct {
	Keys        int     // distinct keys, written in random order
	KeyBytes    int     // at least 8
	ValueBytes  int     // of each put
	Reads       float64 // share of reads, 0 to 1
	Barrier     bool    // reads at a barrier instead of as items (R26)
	Outstanding int     // closed loop: operations not answered; open loop: at most so many
	Rate        float64 // operations a second, open loop; 0 = closed loop
	Warmup      time.Duration
	Length      time.Duration
	Seed        uint64
}

func (c *Config) check() error {
	switch {
	case c.Keys < 1, c.KeyBytes < 8 || c.KeyBytes > wire.MaxKey,
		c.ValueBytes < 0 || c.ValueBytes > wire.MaxValue:
		return fmt.Errorf("load: %d keys of %d bytes, values of %d: use keys of 8 to %d bytes, values up to %d",
			c.Keys, c.KeyBytes, c.ValueBytes, wire.MaxKey, wire.MaxValue)
	case c.Outstanding < 1 || c.Outstanding > 1<<24, c.Rate < 0, c.Reads < 0 || c.Reads > 1, c.Length <= 0:
		return fmt.Errorf("load: outstanding %d, rate %g, reads %g, length %v: out of range",
			c.Outstanding, c.Rate, c.Reads, c.Length)
	}
	return nil
}

// Result is what came of it. Latencies are in microseconds, of every 16th operation, counted from
// the intended time under a rate, else from submission.
type Result struct {
	Seconds     float64 `json:"seconds"`
	Ops         uint64  `json:"ops"`
	OpsPerS     float64 `json:"ops_per_s"`
	Reads       uint64  `json:"reads"`
	Busy        uint64  `json:"busy"`
	Failed      uint64  `json:"failed"`
	Unknown     uint64  `json:"unknown"`
	Unsent      uint64  `json:"unsent"` // open loop: due and not submitted in time
	LatencyP50  float64 `json:"latency_p50_us"`
	LatencyP90  float64 `json:"latency_p90_us"`
	LatencyP99  float64 `json:"latency_p99_us"`
	LatencyP999 float64 `json:"latency_p999_us"`
	LatencyMax  float64 `json:"latency_max_us"`
	// LatencyHDR is their histogram, in ns: HdrHistogram's V2 encoding, compressed, base64.
	LatencyHDR string `json:"latency_hdr"`
}

// Generator submits operations to one proxy. It belongs to the proxy's loop.
type Generator struct {
	cfg      Config
	start    time.Time
	from, to int64 // of the measured window, on the loop's clock; 0 = not begun
	rng      uint64
	seq      uint64 // operations submitted
	ended    uint64
	at       []int64 // by sequence number: when it was due, ns since start
	mask     uint64
	due      float64 // open loop: operations due so far
	item     wire.Item
	get      wire.Item
	key      []byte
	hist     *hdrhistogram.Histogram
	r        Result
	begun    chan struct{}
	finished chan Result
	done     bool

	measuring bool // the warm-up is over
}

// sampled is one in so many operations whose latency is taken: reading the clock costs as much as
// submitting.
const sampled = 16

// New makes a generator.
func New(cfg Config) (*Generator, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	size := 1
	for size < 2*cfg.Outstanding {
		size *= 2
	}
	return &Generator{cfg: cfg, start: time.Now(), rng: cfg.Seed | 1, at: make([]int64, size),
		mask: uint64(size - 1), key: make([]byte, cfg.KeyBytes),
		item: wire.Item{Value: make([]byte, cfg.ValueBytes)}, get: wire.Item{Op: wire.OpGet},
		hist: hdrhistogram.New(1, 60_000_000_000, 3), begun: make(chan struct{}),
		finished: make(chan Result, 1)}, nil
}

// Begun is closed when the warm-up is over.
func (g *Generator) Begun() <-chan struct{} { return g.begun }

// Finished delivers the result when the time is up.
func (g *Generator) Finished() <-chan Result { return g.finished }

// burst bounds what one turn submits, so that answers are looked at in between.
const burst = 512

// Drive submits what is due.
func (g *Generator) Drive(now int64, p *proxy.Proxy) (n int, next int64) {
	if g.done || !p.Open() {
		return 0, now + int64(10*time.Millisecond)
	}
	if g.from == 0 {
		g.from = now + g.cfg.Warmup.Nanoseconds()
		g.to = g.from + g.cfg.Length.Nanoseconds()
	}
	if !g.measuring && now >= g.from {
		g.measuring = true
		close(g.begun)
	}
	if now >= g.to {
		g.finish(now)
		return 0, lane.Never
	}
	room := min(burst, g.cfg.Outstanding-int(g.seq-g.ended))
	next = lane.Never
	since := time.Since(g.start).Nanoseconds()
	if g.cfg.Rate > 0 {
		began := g.from - g.cfg.Warmup.Nanoseconds()
		owed := int(float64(now-began)*g.cfg.Rate/1e9 - g.due)
		room = min(room, owed)
		next = began + int64((g.due+float64(max(room, 0))+1)/g.cfg.Rate*1e9)
	}
	for n = 0; n < room; n++ {
		intended := since
		if g.cfg.Rate > 0 {
			intended -= now - (g.from - g.cfg.Warmup.Nanoseconds()) - int64((g.due+1)/g.cfg.Rate*1e9)
		}
		if !g.submit(now, intended, p) {
			break
		}
		g.due++
	}
	return n, next
}

func (g *Generator) random() uint64 { // xorshift64*: Vigna, 2014
	g.rng ^= g.rng >> 12
	g.rng ^= g.rng << 25
	g.rng ^= g.rng >> 27
	return g.rng * 2685821657736338717
}

// submit sends one operation; false if the proxy has no room.
func (g *Generator) submit(now, intended int64, p *proxy.Proxy) bool {
	x := g.random()
	key(g.key, x%uint64(g.cfg.Keys))
	read := g.cfg.Reads > 0 && float64(x>>40)/(1<<24) < g.cfg.Reads
	g.at[g.seq&g.mask] = intended
	token := g.seq | 1<<63
	var status wire.Status
	switch {
	case read && g.cfg.Barrier:
		g.get.Key = g.key
		status = p.SubmitRead(now, g.seq, &g.get, token)
	case read:
		g.get.Key = g.key
		status = p.Submit(now, int(g.seq), &g.get, token)
	default:
		g.item.Op, g.item.Key = wire.OpPut, g.key
		status = p.Submit(now, int(g.seq), &g.item, token)
	}
	if status != wire.StatusOK {
		g.r.Busy++
		return false
	}
	g.seq++
	if read {
		g.r.Reads++
	}
	return true
}

const digits = "0123456789abcdef"

// key writes a number as hexadecimal digits, padded to the key's length.
func key(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = digits[n&15]
		n >>= 4
	}
}

// Complete notes how an operation ended.
func (g *Generator) Complete(token uint64, r *wire.Result) {
	g.ended++
	seq := token &^ (1 << 63)
	switch r.Status {
	case wire.StatusOK, wire.StatusNotFound:
	case wire.StatusUnknown:
		g.r.Unknown++
	default:
		g.r.Failed++
	}
	if !g.measuring {
		return
	}
	g.r.Ops++
	if seq%sampled == 0 || g.cfg.Outstanding <= sampled {
		_ = g.hist.RecordValue(max(time.Since(g.start).Nanoseconds()-g.at[seq&g.mask], 1))
	}
}

func (g *Generator) finish(now int64) {
	g.done = true
	g.r.Seconds = float64(now-g.from) / 1e9
	g.r.OpsPerS = float64(g.r.Ops) / g.r.Seconds
	us := func(q float64) float64 { return float64(g.hist.ValueAtQuantile(q)) / 1e3 }
	g.r.LatencyP50, g.r.LatencyP90, g.r.LatencyP99, g.r.LatencyP999 = us(50), us(90), us(99), us(99.9)
	g.r.LatencyMax = float64(g.hist.Max()) / 1e3
	if g.cfg.Rate > 0 {
		g.r.Unsent = uint64(max(0, g.cfg.Rate*float64(now-g.from+g.cfg.Warmup.Nanoseconds())/1e9-g.due))
	}
	if b, err := g.hist.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err == nil {
		g.r.LatencyHDR = base64.StdEncoding.EncodeToString(b)
	}
	g.finished <- g.r
}
