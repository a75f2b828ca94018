package proxy

// patience is how long answers may fail to come before somebody else is asked: twice the longest
// pause between answers seen lately. Two rounds would do on a quiet cluster; on a loaded one
// everything pauses now and then, and asking twice for what is under way would only add to the
// load.
type patience struct {
	longest int64 // pause seen lately, decaying
	last    int64 // when answers came last; 0 = nothing is awaited
}

// patienceDecay is after how many answers a pause counts for less than half.
const patienceDecay = 64

// came notes that answers came at now, or that nothing is awaited any more.
func (p *patience) came(now int64, awaited bool) {
	if p.last > 0 {
		p.longest = max(p.longest-p.longest/patienceDecay, now-p.last)
	}
	p.last = 0
	if awaited {
		p.last = now
	}
}

// await notes that something is awaited from now on.
func (p *patience) await(now int64) {
	if p.last == 0 {
		p.last = now
	}
}

// rest notes that nothing is awaited any more, though no answer came.
func (p *patience) rest() { p.last = 0 }

// ends is how long to wait without an answer: at least the given time, and little enough that a
// client's deadline leaves room for another try.
func (p *patience) ends(least, deadline int64, tries int) int64 {
	return max(least, min(2*p.longest, deadline/8)) << min(tries, 6)
}
