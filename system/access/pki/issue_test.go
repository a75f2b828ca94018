package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLeafSaysWhatWasAsked(t *testing.T) {
	s := newSite(t, "home")
	b, err := s.ca.Issue(Leaf{Name: Name{Role: Edge, ID: "hallway"},
		Hosts: []string{"hallway.local", "192.0.2.1", "2001:db8::1"}}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	list, err := Describe(s.put("x.pem", b), epoch)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	i := list[0]
	if i.Identity != "metronome://home/edge/hallway" || i.DaysLeft != 90 || i.State != Good ||
		strings.Join(i.Hosts, " ") != "hallway.local 192.0.2.1 2001:db8::1" {
		t.Errorf("%+v", i)
	}
	if at := i.RenewAt.Sub(epoch); at < 59*day || at > 61*day {
		t.Errorf("renewed after %v", at)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.ca.CertPEM())
	certs, err := parseCerts(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"hallway.local", "192.0.2.1"} { // as curl checks it
		opts := x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: epoch}
		if _, err := certs[0].Verify(opts); err != nil {
			t.Error(err)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	ca, err := NewAuthority("home", epoch)
	if err != nil {
		t.Fatal(err)
	}
	good := Name{Role: Edge, ID: "hallway"}
	for name, l := range map[string]Leaf{
		"no role":      {Name: Name{ID: "x"}},
		"unknown role": {Name: Name{Role: "ca", ID: "x"}},
		"no id":        {Name: Name{Role: Edge}},
		"id with /":    {Name: Name{Role: Edge, ID: "a/b"}},
		"id with %":    {Name: Name{Role: Edge, ID: "a%2Fb"}},
		"dots":         {Name: Name{Role: Edge, ID: ".."}},
		"other home":   {Name: Name{Home: "other", Role: Edge, ID: "x"}},
		"long id":      {Name: Name{Role: Edge, ID: strings.Repeat("x", 64)}},
		"bad host":     {Name: good, Hosts: []string{"a b"}},
		"URL as host":  {Name: good, Hosts: []string{"https://a"}},
		"many hosts":   {Name: good, Hosts: make([]string, 33)},
		"negative":     {Name: good, Life: -time.Hour},
	} {
		if _, err := ca.Issue(l, epoch); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
	_, err = ca.Issue(Leaf{Name: good}, epoch.Add(CALife))
	if err == nil || !strings.Contains(err.Error(), "pki ca") {
		t.Errorf("the CA has ended: %v", err)
	}
	if _, err := NewAuthority("Home/x", epoch); err == nil {
		t.Error("a home's name")
	}
}

func TestLeafNeverOutlivesItsCA(t *testing.T) {
	s := newSite(t, "home")
	s.set(3650 - 10)
	if left := s.keeper(Edge, "hallway").DaysLeft(); left != 10 {
		t.Errorf("%v days", left)
	}
	if detail := s.keeper(Edge, "hallway").Status().Detail; !strings.Contains(detail, "the CA ends in 10 days") {
		t.Errorf("%q", detail)
	}
}

func TestSignUsesNothingOfTheRequestButItsKey(t *testing.T) {
	ca, err := NewAuthority("home", epoch)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		DNSNames: []string{"bank.example"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	request := pem.EncodeToMemory(&pem.Block{Type: blockRequest, Bytes: der})
	chain, err := ca.Sign(request, Leaf{Name: Name{Role: Edge, ID: "x"}}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := parseCerts(chain)
	if err != nil || len(certs[0].DNSNames) != 0 || certs[0].IsCA || !key.PublicKey.Equal(certs[0].PublicKey) {
		t.Errorf("%v, %v", certs, err)
	}
	der[len(der)-1] ^= 1 // the proof that the requester has the key
	broken := pem.EncodeToMemory(&pem.Block{Type: blockRequest, Bytes: der})
	for _, b := range [][]byte{broken, nil, []byte("x"), ca.CertPEM(), make([]byte, maxPEM+1)} {
		if _, err := ca.Sign(b, Leaf{Name: Name{Role: Edge, ID: "x"}}, epoch); err == nil {
			t.Errorf("signed %.40q", b)
		}
	}
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak); err != nil {
		t.Fatal(err)
	}
	request = pem.EncodeToMemory(&pem.Block{Type: blockRequest, Bytes: der})
	if _, err := ca.Sign(request, Leaf{Name: Name{Role: Edge, ID: "x"}}, epoch); err == nil {
		t.Error("signed a key that is not P-256")
	}
}

func TestLoadAuthorityPicksItsOwnOfABundle(t *testing.T) {
	s, other := newSite(t, "home"), newSite(t, "home")
	key, err := s.ca.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	keyPath := s.put("ca.key", key)
	bundle := s.put("bundle.crt", append(other.ca.CertPEM(), s.ca.CertPEM()...))
	ca, err := LoadAuthority(bundle, keyPath)
	if err != nil || ca.Fingerprint() != s.ca.Fingerprint() || ca.Home() != "home" {
		t.Errorf("%v, %v", ca, err)
	}
	if _, err := LoadAuthority(s.put("other.crt", other.ca.CertPEM()), keyPath); err == nil {
		t.Error("another CA's certificate")
	}
	if _, err := LoadAuthority(filepath.Join(s.dir, "none"), keyPath); err == nil {
		t.Error("no certificate")
	}
	if _, err := LoadAuthority(bundle, s.put("bad.key", []byte("x"))); err == nil {
		t.Error("no key")
	}
}

func TestPinFindsTheMasterByFingerprintAlone(t *testing.T) {
	s, other := newSite(t, "home"), newSite(t, "home")
	open := &tls.Config{Time: s.time}
	server := func(k *Keeper) *tls.Config {
		c := open.Clone()
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &k.held.Load().cert, nil }
		return c
	}
	pin := NewPin(s.ca.Fingerprint(), s.time)
	if pin.CA() != nil {
		t.Error("a CA from nowhere")
	}
	for name, k := range map[string]*Keeper{"another home's master": other.keeper(Master, "main"),
		"an edge": s.keeper(Edge, "hallway")} {
		if _, c, _ := meet(t, pin.TLS(), server(k)); c == nil || pin.CA() != nil {
			t.Errorf("%s was taken for the master", name)
		}
	}
	// The true CA's certificate beside a leaf of another CA, and beside an edge's.
	ca := s.keeper(Master, "main").held.Load().cert.Certificate[1]
	for name, of := range map[string]*Keeper{"another home's master": other.keeper(Master, "main"),
		"an edge": s.keeper(Edge, "hallway")} {
		m := *of.held.Load()
		m.cert.Certificate = [][]byte{m.cert.Certificate[0], ca}
		k := &Keeper{}
		k.held.Store(&m)
		if _, c, _ := meet(t, pin.TLS(), server(k)); c == nil || pin.CA() != nil {
			t.Errorf("%s beside the true CA was taken for the master", name)
		}
	}
	if _, c, sv := meet(t, pin.TLS(), server(s.keeper(Master, "main"))); c != nil || sv != nil {
		t.Errorf("%v, %v", c, sv)
	}
	if string(pin.CA()) != string(s.ca.CertPEM()) {
		t.Error("the CA is not kept")
	}
}

func TestNamesHaveOneSpelling(t *testing.T) {
	s := newSite(t, "home")
	leaf := *s.keeper(Edge, "hallway").held.Load().cert.Leaf
	for uri, good := range map[string]bool{
		"metronome://home/edge/hallway": true, "metronome://home/edge/hallway/": false,
		"metronome://home/replica-0": false,
		"metronome://home/edge/":     false, "metronome://home/edge/a/b": false,
		"spiffe://home/edge/hallway":      false,
		"metronome://home/edge/hallway?x": false, "metronome://home/edge/hallway#x": false,
		"metronome://home/edge/%68allway": false, "metronome://u@home/edge/hallway": false,
		"metronome://home:1/edge/hallway": false, "metronome://HOME/edge/hallway": false,
		"metronome://home//edge/hallway": false,
	} {
		leaf.URIs = nil
		if u, err := url.Parse(uri); err == nil {
			leaf.URIs = append(leaf.URIs, u)
		}
		if n, err := nameOf(&leaf); (err == nil) != good {
			t.Errorf("%s: %v, %v", uri, n, err)
		}
	}
	leaf.URIs = append(leaf.URIs, leaf.URIs...)
	if _, err := nameOf(&leaf); !errors.Is(err, errNoName) {
		t.Error("two names")
	}
}

func FuzzPEM(f *testing.F) {
	ca, err := NewAuthority("home", epoch)
	if err != nil {
		f.Fatal(err)
	}
	id, err := ca.Issue(Leaf{Name: Name{Role: Edge, ID: "x"}}, epoch)
	if err != nil {
		f.Fatal(err)
	}
	_, request, err := NewRequest()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(id)
	f.Add(request)
	f.Add(ca.CertPEM())
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parseCerts(b)
		_, _ = parseMaterial(b)
		_, _ = parseRequest(b)
		_, _ = parseKey(b)
	})
}
