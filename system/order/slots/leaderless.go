package slots

import "metronome/system/order"

// Leaderless is a member of a cluster in which everybody proposes.
type Leaderless struct {
	Replica
	heard  uint32 // in this process, by index
	silent []int  // ticks since
}

// BeginLeaderless is [Begin] where nobody leads.
func BeginLeaderless(name string, c *order.Config, term uint64) (l Leaderless, err error) {
	l.Replica, err = Begin(name, c, term)
	l.silent = make([]int, len(l.Members))
	return l, err
}

// TransferLeader implements [order.Orderer]: nobody leads, there is nothing to hand over.
func (l *Leaderless) TransferLeader(uint64) {}

// Age lets a tick pass.
func (l *Leaderless) Age() {
	for i := range l.silent {
		l.silent[i]++
	}
}

// Hear notes that a member was heard.
func (l *Leaderless) Hear(i int) {
	l.heard |= 1 << i
	l.silent[i] = 0
}

// Overdue reports whether a member was not heard for an election timeout, or not at all for as long.
func (l *Leaderless) Overdue(i int) bool { return i != l.Self && l.silent[i] >= l.ElectionTicks }

// Alive reports whether a member was heard within an election timeout.
func (l *Leaderless) Alive(i int) bool { return i == l.Self || l.heard>>i&1 == 1 && !l.Overdue(i) }

// Speaker is the index of the first member that is alive, who speaks for all where one is enough; -1 while no
// majority is.
func (l *Leaderless) Speaker() int {
	who, n := -1, 0
	for i := range l.Members {
		if l.Alive(i) {
			if n++; who < 0 {
				who = i
			}
		}
	}
	if 2*n <= len(l.Members) {
		return -1
	}
	return who
}

// Status is what every algorithm without a leader says of itself; leads says whether this member may propose.
func (l *Leaderless) Status(leads bool) order.Status {
	s := l.Replica.Status()
	s.Leaderless, s.Leading = true, leads
	if who := l.Speaker(); who >= 0 && (who != l.Self || leads) {
		s.Leader = l.Members[who]
	}
	return s
}
