package lane

import (
	"errors"
	"fmt"

	"metronome/system/wire"
)

// ErrWindowFull says that the lane holds as much uncommitted data as it may. It is no failure:
// the item was not taken, and will be once replicas have committed more (invariant I6).
var ErrWindowFull = errors.New("lane: window full")

// SenderConfig names a sending lane and bounds its memory.
type SenderConfig struct {
	Cluster     uint32
	Proxy       uint32
	Incarnation uint32
	Lane        uint16

	Window     int // frames kept until committed; a power of two
	Arena      int // bytes those frames may occupy; a power of two
	FrameBytes int // frames are closed before they exceed this; at most wire.MaxFrame
}

func (c SenderConfig) check() error {
	if c.FrameBytes < minFrameBytes || c.FrameBytes > wire.MaxFrame {
		return fmt.Errorf("frames of %d bytes: use %d to %d", c.FrameBytes, minFrameBytes, wire.MaxFrame)
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
//  2. Send what Next returns, at the caller's pace; Heartbeat when there is nothing to send, so that
//     replicas notice a lost last frame.
//  3. Answer requests for missing frames with Repair.
//  4. Tell Commit how far replicas have committed. Nothing else frees the window.
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
	tail   uint64 // the first frame kept

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
func (s *Sender) Window() Gap { return Gap{s.tail, s.frames} }

// Append takes an item and returns its number. It fails with ErrWindowFull, or on an item that no
// receiver would accept; the lane is then as before. A value that does not fit into a frame is sent
// in fragments, as one item.
func (s *Sender) Append(it *wire.Item) (number uint64, err error) {
	if it.Fragment {
		return 0, errors.New("lane: fragments are the lane's own business")
	}
	if it.Size() > s.payload() {
		return s.appendLarge(it)
	}
	if s.open != nil && len(s.open)+it.Size() > s.cfg.FrameBytes {
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
func (s *Sender) payload() int { return s.cfg.FrameBytes - wire.HeaderSize }

// appendLarge sends an item in fragments, one a frame, if there is room for all of them.
func (s *Sender) appendLarge(it *wire.Item) (uint64, error) {
	part, err := wire.NextFragment(it, 0, s.payload())
	if err != nil {
		return 0, err
	}
	if err := it.Check(); err != nil {
		return 0, err
	}
	s.Flush()
	fragments := (len(it.Value) + len(part.Value) - 1) / len(part.Value)
	if !s.hasRoom(fragments) {
		return 0, ErrWindowFull
	}
	for offset := 0; offset < len(it.Value); {
		// Neither can fail: the room was counted, the item checked.
		if part, err = wire.NextFragment(it, offset, s.payload()); err != nil {
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

// hasRoom reports whether n frames of full length can be begun now, wherever the arena wraps.
func (s *Sender) hasRoom(n int) bool {
	const slack = wire.MaxFrame + 2*arenaWord // lost where the arena wraps
	return s.frames-s.tail+uint64(n) <= uint64(s.cfg.Window) &&
		s.arena.used()+n*(s.cfg.FrameBytes+2*arenaWord)+slack <= s.cfg.Arena
}

// begin opens a frame, if window and arena have room.
func (s *Sender) begin() bool {
	if s.frames-s.tail >= uint64(s.cfg.Window) {
		return false
	}
	off, ok := s.arena.alloc(s.cfg.FrameBytes)
	if !ok {
		return false
	}
	s.openAt, s.openItems, s.openFirst = off, 0, s.items
	s.open = s.arena.buf[off : off+wire.HeaderSize : off+s.cfg.FrameBytes]
	return true
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
	h := wire.Header{Type: wire.TypeData, Lane: s.cfg.Lane, Cluster: s.cfg.Cluster, Proxy: s.cfg.Proxy,
		Incarnation: s.cfg.Incarnation, Count: s.openItems, Frame: n, First: s.openFirst, HighWater: n,
		Tail: s.tail}
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
	if gap.From < s.tail {
		gone = Gap{gap.From, min(s.tail, gap.To)}
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

// Commit releases every frame whose items are all below the committed watermark. A watermark beyond
// what was sent is a fault of whoever computed it, and is refused.
func (s *Sender) Commit(items uint64) error {
	if items > s.items {
		return fmt.Errorf("lane: committed up to item %d, but only %d were appended", items, s.items)
	}
	for s.tail < s.next && s.ends[s.tail&s.mask] <= items {
		at := &s.slots[s.tail&s.mask]
		s.arena.free(int(at.off))
		*at = slot{}
		s.tail++
	}
	return nil
}
