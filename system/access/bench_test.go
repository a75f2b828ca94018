package access

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func BenchmarkCached(b *testing.B) {
	r := newRig(b, twoUsers)
	q := request("alice", alicePassword, home)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Authorize(q); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkToken(b *testing.B) {
	token, stored := NewToken()
	r := newRig(b, twoUsers+"  carol:\n    role: admin\n    token: "+stored+"\n")
	q := request("carol", token, home)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Authorize(q); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUnderAttack offers 1000 authenticated requests a second while 100 wrong passwords a second
// arrive, from one address or from as many as there are attempts, with real bcrypt at cost 10. It is
// open-loop: a request's latency counts from when it was due. An iteration is one such request.
func BenchmarkUnderAttack(b *testing.B) {
	for name, addresses := range map[string]int{"one address": 1, "many addresses": 200} {
		b.Run(name, func(b *testing.B) { underAttack(b, addresses) })
	}
}

func underAttack(b *testing.B, addresses int) {
	hash, err := bcrypt.GenerateFromPassword([]byte(alicePassword), MinCost)
	if err != nil {
		b.Fatal(err)
	}
	source := "version: 1\nusers:\n  alice:\n    role: admin\n    password: " + string(hash) + "\n"
	r := newRig(b, source, func(c *Config) {
		c.compare, c.now, c.Log = bcrypt.CompareHashAndPassword, time.Now, slog.New(slog.DiscardHandler)
	})
	r.want(200, "alice", alicePassword, home)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-tick.C:
				from := fmt.Sprintf("198.51.100.%d", i%addresses)
				wg.Go(func() { r.try(fmt.Sprint("alice", i%7), fmt.Sprint("wrong password ", i), from) })
			}
		}
	})
	late := paced(b, r, request("alice", alicePassword, home))
	close(done)
	wg.Wait()
	slices.Sort(late)
	s := r.Stats()
	b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(s.Hashes-1)/b.Elapsed().Seconds(), "hashes/s")
	b.ReportMetric(float64(s.Limited+s.TurnedAway)/b.Elapsed().Seconds(), "refused/s")
}

func paced(b *testing.B, r *rig, q *http.Request) (late []time.Duration) {
	start := time.Now()
	for i := 0; b.Loop(); i++ {
		due := start.Add(time.Duration(i) * time.Millisecond)
		time.Sleep(time.Until(due))
		if _, err := r.Authorize(q); err != nil {
			b.Fatal(err)
		}
		late = append(late, time.Since(due))
	}
	return late
}
