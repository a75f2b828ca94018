package local

import (
	"encoding/binary"
	"slices"

	"metronome/system/edge"
)

// Bounds of a session's row (I6).
const (
	keptRefusals = 4 * edge.MaxOps // the newest are kept
	keptPoints   = 16
)

// session is a row: how far a client's queue has come, and what a retry must be told.
type session struct {
	epoch    uint64
	instance string
	mark     uint64
	revision uint64 // of the commit that wrote the row
	used     int64  // seconds, Unix

	prev, digest uint64 // of the last batch that moved the mark to where it is

	refused []refusal // lately, ascending
	points  []point   // where the mark was, ascending
}

// refusal is a number whose operation was not executed.
type refusal struct {
	seq     uint64
	verdict edge.Verdict
}

// point says that the mark was here as of a revision.
type point struct{ revision, mark uint64 }

func (s *session) encode(b []byte) []byte {
	b = append(b, format)
	b = binary.AppendUvarint(b, s.epoch)
	b = appendBytes(b, s.instance)
	for _, n := range []uint64{s.mark, s.revision, uint64(s.used), s.prev, s.digest} {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendUvarint(b, uint64(len(s.refused)))
	for _, r := range s.refused {
		b = append(binary.AppendUvarint(b, r.seq), byte(r.verdict))
	}
	b = binary.AppendUvarint(b, uint64(len(s.points)))
	for _, p := range s.points {
		b = binary.AppendUvarint(binary.AppendUvarint(b, p.revision), p.mark)
	}
	return b
}

func (s *session) decode(b []byte) error {
	r := reader{b: b}
	r.bad = r.byte() != format
	s.epoch = r.number()
	s.instance = string(r.bytes())
	s.mark, s.revision, s.used = r.number(), r.number(), int64(r.number())
	s.prev, s.digest = r.number(), r.number()
	s.refused = make([]refusal, r.count())
	for i := range s.refused {
		s.refused[i] = refusal{r.number(), edge.Verdict(r.byte())}
	}
	s.points = make([]point, r.count())
	for i := range s.points {
		s.points[i] = point{r.number(), r.number()}
	}
	return r.end("a session")
}

// admit says why a batch may not be executed, or makes the session the batch's.
func (s *session) admit(from *edge.Sender) (changed bool, err error) {
	fault := func(code string) error {
		return &edge.SessionFault{Code: code, State: s.state(from.Client, from.Session)}
	}
	switch {
	case from.Epoch < s.epoch:
		return false, fault("fenced")
	case from.Epoch == s.epoch && s.instance != "" && from.Instance != "" && from.Instance != s.instance:
		return false, fault("session-cloned")
	case from.Prev > s.mark:
		return false, fault("sequence-gap")
	case from.Epoch == s.epoch && from.Last == s.mark && from.Prev == s.prev && from.Digest != s.digest &&
		from.Last > from.Prev:
		return false, edge.ErrReused
	}
	changed = from.Epoch > s.epoch || s.instance == "" && from.Instance != ""
	if from.Epoch > s.epoch || from.Instance != "" {
		s.instance = from.Instance
	}
	s.epoch = from.Epoch
	return changed, nil
}

// verdict is what became of a number at or below the mark.
func (s *session) verdict(seq uint64) edge.Verdict {
	i, found := slices.BinarySearchFunc(s.refused, seq, func(r refusal, seq uint64) int {
		switch {
		case r.seq < seq:
			return -1
		case r.seq > seq:
			return 1
		}
		return 0
	})
	if found {
		return s.refused[i].verdict
	}
	return edge.Taken
}

// move takes the mark on, and remembers what the client may ask about again.
func (s *session) move(from *edge.Sender, results []edge.Result, backedUp uint64) {
	s.refused = slices.DeleteFunc(s.refused, func(r refusal) bool { return r.seq <= from.Prev })
	for _, r := range results {
		if !r.Duplicate && r.Verdict.Refused() {
			s.refused = append(s.refused, refusal{r.Seq, r.Verdict})
		}
	}
	if n := len(s.refused) - keptRefusals; n > 0 {
		s.refused = slices.Delete(s.refused, 0, n)
	}
	s.mark, s.prev, s.digest = from.Last, from.Prev, from.Digest
	s.thin(backedUp)
}

// written notes the revision of the commit that the row is in.
func (s *session) written(revision uint64, now int64) {
	s.revision, s.used = revision, now
	s.points = append(s.points, point{revision, s.mark})
}

// thin makes room for a point. What a backup holds needs one point; of the others every second goes, if
// they are many: the backed-up mark then moves in larger steps, and still gets there.
func (s *session) thin(backedUp uint64) {
	for len(s.points) > 1 && s.points[1].revision <= backedUp {
		s.points = slices.Delete(s.points, 0, 1)
	}
	if len(s.points) < keptPoints {
		return
	}
	kept := s.points[:1]
	for i := 2; i < len(s.points); i += 2 {
		kept = append(kept, s.points[i])
	}
	s.points = kept
}

// at is where the mark was as of a revision.
func (s *session) at(revision uint64) (mark uint64) {
	for _, p := range s.points {
		if p.revision <= revision {
			mark = p.mark
		}
	}
	return mark
}

func (s *session) state(client, id string) edge.SessionState {
	return edge.SessionState{Client: client, ID: id, Instance: s.instance, Epoch: s.epoch, Mark: s.mark,
		Revision: s.revision}
}

func (s *session) clone() *session {
	c := *s
	c.refused, c.points = slices.Clone(s.refused), slices.Clone(s.points)
	return &c
}
