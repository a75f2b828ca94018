package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const home = "192.0.2.7"

func TestRightPasswordIsHashedOnceAndThenKnown(t *testing.T) {
	r := newRig(t, twoUsers)
	for range 100 {
		r.want(200, "alice", alicePassword, home)
	}
	if got := r.work(); got != 1<<10 {
		t.Errorf("%d rounds, want one hash of cost 10", got)
	}
}

func TestCacheEndsFiveMinutesAfterTheLastUse(t *testing.T) {
	r := newRig(t, twoUsers)
	r.want(200, "alice", alicePassword, home)
	r.work()
	for range 10 {
		r.pass(4 * time.Minute)
		r.want(200, "alice", alicePassword, home)
	}
	if got := r.work(); got != 0 {
		t.Errorf("in use, and hashed again: %d rounds", got)
	}
	r.pass(5 * time.Minute)
	r.want(200, "alice", alicePassword, home)
	if got := r.work(); got != 1<<10 {
		t.Errorf("idle for five minutes, and %d rounds", got)
	}
}

func TestCacheIsBoundedAndHoldsSuccessesOnly(t *testing.T) {
	r := newRig(t, twoUsers, func(c *Config) { c.Cache.Size = 1 })
	r.want(200, "alice", alicePassword, home)
	r.want(200, "bob", bobPassword, home)
	if n := r.Stats().CacheSize; n != 1 {
		t.Errorf("%d entries, bound 1", n)
	}
	for i := range 5 {
		r.want(401, "alice", fmt.Sprint("wrong password ", i), home)
	}
	r.work()
	r.want(200, "bob", bobPassword, home)
	if got := r.work(); got != 0 {
		t.Error("failures pushed a success out of the cache")
	}
}

func TestRevocationActsAtOnce(t *testing.T) {
	r := newRig(t, twoUsers)
	r.want(200, "alice", alicePassword, home)
	r.write(strings.Replace(twoUsers, "ALICE", fakeHash(10, "other"), 1)) // another hash, as of another password
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	r.want(401, "alice", alicePassword, home)
	r.write("version: 1\nusers: {}\n")
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	r.want(401, "bob", bobPassword, home)
}

func TestRightsChangeActsAtOnceAlthoughThePasswordIsCached(t *testing.T) {
	r := newRig(t, twoUsers)
	r.want(200, "alice", alicePassword, home)
	r.write(strings.Replace(twoUsers, "[read, write]", "[read]", 1))
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	r.work()
	p, err := r.Authorize(request("alice", alicePassword, home))
	if err != nil || p.Allows(Write, "home/a/x") || !p.Allows(Read, "home/a/x") {
		t.Errorf("got %v, %v", p, err)
	}
	if r.work() != 0 {
		t.Error("a change of rights hashed again")
	}
}

// Unknown users must cost what known ones do, whatever the mix of costs: counted, not timed.
func TestDecoyCostsTheHighestCostInUse(t *testing.T) {
	r := newRig(t, twoUsers) // alice 10, bob 12
	cases := map[string]string{"unknown": "nobody", "cheaper": "alice", "dearest": "bob"}
	for name, user := range cases {
		r.want(401, user, "wrong password", home)
		if got := r.work(); got != 1<<12 {
			t.Errorf("%s: %d rounds, want %d", name, got, 1<<12)
		}
	}
}

func TestUserWithoutPasswordCostsWhatAnUnknownOneDoes(t *testing.T) {
	_, stored := NewToken()
	r := newRig(t, twoUsers+"  carol:\n    role: admin\n    token: "+stored+"\n")
	r.want(401, "carol", "wrong password", home)
	if got := r.work(); got != 1<<12 {
		t.Errorf("%d rounds, want %d", got, 1<<12)
	}
}

func TestDecoysAreWellFormedAndNeverRight(t *testing.T) {
	decoys, err := newDecoys()
	if err != nil {
		t.Fatal(err)
	}
	for cost := MinCost; cost <= MaxCost; cost++ {
		if got, err := bcrypt.Cost([]byte(decoys[cost])); err != nil || got != cost {
			t.Errorf("cost %d: the library reads %d, %v", cost, got, err)
		}
	}
	// A malformed hash has an error of its own, and takes no time; a decoy must mismatch.
	err = bcrypt.CompareHashAndPassword([]byte(decoys[MinCost]), []byte("x"))
	if !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		t.Errorf("got %v", err)
	}
}

func TestUnknownAndKnownUsersGetTheSameBytes(t *testing.T) {
	r := newRig(t, twoUsers)
	bodies := map[string]bool{}
	for _, c := range [][2]string{{"alice", "wrong password"}, {"nobody", "wrong password"},
		{"alice", strings.Repeat("x", 100)}, {"nobody", strings.Repeat("x", 100)}, {"alice", tokenPrefix + "x"},
		{"nobody", tokenPrefix + "x"}} {
		w := httptest.NewRecorder()
		r.Handler(nil).ServeHTTP(w, request(c[0], c[1], home))
		bodies[fmt.Sprint(w.Code, w.Header(), w.Body.String())] = true
	}
	if len(bodies) != 1 {
		t.Errorf("answers differ: %v", bodies)
	}
}

// bcrypt's comparison takes anything after 72 bytes for right.
func TestPasswordLongerThan72BytesIsRefusedBeforeComparing(t *testing.T) {
	long := strings.Repeat("a", MaxPassword)
	hash, err := bcrypt.GenerateFromPassword([]byte(long), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(long+"anything")) != nil {
		t.Log("the library has learnt to refuse by itself")
	}
	r := newRig(t, twoUsers)
	r.answers[aliceHash] = long
	r.want(200, "alice", long, home)
	r.work()
	r.want(401, "alice", long+"a", home)
	r.want(401, "alice", long+strings.Repeat("b", 100), home)
	if r.work() != 0 {
		t.Error("it was compared")
	}
	if _, err := Hash(long+"a", MinCost); err == nil {
		t.Error("a password of 73 bytes was accepted as new")
	}
}

func TestNULAndEmptyPasswordsAreNeverCompared(t *testing.T) {
	r := newRig(t, twoUsers)
	r.answers[aliceHash] = "abc"
	for _, password := range []string{"", "abc\x00", "abc\x00def", "\x00"} {
		r.want(401, "alice", password, home)
	}
	if r.work() != 0 {
		t.Error("one was compared")
	}
}

// rqlite once took the stored hash for the password.
func TestHashUsableAsPassword(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte(alicePassword), MinCost)
	if err != nil {
		t.Fatal(err)
	}
	token, stored := NewToken()
	source := strings.Replace(twoUsers, "ALICE", string(hash)+"\n    token: "+stored, 1)
	r := newRig(t, source, func(c *Config) { c.compare = bcrypt.CompareHashAndPassword })
	r.want(200, "alice", alicePassword, home)
	r.want(200, "alice", token, home)
	r.want(401, "alice", string(hash), home)
	r.want(401, "alice", stored, home)
	r.want(401, "alice", tokenPrefix+stored, home)
	if _, err := Hash(string(hash), MinCost); err == nil {
		t.Error("a hash was accepted as a new password")
	}
}

func TestTokensAreComparedWithoutBcryptAndForTheirUserOnly(t *testing.T) {
	token, stored := NewToken()
	other, _ := NewToken()
	r := newRig(t, twoUsers+"  carol:\n    role: admin\n    token: "+stored+"\n")
	r.want(200, "carol", token, home)
	r.want(401, "carol", other, home)
	r.want(401, "alice", token, home)
	r.want(401, "nobody", token, home)
	if r.work() != 0 {
		t.Error("bcrypt was asked")
	}
}

func TestManyRequestsWithTheSamePasswordAreOneHash(t *testing.T) {
	for password, want := range map[string]int{alicePassword: 200, "wrong password": 401} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, twoUsers)
			release := make(chan struct{})
			r.during = func() { <-release }
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() { r.want(want, "alice", password, fmt.Sprint("192.0.2.", i)) })
			}
			synctest.Wait() // one hashes, all others wait for it
			if n := r.Stats().Hashes; n != 1 {
				t.Errorf("%d hashes for 50 requests", n)
			}
			close(release)
			wg.Wait()
			if got := r.try("alice", "another wrong one", "198.51.100.1"); got == 401 && want == 401 {
				t.Error("waiting for another's failure was no failure")
			}
		})
	}
}

func TestCredentialsOverPlainHTTPAreRefusedRightOrWrong(t *testing.T) {
	plain := func(from string) *http.Request {
		q := request("alice", alicePassword, from)
		q.TLS = nil
		return q
	}
	r := newRig(t, twoUsers)
	for _, from := range []string{home, "127.0.0.1", "::1"} {
		if got := r.status(plain(from)); got != http.StatusForbidden {
			t.Errorf("%s: %d", from, got)
		}
	}
	if r.work() != 0 {
		t.Error("it was compared: an oracle")
	}
	r = newRig(t, twoUsers, func(c *Config) { c.PlainLoopback = true })
	for from, want := range map[string]int{home: 403, "127.0.0.1": 200, "::1": 200, "::ffff:127.0.0.1": 200} {
		if got := r.status(plain(from)); got != want {
			t.Errorf("with the flag, %s: %d, want %d", from, got, want)
		}
	}
	q := plain(home)
	q.Header.Set("X-Forwarded-For", "127.0.0.1")
	if got := r.status(q); got != http.StatusForbidden {
		t.Errorf("a header was believed: %d", got)
	}
}

func TestRefusalsCarryTheirHeaders(t *testing.T) {
	r := newRig(t, twoUsers, func(c *Config) { c.Realm = "edge hallway" })
	w := httptest.NewRecorder()
	r.Handler(nil).ServeHTTP(w, request("", "", home))
	for key, want := range map[string]string{
		"WWW-Authenticate": `Basic realm="edge hallway", charset="UTF-8"`,
		"Cache-Control":    "no-store", "Content-Type": "application/problem+json",
	} {
		if got := w.Header().Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if _, err := NewGuard(Config{File: r.path, Realm: `a"b`}); err == nil {
		t.Error("a realm that breaks out of its quotes was accepted")
	}
}

// unread fails the test when a body is read.
func TestCredentialsAreCheckedBeforeTheQueryRuns(t *testing.T) {
	r := newRig(t, twoUsers)
	ran := false
	h := r.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = true }))
	for _, c := range [][2]string{{"", ""}, {"alice", "wrong password"}, {"nobody", "x"}} {
		q := httptest.NewRequest(http.MethodPut, "https://edge/v1/kv/home/a/x",
			iotest.ErrReader(errors.New("the body was read")))
		q.TLS, q.Header = &tls.ConnectionState{}, request(c[0], c[1], home).Header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		if w.Code != http.StatusUnauthorized || ran {
			t.Errorf("%v: %d, ran %v", c, w.Code, ran)
		}
	}
}

func TestHandlerHandsOnWhoItIs(t *testing.T) {
	r := newRig(t, twoUsers)
	h := r.Handler(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = fmt.Fprint(w, From(q.Context()).Name())
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request("alice", alicePassword, home))
	if w.Body.String() != "alice" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%q, %v", w.Body, w.Header())
	}
	admin := r.Require(Admin, "", h)
	for user, want := range map[string]int{"alice": 403, "bob": 200} {
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, request(user, map[string]string{"alice": alicePassword, "bob": bobPassword}[user], home))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", user, w.Code, want)
		}
	}
	if From(t.Context()) != nil {
		t.Error("somebody is in an empty context")
	}
}

func TestCertificateAdmitsOnlyUsersWhoMayLogInWithOne(t *testing.T) {
	name := "lamp"
	r := newRig(t, twoUsers+"  lamp:\n    role: device\n    certificate: true\n", func(c *Config) {
		c.Certificate = func(*tls.ConnectionState) (string, bool) { return name, name != "bad" }
	})
	q := request("", "", home)
	q.TLS.PeerCertificates = []*x509.Certificate{{}}
	for who, want := range map[string]int{"lamp": 200, "alice": 401, "nobody": 401, "bad": 401} {
		name = who
		if got := r.status(q); got != want {
			t.Errorf("%s: %d, want %d", who, got, want)
		}
	}
	name = "lamp"
	q.SetBasicAuth("lamp", "wrong password")
	if got := r.status(q); got != 401 {
		t.Errorf("a wrong password beside a certificate: %d", got)
	}
}

func TestLogNamesNoSecretAndNoUnknownUser(t *testing.T) {
	r := newRig(t, twoUsers)
	r.want(401, "my-secret-in-the-wrong-field", "wrong password", home)
	r.want(401, "alice", "nearly the right password", home)
	r.write("version: 1\nusers:\n  alice: hunter2-in-plain\n")
	r.reloadLogged()
	text := r.log.String()
	for _, bad := range []string{"wrong-field", "nearly", "hunter2", aliceHash, bobHash} {
		if strings.Contains(text, bad) {
			t.Errorf("the log shows %q:\n%s", bad, text)
		}
	}
	if !strings.Contains(text, "user=alice") || !strings.Contains(text, home) {
		t.Errorf("the audit trail lacks user or address:\n%s", text)
	}
}

func TestAuditTrailIsBoundedAndCountsWhatItLeavesOut(t *testing.T) {
	r := newRig(t, twoUsers)
	for range 1000 {
		q := request("", "", home)
		q.Header.Set("Authorization", "Bearer x")
		r.status(q)
	}
	if n := strings.Count(r.log.String(), "authentication failed"); n != auditBurst {
		t.Errorf("%d lines in one second, bound %d", n, auditBurst)
	}
	r.pass(time.Second)
	r.want(401, "alice", "wrong password", home)
	if !strings.Contains(r.log.String(), "left_out=990") {
		t.Errorf("what was left out is not counted:\n%s", r.log.String())
	}
}

func TestCachedRequestAllocatesNothing(t *testing.T) {
	r := newRig(t, twoUsers)
	q := request("alice", alicePassword, home)
	r.status(q)
	if n := testing.AllocsPerRun(200, func() { _, _ = r.Authorize(q) }); n > 0 && !raceDetector {
		t.Errorf("%v allocations a request", n)
	}
}
