package edgecmd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a certificate that ends at a time, with its key in the same file.
func writePair(t *testing.T, file string, serial int64, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-48 * time.Hour),
		NotAfter: end, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// shown is the serial number of the certificate that an edge shows, and what it says about its readiness.
func shown(t *testing.T, url string) (serial int64, status int) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.TLS.PeerCertificates[0].SerialNumber.Int64(), resp.StatusCode
}

// TestCertExpiredWhileOfflineEdgeDead: an expired certificate is shown, and nothing stops; a new one is
// taken up without a restart, and one that cannot be read leaves the old in place.
func TestCertExpiredWhileOfflineEdgeDead(t *testing.T) {
	o := options(t)
	o.Cert, o.Users = filepath.Join(t.TempDir(), "edge.pem"), filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(o.Users, []byte("version: 1\ncost: 10\nusers: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	writePair(t, o.Cert, 1, time.Now().Add(-time.Hour))
	e := start(t, o)
	if serial, status := shown(t, e.URL); serial != 1 || status != http.StatusServiceUnavailable {
		t.Errorf("certificate %d, readyz %d", serial, status)
	}
	if status, body, _ := ask(t, "GET", e.AdminURL+"/metrics", "", "", ""); status != 200 ||
		!strings.Contains(body, "metronome_edge_certificate_days -") {
		t.Error("the metric does not show it")
	}
	writePair(t, o.Cert, 2, time.Now().Add(time.Hour))
	e.reload()
	if serial, status := shown(t, e.URL); serial != 2 || status != 200 {
		t.Errorf("certificate %d, readyz %d", serial, status)
	}
	if err := os.WriteFile(o.Cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.reload()
	if serial, status := shown(t, e.URL); serial != 2 || status != 200 {
		t.Errorf("certificate %d, readyz %d after a bad file", serial, status)
	}
}
