package lane

import (
	"errors"
	"fmt"

	"metronome/system/wire"
)

// ErrWindowFull says that the lane holds as much uncommitted data as it may. It is no failure:
// the item was not taken, and will be once replicas have committed more (invariant I6).
var ErrWindowFull = errors.New("lane: window full")

// ErrTooLarge refuses an item that would not fit even into an empty window (R6). Waiting does not
// help: the lane needs a larger window or arena, at both ends.
var ErrTooLarge = errors.New("lane: item larger than the window")

// SenderConfig names a sending lane and bounds its memory.
type SenderConfig struct {
	Cluster     uint32
	Proxy       uint32
	Incarnation uint32
	Lane        uint16

	Window     int // frames kept until committed; a power of two
	Arena      int // bytes those frames may occupy; a power of two
	FrameBytes int // frames are closed before they exceed this; at most wire.MaxFrame

	// Answers keeps frames until [Sender.Answered] has passed them too. Without it a commit counts
	// as the answer.
	Answers bool
	// Keep is how many frames stay for repair after that, as long as no new frame needs their room:
	// a majority commits within a round trip, and whoever is not of it will ask later than that.
	Keep int
}

func (c SenderConfig) check() error {
	if c.FrameBytes < minFrameBytes || c.FrameBytes > wire.MaxFrame {
		return fmt.Errorf("frames of %d bytes: use %d to %d", c.FrameBytes, minFrameBytes, wire.MaxFrame)
	}
	if c.Keep < 0 || c.Keep > c.Window {
		return fmt.Errorf("keep %d frames after they are answered: use 0 to the window, %d", c.Keep, c.Window)
	}
	return Config{Window: c.Window, Arena: c.Arena}.check()
}

// minFrameBytes holds a header, the longest key with all extensions, and some value, so that every
// item can at least be sent in fragments.
const minFrameBytes = wire.HeaderSize + wire.MaxKey + 128

// Sender is the sending half of a lane: it numbers items, packs them into frames, and keeps every
// frame until it is committed, so that it can be repaired. Its window follows the committed
// watermark, which is a majority's proof of holding, and so needs to know nothing of membership
// (PROTOCOL R21): one slow replica does not hold it back.
//
// The caller's duties, in order:
//
//  1. Append items; Flush when the oldest waits long enough.
//  2. Send what Next returns, at the pace of a [Pacer]; Heartbeat when a [Heart] says so, so that
//     replicas notice a lost last frame.
//  3. Answer requests for missing frames, through a [Repairer], with Repair.
//  4. Tell Commit how far replicas have committed, and Answered up to where all answers are here.
//     Nothing else frees the window. The tail in every header is the lower of the two: a replica
//     that sees it may forget results and frames below (R25).
//
// It belongs to one goroutine and allocates nothing after NewSender.
type Sender struct {
	cfg    SenderConfig
	digest *wire.Digester
	slots  []slot
	ends   []uint64 // by slot: the watermark at which the frame may go
	mask   uint64
	arena  arena

	items  uint64 // number of the next item
	frames uint64 // number of the next frame
	next   uint64 // the first frame that was never sent
	tail   uint64 // the first frame that is not committed and answered
	kept   uint64 // the first frame kept

	committed uint64 // items
	answered  uint64 // items
	flags     uint8  // of frames closed from now on

	open      []byte // the frame being filled: a whole frame's room in the arena; nil if none
	openAt    int
	openItems uint16
	openFirst uint64

	heartbeat [wire.HeaderSize]byte
}

// NewSender makes an empty lane whose first item and frame are number 0.
func NewSender(cfg SenderConfig, d *wire.Digester) (*Sender, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Sender{cfg: cfg, digest: d, slots: make([]slot, cfg.Window), ends: make([]uint64, cfg.Window),
		mask: uint64(cfg.Window - 1), arena: newArena(cfg.Arena)}, nil
}

// Items is the number of the next item.
func (s *Sender) Items() uint64 { return s.items }

// Window is the range of frame numbers kept for repair, the open frame left out.
func (s *Sender) Window() Gap { return Gap{From: s.kept, To: s.frames} }

// Tail is the first frame that is not committed and answered: what every header says.
func (s *Sender) Tail() uint64 { return s.tail }

// Committed is the number of the first item that is not committed, as far as Commit was told.
func (s *Sender) Committed() uint64 { return s.committed }

// Pending is the number of frames that Next would return.
func (s *Sender) Pending() int { return int(s.frames - s.next) }

// Open reports whether a frame is being filled, so that a Flush would close it.
func (s *Sender) Open() bool { return s.open != nil }

// SetResponder asks the replica on a seat, or the leader if seat is -1, to answer the items of the
// frames that are closed from now on; the frame being filled included.
func (s *Sender) SetResponder(seat int) {
	var h wire.Header
	h.SetResponder(seat)
	s.flags = h.Flags
}

// Append takes an item and returns its number. It fails with ErrWindowFull, with ErrTooLarge, or on
// an item that no receiver would accept; the lane is then as before. An item that does not fit into
// a frame is sent in fragments.
func (s *Sender) Append(it *wire.Item) (number uint64, err error) {
	if it.Fragment {
		return 0, errors.New("lane: fragments are the lane's own business")
	}
	if it.Size() > s.payload() {
		return s.appendLarge(it)
	}
	if s.open != nil && len(s.open)+it.Size() > wire.HeaderSize+s.payload() {
		s.Flush()
	}
	if s.open == nil && !s.begin() {
		return 0, ErrWindowFull
	}
	open, err := wire.AppendItem(s.open, it)
	if err != nil {
		s.abandonEmpty()
		return 0, err
	}
	s.open = open
	s.openItems++
	s.items++
	return s.items - 1, nil
}

// payload is the most bytes of items in one frame.
func (s *Sender) payload() int {
	return s.cfg.FrameBytes - wire.HeaderSize - s.digest.Mode().Overhead()
}

// appendLarge sends an item in fragments, one a frame, if there is room for all of them.
func (s *Sender) appendLarge(it *wire.Item) (uint64, error) {
	fragments, err := s.fragments(it)
	if err != nil {
		return 0, err
	}
	if need := fragments*(s.cfg.FrameBytes+2*arenaWord) + arenaSlack; fragments > s.cfg.Window ||
		need > s.cfg.Arena {
		return 0, fmt.Errorf("lane: an item of %d frames, %d bytes, in a window of %d frames, %d bytes: %w",
			fragments, need, s.cfg.Window, s.cfg.Arena, ErrTooLarge)
	}
	s.Flush()
	if !s.hasRoom(fragments) {
		return 0, ErrWindowFull
	}
	for offset := 0; offset < len(it.Value); {
		// None can fail: the room was counted, the fragments were checked.
		part, err := wire.NextFragment(it, offset, s.payload())
		if err != nil {
			return 0, err
		}
		s.begin()
		if s.open, err = wire.AppendItem(s.open, &part); err != nil {
			return 0, err
		}
		offset += len(part.Value)
		if part.Completes() {
			s.openItems = 1
			s.items++
		}
		s.Flush()
	}
	return s.items - 1, nil
}

// fragments counts the frames of an item and checks what each of them would hold.
func (s *Sender) fragments(it *wire.Item) (n int, err error) {
	if err := it.Check(); err != nil {
		return 0, err
	}
	for offset := 0; offset < len(it.Value) || n == 0; n++ {
		part, err := wire.NextFragment(it, offset, s.payload())
		if err == nil {
			err = part.Check()
		}
		if err != nil {
			return 0, err
		}
		offset += len(part.Value)
	}
	return n, nil
}

// arenaSlack is what may be lost where an arena wraps.
const arenaSlack = wire.MaxFrame + 2*arenaWord

// hasRoom reports whether n frames of full length can be begun now, wherever the arena wraps. It
// drops frames that are kept for repair only.
func (s *Sender) hasRoom(n int) bool {
	if s.frames-s.tail+uint64(n) > uint64(s.cfg.Window) {
		return false
	}
	for s.frames-s.kept+uint64(n) > uint64(s.cfg.Window) ||
		s.arena.used()+n*(s.cfg.FrameBytes+2*arenaWord)+arenaSlack > s.cfg.Arena {
		if s.kept == s.tail {
			return false
		}
		s.drop()
	}
	return true
}

// begin opens a frame, if window and arena have room, or get it from frames kept for repair only.
func (s *Sender) begin() bool {
	if s.frames-s.tail >= uint64(s.cfg.Window) {
		return false
	}
	if s.frames-s.kept >= uint64(s.cfg.Window) {
		s.drop()
	}
	off, ok := s.arena.alloc(s.cfg.FrameBytes)
	for !ok {
		if s.kept == s.tail {
			return false
		}
		s.drop()
		off, ok = s.arena.alloc(s.cfg.FrameBytes)
	}
	s.openAt, s.openItems, s.openFirst = off, 0, s.items
	s.open = s.arena.buf[off : off+wire.HeaderSize : off+s.cfg.FrameBytes]
	return true
}

// drop forgets the oldest frame.
func (s *Sender) drop() {
	at := &s.slots[s.kept&s.mask]
	s.arena.free(int(at.off))
	*at = slot{}
	s.kept++
}

// abandonEmpty gives back a frame that was opened for an item nobody could encode.
func (s *Sender) abandonEmpty() {
	if s.openItems == 0 {
		s.arena.shrink(s.openAt, s.cfg.FrameBytes, 0)
		s.open = nil
	}
}

// Flush closes the frame being filled, so that Next returns it.
func (s *Sender) Flush() {
	if s.open == nil {
		return
	}
	n := s.frames
	s.open = s.open[:len(s.open)+s.digest.Mode().Overhead()]
	h := wire.Header{Type: wire.TypeData, Flags: s.flags, Lane: s.cfg.Lane, Cluster: s.cfg.Cluster,
		Proxy: s.cfg.Proxy, Incarnation: s.cfg.Incarnation, Count: s.openItems, Frame: n,
		First: s.openFirst, HighWater: n, Tail: s.tail}
	if err := wire.Seal(s.open, &h, s.digest); err != nil {
		panic("lane: a frame within its bounds cannot be sealed: " + err.Error())
	}
	s.arena.shrink(s.openAt, s.cfg.FrameBytes, len(s.open))
	s.slots[n&s.mask] = slot{frame: n + 1, off: uint32(s.openAt), length: uint32(len(s.open))}
	s.ends[n&s.mask] = s.items
	if s.openItems == 0 { // a fragment before the last: it goes with the item it is part of
		s.ends[n&s.mask]++
	}
	s.frames++
	s.open = nil
}

// Next appends to dst, up to its capacity, the frames that were never sent, oldest first. They stay
// valid until they are committed.
func (s *Sender) Next(dst [][]byte) [][]byte {
	for ; s.next < s.frames && len(dst) < cap(dst); s.next++ {
		dst = append(dst, s.frame(s.next))
	}
	return dst
}

func (s *Sender) frame(n uint64) []byte {
	at := &s.slots[n&s.mask]
	return s.arena.buf[at.off : at.off+at.length : at.off+at.length]
}

// Repair appends to dst, up to its capacity, the kept frames in a gap, marked as repairs and with
// the lane's present marks. gone is the part of the gap that is not kept any more, which only a
// replica's snapshot can fill; it is empty if From = To. Frames never sent are no repairs and are
// left out.
func (s *Sender) Repair(gap Gap, dst [][]byte) (repairs [][]byte, gone Gap) {
	gap.To = min(gap.To, s.next)
	if gap.From < s.kept {
		gone = Gap{From: gap.From, To: max(gap.From, min(s.kept, gap.To))}
		gap.From = gone.To
	}
	for n := gap.From; n < gap.To && len(dst) < cap(dst); n++ {
		f := s.frame(n)
		wire.Restamp(f, s.next-1, s.tail, s.digest)
		dst = append(dst, f)
	}
	return dst, gone
}

// Heartbeat is a frame without items that carries the lane's marks, or nil if nothing was ever
// sent. It is valid until the next call.
func (s *Sender) Heartbeat() []byte {
	if s.next == 0 {
		return nil
	}
	h := wire.Header{Type: wire.TypeHeartbeat, Lane: s.cfg.Lane, Cluster: s.cfg.Cluster, Proxy: s.cfg.Proxy,
		Incarnation: s.cfg.Incarnation, Frame: s.next, First: s.items, HighWater: s.next - 1, Tail: s.tail}
	if err := wire.Seal(s.heartbeat[:], &h, s.digest); err != nil {
		panic("lane: a heartbeat cannot be sealed: " + err.Error())
	}
	return s.heartbeat[:]
}

// Commit takes the committed watermark: frames whose items are all below it need no retransmission
// for the majority's sake any more. A watermark beyond what was sent is a fault of whoever computed
// it, and is refused.
func (s *Sender) Commit(items uint64) error {
	if items > s.items {
		return fmt.Errorf("lane: committed up to item %d, but only %d were appended", items, s.items)
	}
	s.committed = max(s.committed, items)
	s.release()
	return nil
}

// Answered says that the answers of all items below are here, or that nobody waits for them. It has
// no effect without SenderConfig.Answers.
func (s *Sender) Answered(items uint64) error {
	if items > s.items {
		return fmt.Errorf("lane: answered up to item %d, but only %d were appended", items, s.items)
	}
	s.answered = max(s.answered, items)
	s.release()
	return nil
}

// release moves the tail over frames that are committed and answered.
func (s *Sender) release() {
	items := s.committed
	if s.cfg.Answers {
		items = min(items, s.answered)
	}
	for s.tail < s.next && s.ends[s.tail&s.mask] <= items {
		s.tail++
	}
	for s.tail-s.kept > uint64(s.cfg.Keep) {
		s.drop()
	}
}

// Frame is the kept frame of the given number as it was sent, or nil. It stays valid until it is
// committed.
func (s *Sender) Frame(n uint64) []byte {
	if n < s.tail || n >= s.frames {
		return nil
	}
	return s.frame(n)
}
