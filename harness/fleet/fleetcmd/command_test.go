package fleetcmd

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run runs the command as a program would.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := Command()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// What cannot be done is refused before anything is made, with what to do.
func TestRefusals(t *testing.T) {
	top := t.TempDir()
	t.Chdir(top)
	for _, file := range []string{"ansible/cluster.yml", "bin/metronome"} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args string
		want string
	}{
		{"up --name Lab", `fleet "Lab": use 1 to 24`},
		{"up --replicas 4", "4 replicas: use an odd number"},
		{"up --proxies -1", "-1 proxies"},
		{"up --clients 1000", "1000 clients"},
		{"up --binary nothing", "make build"},
		{"up --inventory rack.yml", "servers.example.yml"},
		{"status --name none-such", "no cluster none-such is up"},
		{"down --name none-such", "cluster up --name none-such"},
		{"down --inventory path/to/none-such.yml", "no cluster none-such is up"},
		{"collect --name none-such", "no cluster none-such is up"},
		{"up surplus", "unknown command"},
	} {
		if _, err := run(t, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("cluster %s: error %v, want one that says %q", c.args, err, c.want)
		}
	}
}
