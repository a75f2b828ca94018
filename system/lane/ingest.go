package lane

import (
	"fmt"

	"metronome/system/wire"
)

// Counters account for every frame handed to an [Ingest]: Frames equals Heartbeats plus the sum of
// Bad plus Duplicate plus Refused plus Released plus Queued plus Abandoned.
type Counters struct {
	Frames     uint64 // frames handed in
	Bytes      uint64 // their bytes
	Heartbeats uint64
	Bad        [wire.NumCauses]uint64 // dropped, by cause; Bad[wire.OK] stays zero
	Duplicate  uint64
	Refused    uint64 // dropped at the bound of a lane's window or arena, at once or to make room later
	Released   uint64 // passed the watermark and trimmed by the consumer
	Queued     uint64 // held at this moment
	Abandoned  uint64 // held when their lane was closed
	Items      uint64 // items completed by frames that were accepted
	Lost       uint64 // frames given up; they never arrived, so they are in no sum
}

// Ingest is the pipeline of one ingest core: verify, find the lane, place. It belongs to one
// goroutine.
type Ingest struct {
	opener wire.Opener
	cfg    Config
	lives  []life
	n      Counters
	closed Counters // of receivers that are gone
}

// life is a proxy's incarnation with its lanes, indexed by lane number.
type life struct {
	proxy, incarnation uint32
	lanes              []*Receiver
}

// MaxLanes bounds the lanes of one incarnation.
const MaxLanes = 1024

// NewIngest makes a pipeline without lanes, for frames of the given cluster under digest d.
func NewIngest(cluster uint32, d *wire.Digester, cfg Config) (*Ingest, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Ingest{opener: wire.Opener{Cluster: cluster, Digest: d}, cfg: cfg}, nil
}

// Open admits the lanes 0 to lanes-1 of an incarnation and allocates their memory, lanes times
// Config.Bytes. Opening an incarnation closes the proxy's others: a proxy has one life at a time.
func (in *Ingest) Open(proxy, incarnation uint32, lanes int) error {
	if lanes < 1 || lanes > MaxLanes {
		return fmt.Errorf("open %d lanes of proxy %d: use 1 to %d", lanes, proxy, MaxLanes)
	}
	in.Close(proxy)
	l := life{proxy: proxy, incarnation: incarnation, lanes: make([]*Receiver, lanes)}
	for i := range l.lanes {
		l.lanes[i] = newReceiver(in.cfg, in.opener.Digest)
	}
	in.lives = append(in.lives, l)
	return nil
}

// Close forgets the lanes of a proxy and everything they hold.
func (in *Ingest) Close(proxy uint32) {
	for i, l := range in.lives {
		if l.proxy != proxy {
			continue
		}
		for _, r := range l.lanes {
			in.closed.add(r)
			in.closed.Abandoned += r.Held()
		}
		in.lives = append(in.lives[:i], in.lives[i+1:]...)
		return
	}
}

// Lane is the receiver of a lane, or nil if it is not open.
func (in *Ingest) Lane(proxy, incarnation uint32, lane uint16) *Receiver {
	for i := range in.lives {
		l := &in.lives[i]
		if l.proxy == proxy && l.incarnation == incarnation && int(lane) < len(l.lanes) {
			return l.lanes[lane]
		}
	}
	return nil
}

// Frame takes one received frame. It copies what it keeps.
func (in *Ingest) Frame(frame []byte) {
	in.n.Frames++
	in.n.Bytes += uint64(len(frame))
	var h wire.Header
	if cause := in.opener.Open(frame, &h); cause != wire.OK {
		in.n.Bad[cause]++
		return
	}
	r := in.Lane(h.Proxy, h.Incarnation, h.Lane)
	if r == nil {
		in.n.Bad[wire.BadLane]++
		return
	}
	if h.Type == wire.TypeHeartbeat {
		in.n.Heartbeats++
		r.Heartbeat(&h)
		return
	}
	switch r.Place(&h, frame) {
	case Accepted:
		in.n.Items += uint64(h.Count)
	case Duplicate:
		in.n.Duplicate++
	case Refused:
		in.n.Refused++
	case Contradiction:
		in.n.Bad[wire.BadLane]++
	}
}

// TrimAll releases everything below every lane's mark: what a consumer does that is always done.
func (in *Ingest) TrimAll() {
	for i := range in.lives {
		for _, r := range in.lives[i].lanes {
			r.Trim(r.mark.Frames)
		}
	}
}

// Counters reads the counters.
func (in *Ingest) Counters() Counters {
	n := in.n
	n.Released, n.Lost, n.Abandoned = in.closed.Released, in.closed.Lost, in.closed.Abandoned
	n.Refused += in.closed.Refused
	n.Bad[wire.BadLane] += in.closed.Bad[wire.BadLane]
	for _, l := range in.lives {
		for _, r := range l.lanes {
			n.add(r)
			n.Queued += r.Held()
		}
	}
	return n
}

func (n *Counters) add(r *Receiver) {
	n.Released += r.freed
	n.Refused += r.evicted
	n.Lost += r.lost
	n.Bad[wire.BadLane] += r.thrown
}
