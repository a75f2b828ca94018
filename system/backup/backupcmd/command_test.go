package backupcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"metronome/system/backup/backuptest"
	"metronome/system/cluster"
	"metronome/system/disk"
	"metronome/system/disk/fault"
	"metronome/system/wire"
)

// operator has a cluster, a snapshot of it, and a place for backups.
type operator struct {
	*testing.T
	config, place string
	snapshot      []byte
	asked         []wire.Peer
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	o := &operator{T: t, place: filepath.Join(t.TempDir(), "backups"), config: newCluster(t)}
	c := backuptest.Start(t, fault.New(1), 7, 1, 1)
	defer c.Close()
	c.Found()
	c.Put("greeting", "hello")
	o.snapshot = c.NextSnapshot()
	return o
}

// newCluster is the file of a cluster of three.
func newCluster(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := cluster.Dev(dir, cluster.DevOptions{}); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, cluster.FileName)
}

func (o *operator) source(_ context.Context, _ *cluster.Config, from wire.Peer) (io.ReadCloser, error) {
	o.asked = append(o.asked, from)
	if o.snapshot == nil {
		return nil, errors.New("is it running?")
	}
	return io.NopCloser(bytes.NewReader(o.snapshot)), nil
}

// run runs a command as main would.
func (o *operator) run(args ...string) (out string, err error) {
	o.Helper()
	backup := backupCommand(o.source)
	backup.AddCommand(listCommand(), verifyCommand(), pruneCommand())
	root := &cobra.Command{Use: "metronome", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(backup, Restore())
	var b, progress bytes.Buffer
	root.SetOut(&b)
	root.SetErr(&progress)
	root.SetArgs(args)
	err = root.ExecuteContext(o.Context())
	return b.String(), err
}

func (o *operator) must(args ...string) string {
	o.Helper()
	out, err := o.run(args...)
	if err != nil {
		o.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// says runs a command that has to fail, with these words.
func (o *operator) says(want string, args ...string) {
	o.Helper()
	if out, err := o.run(args...); err == nil || !strings.Contains(err.Error(), want) {
		o.Errorf("%v: %v, not %q\n%s", args, err, want, out)
	}
}

func (o *operator) json(v any, args ...string) {
	o.Helper()
	if err := json.Unmarshal([]byte(o.must(append(args, "--json")...)), v); err != nil {
		o.Fatalf("%v: %v", args, err)
	}
}

func TestABackupsLifeOnTheCommandLine(t *testing.T) {
	o := newOperator(t)
	var first made
	o.json(&first, "backup", "-c", o.config, "--to", o.place, "--replica", "replica-2")
	if first.Keys != 2 || first.Chunks == 0 || first.Reused != 0 || first.Cluster != "dev" ||
		first.To != o.place ||
		first.Tag != "00000007" || first.Replica != "replica-2" || o.asked[0] != wire.ReplicaPeer(2) {
		t.Errorf("%+v, asked %v", first, o.asked)
	}
	text := o.must("backup", "-c", o.config, "--to", o.place)
	id := regexp.MustCompile(`backup (\S+): 2 keys at index \d+, position \d+, epoch 1\n` +
		`\S+ kB in 2 chunks, 0 of them new`)
	if !id.MatchString(text) {
		t.Errorf("%s", text)
	}
	var all []entry
	o.json(&all, "backup", "list", "--from", o.place)
	if len(all) != 2 || all[0] != first.entry && all[1] != first.entry {
		t.Errorf("%+v, made was %+v", all, first.entry)
	}
	if text := o.must("backup", "list", "--from", o.place); !strings.Contains(text, first.ID) ||
		!strings.Contains(text, "dev") {
		t.Errorf("%s", text)
	}
	if text := o.must("backup", "verify", "--from", o.place, first.ID); !strings.Contains(text,
		first.ID+": good") {
		t.Errorf("%s", text)
	}
	var checked []verified
	o.json(&checked, "backup", "verify", "--from", o.place, "--all", "--sums")
	if len(checked) != 2 || checked[0].Error != "" || checked[0].Decoded {
		t.Errorf("%+v", checked)
	}
	if text := o.must("backup", "prune", "--from", o.place, "--keep", "1", "--dry-run"); !strings.Contains(text,
		"a dry run") {
		t.Errorf("%s", text)
	}
	var pruned struct{ Kept, Removed []string }
	o.json(&pruned, "backup", "prune", "--from", o.place, "--keep", "1")
	if len(pruned.Kept) != 1 || len(pruned.Removed) != 1 {
		t.Errorf("%+v", pruned)
	}
}

func TestRestoreOnTheCommandLine(t *testing.T) {
	o := newOperator(t)
	o.must("backup", "-c", o.config, "--to", o.place)
	text := o.must("restore", "--from", o.place, "-c", o.config)
	if !strings.Contains(text, "2 keys") || !strings.Contains(text, "epoch 2") || strings.Count(text,
		"written: ") != 3 || !strings.Contains(text, "Next: ") {
		t.Errorf("%s", text)
	}
	c, err := cluster.Load(o.config)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Replicas {
		for _, pattern := range []string{"snapshot-*", "journal/*"} {
			if found, _ := filepath.Glob(filepath.Join(c.DataDir(&c.Replicas[i]), pattern)); len(found) == 0 {
				t.Errorf("%s has no %s", c.Replicas[i].Name, pattern)
			}
		}
	}
	o.says("not empty", "restore", "--from", o.place, "-c", o.config)
	var again struct {
		Files []string `json:"files"`
		Aside []string `json:"set_aside"`
	}
	o.json(&again, "restore", "--from", o.place, "-c", o.config, "--set-aside")
	if len(again.Files) != 3 || len(again.Aside) != 3 {
		t.Errorf("%+v", again)
	}
	// One at a time, elsewhere.
	other := newCluster(t)
	o.says("--id", "restore", "--from", o.place, "-c", other, "--replica", "replica-1")
	var all []entry
	o.json(&all, "backup", "list", "--from", o.place)
	o.says("replica-0, replica-1, replica-2", "restore", "--from", o.place, "-c", other, "--id", all[0].ID,
		"--replica", "replica-9")
	o.json(&again, "restore", "--from", o.place, "-c", other, "--id", all[0].ID, "--replica", "replica-1")
	if len(again.Files) != 1 || !strings.Contains(again.Files[0], "replica-1") {
		t.Errorf("%+v", again)
	}
	o.says("is no backup's id", "restore", "--from", o.place, "-c", other, "--id", "../x", "--replica",
		"replica-0")
}

func TestDamageOnTheCommandLine(t *testing.T) {
	o := newOperator(t)
	o.must("backup", "-c", o.config, "--to", o.place)
	chunks, err := filepath.Glob(filepath.Join(o.place, "chunks", "*"))
	if err != nil || len(chunks) == 0 {
		t.Fatal(chunks, err)
	}
	if err := os.WriteFile(chunks[0], []byte("rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--sums", "--json"} {
		out, err := o.run("backup", "verify", "--from", o.place, flag)
		if err == nil || !strings.Contains(err.Error(), "--full") || !strings.Contains(out,
			filepath.Base(chunks[0])) {
			t.Errorf("%s: %v\n%s", flag, err, out)
		}
	}
	o.says("damaged", "restore", "--from", o.place, "-c", o.config)
	manifests, err := filepath.Glob(filepath.Join(o.place, "backups", "*"))
	if err != nil || len(manifests) != 1 {
		t.Fatal(manifests, err)
	}
	if err := os.Truncate(manifests[0], 10); err != nil {
		t.Fatal(err)
	}
	var all []entry
	if o.json(&all, "backup", "list", "--from", o.place); len(all) != 1 || !strings.Contains(all[0].Error,
		"damaged") {
		t.Errorf("%+v", all)
	}
	if text := o.must("backup", "list", "--from", o.place); !strings.Contains(text, "damaged") {
		t.Errorf("%s", text)
	}
	o.says("nothing is pruned", "backup", "prune", "--from", o.place, "--keep", "1")
	var m made
	o.json(&m, "backup", "-c", o.config, "--to", o.place, "--full")
	if m.Reused != 0 {
		t.Errorf("%+v", m)
	}
	o.must("backup", "verify", "--from", o.place)
}

func TestRefusals(t *testing.T) {
	o := newOperator(t)
	o.says("no cluster file", "backup", "-c", "nowhere.yaml", "--to", o.place)
	o.says(`required flag(s) "to"`, "backup", "-c", o.config)
	o.says("holds no backups", "backup", "list", "--from", o.place)
	o.says("s3://bucket/prefix", "backup", "list", "--from", "s3://X")
	o.says("keep", "backup", "prune", "--from", o.place)
	o.says("not found", "backup", "verify", "--from", emptyPlace(t))
	o.snapshot = nil
	o.says("is it running", "backup", "-c", o.config, "--to", o.place)
	memory := t.TempDir()
	if _, err := cluster.Dev(memory,
		cluster.DevOptions{Change: func(c *cluster.Config) { c.Durability = "memory" }}); err != nil {
		t.Fatal(err)
	}
	o.says("durability memory", "restore", "--from", emptyPlace(t), "-c", filepath.Join(memory,
		cluster.FileName))
}

// emptyPlace is a place without backups.
func emptyPlace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := disk.OS().MkdirAll(filepath.Join(dir, "backups")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestNoFlagTakesASecret: what is on a command line is seen by every user of the machine.
func TestNoFlagTakesASecret(t *testing.T) {
	for _, cmd := range append(Backup().Commands(), Backup(), Restore()) {
		for _, name := range []string{"s3-key", "s3-secret", "access-key", "secret-key", "password"} {
			if cmd.Flags().Lookup(name) != nil {
				t.Errorf("%s has --%s", cmd.Name(), name)
			}
		}
		if cmd.Example == "" || cmd.Short == "" || cmd.Flags().Lookup("json") == nil {
			t.Errorf("%s has no example, or no --json", cmd.Name())
		}
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_550_000: "1.6 MB",
		4_000_000_000: "4.0 GB", 1 << 60: "1152.9 PB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
