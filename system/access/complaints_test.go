package access

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestBasicAuthEatsTheCPU is what users of others complain about (caddy#3462, traefik#7897): counted, not
// timed. In ten seconds of the test's clock come 1000 right requests a second and 100 wrong passwords a
// second from five addresses, for a user that exists and for others. The right ones are never refused and
// are hashed once; the wrong ones get no more hashing than limits allow, whatever comes.
func TestBasicAuthEatsTheCPU(t *testing.T) {
	const seconds = 10
	r := newRig(t, twoUsers)
	r.want(200, "alice", alicePassword, home)
	if got := r.work(); got != 1<<10 {
		t.Fatalf("%d rounds", got)
	}
	limited := 0
	for s := range seconds {
		for i := range 100 {
			for range 10 {
				r.want(200, "alice", alicePassword, home)
			}
			user := "alice"
			if i%2 == 0 {
				user = fmt.Sprint("nobody ", i)
			}
			address := fmt.Sprintf("198.51.100.%d", i%5)
			if r.try(user, fmt.Sprintf("wrong %d %d", s, i), address) == http.StatusTooManyRequests {
				limited++
			}
		}
		r.pass(time.Second)
	}
	// Without limits these were 1000 hashes. An address has 20 failures at once and 5 a second.
	hashes := r.work() >> 12
	if most := 5 * (20 + 5*seconds); hashes == 0 || hashes > most || limited != 100*seconds-hashes {
		t.Errorf("%d hashes for %d wrong passwords, %d were turned away before", hashes, 100*seconds, limited)
	}
}
