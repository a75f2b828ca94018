package lane

// Arrival is when a sampled frame of a lane was placed.
type Arrival struct {
	Frame uint64
	At    int64 // ns, as told to [Ingest.Clock]
}

// Which frames are sampled depends on their numbers alone, so that all replicas sample the same ones, and
// what is kept spans some ms at millions of frames a second.
const (
	sampleEvery = 128 // frames
	sampleKeep  = 64
)

// samples are the newest samples of a lane, in a ring.
type samples struct {
	kept [sampleKeep]Arrival
	n    uint64 // samples ever taken
}

// note takes a frame that came as it was first sent, if it is one of those that are sampled.
func (a *samples) note(frame uint64, now int64) {
	if frame%sampleEvery == 0 {
		a.kept[a.n%sampleKeep] = Arrival{frame, now}
		a.n++
	}
}

// Arrivals are the newest sampled frames that came without repair, in no order: one of 128, 64 at most.
// Compared with another replica's they tell how far apart the two received the same frame.
func (r *Receiver) Arrivals() []Arrival {
	return append([]Arrival(nil), r.sampled.kept[:min(r.sampled.n, sampleKeep)]...)
}
