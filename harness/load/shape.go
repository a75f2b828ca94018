package load

import (
	"encoding/binary"
	"fmt"
	"slices"

	"metronome/system/wire"
)

// Shape describes the frames of a trial.
type Shape struct {
	Items      int // items a frame
	KeyBytes   int
	ValueBytes int
	Lanes      int
	Mode       wire.Mode
	ClusterKey []byte
	Cluster    uint32
	Proxy      uint32
	Window     uint64 // frames announced as repairable
}

// ItemsPerFrame is the largest number of items of the given size that fit into a frame.
func ItemsPerFrame(keyBytes, valueBytes int) int {
	return wire.MaxPayload / (wire.ItemHeader + keyBytes + valueBytes)
}

// FrameBytes is the length of every frame.
func (s Shape) FrameBytes() int {
	return wire.HeaderSize + s.Items*(wire.ItemHeader+s.KeyBytes+s.ValueBytes) + s.Mode.Overhead()
}

// Frames are the numbered frames of one incarnation: global frame g is frame g/Lanes of lane
// g%Lanes.
type Frames struct {
	shape    Shape
	digest   *wire.Digester
	template []byte // a whole frame; its header's numbers are replaced in each copy
	items    []byte // mode aead: every frame is encrypted by itself
}

// New prepares the frames of an incarnation. It fails if they would exceed wire.MaxFrame.
func (s Shape) New(incarnation uint32) (*Frames, error) {
	if s.Items < 1 || s.Lanes < 1 || s.Lanes > 1<<16 {
		return nil, fmt.Errorf("%d items a frame in %d lanes: use at least 1 of each", s.Items, s.Lanes)
	}
	d, err := wire.NewDigester(s.Mode, s.ClusterKey)
	if err != nil {
		return nil, err
	}
	frame := make([]byte, wire.HeaderSize, s.FrameBytes())
	for i := range s.Items {
		if frame, err = wire.AppendItem(frame, s.item(i)); err != nil {
			return nil, fmt.Errorf("item %d of a frame: %w", i, err)
		}
	}
	f := &Frames{shape: s, digest: d}
	if s.Mode == wire.ModeAEAD {
		f.items = slices.Clone(frame[wire.HeaderSize:])
	}
	frame = append(frame, make([]byte, s.Mode.Overhead())...)
	h := wire.Header{Type: wire.TypeData, Cluster: s.Cluster, Proxy: s.Proxy, Incarnation: incarnation,
		Count: uint16(s.Items)}
	if err := wire.Seal(frame, &h, d); err != nil {
		return nil, fmt.Errorf("%d items of %d + %d bytes a frame: %w",
			s.Items, s.KeyBytes, s.ValueBytes, err)
	}
	f.template = frame
	return f, nil
}

// item is the i-th item of every frame: a put whose key and value are a pattern.
func (s Shape) item(i int) *wire.Item {
	key, value := make([]byte, s.KeyBytes), make([]byte, s.ValueBytes)
	for k := range key {
		key[k] = byte('a' + (i+k)%26)
	}
	for k := range value {
		value[k] = byte(i*31 + k*7)
	}
	return &wire.Item{Op: wire.OpPut, Key: key, Value: value}
}

// Len is the length of every frame.
func (f *Frames) Len() int { return len(f.template) }

// Header is the header all frames share, numbers and digest aside.
func (f *Frames) Header() []byte { return f.template[:wire.HeaderSize] }

// Payload is the payload all frames share.
func (f *Frames) Payload() []byte { return f.template[wire.HeaderSize:] }

// HeaderSeed is wire.Digester.HeaderSeed of the frames' digest.
func (f *Frames) HeaderSeed() uint64 { return f.digest.HeaderSeed() }

// Put writes global frame g into dst[:Len].
func (f *Frames) Put(dst []byte, g uint64) {
	copy(dst, f.template)
	f.PutHeader(dst, g)
}

// PutHeader writes the numbers and the digest of global frame g into dst, which holds another frame
// of the same Frames.
func (f *Frames) PutHeader(dst []byte, g uint64) {
	le := binary.LittleEndian
	lane, n := uint64(0), g
	if lanes := uint64(f.shape.Lanes); lanes > 1 {
		lane, n = g%lanes, g/lanes
	}
	_ = dst[wire.HeaderSize-1]
	le.PutUint16(dst[6:], uint16(lane))
	le.PutUint64(dst[24:], n)
	le.PutUint64(dst[32:], n*uint64(f.shape.Items))
	le.PutUint64(dst[40:], n)
	le.PutUint64(dst[48:], n+1-min(n+1, f.shape.Window))
	if f.items != nil {
		f.seal(dst)
		return
	}
	le.PutUint64(dst[wire.DigestOffset:], f.digest.Header(dst))
}

// seal writes the items of a frame whose numbers are in place, encrypted.
func (f *Frames) seal(dst []byte) {
	var h wire.Header
	h.Get(dst)
	copy(dst[wire.HeaderSize:], f.items)
	if err := wire.Seal(dst[:f.Len()], &h, f.digest); err != nil {
		panic("load: a frame like its template cannot be sealed: " + err.Error())
	}
}
