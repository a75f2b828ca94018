package accesscmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/crypto/bcrypt"

	"metronome/system/access"
	"metronome/system/access/pki"
)

// run runs one command line and returns what it writes.
func run(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	root := &cobra.Command{Use: "metronome", SilenceUsage: true, SilenceErrors: true}
	pkiCommand := &cobra.Command{Use: "pki"}
	pkiCommand.AddCommand(CA(), Leaf(), Show())
	root.AddCommand(User(), pkiCommand)
	var out, log bytes.Buffer
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&out)
	root.SetErr(&log)
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return out.String(), log.String(), err
}

func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, log, err := run(t, stdin, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, log)
	}
	return out
}

func userFile(t *testing.T) string { return filepath.Join(t.TempDir(), "users.yaml") }

func TestUserLife(t *testing.T) {
	file := userFile(t)
	must(t, "a good password\r\n", "user", "add", "anna", "--role", "admin", "--password-stdin", "-f", file)
	made := strings.TrimSpace(must(t, "", "user", "add", "lamp", "--allow", "home/lamp/=read,write", "--allow",
		"a=b=read", "--generate", "--note", "hall", "--home", "hallway", "-f", file))
	token := strings.TrimSpace(must(t, "", "user", "add", "meter", "--allow", "home/=read", "--token", "-f",
		file))
	must(t, "", "user", "add", "cam", "--certificate", "-f", file)
	f, err := access.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, password := range map[string]string{"anna": "a good password", "lamp": made} {
		if err := bcrypt.CompareHashAndPassword([]byte(f.Users[name].Password), []byte(password)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !strings.HasPrefix(token, "mtk_") || f.Users["meter"].Token == "" || f.Users["meter"].Password != "" {
		t.Errorf("%q, %+v", token, f.Users["meter"])
	}
	if r := f.Users["lamp"].Rights; len(r) != 2 || r[1].Prefix != "a=b" || f.Users["lamp"].Home != "hallway" {
		t.Errorf("%+v", f.Users["lamp"])
	}
	must(t, "another password\n", "user", "passwd", "anna", "--password-stdin", "-f", file)
	must(t, "", "user", "remove", "lamp", "meter", "-f", file)
	out, log, err := run(t, "", "user", "check", "-f", file)
	if err != nil || !strings.Contains(out, "2 users: good") || !strings.Contains(log, "cam has no rights") {
		t.Errorf("%q, %q, %v", out, log, err)
	}
}

func TestListShowsNoSecret(t *testing.T) {
	file := userFile(t)
	token := strings.TrimSpace(must(t, "", "user", "add", "meter", "--allow", "home/=read", "--token", "-f",
		file))
	must(t, "a good password\n", "user", "add", "anna", "--role", "admin", "--password-stdin", "-f", file)
	text, asJSON := must(t, "", "user", "list", "-f", file), must(t, "", "user", "list", "--json", "-f", file)
	var list []map[string]any
	if err := json.Unmarshal([]byte(asJSON), &list); err != nil || len(list) != 2 || list[0]["name"] != "anna" {
		t.Errorf("%v, %s", err, asJSON)
	}
	for _, out := range []string{text, asJSON} {
		if strings.Contains(out, "$2a$") || strings.Contains(out, token) || strings.Contains(out, "sha256:") {
			t.Errorf("shows a secret:\n%s", out)
		}
	}
	if !strings.Contains(text, `"home/"=read`) {
		t.Errorf("no rights:\n%s", text)
	}
}

func TestNoPasswordInArguments(t *testing.T) {
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			secret := strings.Contains(f.Name, "password") || strings.Contains(f.Name, "secret") || f.Name == "token"
			if secret && f.Value.Type() != "bool" {
				t.Errorf("%s --%s takes a secret as an argument", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(User())
	file := userFile(t)
	_, _, err := run(t, "", "user", "add", "anna", "a-password", "-f", file)
	if err == nil || strings.Contains(err.Error(), "a-password") {
		t.Errorf("a password as an argument: %v", err)
	}
}

func TestUserRefuses(t *testing.T) {
	file := userFile(t)
	must(t, "a good password\n", "user", "add", "anna", "--role", "admin", "--password-stdin", "-f", file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, stdin, want string
		args              []string
	}{
		{"twice", "a good password\n", "the user exists", []string{"add", "anna", "--password-stdin"}},
		{"no terminal", "", "--password-stdin", []string{"add", "ben"}},
		{"nothing on stdin", "", "no password", []string{"add", "ben", "--password-stdin"}},
		{"an empty line", "\nnext\n", "no password", []string{"add", "ben", "--password-stdin"}},
		{"short", "short\n", "8 at least", []string{"add", "ben", "--password-stdin"}},
		{"long", strings.Repeat("x", 73) + "\n", "bcrypt looks at 72", []string{"add", "ben", "--password-stdin"}},
		{"endless", strings.Repeat("x", 1<<20), "bcrypt looks at 72", []string{"add", "ben", "--password-stdin"}},
		{"two ways", "", "password-stdin", []string{"add", "ben", "--generate", "--token"}},
		{"no verb", "", "PREFIX=VERB", []string{"add", "ben", "--generate", "--allow", "home/"}},
		{"unknown verb", "", "no such right", []string{"add", "ben", "--generate", "--allow", "home/=raed"}},
		{"beyond role", "", "it may have backup",
			[]string{"add", "ben", "--generate", "--role", "edge-backup", "--allow", "x/=read"}},
		{"unknown role", "", "unknown role", []string{"add", "ben", "--generate", "--role", "root"}},
		{"bad name", "", "user names", []string{"add", "a:b", "--generate"}},
		{"nobody", "", "no such user", []string{"remove", "anna", "nobody"}},
		{"nobody's password", "", "no such user", []string{"passwd", "nobody", "--generate"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			out, _, err := run(t, tc.stdin, append(append([]string{"user"}, tc.args...), "-f", file)...)
			if err == nil || !strings.Contains(err.Error(), tc.want) || out != "" {
				t.Errorf("got %v, %q\nwant %s", err, out, tc.want)
			}
			if after, _ := os.ReadFile(file); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestPKILife(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	out := must(t, "", "pki", "ca", "--dir", dir, "--home", "villa")
	if strings.Count(out, "\n") != 2 {
		t.Errorf("%q", out)
	}
	_, _, err := run(t, "", "pki", "ca", "--dir", dir)
	if err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second CA over the first: %v", err)
	}
	path := must(t, "", "pki", "leaf", "edge/hallway", "--dir", dir, "--host", "hallway.local")
	path = strings.TrimSpace(path)
	k, err := pki.Open(pki.Files{Identity: path, CA: filepath.Join(dir, "ca.crt")}, nil)
	if err != nil || k.Name().String() != "metronome://villa/edge/hallway" {
		t.Errorf("%v, %v", k, err)
	}
	must(t, "", "pki", "leaf", "edge/hallway", "--dir", dir) // again, in place
	text := must(t, "", "pki", "show", path)
	asJSON := must(t, "", "pki", "show", "--json", path, filepath.Join(dir, "ca.crt"))
	if !strings.Contains(text, "metronome://villa/edge/hallway") || strings.Contains(text+asJSON, "PRIVATE") {
		t.Errorf("%s", text)
	}
	var list []pki.Info
	if err := json.Unmarshal([]byte(asJSON), &list); err != nil || len(list) != 2 || list[0].State != pki.Good {
		t.Errorf("%v, %s", err, asJSON)
	}
	for _, args := range [][]string{{"leaf", "edge", "--dir", dir}, {"leaf", "edge/x"},
		{"show", filepath.Join(dir, "ca.key")},
		{"leaf", "edge/x", "--dir", dir, "--host", "a b"}, {"show", filepath.Join(dir, "none")}} {
		if _, _, err := run(t, "", append([]string{"pki"}, args...)...); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestHalfACAIsNotOverwritten(t *testing.T) {
	dir := t.TempDir()
	must(t, "", "pki", "ca", "--dir", dir)
	for _, lost := range []string{"ca.crt", "ca.key"} {
		b, err := os.ReadFile(filepath.Join(dir, lost))
		if err = errors.Join(err, os.Remove(filepath.Join(dir, lost))); err != nil {
			t.Fatal(err)
		}
		if _, _, err := run(t, "", "pki", "ca", "--dir", dir); err == nil {
			t.Errorf("%s lost, and a new CA was made", lost)
		}
		if err := os.WriteFile(filepath.Join(dir, lost), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	for _, cmd := range append(User().Commands(), CA(), Leaf(), Show()) {
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s has no example", cmd.Name())
		}
	}
}
