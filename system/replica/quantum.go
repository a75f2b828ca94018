package replica

import "metronome/system/order"

// quantised takes lanes to multiples of the orderer's quantum only, where that takes them further: the rest
// waits for the next round.
func (r *Replica) quantised(c order.Cut) order.Cut {
	q := r.status.Quantum
	if q < 2 {
		return c
	}
	for i, m := range c {
		base, _ := r.round.base.Find(m.Lane)
		to := m.Frames - m.Frames%q
		if l := r.find(m.Lane); to == m.Frames || to <= base.Frames || l == nil {
			continue
		} else if less, ok := l.whole(to); ok && less.Frames > base.Frames {
			r.counts.Quantised += m.Items - less.Items
			c[i] = less
		}
	}
	return c
}
