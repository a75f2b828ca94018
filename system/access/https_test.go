package access_test

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"metronome/system/access"
	"metronome/system/access/pki"
	"metronome/system/access/secretfile"
)

// keepers are an edge's and a device's certificates, of one home.
func keepers(t *testing.T) (edge, lamp *pki.Keeper) {
	t.Helper()
	dir := t.TempDir()
	ca, err := pki.NewAuthority("home", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	caPath := filepath.Join(dir, "ca.crt")
	if err := secretfile.Write(caPath, ca.CertPEM()); err != nil {
		t.Fatal(err)
	}
	open := func(role pki.Role, id string) *pki.Keeper {
		b, err := ca.Issue(pki.Leaf{Name: pki.Name{Role: role, ID: id}}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, id+".pem")
		if err := secretfile.Write(path, b); err != nil {
			t.Fatal(err)
		}
		k, err := pki.Open(pki.Files{Identity: path, CA: caPath}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	return open(pki.Edge, "hallway"), open(pki.Device, "lamp")
}

func guard(t *testing.T, certificate *pki.Keeper, policy pki.Policy) (g *access.Guard, token string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.yaml")
	token, stored := access.NewToken()
	err := access.Edit(path, func(f *access.File) error {
		rights := []access.Right{{Prefix: "home/", Verbs: []string{"read"}}}
		f.Users["meter"] = access.User{Role: access.RoleDevice, Token: stored, Rights: rights}
		f.Users["lamp"] = access.User{Role: access.RoleDevice, Certificate: true, Rights: rights}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	g, err = access.NewGuard(access.Config{File: path, Certificate: certificate.UserOf(policy)})
	if err != nil {
		t.Fatal(err)
	}
	return g, token
}

// The parts together, as an edge wires them: HTTPS with optional client certificates, Basic, HTTP/2.
func TestGuardBehindHTTPS(t *testing.T) {
	edge, lamp := keepers(t)
	devices := pki.Policy{Roles: []pki.Role{pki.Device}, Optional: true}
	g, token := guard(t, edge, devices)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	whoami := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, access.From(r.Context()).Name())
	})
	srv := &http.Server{Handler: g.Handler(whoami), TLSConfig: edge.ServerTLS(devices),
		ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- srv.ServeTLS(l, "", "") }()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	with, without := lamp.ClientTLS(pki.Policy{Roles: []pki.Role{pki.Edge}}), lamp.ClientTLS(pki.Policy{
		Roles: []pki.Role{pki.Edge}})
	without.GetClientCertificate = nil
	for _, tc := range []struct {
		name, user, password string
		cert                 bool
		want                 int
	}{
		{"a token", "meter", token, false, 200}, {"a certificate", "", "", true, 200},
		{"nothing", "", "", false, 401}, {"a wrong token", "meter", token + "x", false, 401},
		{"a wrong password beside a certificate", "lamp", "wrong", true, 401},
	} {
		transport := &http.Transport{TLSClientConfig: without, ForceAttemptHTTP2: true}
		if tc.cert {
			transport.TLSClientConfig = with
		}
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+l.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if tc.user != "" {
			q.SetBasicAuth(tc.user, tc.password)
		}
		resp, err := transport.RoundTrip(q)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if resp.StatusCode != tc.want || resp.ProtoMajor != 2 {
			t.Errorf("%s: %s %d, want %d", tc.name, resp.Proto, resp.StatusCode, tc.want)
		}
		_ = resp.Body.Close()
		transport.CloseIdleConnections()
	}
}
