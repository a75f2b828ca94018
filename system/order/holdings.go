package order

import "fmt"

// Holding is what one replica has of one lane.
type Holding struct {
	Mark // durable: everything below it is held for good
	// High is how many frames of the lane the replica knows to exist, gaps and what is not durable
	// yet included; never below Frames.
	High uint64
}

// Report tells the leader, and whoever else listens, what a replica holds (R9). It rides on
// ordering messages, so it names only the lanes that changed since the sender's last one; a Full
// report, sent on a new connection and now and then, names every open lane and thereby also says
// which lanes are gone. Marks only grow, so that a lost, repeated or late report does no harm.
type Report struct {
	Full  bool
	Lanes []Holding // ascending by lane, at most MaxLanes
}

// reportFormat is the first byte of an encoded report: two layouts, full and changes.
const (
	reportChanges = 1
	reportFull    = 2
)

// AppendReport appends a report's one encoding: u8 layout (1 changes, 2 full) · v lanes, then for
// each what [AppendDecision] draws as a mark · v high - frames.
func AppendReport(dst []byte, r *Report) []byte {
	layout := byte(reportChanges)
	if r.Full {
		layout = reportFull
	}
	dst = appendUvarint(append(dst, layout), uint64(len(r.Lanes)))
	next := uint64(0)
	for _, h := range r.Lanes {
		dst = appendMark(dst, h.Mark, next)
		dst = appendUvarint(dst, h.High-h.Frames)
		next = uint64(h.Lane) + 1
	}
	return dst
}

// DecodeReport reads what [AppendReport] wrote into r, whose memory it reuses. Anything else is
// refused with [ErrMalformed], and r is then empty.
func DecodeReport(b []byte, r *Report) error {
	in := reader{b: b}
	layout := in.u8()
	in.want(layout == reportChanges || layout == reportFull)
	n := in.upTo(MaxLanes)
	in.want(n <= uint64(len(in.b))/(markBytes+1))
	r.Full, r.Lanes = layout == reportFull, r.Lanes[:0]
	next := uint64(0)
	for i := uint64(0); i < n && !in.bad; i++ {
		h := Holding{Mark: in.mark(next)}
		ahead := in.uvarint()
		h.High = h.Frames + ahead
		in.want(h.High >= h.Frames)
		r.Lanes, next = append(r.Lanes, h), uint64(h.Lane)+1
	}
	if !in.finished() {
		*r = Report{Lanes: r.Lanes[:0]}
		return fmt.Errorf("%w report of %d bytes", ErrMalformed, len(b))
	}
	return nil
}

// Holdings is what one replica is known to hold: the sum of its reports. The zero value holds
// nothing.
type Holdings struct {
	lanes, spare []Holding
}

// Lanes are the holdings, ascending by lane; valid until the next call of Absorb.
func (h *Holdings) Lanes() []Holding { return h.lanes }

// Absorb adds a report. Lanes that a full report does not name are forgotten. Where memory would
// grow past [MaxLanes], new lanes are left out until a full report makes room.
func (h *Holdings) Absorb(r *Report) {
	old, in, out := h.lanes, r.Lanes, h.spare[:0]
	for len(old) > 0 || len(in) > 0 {
		switch {
		case len(in) == 0 || len(old) > 0 && old[0].Lane < in[0].Lane:
			if !r.Full {
				out = append(out, old[0])
			}
			old = old[1:]
		case len(old) == 0 || in[0].Lane < old[0].Lane:
			if r.Full || len(out)+len(old) < MaxLanes {
				out = append(out, in[0])
			}
			in = in[1:]
		default:
			out = append(out, old[0].grown(in[0]))
			old, in = old[1:], in[1:]
		}
	}
	h.lanes, h.spare = out, h.lanes
}

// Forget empties h: its replica began a new life.
func (h *Holdings) Forget() { h.lanes = h.lanes[:0] }

func (h Holding) grown(by Holding) Holding {
	return Holding{Mark: later(h.Mark, by.Mark), High: max(h.High, by.High)}
}

// AppendChanges appends to dst the holdings of now that are not in told, both ascending by lane:
// what a report has to carry to someone who was told told.
func AppendChanges(dst, told, now []Holding) []Holding {
	for _, h := range now {
		for len(told) > 0 && told[0].Lane < h.Lane {
			told = told[1:]
		}
		if len(told) == 0 || told[0] != h {
			dst = append(dst, h)
		}
	}
	return dst
}
