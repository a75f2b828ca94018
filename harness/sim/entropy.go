package sim

import (
	"crypto/rand"
	"encoding/binary"
	mrand "math/rand/v2"
)

// entropy is a reader of crypto/rand's kind under a seed: raft draws its election timeouts from
// crypto/rand (R18).
type entropy struct{ r *mrand.Rand }

// Read fills b.
func (e entropy) Read(b []byte) (int, error) {
	for i := 0; i < len(b); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], e.r.Uint64())
		copy(b[i:], word[:])
	}
	return len(b), nil
}

// seedEntropy replaces the process' source of random bytes while a simulation runs and returns what
// puts it back. It is global: simulations in one process run one after another, and nothing else
// that needs secrets may run beside them.
func seedEntropy(seed uint64) (restore func()) {
	before := rand.Reader
	rand.Reader = entropy{stream(seed, streamEntropy)}
	return func() { rand.Reader = before }
}

// The independent streams of random numbers that one seed gives: drawing more in one does not move
// the others.
const (
	streamEntropy = iota + 1
	streamSwarm
	streamNetwork
	streamNemesis
	streamClients
	streamProcess
	streamJudge
	streamDisk // and those of further seats

	streamMembers  = 1000
	streamDeserted = 1001
)

func stream(seed uint64, which uint64) *mrand.Rand { return mrand.New(mrand.NewPCG(seed, which)) }
