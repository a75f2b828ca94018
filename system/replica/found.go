package replica

import (
	"fmt"

	"metronome/system/wire"
)

// Founding a cluster is explicit and happens once (R1): an operator tells one replica, which makes
// sure that every seat is there and empty before it tells them all to begin. A seat that misses the
// last word joins later like any new life.

type foundState struct {
	active bool
	nonce  uint64
	ready  uint16 // seats that are there and empty
	next   int64  // when to ask again
	// promised names the attempt that this replica has last said it is ready for.
	promised uint64
	err      error
}

// The steps of founding, in KindInit messages.
const (
	foundAsk    = 0 // are you there and empty?
	foundReady  = 1
	foundBegin  = 2
	foundRefuse = 3 // I belong to a cluster
)

// Initiate begins to found a cluster of all seats of the cluster file. Founding ends in this
// replica's membership, or in FoundErr.
func (r *Replica) Initiate() error {
	if r.id != 0 {
		return fmt.Errorf("replica-%d belongs to a cluster already, as life %x: nothing to found", r.cfg.Seat,
			r.id)
	}
	r.founding = foundState{active: true, nonce: r.cfg.Nonce, ready: 1 << r.cfg.Seat}
	return nil
}

// FoundErr is why the latest attempt to found a cluster was given up, or nil.
func (r *Replica) FoundErr() error { return r.founding.err }

// Awaited are the seats that have not answered the attempt to found a cluster.
func (r *Replica) Awaited() (seats []int) {
	for s := range r.cfg.Seats {
		if r.founding.active && r.founding.ready>>s&1 == 0 {
			seats = append(seats, s)
		}
	}
	return seats
}

func (r *Replica) askToFound() {
	f := &r.founding
	if !f.active {
		return
	}
	if r.now >= f.next {
		f.next = r.now + joinEvery*r.cfg.Tick
		r.tellInit(foundAsk, f.nonce)
	}
	if f.ready != 1<<r.cfg.Seats-1 {
		return
	}
	f.active = false
	r.tellInit(foundBegin, f.nonce)
	if err := r.Found(r.allSeats()); err != nil {
		f.err = err
	}
}

func (r *Replica) allSeats() []int {
	seats := make([]int, r.cfg.Seats)
	for i := range seats {
		seats[i] = i
	}
	return seats
}

func (r *Replica) tellInit(step uint8, nonce uint64) {
	for seat := range r.cfg.Seats {
		if seat != r.cfg.Seat {
			r.out.message(wire.ReplicaPeer(seat), initMessage(step, nonce))
		}
	}
}

func initMessage(step uint8, nonce uint64) []byte {
	w := wire.NewWriter(nil, wire.KindInit)
	w.U8(step)
	w.U64(nonce)
	return w.B
}

func (r *Replica) onInit(seat int, b []byte) bool {
	in := wire.NewReader(b)
	step, nonce := in.U8(), in.U64()
	if !in.Done() {
		return false
	}
	f := &r.founding
	switch step {
	case foundAsk:
		answer := uint8(foundReady)
		if r.id != 0 {
			answer = foundRefuse
		}
		r.out.message(wire.ReplicaPeer(seat), initMessage(answer, nonce))
		f.promised = nonce
	case foundReady:
		if f.active && nonce == f.nonce {
			f.ready |= 1 << seat
		}
	case foundRefuse:
		if f.active && nonce == f.nonce {
			f.active = false
			f.err = fmt.Errorf("replica-%d belongs to a cluster already: this replica joins it by itself", seat)
		}
	case foundBegin:
		if r.id == 0 && nonce == f.promised {
			f.active = false
			if err := r.Found(r.allSeats()); err != nil {
				r.fail(err)
			}
		}
	default:
		return false
	}
	return true
}
