package replica

import "metronome/system/order"

// clock is the log time of a decision: it follows the leader's ticks and never runs back (R23).
func (s *roundState) clock(r *Replica) uint64 {
	ticks := (r.now - s.timeAt) / r.cfg.Tick
	s.time += uint64(ticks)
	s.timeAt += ticks * r.cfg.Tick
	return s.time
}

// expireSessions asks for the end of sessions that were idle too long, four times in that time.
func (r *Replica) expireSessions(d *order.Decision) bool {
	ttl := r.cfg.Store.SessionTTL
	if ttl == 0 || !r.speaks() || d.Time < r.round.expired+ttl/4 || d.Time < ttl {
		return false
	}
	r.round.expired = d.Time
	d.Commands = append(d.Commands, order.Command{Kind: order.ExpireSessions, Before: d.Time - ttl})
	return true
}
