package pki

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"metronome/system/access/secretfile"
)

// site is a home with its CA and a clock of its own.
type site struct {
	t   *testing.T
	dir string
	ca  *Authority

	mu  sync.Mutex
	now time.Time
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newSite(t *testing.T, home string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), now: epoch}
	ca, err := NewAuthority(home, epoch)
	if err != nil {
		t.Fatal(err)
	}
	s.ca = ca
	s.put("ca.crt", ca.CertPEM())
	return s
}

func (s *site) put(name string, content []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := secretfile.Write(path, content); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *site) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) set(days float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = epoch.Add(time.Duration(days * float64(day)))
}

// keeper issues a certificate now and opens it.
func (s *site) keeper(role Role, id string) *Keeper {
	s.t.Helper()
	b, err := s.ca.Issue(Leaf{Name: Name{Role: role, ID: id}}, s.time())
	if err != nil {
		s.t.Fatal(err)
	}
	k, err := Open(s.files(s.put(string(role)+"-"+id+".pem", b)), s.time)
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

func (s *site) files(identity string) Files {
	return Files{Identity: identity, CA: filepath.Join(s.dir, "ca.crt")}
}

// sign is a master that signs for anybody, as edge hallway.
func (s *site) sign(_ context.Context, request []byte) ([]byte, error) {
	return s.ca.Sign(request, Leaf{Name: Name{Role: Edge, ID: "hallway"}}, s.time())
}

// connection is one over loopback: a pipe without a buffer would let both ends wait in an alert.
func connection(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// meet connects two configurations and returns what each side says, and the server's view.
func meet(t *testing.T, client, server *tls.Config) (view tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	a, b := connection(t)
	deadline := time.Now().Add(time.Minute)
	_, _ = a.SetDeadline(deadline), b.SetDeadline(deadline)
	c, s := tls.Client(a, client), tls.Server(b, server)
	var wg sync.WaitGroup
	wg.Go(func() {
		if serverErr = s.Handshake(); serverErr == nil {
			_, _ = s.Write([]byte{1})
			view = s.ConnectionState()
		}
		_ = s.Close()
	})
	if clientErr = c.Handshake(); clientErr == nil {
		// In TLS 1.3 a server's refusal comes after the handshake.
		if n, err := c.Read(make([]byte, 1)); n == 0 {
			clientErr = err
		}
	}
	_ = a.Close()
	wg.Wait()
	return view, clientErr, serverErr
}

var (
	edges   = Policy{Roles: []Role{Edge}}
	masters = Policy{Roles: []Role{Master}}
)

func TestMutualTLSAdmitsByRoleIDAndHome(t *testing.T) {
	s, other := newSite(t, "home"), newSite(t, "home") // the same name, another CA
	edge, master, device := s.keeper(Edge, "hallway"), s.keeper(Master, "main"), s.keeper(Device, "lamp")
	stranger := other.keeper(Edge, "hallway")
	cases := []struct {
		name           string
		client, server *Keeper
		wants, admits  Policy
		good           bool
	}{
		{"edge and master", edge, master, masters, edges, true},
		{"the right id", edge, master, Policy{Roles: masters.Roles, ID: "main"},
			Policy{Roles: edges.Roles, ID: "hallway"}, true},
		{"another master", edge, master, Policy{Roles: masters.Roles, ID: "spare"}, edges, false},
		{"another edge", edge, master, masters, Policy{Roles: edges.Roles, ID: "kitchen"}, false},
		{"a device at the master", device, master, masters, edges, false},
		{"a device pretends to be an edge", master, device, edges, masters, false},
		{"an edge pretends to be the master", edge, edge, masters, edges, false},
		{"another CA's edge", stranger, master, masters, edges, false},
		{"another CA's master", edge, other.keeper(Master, "main"), masters, edges, false},
		{"a policy that admits nobody", edge, master, masters, Policy{}, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			view, c, sv := meet(t, tc.client.ClientTLS(tc.wants), tc.server.ServerTLS(tc.admits))
			if (c == nil && sv == nil) != tc.good {
				t.Errorf("client: %v, server: %v", c, sv)
			}
			if tc.good {
				if p, err := tc.server.Client(&view, tc.admits); err != nil || p.Name != tc.client.Name() || p.Expired {
					t.Errorf("who came: %+v, %v", p, err)
				}
			}
		})
	}
}

func TestOptionalLetsInWhoShowsNoCertificateButNoWrongOne(t *testing.T) {
	s, other := newSite(t, "home"), newSite(t, "elsewhere")
	devices := Policy{Roles: []Role{Device}, Optional: true}
	server := s.keeper(Edge, "hallway").ServerTLS(devices)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.ca.CertPEM())
	anybody := &tls.Config{RootCAs: pool, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	view, c, sv := meet(t, anybody, server)
	if c != nil || sv != nil {
		t.Errorf("without a certificate: %v, %v", c, sv)
	}
	k := s.keeper(Edge, "x")
	if _, err := k.Client(&view, devices); !errors.Is(err, ErrNoCertificate) {
		t.Error(err)
	}
	if _, ok := k.UserOf(devices)(&view); ok {
		t.Error("nobody is a user")
	}
	lamp := s.keeper(Device, "lamp")
	view, c, sv = meet(t, lamp.ClientTLS(edges), server)
	if user, ok := k.UserOf(devices)(&view); c != nil || sv != nil || !ok || user != "lamp" {
		t.Errorf("a device: %v, %v, %q", c, sv, user)
	}
	if _, c, sv := meet(t, other.keeper(Device, "lamp").ClientTLS(edges), server); c == nil && sv == nil {
		t.Error("a device of another home was let in")
	}
	required := s.keeper(Master, "main").ServerTLS(edges)
	anybody.MaxVersion = 0
	if _, c, sv := meet(t, anybody, required); c == nil && sv == nil {
		t.Error("without a certificate at the master")
	}
	anybody.MaxVersion = tls.VersionTLS12
	if _, c, sv := meet(t, anybody, required); c == nil && sv == nil {
		t.Error("TLS 1.2 at the master")
	}
}

// A guard must not believe a certificate that another listener merely asked for.
func TestClientVerifiesWhatAnotherConfigurationDidNot(t *testing.T) {
	s, other := newSite(t, "home"), newSite(t, "home")
	k, lamp := s.keeper(Edge, "hallway"), other.keeper(Device, "lamp")
	cs := tls.ConnectionState{PeerCertificates: []*x509.Certificate{lamp.held.Load().cert.Leaf}}
	if p, err := k.Client(&cs, Policy{Roles: []Role{Device}}); err == nil {
		t.Errorf("%+v was believed", p)
	}
}

func TestCertificateExpiredWhileOffline400Days(t *testing.T) {
	s := newSite(t, "home")
	edge := s.keeper(Edge, "hallway")
	far := func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no route to the master") }
	states := map[State]int{}
	for d := range 401 { // the edge is off the net: it goes on, and says so from day 60 on
		s.set(float64(d))
		err := edge.RenewIfDue(t.Context(), far)
		if due := d >= 60; (err != nil) != due {
			t.Fatalf("day %d: renewal says %v", d, err)
		}
		st := edge.Status()
		states[st.State]++
		if (st.Detail == "") != (st.State == Good) {
			t.Fatalf("day %d: %+v", d, st)
		}
		if want := 90 - float64(d); st.DaysLeft != want || edge.DaysLeft() != want {
			t.Fatalf("day %d: %v days left", d, st.DaysLeft)
		}
	}
	if states[Good] != 61 || states[Expiring] != 30 || states[Expired] != 310 {
		t.Errorf("days by state: %v", states)
	}
	if _, err := Open(edge.files, s.time); err != nil {
		t.Fatalf("it does not even start: %v", err)
	}
	master := s.keeper(Master, "main") // the master was in reach of its CA all the time
	if _, c, sv := meet(t, edge.ClientTLS(masters), master.ServerTLS(edges)); c == nil && sv == nil {
		t.Error("an expired certificate was admitted without grace")
	}
	grace := Policy{Roles: edges.Roles, Grace: 400 * day}
	view, c, sv := meet(t, edge.ClientTLS(masters), master.ServerTLS(grace))
	if p, err := master.Client(&view, grace); c != nil || sv != nil || err != nil || !p.Expired {
		t.Fatalf("with grace: %v, %v, %+v, %v", c, sv, p, err)
	}
	if err := edge.RenewIfDue(t.Context(), s.sign); err != nil {
		t.Fatal(err)
	}
	if st := edge.Status(); st.State != Good || st.DaysLeft != 90 {
		t.Errorf("renewed, and %+v", st)
	}
	if _, c, sv := meet(t, edge.ClientTLS(masters), master.ServerTLS(edges)); c != nil || sv != nil {
		t.Errorf("renewed, and %v, %v", c, sv)
	}
}

func TestRenewedAtTwoThirdsForYears(t *testing.T) {
	s := newSite(t, "home")
	edge, renewals, last := s.keeper(Edge, "hallway"), 0, time.Time{}
	for d := range 1000 {
		s.set(float64(d))
		if err := edge.RenewIfDue(t.Context(), s.sign); err != nil {
			t.Fatal(d, err)
		}
		if st := edge.Status(); st.State != Good {
			t.Fatalf("day %d: %+v", d, st)
		} else if st.NotAfter != last {
			renewals, last = renewals+1, st.NotAfter
		}
	}
	if renewals != 17 {
		t.Errorf("%d certificates in 1000 days, want one every 60", renewals)
	}
}

func TestClockBeforeTheCertificateSaysSetTheClock(t *testing.T) {
	s := newSite(t, "home")
	edge, master := s.keeper(Edge, "hallway"), s.keeper(Master, "main")
	s.set(-365 * 20)
	if st := edge.Status(); st.State != TooEarly || !strings.Contains(st.Detail, "clock") {
		t.Errorf("%+v", st)
	}
	_, c, _ := meet(t, edge.ClientTLS(masters), master.ServerTLS(edges))
	if c == nil || !strings.Contains(c.Error(), "set the clock") {
		t.Error(c)
	}
}

func TestReloadTakesUpNewFilesAndKeepsOldOnesFromBadOnes(t *testing.T) {
	s := newSite(t, "home")
	edge, master := s.keeper(Edge, "hallway"), s.keeper(Master, "main")
	client, server := edge.ClientTLS(masters), master.ServerTLS(edges) // made once, as servers do
	good, err := os.ReadFile(edge.files.Identity)
	if err != nil {
		t.Fatal(err)
	}
	stranger := newSite(t, "home").keeper(Edge, "hallway")
	foreign, err := os.ReadFile(stranger.files.Identity)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"empty": nil, "half": good[:len(good)/2], "other CA": foreign,
		"key alone": good[:strings.Index(string(good), "-----BEGIN CERT")], "noise": []byte("x")} {
		s.put("edge-hallway.pem", b)
		if err := edge.Reload(); err == nil || edge.Err() == nil {
			t.Errorf("%s: taken", name)
		}
		if _, c, sv := meet(t, client, server); c != nil || sv != nil {
			t.Errorf("%s: %v, %v", name, c, sv)
		}
	}
	s.set(30)
	fresh := s.keeper(Edge, "hallway") // writes the same file
	if err := edge.Reload(); err != nil || edge.Err() != nil {
		t.Fatal(err)
	}
	view, _, _ := meet(t, client, server)
	if got := view.PeerCertificates[0].NotAfter; !got.Equal(fresh.Status().NotAfter) {
		t.Errorf("the new certificate is not shown: %v", got)
	}
}

func TestCAIsReplacedWithoutAGap(t *testing.T) {
	s := newSite(t, "home")
	edge, master := s.keeper(Edge, "hallway"), s.keeper(Master, "main")
	client, server := edge.ClientTLS(masters), master.ServerTLS(edges)
	good := func(step string) {
		t.Helper()
		for _, k := range []*Keeper{edge, master} {
			if err := k.Reload(); err != nil {
				t.Fatalf("%s: %v", step, err)
			}
		}
		if _, c, sv := meet(t, client, server); c != nil || sv != nil {
			t.Fatalf("%s: %v, %v", step, c, sv)
		}
	}
	next, err := NewAuthority("home", epoch)
	if err != nil {
		t.Fatal(err)
	}
	old := s.ca
	s.put("ca.crt", append(old.CertPEM(), next.CertPEM()...))
	good("both are trusted")
	s.ca = next
	s.keeper(Edge, "hallway")
	good("the edge has a new one")
	s.keeper(Master, "main")
	good("the master, too")
	s.put("ca.crt", next.CertPEM())
	good("the old one is gone")
}

func TestRunReloadsAndRenews(t *testing.T) {
	s := newSite(t, "home")
	edge := s.keeper(Edge, "hallway")
	s.set(61)
	ctx, stop := context.WithCancel(t.Context())
	reloads := make(chan error, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		edge.Run(ctx, Upkeep{Sign: s.sign, Every: time.Millisecond, Again: time.Millisecond,
			Reload: func(err error) { reloads <- err }})
	})
	<-reloads // its own renewal, seen by the watch
	if left := edge.DaysLeft(); left != 90 {
		t.Errorf("%v days left", left)
	}
	s.put("edge-hallway.pem", []byte("broken"))
	for err := range reloads {
		if err != nil {
			break
		}
	}
	stop()
	wg.Wait()
	if edge.Err() == nil || edge.DaysLeft() != 90 {
		t.Error("the broken file")
	}
}

func TestRenewRefusesWhatIsOfNoUse(t *testing.T) {
	s, other := newSite(t, "home"), newSite(t, "home")
	edge := s.keeper(Edge, "hallway")
	before, err := os.ReadFile(edge.files.Identity)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(ca *Authority, l Leaf) Signer {
		return func(_ context.Context, request []byte) ([]byte, error) { return ca.Sign(request, l, s.time()) }
	}
	hallway := Name{Role: Edge, ID: "hallway"}
	s.set(1)
	for name, sign := range map[string]Signer{
		"another CA":   issue(other.ca, Leaf{Name: hallway}),
		"another name": issue(s.ca, Leaf{Name: Name{Role: Edge, ID: "kitchen"}}),
		"a shorter":    issue(s.ca, Leaf{Name: hallway, Life: day}),
		"nothing":      func(context.Context, []byte) ([]byte, error) { return nil, nil },
		"another key": func(context.Context, []byte) ([]byte, error) {
			_, request, err := NewRequest()
			if err != nil {
				return nil, err
			}
			return s.ca.Sign(request, Leaf{Name: hallway}, s.time())
		},
	} {
		if err := edge.Renew(t.Context(), sign); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if after, _ := os.ReadFile(edge.files.Identity); string(after) != string(before) {
		t.Error("the file was replaced")
	}
}

func TestOneCAForTwoHomesKeepsThemApart(t *testing.T) {
	s := newSite(t, "home")
	master := s.keeper(Master, "main")
	s.ca.home = "other" // as no CA of ours would
	stranger := s.keeper(Edge, "hallway")
	if _, c, sv := meet(t, stranger.ClientTLS(masters), master.ServerTLS(edges)); c == nil && sv == nil {
		t.Error("an edge of another home was let in")
	}
}
