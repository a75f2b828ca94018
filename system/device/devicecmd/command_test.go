package devicecmd

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"metronome/system/device/edgetest"
)

// run runs one command line and returns what it printed.
func run(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := Command()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	var out, complaints bytes.Buffer
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&complaints)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	if complaints.Len() > 0 {
		t.Logf("%v: %s", args, complaints.String())
	}
	return out.String(), err
}

func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := run(t, stdin, args...)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out
}

func TestTheWholeStory(t *testing.T) {
	e := edgetest.New("hall")
	e.User, e.Password = "lamp", "secret"
	e.Refuse(func(op *edgetest.Op) int {
		if strings.HasPrefix(op.Name(), "bad") {
			return 403
		}
		return 0
	})
	server := httptest.NewServer(e)
	defer server.Close()
	t.Setenv(passwordEnv, "secret")
	dir := filepath.Join(t.TempDir(), "lamp")
	net := []string{"--dir", dir, "--edge", server.URL, "--client", "lamp"}
	here := []string{"--dir", dir}

	must(t, "", append([]string{"put", "--client", "lamp", "a", "1"}, here...)...)
	must(t, "from stdin", append([]string{"put", "b"}, here...)...)
	must(t, "", append([]string{"put", "bad", "1"}, here...)...)
	must(t, "c,3\nd,\"4,4\"\n", append([]string{"import"}, here...)...)
	must(t, "e 5\nf\t6 6\n", append([]string{"import", "--format", "lines"}, here...)...)
	must(t, "", append([]string{"delete", "c"}, here...)...)
	if got := must(t, "", append([]string{"get", "b"}, here...)...); got != "from stdin" {
		t.Fatalf("get offline: %q", got)
	}
	var s struct {
		Pending     int
		State       string
		DeadLetters int `json:"dead_letters"`
	}
	read := func(out string) {
		t.Helper()
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if read(must(t, "", append([]string{"status"}, here...)...)); s.Pending != 8 {
		t.Fatalf("%+v before the flush", s)
	}
	if read(must(t, "", append([]string{"flush"}, net...)...)); s.Pending != 0 || s.DeadLetters != 1 {
		t.Fatalf("%+v after the flush", s)
	}
	values := e.Backup().Values
	if len(values) != 5 || values["d"].Value != "4,4" || values["f"].Value != "6 6" {
		t.Fatalf("the edge holds %v", values)
	}
	var letter struct{ Number json.Number }
	letters := must(t, "", append([]string{"dead-letters"}, here...)...)
	if err := json.Unmarshal([]byte(letters), &letter); err != nil {
		t.Fatal(err)
	}
	must(t, "", append([]string{"dead-letters", "discard", letter.Number.String()}, here...)...)
	if out := must(t, "", append([]string{"dead-letters"}, here...)...); out != "" {
		t.Fatalf("letters left: %s", out)
	}
	must(t, "", append([]string{"put", "--mark", "edge", "g", "7"}, net...)...)
	if got := must(t, "", append([]string{"get", "g"}, net...)...); got != "7" {
		t.Fatalf("get online: %q", got)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"required", []string{"put", "a", "1"}},
		{"no edge to talk to", []string{"flush", "--dir", dir}},
		{"chmod 600", []string{"flush", "--dir", dir, "--edge", "https://e", "--password-file", secret}},
		{"use local, edge", []string{"put", "--dir", dir, "--mark", "moon", "a", "1"}},
		{"one condition", []string{"put", "--dir", dir, "--if-absent", "--if-exists", "a", "1"}},
		{"the key has 0 bytes", []string{"put", "--dir", dir, "", "1"}},
		{"https://host:port", []string{"flush", "--dir", dir, "--edge", "ftp://e"}},
		{"nothing is known", []string{"get", "--dir", dir, "a"}},
		{"no dead letter", []string{"dead-letters", "retry", "--dir", dir, "1"}},
		{"nothing to adopt", []string{"adopt", "--dir", dir}},
		{"line 1 has no", []string{"import", "--format", "lines", "--dir", dir}},
	} {
		if _, err := run(t, "nonsense\n", c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Example == "" || c.Short == "" {
			t.Errorf("%s has no example or no short help", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(Command())
}
