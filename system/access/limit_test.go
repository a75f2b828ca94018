package access

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestAddressIsLimitedAfterTwentyFailures(t *testing.T) {
	r := newRig(t, twoUsers)
	for i := range 20 {
		r.want(401, fmt.Sprint("nobody", i), "wrong password", home)
	}
	r.work()
	r.want(429, "nobody-else", "wrong password", home)
	if r.work() != 0 {
		t.Error("it was hashed")
	}
	r.want(401, "nobody-else", "wrong password", "192.0.2.8")
	r.pass(200 * time.Millisecond)
	r.want(401, "nobody-else", "wrong password", home)
	r.want(429, "nobody-else", "wrong password", home)
}

func TestUserIsLimitedAfterTenFailuresOverAllAddresses(t *testing.T) {
	for _, name := range []string{"alice", "nobody"} { // a limit for known users alone would tell who exists
		r := newRig(t, twoUsers)
		for i := range 10 {
			r.want(401, name, "wrong password", fmt.Sprint("192.0.2.", i))
		}
		r.want(429, name, "wrong password", "192.0.2.100")
		r.pass(6 * time.Second)
		r.want(401, name, "wrong password", "192.0.2.100")
		r.want(429, name, "wrong password", "192.0.2.100")
	}
}

func TestAttackerCannotLockADeviceOut(t *testing.T) {
	r := newRig(t, twoUsers)
	r.want(200, "alice", alicePassword, home)
	attack := func() {
		for i := range 100 {
			r.try("alice", "wrong password", fmt.Sprint("198.51.100.", i))
		}
		r.want(429, "alice", "wrong password", "203.0.113.1")
	}
	attack()
	r.want(200, "alice", alicePassword, home) // from the cache
	r.pass(time.Hour)                         // the cache has forgotten
	attack()
	r.want(200, "alice", alicePassword, home) // hashed: the device was here before
}

func TestSuccessesAreNeverLimited(t *testing.T) {
	r := newRig(t, twoUsers, func(c *Config) { c.Cache.Life = 1 })
	for range 200 {
		r.pass(time.Second)
		r.want(200, "alice", alicePassword, home)
	}
	if n := r.Stats().Limits; n != 0 {
		t.Errorf("%d limits remembered for successes", n)
	}
}

func TestCachedSuccessPassesWhileItsAddressIsLimited(t *testing.T) {
	r := newRig(t, twoUsers)
	r.want(200, "alice", alicePassword, home)
	for i := range 30 {
		r.try(fmt.Sprint("nobody", i), "wrong password", home)
	}
	r.want(429, "nobody", "wrong password", home)
	r.want(200, "alice", alicePassword, home)
}

func TestLimitsAreBounded(t *testing.T) {
	r := newRig(t, twoUsers, func(c *Config) { c.Limits.Size = 16 })
	for i := range 1000 {
		from := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		r.want(401, fmt.Sprint("nobody", i), "wrong password", from.String())
	}
	if n := r.Stats().Limits; n > 32 {
		t.Errorf("%d entries, bound 16 addresses and 16 users", n)
	}
}

func TestNetworkOfAnIPv6HostIsOneAddress(t *testing.T) {
	r := newRig(t, twoUsers)
	for i := range 20 {
		r.want(401, fmt.Sprint("nobody", i), "wrong password", fmt.Sprintf("2001:db8::%x", i))
	}
	r.want(429, "nobody", "wrong password", "2001:db8::ffff")
	r.want(401, "nobody", "wrong password", "2001:db8:0:1::1")
	for in, want := range map[string]string{"::ffff:192.0.2.1": "192.0.2.1", "fe80::1%eth0": "fe80::",
		"": "invalid IP"} {
		addr, _ := netip.ParseAddr(in)
		if got := network(addr).String(); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestClockThatJumpsBackNeitherFreesNorLocks(t *testing.T) {
	l := newLimiter(1, time.Second, 4)
	key, now := limitKey{addr: netip.MustParseAddr(home)}, time.Unix(1000, 0)
	if l.take(key, now) != 0 || l.take(key, now.Add(-time.Hour)) == 0 {
		t.Error("an hour back gave a token")
	}
	if wait := l.wait(key, now); wait != time.Second {
		t.Errorf("wait %v", wait)
	}
	if l.wait(key, now.Add(time.Second)) != 0 {
		t.Error("locked for ever")
	}
}

func TestRetryAfterIsWhenTheNextAttemptIsLookedAt(t *testing.T) {
	r := newRig(t, twoUsers)
	for range 10 {
		r.want(401, "alice", "wrong password", home)
	}
	w := httptest.NewRecorder()
	r.Handler(nil).ServeHTTP(w, request("alice", "wrong password", home))
	wait, err := strconv.Atoi(w.Header().Get("Retry-After"))
	if w.Code != http.StatusTooManyRequests || err != nil || wait != 6 {
		t.Fatalf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	r.pass(time.Duration(wait) * time.Second)
	r.want(401, "alice", "wrong password", home)
}

// gateRig has a gate of one and a queue of two, and hashes that end when told.
func gateRig(t *testing.T) (r *rig, release chan struct{}) {
	release = make(chan struct{})
	r = newRig(t, twoUsers, func(c *Config) { c.Gate = GateConfig{Width: 1, Queue: 2} })
	r.during = func() { <-release }
	return r, release
}

func TestGateTurnsAwayBeforeHashing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, release := gateRig(t)
		statuses := make(chan int, 10)
		ask := func(i int) {
			go func() { statuses <- r.try(fmt.Sprint("nobody", i), "wrong password", fmt.Sprint("192.0.2.", i)) }()
			synctest.Wait()
		}
		for i := range 3 { // one hashes, two wait
			ask(i)
		}
		ask(3)
		if got := <-statuses; got != http.StatusServiceUnavailable {
			t.Errorf("the queue is full, and %d", got)
		}
		time.Sleep(time.Second) // who waits gives up after a second
		synctest.Wait()
		for range 2 {
			if got := <-statuses; got != http.StatusServiceUnavailable {
				t.Errorf("waited for a second, and %d", got)
			}
		}
		if n := r.Stats(); n.Hashes != 1 || n.TurnedAway != 3 {
			t.Errorf("%+v", n)
		}
		close(release)
		if got := <-statuses; got != http.StatusUnauthorized {
			t.Errorf("the one that hashed: %d", got)
		}
		if n := r.Stats().Limits; n != 2 {
			t.Errorf("%d limits: who was not looked at has failed nothing", n)
		}
	})
}

func TestCachedRequestDoesNotMeetTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, release := gateRig(t)
		r.during = nil
		r.want(200, "alice", alicePassword, home)
		r.mu.Lock()
		r.during = func() { <-release }
		r.mu.Unlock()
		done := make(chan int, 1)
		go func() { done <- r.try("nobody", "wrong password", "192.0.2.1") }()
		synctest.Wait()
		r.want(200, "alice", alicePassword, home)
		close(release)
		<-done
	})
}

func TestAttemptsAtOnceCannotOvertakeTheLimit(t *testing.T) {
	r := newRig(t, twoUsers, func(c *Config) { c.Gate = GateConfig{Width: 4, Queue: 1000, Wait: time.Minute} })
	statuses := make(chan int, 200)
	for i := range 200 {
		go func() { statuses <- r.try("alice", fmt.Sprint("wrong password ", i), home) }()
	}
	looked := 0
	for range 200 {
		if <-statuses == http.StatusUnauthorized {
			looked++
		}
	}
	if looked != 10 {
		t.Errorf("%d attempts were looked at, the limit is 10", looked)
	}
}
