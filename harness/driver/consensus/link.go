package consensus

// link is one direction between two replicas: a stream, in order.
type link struct {
	blocked bool
	tail    int64 // the last arrival
}

// What losses cost. A message that is lost on a stream is sent again by the kernel's probe for losses at the
// tail (RFC 8985: two round trips), and what follows waits behind it; a frame is asked for from a peer.
const (
	probeDelays = 4 // one-way delays
	probeExtra  = 2_000_000
	repairAfter = 1_000_000 // until a gap is asked for
	lossTries   = 20        // after which even bad luck ends
)

// oneWay draws a delay: the base, and an exponential tail.
func (w *world) oneWay() int64 {
	if w.jitter == 0 {
		return w.delay
	}
	return w.delay + int64(float64(w.delay)*w.jitter*w.rng.ExpFloat64())
}

// lost is how often in a row something is lost.
func (w *world) lost() (times int64) {
	for w.loss > 0 && times < lossTries && w.rng.Float64() < w.loss {
		times++
	}
	return times
}

// frameDelay is how long a frame takes to a replica, repairs included.
func (w *world) frameDelay() int64 { return w.oneWay() + w.lost()*(repairAfter+2*w.delay) }

// send puts a message on a stream at a time. What is sent while the link is cut is gone.
func (w *world) send(from, to int, at int64, b []byte) {
	l := &w.links[from*w.n+to]
	w.seen.messages++
	w.seen.bytes += len(b)
	if l.blocked {
		return
	}
	l.tail = max(l.tail, at+w.oneWay()+w.lost()*(probeDelays*w.delay+probeExtra))
	w.queue.push(event{at: l.tail, kind: evMessage, from: from, to: to, b: append([]byte(nil), b...)})
}

// cut cuts a direction between two replicas, or mends it.
func (w *world) cut(from, to int, blocked bool) { w.links[from*w.n+to].blocked = blocked }
