package mastercmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"metronome/system/access/accesscmd"
	"metronome/system/access/pki"
	"metronome/system/edge"
	"metronome/system/edge/edgecmd"
	"metronome/system/edge/local"
	"metronome/system/master/api"
	"metronome/system/master/ship"
	"metronome/system/master/vault"
)

// operator has a master in a directory.
type operator struct {
	*testing.T
	dir string
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{T: t, dir: filepath.Join(t.TempDir(), "master")}
	o.must("", "init", "--home", "villa", "--host", "127.0.0.1")
	return o
}

// run runs metronome master as main would.
func (o *operator) run(stdin string, args ...string) (out, log string, err error) {
	o.Helper()
	root := &cobra.Command{Use: "metronome", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(Command(), accesscmd.User(), edgecmd.Command())
	var stdout, stderr bytes.Buffer
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	if args[0] != "user" && args[0] != "edge" {
		args = append(append([]string{"master"}, args...), "--dir", o.dir)
	}
	root.SetArgs(args)
	err = root.ExecuteContext(o.Context())
	return stdout.String(), stderr.String(), err
}

func (o *operator) must(stdin string, args ...string) string {
	o.Helper()
	out, log, err := o.run(stdin, args...)
	if err != nil {
		o.Fatalf("%v: %v\n%s%s", args, err, out, log)
	}
	return out
}

// says runs a command that has to fail, with these words.
func (o *operator) says(want string, args ...string) {
	o.Helper()
	if out, _, err := o.run("", args...); err == nil || !strings.Contains(err.Error(), want) {
		o.Errorf("%v: %v, not %q\n%s", args, err, want, out)
	}
}

func (o *operator) json(v any, args ...string) {
	o.Helper()
	if out := o.must("", append(args, "--json")...); json.Unmarshal([]byte(out), v) != nil {
		o.Fatalf("%v: %s", args, out)
	}
}

// serve starts the server; what it returns stops it.
func (o *operator) serve(change ...func(*Options)) (r *Running, stop func()) {
	o.Helper()
	opts := Defaults()
	opts.Dir, opts.Listen, opts.Page, opts.Admin, opts.Plain = o.dir, "127.0.0.1:0", "127.0.0.1:0",
		"127.0.0.1:0", true
	opts.MinFree, opts.Drill, opts.Check = 1, -1, -1
	opts.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	for _, f := range change {
		f(&opts)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, err := Start(ctx, opts)
	if err != nil {
		cancel()
		o.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.Wait() }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			o.Error(err)
		}
	}
	o.Cleanup(stop)
	return r, stop
}

// edge joins, ships some keys, and goes.
func (o *operator) edge(r *Running, name string, keys int) (member string) {
	o.Helper()
	token := o.must("", "enroll", name, "--host", "127.0.0.1")
	member = filepath.Join(o.TempDir(), "member")
	out := o.must(token, "edge", "join", "--master", r.URL, "--member", member)
	if !strings.Contains(out, "this is edge "+name+" of villa") {
		o.Errorf("%q", out)
	}
	m, err := ship.Load(member)
	if err != nil {
		o.Fatal(err)
	}
	k, err := pki.Open(m.Files, nil)
	if err != nil {
		o.Fatal(err)
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	dir := o.TempDir()
	s, err := local.Open(local.Config{Dir: filepath.Join(dir, "data"), BackedUp: true, MinFree: 1, Log: quiet})
	if err != nil {
		o.Fatal(err)
	}
	b := &edge.Batch{}
	for i := range keys {
		b.Ops = append(b.Ops, edge.Op{Kind: edge.Put, Key: fmt.Appendf(nil, "k%d", i), Value: []byte("v")})
	}
	if _, err := s.Apply(o.Context(), b); err != nil {
		o.Fatal(err)
	}
	cfg, err := m.Config(k, s, filepath.Join(dir, "scratch"))
	if err != nil {
		o.Fatal(err)
	}
	cfg.Every, cfg.Promise, cfg.Log = 5*time.Millisecond, time.Second, quiet
	shipper, err := ship.New(cfg)
	if err != nil {
		o.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); shipper.Run(ctx) }()
	for end := time.Now().Add(3 * time.Minute); s.Status().BackedUp.At < s.Status().Revision; time.Sleep(
		time.Millisecond) {
		if time.Now().After(end) {
			o.Fatalf("not within a minute: %+v", shipper.State())
		}
	}
	cancel()
	<-done
	if err := s.Close(); err != nil {
		o.Error(err)
	}
	return member
}

func TestAMastersLife(t *testing.T) {
	o := newOperator(t)
	r, stop := o.serve()
	member := o.edge(r, "hallway", 40)
	var s api.Status
	o.json(&s, "status")
	if len(s.Edges) != 1 || s.Edges[0].Newest == nil || s.Edges[0].Newest.Keys != 40 || s.Home != "villa" {
		t.Fatalf("%+v", s)
	}
	for _, running := range []bool{true, false} {
		if !running {
			stop()
		}
		if out := o.must("", "status"); !strings.Contains(out, "hallway  fresh") {
			t.Errorf("running %v: %s", running, out)
		}
		if out := o.must("", "status", "hallway"); !strings.Contains(out, "REVISIONS") {
			t.Errorf("running %v: %s", running, out)
		}
		if out := o.must("", "verify"); !strings.Contains(out, "0 damaged, 0 chunks missing") {
			t.Errorf("running %v: %s", running, out)
		}
		if out := o.must("", "drill", "hallway"); !strings.Contains(out, "hallway: proven: backup 1 to revision "+
			"40") {
			t.Errorf("running %v: %s", running, out)
		}
		to := filepath.Join(t.TempDir(), "restored")
		var done vault.Restored
		o.json(&done, "restore", "hallway", "--to", to)
		if sum, err := local.Verify(t.Context(), local.Config{Dir: to}); err != nil || sum.Keys != 40 ||
			done.Keys != 40 {
			t.Errorf("running %v: %+v, %+v, %v", running, done, sum, err)
		}
		o.says("not empty", "restore", "hallway", "--to", to)
	}
	o.says("which edge", "restore", "--to", filepath.Join(t.TempDir(), "x"))
	o.says("write it as", "restore", "hallway", "--time", "yesterday", "--to", filepath.Join(t.TempDir(), "x"))
	o.says("no backup leads there", "restore", "hallway", "--revision", "99", "--to",
		filepath.Join(t.TempDir(), "x"))
	o.says("not enrolled", "restore", "cellar", "--to", filepath.Join(t.TempDir(), "x"))
	o.says("not enrolled", "status", "cellar")

	r, _ = o.serve()
	m, err := ship.Load(member)
	if err != nil {
		t.Fatal(err)
	}
	m.Master = r.URL // the test's master listens elsewhere now
	b, err := json.Marshal(m)
	if err == nil {
		err = os.WriteFile(filepath.Join(member, "master.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "at-the-edge")
	if out := o.must("", "restore", "--member", member, "--to", to); !strings.Contains(out,
		"life 3 of this edge") {
		t.Errorf("%s", out)
	}
	o.says("give no name", "restore", "hallway", "--member", member, "--to", to)
	o.must("", "revoke", "hallway")
	o.says("was revoked", "enroll", "hallway")
	o.must("", "enroll", "hallway", "--again", "--life", "10m")
}

func TestDamageIsAnError(t *testing.T) {
	o := newOperator(t)
	r, _ := o.serve()
	o.edge(r, "hallway", 40)
	chunks, err := filepath.Glob(filepath.Join(o.dir, "vault", "hallway", "chunks", "*"))
	if err != nil || len(chunks) == 0 {
		t.Fatal(chunks, err)
	}
	if err := os.Truncate(chunks[0], 40); err != nil {
		t.Fatal(err)
	}
	out, _, err := o.run("", "drill")
	if err == nil || !strings.Contains(out, "FAILED") {
		t.Errorf("%s, %v", out, err)
	}
	out, _, err = o.run("", "verify")
	if err == nil || !strings.Contains(out, "damaged: chunks/") {
		t.Errorf("%s, %v", out, err)
	}
	if out := o.must("", "status"); !strings.Contains(out, "drill-failed") ||
		!strings.Contains(out, "chunks missing") {
		t.Errorf("%s", out)
	}
}

func TestPageAndMetrics(t *testing.T) {
	o := newOperator(t)
	r, _ := o.serve()
	o.edge(r, "hallway", 3)
	for url, want := range map[string]string{r.PageURL: "hallway", r.PageURL + "status.json": `"hallway"`,
		r.AdminURL + "/metrics": `metronome_master_edge_alive{edge="hallway"} 1`, r.AdminURL + "/livez": "",
		r.AdminURL + "/readyz": ""} {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(b), want) {
			t.Errorf("%s: %s\n%s", url, resp.Status, b)
		}
	}
	if err := table.Check(); err != nil {
		t.Error(err)
	}
}

// TestThePageForAdministrators: over HTTPS, by password.
func TestThePageForAdministrators(t *testing.T) {
	o := newOperator(t)
	users := filepath.Join(t.TempDir(), "users.yaml")
	o.must("a good password\n", "user", "add", "anna", "--role", "admin", "--password-stdin", "-f", users)
	o.must("a good password\n", "user", "add", "lamp", "--allow", "x/=read", "--password-stdin", "-f", users)
	r, _ := o.serve(func(opts *Options) { opts.Plain, opts.Users = false, users })
	if !strings.HasPrefix(r.PageURL, "https://") {
		t.Fatal(r.PageURL)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for user, want := range map[string]int{"anna": 200, "lamp": 403, "nobody": 401, "": 401} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.PageURL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, "a good password")
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%q: %s, want %d", user, resp.Status, want)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	o := newOperator(t)
	o.says("exists", "init")
	o.says("edge's name", "enroll", "../x")
	o.says("no token", "edge", "join", "--master", "https://127.0.0.1:1", "--member", t.TempDir())
	o.says("--users", "serve")
	o.says("loopback", "serve", "--plain-loopback", "--page", "0.0.0.0:7601")
	other := &operator{T: t, dir: filepath.Join(t.TempDir(), "none")}
	for _, args := range [][]string{{"status"}, {"enroll", "x"}, {"serve", "--plain-loopback"}, {"drill"}} {
		other.says("metronome master init", args...)
	}
	_, stop := o.serve()
	opts := Defaults()
	opts.Dir, opts.Listen, opts.Plain, opts.Page, opts.Admin = o.dir, "127.0.0.1:0", true, "", ""
	if _, err := Start(t.Context(), opts); err == nil || !strings.Contains(err.Error(),
		"master run there already") {
		t.Errorf("a second one: %v", err)
	}
	stop()
}

// TestTheTokenIsNoArgument: what is secret is on no command line.
func TestTheTokenIsNoArgument(t *testing.T) {
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "token" || f.Name == "key" || f.Name == "password" {
				t.Errorf("%s --%s takes a secret", cmd.CommandPath(), f.Name)
			}
		})
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(Command())
}

// TestALongDirectory: the socket's path may be longer than a socket's path may be.
func TestALongDirectory(t *testing.T) {
	o := &operator{T: t, dir: filepath.Join(t.TempDir(), strings.Repeat("long", 30))}
	o.must("", "init")
	_, stop := o.serve()
	if out := o.must("", "status"); !strings.Contains(out, "EDGE") {
		t.Errorf("%s", out)
	}
	stop()
	o.must("", "status")
}

// TestHalfACAIsNotOverwritten: a key without its certificate, or the other way round, is somebody's
// accident.
func TestHalfACAIsNotOverwritten(t *testing.T) {
	for _, lost := range []string{"ca.crt", "ca.key"} {
		o := newOperator(t)
		if err := errors.Join(os.Remove(filepath.Join(o.dir, "pki", lost)),
			os.Remove(filepath.Join(o.dir, "pki", "master.pem"))); err != nil {
			t.Fatal(err)
		}
		if _, _, err := o.run("", "init"); err == nil {
			t.Errorf("without %s a new CA was made", lost)
		}
	}
}
