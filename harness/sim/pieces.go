package sim

import "metronome/system/wire"

// snapshotPiece is a system that can say which part of a snapshot a message carries.
type snapshotPiece interface {
	Piece(message []byte) (position, offset uint64, ok bool)
}

// Piece reads a chunk's header.
func (storeSystem) Piece(b []byte) (position, offset uint64, ok bool) {
	if len(b) == 0 || wire.Kind(b[0]) != wire.KindChunk {
		return 0, 0, false
	}
	in := wire.NewReader(b[1:])
	position, offset = in.U64(), in.U64()
	return position, offset, in.OK()
}

// pieces is what a process sends of a snapshot to another.
type pieces struct{ position, furthest uint64 }

// notePiece counts how transfers of state go: whether they take several messages, are resumed, and begin
// anew with another snapshot.
func (w *world) notePiece(p *process, to wire.Peer, message []byte) {
	s, is := w.system.(snapshotPiece)
	if !is {
		return
	}
	position, offset, ok := s.Piece(message)
	if !ok {
		return
	}
	if p.pieces == nil {
		p.pieces = map[wire.Peer]pieces{}
	}
	last := p.pieces[to]
	switch {
	case position != last.position:
		if last.furthest > 0 {
			w.cover.Add("transfer of state begun anew, of another snapshot")
		}
		last = pieces{position: position}
	case offset <= last.furthest && last.furthest > 0:
		w.cover.Add("piece of a snapshot sent again")
	case offset > 0:
		w.cover.Add("piece of a snapshot behind its first")
	}
	last.furthest = max(last.furthest, offset)
	p.pieces[to] = last
}
