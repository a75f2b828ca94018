package replica

import (
	"slices"

	"metronome/system/lane"
	"metronome/system/order"
	"metronome/system/wire"
)

// sendOrder wraps a message of the orderer: from which life, to which.
func (r *Replica) sendOrder(to uint64, b []byte) {
	w := wire.NewWriter(make([]byte, 0, len(b)+17), wire.KindOrder)
	w.U64(r.id)
	w.U64(to)
	w.B = append(w.B, b...)
	r.out.message(wire.ReplicaPeer(SeatOf(to)), w.B)
}

// onOrder hands a message to the orderer, if it is from a life that is registered and for this one
// (R1).
func (r *Replica) onOrder(seat int, b []byte) bool {
	in := wire.NewReader(b)
	from, to := in.U64(), in.U64()
	msg := in.Rest()
	if !in.OK() || SeatOf(from) != seat {
		return false
	}
	if r.orderer == nil || to != r.id {
		return true // for another life on this seat
	}
	if r.refuses(from) {
		r.counts.Unregistered++
		r.tellJoined(seat) // it does not know that it was replaced, or removed
		return true
	}
	r.peers[seat].heard = r.now
	if r.orderer.Step(from, msg) != nil {
		return false
	}
	r.drain()
	return true
}

// refuses reports whether a life has no say: another one has its seat (R1), or an operator ended it
// and it is no member any more. Until then its state counts, and agreeing on its end may need it.
func (r *Replica) refuses(id uint64) bool {
	return r.state.superseded(id) || r.state.ended(id) &&
		!slices.Contains(r.members.Voters, id) && !slices.Contains(r.members.Learners, id)
}

// fetchBytes bounds one answer to a peer that lacks frames, and servedFrames the frames in it.
const (
	fetchBytes   = 2 << 20
	servedFrames = 2048
)

// maxGapped bounds the lanes looked at for repairs in one step.
const maxGapped = 64

// requestRepairs asks for what is missing, the proxy first, then peers: package lane knows when and
// whom.
func (r *Replica) requestRepairs() {
	var lanes [maxGapped]*lane.Receiver
	for _, recv := range r.ingest.Gapped(lanes[:0]) {
		var room [wire.MaxGaps - 1]lane.Gap
		for {
			target, gaps := recv.Nacker().Due(r.now, room[:0])
			if target == lane.Nobody || len(gaps) == 0 {
				break
			}
			if target == lane.Origin {
				r.nackOrigin(recv, gaps)
			} else {
				w := wire.NewWriter(nil, wire.KindFetch)
				w.U32(recv.Name().ID)
				w.B = wire.AppendGaps(w.B, gaps)
				r.out.message(wire.ReplicaPeer(int(target)), w.B)
			}
		}
	}
}

// nackOrigin asks the proxy by datagram. The header's fields say who asks, and the round trip it
// measures.
func (r *Replica) nackOrigin(recv *lane.Receiver, gaps []lane.Gap) {
	name := recv.Name()
	h := wire.Header{Type: wire.TypeNack, Cluster: r.cfg.Cluster, Proxy: name.Proxy,
		Incarnation: name.Incarnation, Lane: name.Lane, First: r.id, HighWater: uint64(recv.Nacker().RoundTrip())}
	b := wire.AppendGaps(make([]byte, wire.HeaderSize, wire.HeaderSize+16*len(gaps)), gaps)
	if wire.Seal(b, &h, r.cfg.Digest) == nil {
		r.out.datagram(wire.ProxyPeer(name.Proxy), b)
	}
}

// onFetch sends a peer the frames it lacks, as far as they are kept.
func (r *Replica) onFetch(seat int, b []byte) bool {
	in := wire.NewReader(b)
	id := order.LaneID(in.U32())
	var room [wire.MaxGaps]lane.Gap
	gaps, ok := wire.DecodeGaps(in.Rest(), room[:0])
	if !in.OK() || !ok {
		return false
	}
	l := r.find(id)
	if l == nil {
		return true
	}
	frames := make([][]byte, 0, servedFrames)
	below := uint64(0)
	for _, g := range gaps {
		var missing lane.Gap
		if frames, missing = l.recv.Repair(g, frames); missing.From < missing.To {
			below = max(below, missing.To)
		}
	}
	if below > 0 {
		w := wire.NewWriter(nil, wire.KindGone)
		w.U32(uint32(id))
		w.U64(below)
		r.out.message(wire.ReplicaPeer(seat), w.B)
	}
	w := wire.NewWriter(nil, wire.KindFrames)
	for _, f := range frames {
		if len(w.B)+len(f) > fetchBytes {
			break
		}
		w.Bytes(f)
		r.counts.Served++
		r.counts.ItemBytesToPeer += uint64(len(f))
	}
	if len(w.B) > 1 {
		r.out.message(wire.ReplicaPeer(seat), w.B)
	}
	return true
}

// onFrames takes frames that a peer sent on request. They are verified like any other.
func (r *Replica) onFrames(b []byte) bool {
	in := wire.NewReader(b)
	r.ingest.Clock(r.now)
	for in.Left() > 0 {
		f := in.Bytes()
		if !in.OK() {
			return false
		}
		r.counts.Fetched++
		r.ingest.Kept(f)
	}
	return true
}

// onGone notes that a peer keeps the frames below a number no longer: a snapshot has to bring what
// is in them, if no other peer does.
func (r *Replica) onGone(seat int, b []byte) bool {
	in := wire.NewReader(b)
	l, below := r.find(order.LaneID(in.U32())), in.U64()
	if in.Done() && l != nil && l.open {
		l.recv.Nacker().Gone(lane.Target(seat), below)
	}
	return in.Done()
}

// onSenderGone notes that a proxy keeps the frames below a number no longer: peers do, or a
// snapshot does.
func (r *Replica) onSenderGone(number uint32, b []byte) bool {
	in := wire.NewReader(b)
	l := r.openLane(number, in.U32(), in.U16())
	below := in.U64()
	if in.Done() && l != nil {
		l.recv.Nacker().Gone(lane.Origin, below)
	}
	return in.Done()
}
