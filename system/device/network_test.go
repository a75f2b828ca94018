package device

import (
	"math/rand/v2"
	"net/http"
	"sync"
)

// flaky breaks one connection in five, before or after the edge has executed what came.
func flaky(seed uint64) func(*http.Request, bool) bool {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 7))
	return func(*http.Request, bool) bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(10) == 0
	}
}
