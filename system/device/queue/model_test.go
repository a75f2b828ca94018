package queue

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// memoryLog is a log in memory: records below first are trimmed, those above durable are lost by a
// crash.
type memoryLog struct {
	records [][]byte // number n is records[n-1]
	first   uint64
	durable uint64
	broken  map[uint64]bool
}

func (l *memoryLog) append(record []byte) uint64 {
	l.records = append(l.records, append([]byte(nil), record...))
	return uint64(len(l.records))
}

func (l *memoryLog) Read(from uint64, visit func(uint64, []byte) bool) error {
	for n := max(from, l.first); n <= l.durable; n++ {
		if l.broken[n] {
			continue
		}
		lent := append([]byte(nil), l.records[n-1]...)
		more := visit(n, lent)
		for i := range lent {
			lent[i] = 0xee // whoever kept it sees rubbish
		}
		if !more {
			return nil
		}
	}
	return nil
}

// edgeModel is an edge as the rules describe one: a state, a mark a session, atomic batches.
type edgeModel struct {
	state    map[string]string
	sessions map[[16]byte]edgeSession
	life     int
	refuse   func(*Op) bool
	applied  []uint64 // numbers, in order, of operations that changed something or were refused by condition
	backedUp map[[16]byte]uint64
}

type edgeSession struct {
	high, epoch uint64
	instance    [16]byte
}

func newEdge() *edgeModel {
	return &edgeModel{state: map[string]string{}, sessions: map[[16]byte]edgeSession{},
		backedUp: map[[16]byte]uint64{}, refuse: func(*Op) bool { return false }}
}

func (e *edgeModel) snapshot() *edgeModel {
	c := *e
	c.state, c.sessions = maps.Clone(e.state), maps.Clone(e.sessions)
	c.backedUp = maps.Clone(e.backedUp)
	c.applied = append([]uint64(nil), e.applied...)
	return &c
}

func (e *edgeModel) reply(s edgeSession, id [16]byte) *Reply {
	r := &Reply{Outcome: Accepted, High: s.high, Edge: "edge", Incarnation: fmt.Sprint(e.life)}
	r.Marks.Can[Edge], r.Marks.At[Edge] = true, s.high
	r.Marks.Can[BackedUp], r.Marks.At[BackedUp] = true, e.backedUp[id]
	return r
}

func (e *edgeModel) ask(s Session) *Reply {
	have := e.sessions[s.ID]
	if have.epoch > s.Epoch {
		return &Reply{Outcome: Fenced, Epoch: have.epoch}
	}
	return e.reply(have, s.ID)
}

func (e *edgeModel) send(b *Batch) *Reply {
	have := e.sessions[b.Session.ID]
	switch {
	case have.epoch > b.Session.Epoch,
		have.epoch == b.Session.Epoch && have.instance != b.Session.Instance:
		return &Reply{Outcome: Fenced, Epoch: have.epoch}
	case b.Prev > have.high:
		return &Reply{Outcome: Gap, High: have.high}
	}
	trial := e.snapshot()
	var refusals []Refusal
	var results []Result
	for i := range b.Ops {
		op := &b.Ops[i]
		res := Result{Number: op.Number, Status: 204, Duplicate: op.Number <= have.high}
		if !res.Duplicate && !trial.apply(op) {
			refusals = append(refusals, Refusal{Index: i, Status: 412})
		}
		results = append(results, res)
	}
	if len(refusals) > 0 {
		return &Reply{Outcome: Refused, Refusals: refusals}
	}
	have.high = max(have.high, b.Last)
	have.epoch, have.instance = b.Session.Epoch, b.Session.Instance
	e.state, e.applied = trial.state, trial.applied
	e.sessions[b.Session.ID] = have
	r := e.reply(have, b.Session.ID)
	r.Results = results
	return r
}

// apply executes one operation, or says that it is refused.
func (e *edgeModel) apply(op *Op) bool {
	_, there := e.state[string(op.Key)]
	if e.refuse(op) || op.Cond == IfAbsent && there || op.Cond == IfPresent && !there {
		return false
	}
	if op.Kind == KindPut {
		e.state[string(op.Key)] = string(op.Value)
	} else {
		delete(e.state, string(op.Key))
	}
	e.applied = append(e.applied, op.Number)
	return true
}

// world is a device and its edge under a seeded adversary.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	cfg   Config
	log   *memoryLog
	core  *Core
	edge  *edgeModel
	now   int64
	ident []Session // durable identity
	bound uint64
	sends bool
	dead  map[uint64]bool // durable dead letters

	truth  []Op // every operation that was ever durable, by number: numbers are not reused in these runs
	ids    int
	backup *edgeModel
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), log: &memoryLog{first: 1}, edge: newEdge(),
		dead: map[uint64]bool{}}
	w.cfg = Config{Ops: 1 + w.rng.IntN(8), Bytes: 4096, Linger: 50, RetryLeast: 10, RetryMost: 1000,
		Probe: 500, ProbeAwaited: 100, Keep: 1 << 20, Limit: 1 << 24, Seed: seed,
		Rules: Rules{History: []string{"h/"}, LatestOnly: []string{"l/"}}}
	w.edge.refuse = func(op *Op) bool { return string(op.Value) == "bad" }
	w.ident = []Session{w.fresh(1)}
	w.open()
	return w
}

func (w *world) fresh(epoch uint64) Session {
	w.ids++
	low, high := byte(w.ids), byte(w.ids>>8)
	return Session{ID: [16]byte{low, high}, Instance: [16]byte{1, low, high}, Epoch: epoch, From: 1}
}

// open is what the shell does at a start: a new epoch, durably, and the records in order.
func (w *world) open() {
	if w.sends {
		w.bound = w.log.durable
	}
	w.sends = false
	last := &w.ident[len(w.ident)-1]
	last.Epoch++
	last.Instance = w.fresh(0).Instance
	w.core = New(w.cfg, w.log)
	if err := w.log.Read(1, func(n uint64, r []byte) bool { return w.core.Recover(n, r) == nil }); err != nil {
		w.t.Fatal(err)
	}
	var dead []uint64
	for n := range w.dead {
		dead = append(dead, n)
	}
	w.core.Begin(append([]Session(nil), w.ident...), w.bound)
	if err := w.core.Recovered(w.log.first, w.log.durable, dead); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) crash() {
	lost := uint64(len(w.log.records))
	w.log.records = w.log.records[:w.log.durable]
	for n := w.log.durable; n < lost && n < uint64(len(w.truth)); n++ {
		w.truth[n] = Op{}
	}
	w.truth = w.truth[:min(uint64(len(w.truth)), w.log.durable)]
	w.open()
}

var keys = []string{"a", "b", "c", "h/a", "h/b", "l/a", "l/b", "x/y"}

func (w *world) enqueue() {
	op := Op{Kind: KindPut, Key: []byte(keys[w.rng.IntN(len(keys))])}
	switch r := w.rng.IntN(20); {
	case r == 0:
		op = Op{Kind: KindBarrier}
	case r < 4:
		op.Kind = KindDelete
	case r == 4:
		op.Cond = IfAbsent
	case r == 5:
		op.Kind, op.Cond = KindDelete, IfPresent
	}
	if op.Kind == KindPut {
		op.Value = fmt.Appendf(nil, "v%d", len(w.log.records))
		if w.rng.IntN(30) == 0 && op.Key[0] != 'l' {
			op.Value = []byte("bad")
		}
	}
	record := AppendOp(nil, &op)
	op.Number = w.log.append(record)
	w.core.Enqueue(w.now, &op, len(record))
	w.setTruth(op)
	if w.rng.IntN(10) == 0 {
		w.core.Await(w.now, op.Number, Edge)
	}
}

func (w *world) setTruth(op Op) {
	for uint64(len(w.truth)) < op.Number {
		w.truth = append(w.truth, Op{})
	}
	w.truth[op.Number-1] = op
}

func (w *world) note() {
	n := w.core.Note()
	w.log.append(AppendNote(nil, &n))
	w.setTruth(Op{Number: uint64(len(w.log.records))})
	w.sync() // before anything is trimmed
	if floor := w.core.Spare(); floor > w.log.first && w.rng.IntN(2) == 0 {
		w.log.first = floor
		w.core.Trim(floor)
	}
}

func (w *world) sync() {
	w.log.durable = uint64(len(w.log.records))
	w.core.Synced(w.log.durable)
}

// drive makes the device's next step, with an adversary between it and the edge.
func (w *world) drive(calm bool) Do {
	step := w.core.Next(w.now)
	var r *Reply
	switch step.Do {
	case Wait:
		return Wait
	case Contact:
		w.sends = true
		w.core.Contacted()
		return Contact
	case Build:
		b, err := step.Plan.Build(w.log, &w.cfg.Rules)
		if err != nil {
			w.t.Fatal(err)
		}
		w.core.Built(w.now, b)
		return Build
	case Ask:
		r = w.edge.ask(step.Session)
	case Send:
		r = w.send(step.Batch, calm)
	}
	if !calm && w.rng.IntN(4) == 0 {
		r = &Reply{Outcome: Unavailable, TimedOut: w.rng.IntN(3) == 0}
	}
	w.answer(r)
	return step.Do
}

func (w *world) send(b *Batch, calm bool) *Reply {
	switch r := w.rng.IntN(12); {
	case calm || r > 2:
		reply := w.edge.send(b)
		if reply.Outcome == Accepted {
			w.checkBoundary(b)
		}
		return reply
	case r == 0 && len(b.Ops) > 1:
		return &Reply{Outcome: TooLarge}
	case r == 1:
		return &Reply{Outcome: Denied}
	}
	return &Reply{Outcome: Unavailable}
}

func (w *world) answer(r *Reply) {
	fx := w.core.Answer(w.now, r, w.fresh(1))
	for _, d := range fx.Bury {
		w.dead[d.Op.Number] = true
	}
	w.core.Buried(fx.Bury)
	if fx.Identity {
		w.ident = w.core.Status().Sessions
	}
}

// checkBoundary compares the edge, after a request up to b.Last, with what it would be if
// everything up to there had been sent one by one.
func (w *world) checkBoundary(b *Batch) {
	if high := w.edge.sessions[b.Session.ID].high; high > b.Last {
		return // an old request, repeated
	}
	one := newEdge()
	one.refuse = func(op *Op) bool { return w.dead[op.Number] }
	for i := range w.truth[:min(b.Last, uint64(len(w.truth)))] {
		if op := &w.truth[i]; op.Kind == KindPut || op.Kind == KindDelete {
			one.apply(op)
		}
	}
	w.compare(one.state, fmt.Sprintf("after the request up to %d", b.Last), false)
}

func (w *world) compare(want map[string]string, when string, all bool) {
	for _, k := range keys {
		if k[0] == 'l' && !all {
			continue // LatestOnly: only the end counts
		}
		if got := w.edge.state[k]; got != want[k] {
			w.t.Fatalf("%s: %s is %q at the edge and %q in the model", when, k, got, want[k])
		}
	}
}

// settle lets everything through, then compares the ends.
func (w *world) settle() {
	w.sync()
	for i := 0; ; i++ {
		if i > 100000 {
			w.t.Fatalf("the queue does not drain: %+v", w.core.Status())
		}
		if w.drive(true) == Wait {
			if s := w.core.Status(); s.Idle && w.core.Next(w.now).Do == Wait {
				break
			}
			w.now += 20
		}
	}
	one := newEdge()
	one.refuse = func(op *Op) bool { return w.dead[op.Number] }
	for i := range w.truth {
		if op := &w.truth[i]; op.Kind == KindPut || op.Kind == KindDelete {
			one.apply(op)
		}
	}
	w.compare(one.state, "at the end", true)
	w.checkOrder()
}

// checkOrder: each number is applied once, in order, since the edge was last set back.
func (w *world) checkOrder() {
	last := uint64(0)
	for _, n := range w.edge.applied {
		if n <= last {
			w.t.Fatalf("number %d was applied after %d", n, last)
		}
		last = n
	}
}

func TestAnyRunIsTheModel(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { anyRun(t, seed) })
	}
}

func anyRun(t *testing.T, seed uint64) {
	w := newWorld(t, seed)
	anyRunWorld(w)
	if c := w.core.Status().Counters; c.Lost != 0 {
		t.Fatalf("%d numbers lost, and a backup held everything that was not kept", c.Lost)
	}
}

func anyRunWorld(w *world) {
	for range 600 {
		w.now += w.rng.Int64N(30)
		switch r := w.rng.IntN(100); {
		case r < 40:
			w.enqueue()
		case r < 50:
			w.sync()
		case r < 52:
			w.note()
		case r < 53:
			w.crash()
		case r < 54:
			w.backup = w.edge.snapshot()
			for id, s := range w.edge.sessions {
				w.edge.backedUp[id] = s.high
				w.backup.backedUp[id] = s.high
			}
		case r < 55 && w.backup != nil:
			life := w.edge.life + 1
			w.edge = w.backup.snapshot()
			w.edge.life = life
		default:
			w.drive(false)
		}
	}
	w.settle()
}

func TestRecordsComeBack(t *testing.T) {
	for _, op := range []Op{
		{Kind: KindPut, Key: []byte("k"), Value: []byte("v"), At: 1234567},
		{Kind: KindPut, Key: []byte("k"), Cond: IfMatch, Match: 1 << 60, At: -5},
		{Kind: KindDelete, Key: []byte("k"), Cond: IfPresent},
		{Kind: KindBarrier},
	} {
		var got Op
		record := AppendOp(nil, &op)
		if err := DecodeOp(record, &got); err != nil || fmt.Sprint(got) != fmt.Sprint(op) {
			t.Errorf("%+v came back as %+v, %v", op, got, err)
		}
		for n := range record {
			if err := DecodeOp(record[:n], &got); err != nil && !errors.Is(err, ErrRecord) {
				t.Errorf("%d bytes of it: %v", n, err)
			}
		}
	}
}
