package replica

import (
	"errors"
	"fmt"
	"slices"

	"metronome/system/order"
	"metronome/system/wire"
)

// joinState is what a replica without an id does to get one.
type joinState struct {
	next   int64
	static bool // there is a cluster, and it takes no new lives
}

// joinEvery is how many ticks pass between requests to join.
const joinEvery = 10

// askToJoin asks every other seat for an id. In memory mode every start is a new life (R1), so this
// is how a restarted replica comes back: as a learner, promoted once it has caught up.
func (r *Replica) askToJoin() {
	if r.now < r.joins.next {
		return
	}
	r.joins.next = r.now + joinEvery*r.cfg.Tick
	for seat := range r.cfg.Seats {
		if seat != r.cfg.Seat {
			w := wire.NewWriter(nil, wire.KindJoin)
			w.U64(r.cfg.Nonce)
			r.out.message(wire.ReplicaPeer(seat), w.B)
		}
	}
}

func (r *Replica) onJoin(seat int, b []byte) bool {
	in := wire.NewReader(b)
	nonce := in.U64()
	if !in.Done() || nonce == 0 {
		return false
	}
	switch {
	case r.orderer == nil:
	case r.consensus.Static():
		r.tellStatic(seat)
	case r.state.lives[seat].nonce == nonce:
		r.tellJoined(seat)
	case r.speaks() && r.state.admits(seat):
		r.round.want(order.Command{Kind: order.MintLife, Seat: uint8(seat), Nonce: nonce})
	}
	return true
}

// tellStatic tells a seat without state that there is a cluster, and no way into it: as a life that
// cannot be.
func (r *Replica) tellStatic(seat int) {
	w := wire.NewWriter(nil, wire.KindJoined)
	w.U64(0)
	w.U64(LifeID(seat, 0))
	r.out.message(wire.ReplicaPeer(seat), w.B)
}

// tellJoined tells a seat the id that was minted for its present life.
func (r *Replica) tellJoined(seat int) {
	l := r.state.lives[seat]
	w := wire.NewWriter(nil, wire.KindJoined)
	w.U64(l.nonce)
	w.U64(LifeID(seat, l.life))
	r.out.message(wire.ReplicaPeer(seat), w.B)
}

func (r *Replica) onJoined(b []byte) bool {
	in := wire.NewReader(b)
	nonce, id := in.U64(), in.U64()
	if !in.Done() || SeatOf(id) != r.cfg.Seat {
		return false
	}
	if id == LifeID(r.cfg.Seat, 0) {
		r.joins.static = r.consensus.Static()
		return true
	}
	if r.id > 0 && id > r.id || nonce == 0 && id == r.id {
		r.fail(ErrReplaced)
		return true
	}
	if r.id == 0 && nonce == r.cfg.Nonce {
		if err := r.begin(id, nil); err != nil {
			r.fail(err)
		}
	}
	return true
}

// ErrReplaced is why a replica stops whose life was replaced by a later one on its seat, or ended by
// an operator: an old copy of its state came back (R1).
var ErrReplaced = errors.New("replica: this seat's life has ended: another one has taken its place, or an " +
	"operator removed it. Next: empty the data directory to join as a new life, after " +
	"\"metronome cluster add\" if it was removed")

// Request asks, through the leader, for something that an operator wants. Nothing says that it was
// heard: the state shows it, so look and ask again.
func (r *Replica) Request(c order.Command) error {
	if r.orderer == nil {
		return errNoMember
	}
	if r.status.Leader == 0 {
		return errors.New("replica: no leader is known: ask again once there is one")
	}
	if c.Kind != order.SetFeature && r.state.feature < featureSeats {
		return fmt.Errorf("replica: the cluster is at feature level %d, this needs %d: when all replicas run a "+
			"version that knows it, \"metronome cluster finalize\"", r.state.feature, featureSeats)
	}
	if r.speaks() {
		r.request(&c)
		return nil
	}
	w := wire.NewWriter(nil, wire.KindAsk)
	w.B = order.AppendDecision(w.B, &order.Decision{Commands: []order.Command{c}})
	r.out.message(wire.ReplicaPeer(SeatOf(r.status.Leader)), w.B)
	return nil
}

// onAsk takes an operator's request that another replica passes on.
func (r *Replica) onAsk(b []byte) bool {
	d, err := order.DecodeDecision(b)
	if err != nil || len(d.Commands) != 1 || len(d.Cut) > 0 {
		return false
	}
	if r.speaks() {
		r.request(&d.Commands[0])
	}
	return true
}

// request proposes what may be proposed now.
func (r *Replica) request(c *order.Command) {
	switch c.Kind {
	case order.SetFeature:
		if c.Level <= r.Supported() {
			r.round.want(*c)
		}
	case order.RetireSeat:
		if int(c.Seat) != r.cfg.Seat {
			r.round.want(*c)
		} else if to := r.successor(); to != 0 {
			r.orderer.TransferLeader(to) // who leads then is asked again
		}
	case order.AdmitSeat:
		r.round.want(*c)
	}
}

// Supported is the highest feature level that every member knows, as far as the leader was told; 0
// while it has not heard from them all.
func (r *Replica) Supported() uint32 {
	level := r.cfg.Feature
	for _, ids := range [2][]uint64{r.members.Voters, r.members.Learners} {
		for _, id := range ids {
			if p := &r.peers[SeatOf(id)]; id != r.id && p.life != id {
				return 0
			} else if id != r.id {
				level = min(level, p.feature)
			}
		}
	}
	return level
}

// startFeatures gives a new cluster, in which nothing was written, every feature that all know.
func (r *Replica) startFeatures() {
	if !r.fresh() {
		return
	}
	if level := r.Supported(); level > r.state.feature {
		r.round.want(order.Command{Kind: order.SetFeature, Level: level})
	}
}

// fresh reports whether nothing was ever written here.
func (r *Replica) fresh() bool {
	return r.committedItems == 0 && r.store.Index() == 0 && r.applied <= newCluster
}

// awaitsFeatures reports whether a new cluster, led from here, is about to get features, for which its first
// proxies wait: until all members have said what they know, or do not for long.
func (r *Replica) awaitsFeatures() bool {
	s := &r.round
	if !r.fresh() || s.leading && s.term == r.status.Term && r.now-s.ledAt > featureTicks*r.cfg.Tick {
		return false
	}
	level := r.Supported()
	return level == 0 || level > r.state.feature
}

// featureTicks is how long proxies wait for a new cluster's features.
const featureTicks = 256

// newCluster is for how many positions a cluster counts as new.
const newCluster = 1000

// caughtUp is how many positions a learner may trail the leader and be promoted: what two rounds in
// flight leave open, with some room. One that has accepted nothing is not promoted however young the cluster
// is: it has nothing durable, and could be lost at no cost to itself and at the price of a vote.
const caughtUp = 16

// steerMembers brings the configuration towards the lives that were minted, one change at a time:
// the old life of a seat goes, the new one comes as a learner, a learner that has caught up votes.
// Its seat's old life has lost its state by definition, so removing it never lowers the margin
// (R2).
func (r *Replica) steerMembers() {
	if !r.status.Leading {
		return
	}
	r.leadSafe()
	if !r.speaks() {
		return
	}
	if r.status.Leaderless {
		r.wantLimits() // whoever spoke before may be gone
	}
	r.startFeatures()
	for _, ids := range [2][]uint64{r.members.Voters, r.members.Learners} {
		for _, id := range ids {
			if !r.state.registered(id) {
				r.change(order.Remove, id)
				return
			}
		}
	}
	for seat, l := range r.state.lives {
		id := LifeID(seat, l.life)
		if l.life == 0 || l.ended || slices.Contains(r.members.Voters, id) {
			continue
		}
		if !slices.Contains(r.members.Learners, id) {
			r.change(order.AddLearner, id)
			return
		}
		if match := r.status.Match[id]; match > 0 && match+caughtUp >= r.status.Last && r.heardLately(seat) {
			r.change(order.Promote, id)
			return
		}
	}
}

// heardLately reports whether a seat's replica has said anything within an election timeout.
func (r *Replica) heardLately(seat int) bool {
	return r.now-r.peers[seat].heard < int64(r.cfg.ElectionTicks)*r.cfg.Tick
}

func (r *Replica) change(t order.ConfType, id uint64) {
	// A refusal means that another change is under way or leadership is gone: the next tick sees.
	_ = r.orderer.ProposeConf(order.ConfChange{Type: t, ID: id})
}

// hashAt is a replica's state hash after a position.
type hashAt struct{ position, hash uint64 }

// hashEvery is how many positions lie between two state hashes that replicas compare (R30), and
// hashesKept how many are remembered.
const (
	hashEvery  = 64
	hashesKept = 64
)

func (r *Replica) noteHash(position uint64) {
	if position%hashEvery != 0 {
		return
	}
	if len(r.hashes) == hashesKept {
		r.hashes = append(r.hashes[:0], r.hashes[1:]...)
	}
	r.hashes = append(r.hashes, hashAt{position, r.store.Hash()})
	for i := range r.peers {
		r.compareHash(&r.peers[i])
	}
}

func (r *Replica) latestHash() hashAt {
	if len(r.hashes) == 0 {
		return hashAt{}
	}
	return r.hashes[len(r.hashes)-1]
}

// compareHash compares what a peer reported with what was computed here for the same position. A
// mismatch is counted; with a majority against this replica it stops (I3).
func (r *Replica) compareHash(p *peerState) {
	if p.hash.position == 0 {
		return
	}
	for _, h := range r.hashes {
		if h.position == p.hash.position {
			if p.odd = h.hash != p.hash.hash; p.odd {
				r.counts.HashMismatches++
			}
			p.hash = hashAt{}
			break
		}
	}
	odd := 0
	for _, id := range r.members.Voters {
		if r.peers[SeatOf(id)].odd {
			odd++
		}
	}
	if odd > len(r.members.Voters)/2 {
		r.fail(errDiverged)
	}
}
