package lane

import (
	"fmt"
	"math/bits"

	"metronome/system/wire"
)

// Config bounds a lane's memory and says what happens at the bound.
type Config struct {
	Window int // frames a lane may hold beyond what is trimmed; a power of two
	Arena  int // bytes those frames may occupy; a power of two, at least two full frames
	// GiveUp is how many frames may arrive after a gap before it is declared lost, or 0 for never.
	// Only for measurements: a replica that gives up a gap has lost acknowledged data.
	GiveUp int
	// Nack says when lanes ask for what they miss. The zero value leaves that to others.
	Nack NackConfig
}

func (c Config) check() error {
	if err := c.Nack.check(); err != nil {
		return err
	}
	switch {
	case c.Window < 2 || !powerOfTwo(c.Window):
		return fmt.Errorf("lane window of %d frames: use a power of two, at least 2", c.Window)
	case c.Arena < 2*(wire.MaxFrame+arenaWord) || !powerOfTwo(c.Arena):
		return fmt.Errorf("lane arena of %d bytes: use a power of two, at least %d",
			c.Arena, 2*(wire.MaxFrame+arenaWord))
	case c.GiveUp < 0 || c.GiveUp >= c.Window:
		return fmt.Errorf("lane gives gaps up after %d frames: use 0 (never) to window-1 = %d",
			c.GiveUp, c.Window-1)
	}
	return nil
}

func powerOfTwo(n int) bool { return bits.OnesCount(uint(n)) == 1 }

// Bytes is the memory that a lane with this configuration occupies.
func (c Config) Bytes() int {
	n := c.Arena + c.Window*slotBytes + words(c.Window)*8
	if c.Nack.Enabled {
		n += c.Window * wantBytes
	}
	return n
}

// Holds returns why a lane cannot hold an item with a key and a value of so many bytes, sent in
// frames of at most frameBytes, or nil. An item is taken as a whole or not at all (R6): a window
// that cannot hold it would stop the lane for ever.
func (c Config) Holds(key, value, frameBytes int) error {
	largest := wire.Item{Op: wire.OpCAS, HasSession: true, Fragment: true}
	room := frameBytes - wire.HeaderSize - largest.Size() - key
	if room < 1 {
		return fmt.Errorf("frames of %d bytes have no room for a key of %d bytes", frameBytes, key)
	}
	frames := max(1, (value+room-1)/room)
	bytes := frames*(frameBytes+2*arenaWord) + arenaSlack
	if frames > c.Window || bytes > c.Arena {
		return fmt.Errorf("an item of %d bytes takes %d frames, %d bytes: more than a lane's window of %d "+
			"frames, arena of %d bytes: enlarge them", key+value, frames, bytes, c.Window, c.Arena)
	}
	return nil
}

// Mark is a position in a lane: everything below it is held, without a gap.
type Mark struct {
	Items  uint64 // the watermark: number of the next item
	Frames uint64 // number of the next frame
	Chain  uint64 // chain digest of all frames below
}

// Verdict is what became of a frame handed to a lane.
type Verdict uint8

// The verdicts.
const (
	Accepted      Verdict = iota // held
	Duplicate                    // held already, or trimmed
	Refused                      // beyond the window, or no room in the arena
	Contradiction                // its item numbers disagree with its neighbours'
)

// slot is a held frame. The ring of slots is indexed by frame number modulo the window.
type slot struct {
	frame  uint64 // frame number + 1; 0 = empty
	off    uint32 // in the arena
	length uint32
	chain  uint64 // chain digest up to and including this frame; set when the mark passes
}

const slotBytes = 24

// Receiver holds one lane.
type Receiver struct {
	cfg     Config
	digest  *wire.Digester
	slots   []slot
	mask    uint64
	early   bitmap // by slot: held at or above the mark, that is beyond a gap
	arena   arena
	mark    Mark
	trimmed uint64 // frames below are released
	spare   uint64 // frames below may be released when room is needed
	next    uint64 // one past the highest frame number known to be sent
	tail    uint64 // the lowest frame the sender keeps
	waiting uint64 // how many are early
	placed  uint64 // frames ever held
	freed   uint64 // of these, trimmed
	evicted uint64 // of these, dropped to make room for the frame at the mark
	thrown  uint64 // of these, thrown out as contradictions
	lost    uint64 // frames given up
	resync  bool   // frames were given up since the mark last passed one: item numbers may jump

	name     Name
	nack     *Nacker // nil: others ask for what is missing
	told     uint64  // the mark's frame when Advanced last named this lane
	advanced bool    // on the Ingest's list of lanes whose mark moved
	gapped   bool    // on the Ingest's list of lanes that miss frames

	duplicate, refused, repaired, beats uint64 // frames, for ReceiverCounters

	sampled samples
}

// Name is whose lane it is, and the number it has in the replicated table of lanes.
type Name struct {
	Proxy, Incarnation uint32
	Lane               uint16
	ID                 uint32 // issued when the lane is opened, and never again (R19)
}

// limit bounds frame and item numbers, so that no sum of them wraps. A lane of 10^9 items a second
// would reach it after a century.
const limit = 1 << 62

func newReceiver(cfg Config, d *wire.Digester, name Name, at Mark) *Receiver {
	return &Receiver{cfg: cfg, digest: d, slots: make([]slot, cfg.Window), mask: uint64(cfg.Window - 1),
		early: newBitmap(cfg.Window), arena: newArena(cfg.Arena),
		name: name, mark: at, trimmed: at.Frames, spare: at.Frames, next: at.Frames,
		told: at.Frames}
}

// Name is whose lane this is.
func (r *Receiver) Name() Name { return r.name }

// Mark is the watermark with its frame number and chain digest.
func (r *Receiver) Mark() Mark { return r.mark }

// Trimmed is the lowest frame number still held.
func (r *Receiver) Trimmed() uint64 { return r.trimmed }

// Held is the number of frames held, on either side of the mark.
func (r *Receiver) Held() uint64 { return r.placed - r.freed - r.evicted - r.thrown }

// Released is the number of frames that were held and trimmed.
func (r *Receiver) Released() uint64 { return r.freed }

// Lost is the number of frames given up (Config.GiveUp).
func (r *Receiver) Lost() uint64 { return r.lost }

// Place takes a frame that wire.Opener accepted as h and opened, copies it and advances the watermark.
func (r *Receiver) Place(h *wire.Header, frame []byte) Verdict {
	n := h.Frame
	if n|h.First|h.HighWater|h.Tail >= limit {
		return Contradiction
	}
	r.next = max(r.next, n+1, h.HighWater+1)
	if h.Tail > r.tail {
		r.tail = h.Tail
	}
	if n < r.mark.Frames {
		return Duplicate
	}
	if r.cfg.GiveUp > 0 && n-r.mark.Frames > uint64(r.cfg.GiveUp) {
		r.giveUp(n - uint64(r.cfg.GiveUp))
	}
	if n-r.trimmed >= uint64(r.cfg.Window) && !r.slide(n) {
		return Refused
	}
	s := &r.slots[n&r.mask]
	if s.frame == n+1 {
		return Duplicate
	}
	inOrder := n == r.mark.Frames
	if inOrder && !r.follows(h) {
		return Contradiction
	}
	off, ok := r.arena.alloc(len(frame))
	for !ok && r.trimmed < r.spare {
		r.Trim(r.trimmed + 1)
		off, ok = r.arena.alloc(len(frame))
	}
	if !ok && inOrder {
		off, ok = r.makeRoom(len(frame))
	}
	if !ok {
		return Refused
	}
	copy(r.arena.buf[off:], frame)
	s.frame, s.off, s.length = n+1, uint32(off), uint32(len(frame))
	r.placed++
	if !inOrder {
		r.early.set(n & r.mask)
		r.waiting++
		return Accepted
	}
	r.pass(s, h)
	if r.waiting > 0 {
		r.advance()
	}
	return Accepted
}

// slide moves the window to include frame n, if that drops nothing but spare frames.
func (r *Receiver) slide(n uint64) bool {
	from := n - uint64(r.cfg.Window) + 1
	if from > r.spare {
		return false
	}
	r.Trim(from)
	return true
}

// Heartbeat notes the marks of an idle sender, so that a lost last frame shows as a gap.
func (r *Receiver) Heartbeat(h *wire.Header) {
	if h.HighWater|h.Tail < limit {
		r.next = max(r.next, h.HighWater+1)
		r.tail = max(r.tail, h.Tail)
	}
}

// makeRoom allocates for the frame at the mark, evicting the oldest frames that wait beyond it.
// Without this, early frames could fill the arena and keep out the one frame that would let them
// go.
func (r *Receiver) makeRoom(n int) (off int, ok bool) {
	for !ok {
		oldest, found := r.arena.oldest()
		if !found {
			return 0, false
		}
		var h wire.Header
		h.Get(r.arena.buf[oldest:])
		if h.Frame < r.mark.Frames {
			return 0, false // the consumer is behind
		}
		r.slots[h.Frame&r.mask].frame = 0
		r.early.clear(h.Frame & r.mask)
		r.arena.free(oldest)
		r.waiting--
		r.evicted++
		off, ok = r.arena.alloc(n)
	}
	return off, true
}

// follows reports whether the frame at the mark continues the item numbers below it.
func (r *Receiver) follows(h *wire.Header) bool {
	return h.First == r.mark.Items || r.resync && h.First > r.mark.Items
}

// pass moves the mark over the frame in s, whose header is h.
func (r *Receiver) pass(s *slot, h *wire.Header) {
	r.mark.Chain = r.digest.Chain(r.mark.Chain, h)
	r.mark.Items = h.First + uint64(h.Count)
	r.mark.Frames++
	r.resync = false
	s.chain = r.mark.Chain
}

// advance moves the mark over frames that came early. One that contradicts its predecessor is
// thrown out, to be asked for again.
func (r *Receiver) advance() {
	var h wire.Header
	for r.waiting > 0 {
		s := &r.slots[r.mark.Frames&r.mask]
		if s.frame != r.mark.Frames+1 {
			return
		}
		r.waiting--
		r.early.clear(r.mark.Frames & r.mask)
		h.Get(r.arena.buf[s.off:])
		if !r.follows(&h) {
			s.frame = 0
			r.arena.free(int(s.off))
			r.thrown++
			return
		}
		r.pass(s, &h)
	}
}

// giveUp moves the mark to the given frame at least; what is missing below it is lost.
func (r *Receiver) giveUp(to uint64) {
	for r.mark.Frames < to {
		if r.waiting == 0 {
			r.skip(to - r.mark.Frames)
			break
		}
		before := r.mark.Frames
		r.advance()
		if r.mark.Frames == before {
			r.skip(1)
		}
	}
	r.advance()
	if r.Held() == r.waiting { // nothing below the mark waits for the consumer: the window follows at once
		r.trimmed = r.mark.Frames
		r.spare = max(r.spare, r.trimmed)
	}
}

func (r *Receiver) skip(n uint64) {
	r.mark.Frames += n
	r.lost += n
	r.resync = true
}

// Frame is the held frame of the given number, opened (wire.Items), or nil. It stays valid until it is
// trimmed.
func (r *Receiver) Frame(n uint64) []byte {
	s := &r.slots[n&r.mask]
	if s.frame != n+1 {
		return nil
	}
	return r.arena.buf[s.off : s.off+s.length : s.off+s.length]
}

// Chain is the chain digest up to and including the held frame of the given number, once the mark
// has passed it.
func (r *Receiver) Chain(n uint64) (chain uint64, ok bool) {
	s := &r.slots[n&r.mask]
	if s.frame != n+1 || n >= r.mark.Frames {
		return 0, false
	}
	return s.chain, true
}

// Trim releases every frame below n, at most up to the mark.
func (r *Receiver) Trim(n uint64) {
	n = min(n, r.mark.Frames)
	// Whatever is held lies within a window; a mark that gave gaps up may be further on.
	for end := min(n, r.trimmed+uint64(r.cfg.Window)); r.trimmed < end; r.trimmed++ {
		if s := &r.slots[r.trimmed&r.mask]; s.frame == r.trimmed+1 {
			s.frame = 0
			r.arena.free(int(s.off))
			r.freed++
		}
	}
	r.trimmed = max(r.trimmed, n)
	r.spare = max(r.spare, r.trimmed)
}

// Spare says that every frame below n, at most up to the mark, is of use to peers only: it is
// released when new frames need its room, and not before. (What a replica keeps for others must not
// keep itself from going on.)
func (r *Receiver) Spare(n uint64) { r.spare = max(r.spare, min(n, r.mark.Frames)) }
