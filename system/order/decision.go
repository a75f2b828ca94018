package order

import "fmt"

// The bounds of what one round carries.
const (
	MaxCommands = 256     // commands in a decision
	MaxLimits   = 4 << 10 // bytes of a SetLimits command
	MaxSeats    = 15      // seats of a cluster: 0..14
)

// Decision is what one round agrees on (R5).
type Decision struct {
	Cut Cut
	// Time is the log time in ticks: the only clock that replicated state may look at. Whoever
	// applies decisions takes the maximum, so that it never runs backwards (R23).
	Time     uint64
	Commands []Command
}

// CommandKind says what a command does and which of its fields count.
type CommandKind uint8

// The commands, with the fields of [Command] that each uses.
const (
	// OpenLanes opens Lanes lanes for Proxy and closes those of its previous incarnation in the same
	// decision (R19). Nonce tells the opener which answer is its own.
	OpenLanes CommandKind = 1
	// CloseProxy closes the lanes of Proxy's Incarnation: it fell silent, or it left.
	CloseProxy CommandKind = 2
	// ExpireSessions forgets the sessions not used since the log time Before.
	ExpireSessions CommandKind = 3
	// SetLimits replaces the replicated limits; Limits is opaque here.
	SetLimits CommandKind = 4
	// SetFeature raises the feature level to Level.
	SetFeature CommandKind = 5
	// MintLife asks for a new life id for Seat (R1). The replicated state machine issues the number;
	// Nonce tells the asker which answer is its own.
	MintLife CommandKind = 6
	// AdmitSeat lets Seat have lives again, RetireSeat ends its present one and lets it have no other.
	// Both need feature level 2.
	AdmitSeat  CommandKind = 7
	RetireSeat CommandKind = 8
	// OpenLanesFrom is OpenLanes, and the first incarnation of a proxy that the cluster has not seen
	// is Incarnation, which the proposer draws: so frames of a cluster that had the same name and key
	// before are of none of this one's. It needs feature level 3.
	OpenLanesFrom CommandKind = 9
)

// Command is one change of replicated state that is not an item. Fields that its Kind does not name
// are zero and are not carried.
type Command struct {
	Kind        CommandKind
	Proxy       uint32 // OpenLanes, OpenLanesFrom, CloseProxy
	Nonce       uint64 // OpenLanes, OpenLanesFrom: the opener's instance; MintLife: the asker's
	Lanes       uint16 // OpenLanes, OpenLanesFrom: 1..MaxLanes
	Incarnation uint32 // CloseProxy; OpenLanesFrom: at least 1
	Before      uint64 // ExpireSessions: log time
	Level       uint32 // SetFeature
	Seat        uint8  // MintLife, AdmitSeat, RetireSeat: below MaxSeats
	Limits      []byte // SetLimits: at most MaxLimits bytes
}

// decisionFormat is the first byte of an encoded decision; another one is another layout.
const decisionFormat = 1

// AppendDecision appends the one encoding of a decision (all integers little-endian, v = unsigned
// varint of minimal length):
//
//	u8 format (1) · v time · v marks · marks · v commands · commands
//	mark:            v lane - previous lane - 1 (the first: lane) · v frames · v items · u64 chain
//	command:         u8 kind, then
//	OpenLanes:       v proxy · u64 nonce · v lanes
//	CloseProxy:      v proxy · v incarnation
//	ExpireSessions:  v before
//	SetLimits:       v length · bytes
//	SetFeature:      v level
//	MintLife:        u8 seat · u64 nonce
//	AdmitSeat:       u8 seat
//	RetireSeat:      u8 seat
//	OpenLanesFrom:   as OpenLanes, then v incarnation
//
// What is out of bounds is encoded all the same and refused by [DecodeDecision], which
// [Orderer.Propose] calls.
func AppendDecision(dst []byte, d *Decision) []byte {
	dst = appendUvarint(append(dst, decisionFormat), d.Time)
	dst = appendMarks(dst, d.Cut)
	dst = appendUvarint(dst, uint64(len(d.Commands)))
	for i := range d.Commands {
		dst = d.Commands[i].append(dst)
	}
	return dst
}

// DecodeDecision reads what [AppendDecision] wrote. Every other sequence of bytes is refused with
// [ErrMalformed]: bounds are checked, nothing may follow, and a decision has one encoding only. The
// result shares no memory with b.
func DecodeDecision(b []byte) (Decision, error) {
	r := reader{b: b}
	r.want(r.u8() == decisionFormat)
	d := Decision{Time: r.uvarint()}
	d.Cut = r.marks()
	n := r.upTo(MaxCommands)
	for range n {
		d.Commands = append(d.Commands, r.command())
	}
	if !r.finished() {
		return Decision{}, fmt.Errorf("%w decision of %d bytes", ErrMalformed, len(b))
	}
	return d, nil
}

func (c *Command) append(dst []byte) []byte {
	dst = append(dst, byte(c.Kind))
	switch c.Kind {
	case OpenLanes, OpenLanesFrom:
		dst = appendUvarint(dst, uint64(c.Proxy))
		dst = appendU64(dst, c.Nonce)
		dst = appendUvarint(dst, uint64(c.Lanes))
		if c.Kind == OpenLanesFrom {
			dst = appendUvarint(dst, uint64(c.Incarnation))
		}
	case CloseProxy:
		dst = appendUvarint(dst, uint64(c.Proxy))
		dst = appendUvarint(dst, uint64(c.Incarnation))
	case ExpireSessions:
		dst = appendUvarint(dst, c.Before)
	case SetLimits:
		dst = appendUvarint(dst, uint64(len(c.Limits)))
		dst = append(dst, c.Limits...)
	case SetFeature:
		dst = appendUvarint(dst, uint64(c.Level))
	case MintLife:
		dst = appendU64(append(dst, c.Seat), c.Nonce)
	case AdmitSeat, RetireSeat:
		dst = append(dst, c.Seat)
	}
	return dst
}

func (r *reader) command() (c Command) {
	c.Kind = CommandKind(r.u8())
	switch c.Kind {
	case OpenLanes, OpenLanesFrom:
		c.Proxy, c.Nonce, c.Lanes = r.u32(), r.u64(), uint16(r.upTo(MaxLanes))
		r.want(c.Lanes > 0)
		if c.Kind == OpenLanesFrom {
			c.Incarnation = r.u32()
			r.want(c.Incarnation > 0)
		}
	case CloseProxy:
		c.Proxy, c.Incarnation = r.u32(), r.u32()
	case ExpireSessions:
		c.Before = r.uvarint()
	case SetLimits:
		c.Limits = r.bytes(r.upTo(MaxLimits))
	case SetFeature:
		c.Level = r.u32()
	case MintLife:
		c.Seat, c.Nonce = r.u8(), r.u64()
		r.want(c.Seat < MaxSeats)
	case AdmitSeat, RetireSeat:
		c.Seat = r.u8()
		r.want(c.Seat < MaxSeats)
	default:
		r.fail()
	}
	return c
}
