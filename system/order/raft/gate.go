package raft

import (
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"metronome/internal/mutate"
	"metronome/system/order"
)

// entryOverhead is what an entry at the gate is taken to cost beyond its bytes.
const entryOverhead = 64

// run is what waits at the gate: entries that follow each other, all from one leader in one term.
// Appends of one leader in one term never contradict each other, so however they overlap, the FIFO
// of waiting appends (R12) is always one such run: an append joins it if its predecessor lies in
// it.
type run struct {
	from, term uint64
	prev       position // what precedes the run: the last entry stepped
	entries    []*pb.Entry
	cuts       []order.Cut // one an entry; nil: nothing to hold
	bytes      int
	commit     uint64 // the highest commit index heard with the run
}

func (w *run) last() uint64 { return w.prev.index + uint64(len(w.entries)) }

// precedes reports whether the entry at index waits here.
func (w *run) precedes(index uint64) bool { return index > w.prev.index && index <= w.last() }

// drop forgets the first n entries: they were stepped.
func (w *run) drop(n int) {
	if n == 0 {
		return
	}
	e := w.entries[n-1]
	w.prev = position{e.GetIndex(), e.GetTerm()}
	for _, e := range w.entries[:n] {
		w.bytes -= weight(e)
	}
	w.entries, w.cuts = w.entries[n:], w.cuts[n:]
}

// extend adds those of the entries that follow the run, as far as limit bytes allow, and returns
// how many found no room. The newest are dropped: the leader sends them again.
func (w *run) extend(entries []*pb.Entry, cuts []order.Cut, limit int) (dropped uint64) {
	for i, e := range entries {
		if e.GetIndex() != w.last()+1 {
			continue
		}
		if w.bytes > 0 && w.bytes+weight(e) > limit {
			return uint64(len(entries) - i)
		}
		w.entries, w.cuts = append(w.entries, e), append(w.cuts, cuts[i])
		w.bytes += weight(e)
	}
	return 0
}

func weight(e *pb.Entry) int { return proto.Size(e) + entryOverhead }

// accept takes an append through the gate. Whatever is held or not, the library sees this append at
// once with the prefix of its entries that may be accepted, be it none: the leader's term, its
// commit index, and the rejection of an append that does not connect, all have to flow (R12). The
// library itself lowers the commit index to the last entry it is given.
func (r *Raft) accept(m *pb.Message) error {
	cuts, err := cutsOf(m.GetEntries())
	if err != nil {
		return err
	}
	term := r.term()
	if m.GetTerm() > term || r.wait.term < term {
		r.wait = run{} // what a deposed leader sent
	}
	if len(r.wait.entries) > 0 && r.wait.term == m.GetTerm() && r.wait.from != m.GetFrom() {
		return fmt.Errorf("%w: two leaders, %d and %d, in term %d",
			order.ErrMalformed, r.wait.from, m.GetFrom(), m.GetTerm())
	}
	prev := position{m.GetIndex(), m.GetLogTerm()}
	switch {
	case m.GetTerm() >= term && r.wait.precedes(prev.index):
		r.stepPrefix(m, r.wait.prev, 0)
		r.queue(m, m.GetEntries(), cuts)
	case m.GetTerm() >= term && r.connects(prev):
		r.acceptConnected(m, cuts)
	default: // answered with the higher term, with a rejection, or with the commit index
		r.stepPrefix(m, prev, 0)
	}
	return nil
}

// connects reports whether the library would append entries after prev.
func (r *Raft) connects(prev position) bool {
	return prev.index >= r.log.hard.GetCommit() && r.log.has(prev)
}

// acceptConnected takes an append whose predecessor is in the log. Its entries may repeat some that
// are in the log, and some that wait.
func (r *Raft) acceptConnected(m *pb.Message, cuts []order.Cut) {
	entries, prev := m.GetEntries(), position{m.GetIndex(), m.GetLogTerm()}
	n, verdict := r.admit(entries, cuts)
	if mutate.On(mutate.OnlyEmptyAppends) && n < len(entries) {
		r.overtake(prev)
		r.queue(m, entries, cuts)
		return
	}
	r.stepPrefix(m, prev, n)
	if n > 0 {
		prev = position{entries[n-1].GetIndex(), entries[n-1].GetTerm()}
	}
	switch {
	case verdict == order.Mismatch:
		r.wait = run{}
		r.out.Refuse(m.GetFrom(), cuts[n])
	case n == len(entries):
		r.overtake(prev)
	default:
		r.overtake(prev)
		r.queue(m, entries[n:], cuts[n:])
	}
}

// overtake forgets what waits up to an entry that was stepped by another way.
func (r *Raft) overtake(p position) {
	if len(r.wait.entries) == 0 || p.index >= r.wait.last() {
		r.wait = run{prev: p}
	} else if p.index > r.wait.prev.index {
		r.wait.drop(int(p.index - r.wait.prev.index))
	}
}

// queue makes entries wait that follow, or overlap, the run.
func (r *Raft) queue(m *pb.Message, entries []*pb.Entry, cuts []order.Cut) {
	r.wait.from, r.wait.term = m.GetFrom(), m.GetTerm()
	r.wait.commit = max(r.wait.commit, m.GetCommit())
	r.dropped += r.wait.extend(entries, cuts, r.waitMax)
}

// admit returns how many of the entries may be accepted in order, and the verdict on the next one.
// What is in the log already was judged before; an entry without a cut passes in its turn.
func (r *Raft) admit(entries []*pb.Entry, cuts []order.Cut) (n int, v order.Verdict) {
	for n, e := range entries {
		if cuts[n] == nil || r.log.has(position{e.GetIndex(), e.GetTerm()}) {
			continue
		}
		if v = r.gate.Holds(cuts[n]); v != order.Held {
			return n, v
		}
	}
	return len(entries), order.Held
}

// stepPrefix steps an append with only the first n of its entries, after prev.
func (r *Raft) stepPrefix(m *pb.Message, prev position, n int) {
	r.step(&pb.Message{Type: pb.MsgApp.Enum(), To: m.To, From: m.From, Term: m.Term, Commit: m.Commit,
		Index: new(prev.index), LogTerm: new(prev.term), Entries: m.GetEntries()[:n:n]})
}

// Recheck implements [order.Orderer].
func (r *Raft) Recheck() {
	r.fillHoles()
	if r.wait.term < r.term() {
		r.wait = run{}
	}
	if w := &r.wait; len(w.entries) > 0 {
		n, verdict := r.admit(w.entries, w.cuts)
		if n > 0 {
			r.stepPrefix(w.message(r.id), w.prev, n)
		}
		refused := w.cuts[min(n, len(w.cuts)-1)]
		w.drop(n)
		if verdict == order.Mismatch {
			r.out.Refuse(w.from, refused)
			r.wait = run{}
		}
	}
	r.deliver()
	r.drain()
}

// message is the append that stands for the whole run.
func (w *run) message(to uint64) *pb.Message {
	return &pb.Message{To: new(to), From: new(w.from), Term: new(w.term), Commit: new(w.commit),
		Entries: w.entries}
}

// cutsOf decodes what the gate has to judge.
func cutsOf(entries []*pb.Entry) ([]order.Cut, error) {
	cuts := make([]order.Cut, len(entries))
	for i, e := range entries {
		if e.GetType() != pb.EntryNormal {
			continue
		}
		var err error
		if cuts[i], err = order.CutOf(e.GetData()); err != nil {
			return nil, fmt.Errorf("entry %d: %w", e.GetIndex(), err)
		}
	}
	return cuts, nil
}
