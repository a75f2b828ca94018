package replica

import (
	"errors"
	"fmt"

	"github.com/zeebo/xxh3"

	"metronome/system/order"
	"metronome/system/wire"
)

// A saved snapshot is a header, the state beside the store, and the store's own stream. The header
// holds the sum of the second; the third checks itself, section by section.
const (
	fileMagic   = 0x50414E53_4E4F544D // "MTONSNAP", as the store's
	fileVersion = 1
)

// fileHeader places the state that follows: whose it is, and where in the agreed sequence.
func (r *Replica) fileHeader(at *order.SnapshotMeta, head []byte, stream int) []byte {
	var w wire.Writer
	w.U64(fileMagic)
	w.U16(fileVersion)
	w.U32(r.cfg.Cluster)
	w.U64(r.id)
	w.U64(at.Position)
	w.U64(at.Term)
	appendMembers(&w, &at.Members)
	w.U32(uint32(len(head)))
	w.U64(uint64(stream))
	w.U64(xxh3.Hash(head))
	w.U64(xxh3.Hash(w.B))
	return w.B
}

// savedFile is a snapshot read back.
type savedFile struct {
	cluster uint32
	id      uint64
	at      order.SnapshotMeta
	head    []byte
	stream  []byte
}

// readFile checks and splits a saved snapshot. b is borrowed.
func readFile(b []byte) (f savedFile, err error) {
	r := wire.NewReader(b)
	magic, version := r.U64(), r.U16()
	if magic != fileMagic {
		return f, errors.New("replica: the snapshot's first bytes are damaged")
	}
	f.cluster, f.id = r.U32(), r.U64()
	f.at = order.SnapshotMeta{Position: r.U64(), Term: r.U64(), Members: readMembers(&r)}
	head, stream, sum := r.U32(), r.U64(), r.U64()
	own := xxh3.Hash(b[:len(b)-r.Left()])
	if r.U64() != own || !r.OK() {
		return f, errors.New("replica: the snapshot's header is damaged")
	}
	if version != fileVersion {
		return f, fmt.Errorf("%w: a snapshot of version %d, this build knows %d", ErrNewer, version, fileVersion)
	}
	rest := r.Rest()
	if uint64(len(rest)) != uint64(head)+stream || xxh3.Hash(rest[:head]) != sum {
		return f, fmt.Errorf("replica: the snapshot at position %d is damaged, or cut short: %d bytes of %d",
			f.at.Position, len(rest), uint64(head)+stream)
	}
	f.head, f.stream = rest[:head], rest[head:]
	return f, nil
}

func appendMembers(w *wire.Writer, m *order.Members) {
	for _, ids := range [2][]uint64{m.Voters, m.Learners} {
		w.U8(uint8(len(ids)))
		for _, id := range ids {
			w.U64(id)
		}
	}
}

func readMembers(r *wire.Reader) (m order.Members) {
	for _, ids := range [2]*[]uint64{&m.Voters, &m.Learners} {
		for n := r.U8(); n > 0 && r.OK(); n-- {
			*ids = append(*ids, r.U64())
		}
	}
	return m
}
