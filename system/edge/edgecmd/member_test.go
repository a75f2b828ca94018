package edgecmd

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"metronome/system/access/pki"
	"metronome/system/access/secretfile"
	"metronome/system/master"
	"metronome/system/master/mastercmd"
	"metronome/system/master/ship"
)

// newMaster starts a master on a free port.
func newMaster(t *testing.T) (dir, url string, stop func()) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "master")
	oldCA(t, dir)
	if err := mastercmd.Init(dir, "villa", []string{"127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	o := mastercmd.Defaults()
	o.Dir, o.Listen, o.Page, o.Admin, o.MinFree, o.Drill, o.Check = dir, "127.0.0.1:0", "", "", 1, -1, -1
	o.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := mastercmd.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.Wait() }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return dir, r.URL, stop
}

// oldCA is a home's CA of last year, for certificates that have had time to expire.
func oldCA(t *testing.T, dir string) {
	t.Helper()
	ca, err := pki.NewAuthority("villa", time.Now().Add(-365*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ca.KeyPEM()
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "pki"), 0o700)
	}
	if err == nil {
		err = secretfile.Write(filepath.Join(dir, "pki", "ca.key"), key)
	}
	if err == nil {
		err = secretfile.Write(filepath.Join(dir, "pki", "ca.crt"), ca.CertPEM())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func authority(t *testing.T, dir string) *pki.Authority {
	t.Helper()
	ca, err := pki.LoadAuthority(filepath.Join(dir, "pki", "ca.crt"), filepath.Join(dir, "pki", "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// joinAs goes the way of an operator: a token, and metronome edge join.
func joinAs(t *testing.T, dir, url, name string) (member string) {
	t.Helper()
	token, err := master.RegistryIn(dir).Enroll(name, authority(t, dir), master.TokensIn(dir),
		master.Enrolment{Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	member = filepath.Join(t.TempDir(), "member")
	cmd, out := Command(), &bytes.Buffer{}
	cmd.SetArgs([]string{"join", "--master", url, "--member", member})
	cmd.SetIn(strings.NewReader(token.Text()))
	cmd.SetOut(out)
	if err := cmd.Execute(); err != nil || !strings.Contains(out.String(), "this is edge "+name+" of villa") {
		t.Fatalf("%v\n%s", err, out)
	}
	return member
}

// memberOptions are of an edge that has joined; it serves plainly, for the test's convenience.
func memberOptions(t *testing.T, member string) Options {
	o := options(t)
	o.Name, o.Plain, o.Users, o.Member = "", true, "", member
	o.Data = filepath.Join(t.TempDir(), "data")
	o.ShipEvery, o.ReportEvery, o.RenewEvery = 5*time.Millisecond, time.Second, 10*time.Millisecond
	return o
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute: " + what)
		}
	}
}

func (e *Edge) allShipped() bool {
	st := e.Local.Status()
	return st.BackedUp.Known && st.BackedUp.At >= st.Revision && e.Shipping().State == "shipping"
}

// TestAMemberShipsItsBackups: what is written is in a backup soon, and the reply's mark says so.
func TestAMemberShipsItsBackups(t *testing.T) {
	dir, url, _ := newMaster(t)
	o := memberOptions(t, joinAs(t, dir, url, "hallway"))
	o.Admin = "127.0.0.1:0"
	e := start(t, o)
	if e.Name() != "hallway" {
		t.Errorf("it is called %q", e.Name())
	}
	if status, body, _ := ask(t, "PUT", e.URL+"/v1/kv/a", "1", "", ""); status != 201 {
		t.Fatal(status, body)
	}
	eventually(t, "it is backed up", e.allShipped)
	_, _, h := ask(t, "GET", e.URL+"/v1/kv/a", "", "", "")
	if h.Get("X-Backed-Up-Revision") != h.Get("X-Revision") {
		t.Errorf("%v", h)
	}
	_, metrics, _ := ask(t, "GET", e.AdminURL+"/metrics", "", "", "")
	for _, line := range []string{"backup_checkpoints_total 1", "backup_behind_revisions 0",
		"backup_shipped_revision 1", "backup_failures_total 0"} {
		if !strings.Contains(metrics, "\nmetronome_edge_"+line+"\n") {
			t.Errorf("no %s in the metrics", line)
		}
	}
}

// TestAFailingBackupNeverStopsTheEdge: whatever is wrong towards the master, devices are served, from the
// start on.
func TestAFailingBackupNeverStopsTheEdge(t *testing.T) {
	dir, url, stop := newMaster(t)
	member := joinAs(t, dir, url, "hallway")
	for name, breakIt := range map[string]func(t *testing.T, o *Options){
		"nothing but a stale scratch directory": func(t *testing.T, o *Options) {
			if err := os.MkdirAll(filepath.Join(o.Data+".ship", "left", "behind"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"no backup key": func(t *testing.T, o *Options) {
			changeMember(t, o.Member, func(m *ship.Membership) { m.BackupKey = "no key" })
		},
		"another's backup key": func(t *testing.T, o *Options) {
			changeMember(t, o.Member, func(m *ship.Membership) {
				m.BackupKey = m.BackupKey[:len(m.BackupKey)-4] + "AAAA"
			})
		},
		"a master that is nowhere": func(t *testing.T, o *Options) {
			changeMember(t, o.Member, func(m *ship.Membership) { m.Master = "https://127.0.0.1:1" })
		},
		"no room for checkpoints": func(t *testing.T, o *Options) {
			if err := os.WriteFile(o.Data+".ship", nil, 0o600); err != nil { // a file where a directory is to be
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "member")
			if err := os.CopyFS(copied, os.DirFS(member)); err != nil {
				t.Fatal(err)
			}
			private(t, copied)
			o := memberOptions(t, copied)
			breakIt(t, &o)
			e := start(t, o)
			serves(t, e)
			if !strings.HasPrefix(name, "nothing") {
				eventually(t, "the failure is seen", func() bool {
					s := e.Shipping()
					return (s.State == "failing" || s.State == "fenced") && s.Error != ""
				})
			}
			serves(t, e)
		})
	}
	t.Run("a master that goes", func(t *testing.T) {
		e := start(t, memberOptions(t, member))
		serves(t, e)
		eventually(t, "it is backed up", e.allShipped)
		stop()
		serves(t, e)
		eventually(t, "the failure is seen", func() bool { return e.Shipping().State == "failing" })
		serves(t, e)
	})
}

// private undoes what a copy does to the modes of secret files.
func private(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		if err == nil {
			err = os.Chmod(f, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func changeMember(t *testing.T, dir string, change func(*ship.Membership)) {
	t.Helper()
	m, err := ship.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	change(m)
	b, err := json.Marshal(m)
	if err == nil {
		err = secretfile.Write(filepath.Join(dir, "master.json"), b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serves writes, reads and deletes.
func serves(t *testing.T, e *Edge) {
	t.Helper()
	for _, c := range []struct {
		method, body string
		want         int
	}{{"PUT", "v", 201}, {"GET", "", 200}, {"DELETE", "", 204}} {
		if status, body, _ := ask(t, c.method, e.URL+"/v1/kv/serves", c.body, "", ""); status != c.want {
			t.Errorf("%s: %d %s", c.method, status, body)
		}
	}
}

// TestCertificateExpiredWhileOfflineIsRenewed: a certificate of which two thirds, or all, of the life are
// over is renewed at the master; until then the edge serves, and says what is the matter.
func TestCertificateExpiredWhileOfflineIsRenewed(t *testing.T) {
	for name, age := range map[string]time.Duration{"two thirds": 70 * 24 * time.Hour,
		"expired": 200 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			dir, url, stop := newMaster(t)
			member := joinAs(t, dir, url, "hallway")
			old := pki.Leaf{Name: pki.Name{Role: pki.Edge, ID: "hallway"}, Hosts: []string{"127.0.0.1"}}
			identity, err := authority(t, dir).Issue(old, time.Now().Add(-age))
			if err == nil {
				err = secretfile.Write(filepath.Join(member, "identity.pem"), identity)
			}
			if err != nil {
				t.Fatal(err)
			}
			o := memberOptions(t, member)
			e := start(t, o)
			serves(t, e)
			eventually(t, "it is renewed", func() bool { return e.member.keeper.DaysLeft() > 89 })
			serves(t, e)
			stop()
		})
	}
}

// TestAnExpiredCertificateDoesNotSilenceAHouse: the edge serves over TLS with it, and is not ready.
func TestAnExpiredCertificateDoesNotSilenceAHouse(t *testing.T) {
	dir, url, stop := newMaster(t)
	member := joinAs(t, dir, url, "hallway")
	stop() // nobody renews it
	old := pki.Leaf{Name: pki.Name{Role: pki.Edge, ID: "hallway"}, Hosts: []string{"127.0.0.1"}}
	identity, err := authority(t, dir).Issue(old, time.Now().Add(-91*24*time.Hour))
	if err == nil {
		err = secretfile.Write(filepath.Join(member, "identity.pem"), identity)
	}
	if err != nil {
		t.Fatal(err)
	}
	o := memberOptions(t, member)
	o.Plain, o.Users = false, filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(o.Users, []byte("version: 1\ncost: 10\nusers: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := start(t, o)
	if _, status := shown(t, e.URL); status != 503 {
		t.Errorf("/readyz says %d", status)
	}
	if why := e.Server.Reasons(); len(why) == 0 || why[0].Part != "certificate" {
		t.Errorf("%v", why)
	}
}

func TestRefusedMemberships(t *testing.T) {
	dir, url, _ := newMaster(t)
	member := joinAs(t, dir, url, "hallway")
	nowhere := filepath.Join(t.TempDir(), "none")
	for name, c := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"none there":      {func(o *Options) { o.Member = nowhere }, "metronome edge join"},
		"another's name":  {func(o *Options) { o.Name = "cellar" }, "leave --name out"},
		"a CA by itself":  {func(o *Options) { o.Plain, o.Users, o.CA = false, "x", "ca.crt" }, "--tls-cert"},
		"a key by itself": {func(o *Options) { o.Plain, o.Users, o.Key = false, "x", "key" }, "--tls-cert"},
	} {
		t.Run(name, func(t *testing.T) {
			o := memberOptions(t, member)
			c.change(&o)
			if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one about %s", err, c.says)
			}
		})
	}
}
