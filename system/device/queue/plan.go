package queue

// Log is the durable sequence of records that a queue stands on.
type Log interface {
	// Read calls visit with every durable record from number `from` on, ascending, until visit returns
	// false. Damaged records are left out: numbers jump. A record is valid during the call only.
	Read(from uint64, visit func(number uint64, record []byte) bool) error
}

// Session is one run of numbers under one identity. A directory has one, more only if it was
// copied, or set back to an older state, and operations of before are still kept.
type Session struct {
	// ID is random, Instance too: the life that last used the session.
	ID, Instance [16]byte
	Epoch        uint64 // grows with every life
	From         uint64 // the session's first number
}

// Plan says which operations the next request may take.
type Plan struct {
	Session  Session
	Prev     uint64 // what the edge is believed to have, within the session
	From, To uint64 // numbers, inclusive
	Ops      int    // at most so many, and so many bytes unless it is one operation
	Bytes    int

	// Dead reports operations that are not to be sent: the edge refused them.
	Dead func(number uint64) bool
	// Keep reports operations that somebody waits for.
	Keep func(number uint64) bool
	// Newer reports whether a later plain operation on the key will be sent, with no barrier between.
	// It is asked for keys under LatestOnly; false is always right.
	Newer func(key []byte, number uint64) bool
}

// Bounds of how far a plan looks for operations that displace others.
const (
	scanRecords = 1 << 14
	scanFactor  = 4 // times Plan.Bytes
)

// Batch is what one request carries, and what becomes of numbers up to Last once the edge has taken
// it.
type Batch struct {
	Session Session
	Prev    uint64
	Last    uint64 // the number that the edge's mark becomes
	Ops     []Op   // to be sent, in order; they own their bytes
	First   uint64 // where the plan began

	Raw, RawBytes         int // operations looked at, and bytes of their keys and values
	Skipped, SkippedBytes int // of those, never to be sent
	// Superseded says for skipped operations which number made them unnecessary; 0 = one in a later
	// request.
	Superseded map[uint64]uint64

	sum point // over the log from First to Last
}

// Empty reports whether the batch covers no record at all.
func (b *Batch) Empty() bool { return b.Last < b.First }

// Build reads the log and makes the request. The same log and plan make the same request.
func (p *Plan) Build(log Log, rules *Rules) (*Batch, error) {
	b := builder{plan: p, rules: rules, at: make(map[string]int)}
	b.batch = Batch{Session: p.Session, Prev: p.Prev, First: p.From, Last: p.From - 1}
	err := log.Read(p.From, func(number uint64, record []byte) bool {
		if number > p.To || b.seen == scanRecords {
			return false
		}
		b.seen++
		op := Op{Number: number}
		if !RecordKind(record).isOp() || DecodeOp(record, &op) != nil {
			b.batch.Last = number // a mark; or of a newer version, and counted at the start
			return true
		}
		if !b.take(&op) {
			return false
		}
		b.batch.sum.ops++
		b.batch.sum.bytes += uint64(len(record)) + recordOverhead
		return true
	})
	if err != nil {
		return nil, err
	}
	return b.finish(), nil
}

type builder struct {
	plan  *Plan
	rules *Rules
	batch Batch
	at    map[string]int // key to the place in batch.Ops of an operation that may be displaced
	seen  int            // records
	read  int            // their bytes
	live  int            // operations that are to be sent
	bytes int            // their cost
}

// take adds one operation and reports whether there may be more.
func (b *builder) take(op *Op) bool {
	size := len(op.Key) + len(op.Value)
	if b.read += size; b.read > scanFactor*b.plan.Bytes && b.live > 0 {
		return false
	}
	switch {
	case op.Kind == KindBarrier:
		clear(b.at)
	case b.plan.Dead(op.Number):
		size = 0 // counted where it was refused
	default:
		if !b.add(op) {
			return false
		}
	}
	b.batch.Last = op.Number
	if op.Kind != KindBarrier && !b.plan.Dead(op.Number) {
		b.batch.Raw++
		b.batch.RawBytes += size
	}
	return true
}

// add places a live operation, in place of an earlier one if the rules allow it.
func (b *builder) add(op *Op) bool {
	c := b.rules.of(op.Key)
	if c.latest && op.plain() && !b.plan.Keep(op.Number) && b.plan.Newer(op.Key, op.Number) {
		b.skip(op, 0)
		return true
	}
	earlier, displaces := b.at[string(op.Key)]
	displaces = displaces && op.plain() && !c.history
	ops, bytes := b.live+1, b.bytes+op.cost()
	if displaces {
		ops, bytes = b.live, bytes-b.batch.Ops[earlier].cost()
	}
	if b.live > 0 && (ops > b.plan.Ops || bytes > b.plan.Bytes) {
		return false
	}
	if displaces {
		b.skip(&b.batch.Ops[earlier], op.Number)
		b.batch.Ops[earlier] = Op{}
	}
	b.live, b.bytes = ops, bytes
	b.place(op, c)
	return true
}

func (b *builder) place(op *Op, c class) {
	own := *op
	buf := make([]byte, len(op.Key)+len(op.Value))
	n := copy(buf, op.Key)
	copy(buf[n:], op.Value)
	own.Key, own.Value = buf[:n:n], buf[n:]
	b.batch.Ops = append(b.batch.Ops, own)
	if op.plain() && !c.history && !b.plan.Keep(op.Number) {
		b.at[string(op.Key)] = len(b.batch.Ops) - 1
	} else {
		delete(b.at, string(op.Key))
	}
}

func (b *builder) skip(op *Op, by uint64) {
	if b.batch.Superseded == nil {
		b.batch.Superseded = make(map[uint64]uint64)
	}
	b.batch.Superseded[op.Number] = by
	b.batch.Skipped++
	b.batch.SkippedBytes += len(op.Key) + len(op.Value)
}

// finish closes the gaps that displaced operations left.
func (b *builder) finish() *Batch {
	ops := b.batch.Ops[:0]
	for _, op := range b.batch.Ops {
		if op.Kind != 0 {
			ops = append(ops, op)
		}
	}
	clear(b.batch.Ops[len(ops):])
	b.batch.Ops = ops
	return &b.batch
}
