package lane

import "metronome/system/wire"

// Verifier is the first half of an [Ingest] alone: it verifies frames and keeps none. That half costs
// the most (digests over every byte, decryption, every item's bounds) and needs no lane, so that any
// number of cores can share it, each with a Verifier of its own, in front of the one goroutine to which
// the lanes belong: it takes what they return by [Ingest.Verified]. A Verifier belongs to one
// goroutine, and so does its Digester (wire.Digester).
type Verifier struct {
	opener wire.Opener
	n      VerifierCounters
}

// VerifierCounters count what a [Verifier] saw.
type VerifierCounters struct {
	Frames   uint64 // handed in
	Bytes    uint64 // their bytes
	Bad      [wire.NumCauses]uint64
	BadBytes uint64 // of the frames in Bad
	BadKeys  wire.KeyCounts
}

// NewVerifier makes a verifier of frames of the given cluster under digest d.
func NewVerifier(cluster uint32, d *wire.Digester) *Verifier {
	return &Verifier{opener: wire.Opener{Cluster: cluster, Digest: d}}
}

// Frame returns a received frame as [Ingest.Verified] wants it: opened (wire.Opener.Opened), in its own
// memory or until the next call in the Digester's. Others it counts by cause, and returns nil.
func (v *Verifier) Frame(frame []byte) []byte {
	v.n.Frames++
	v.n.Bytes += uint64(len(frame))
	var h wire.Header
	if cause := v.opener.Open(frame, &h); cause != wire.OK {
		v.n.Bad[cause]++
		v.n.BadKeys.Note(cause, frame)
		v.n.BadBytes += uint64(len(frame))
		return nil
	}
	return v.opener.Opened(frame, &h)
}

// SetKeys replaces the keys (wire.Digester.SetKeys).
func (v *Verifier) SetKeys(keys *wire.Keys) error { return v.opener.Digest.SetKeys(keys) }

// Counters reads the counters.
func (v *Verifier) Counters() VerifierCounters { return v.n }

// Dropped is how many frames were not let through.
func (n *VerifierCounters) Dropped() (sum uint64) {
	for _, bad := range n.Bad {
		sum += bad
	}
	return sum
}

// Add counts in what a verifier dropped in front of the [Ingest] whose counters these are, so that
// they are as if that had examined every frame itself.
func (n *Counters) Add(v *VerifierCounters) {
	n.Frames += v.Dropped()
	n.Bytes += v.BadBytes
	n.BadKeys.Add(&v.BadKeys)
	for cause, bad := range v.Bad {
		n.Bad[cause] += bad
	}
}
