package hosttest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const script = "../../ansible/host.sh"

// host is a made-up machine: a root file system, and a PATH on which apt-get, dpkg-query, id and
// ansible-playbook only write down how they were called.
type host struct {
	t    *testing.T
	root string
	bin  string
}

// realTools are what the script uses of the machine it really runs on.
var realTools = []string{
	"awk", "bash", "cat", "comm", "dirname", "env", "grep", "mkdir", "mv", "paste", "rm", "sed", "sort",
	"tee",
}

// newHost is a Debian with root, Go and every package, whose kernel settings are high enough.
func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, root: t.TempDir(), bin: t.TempDir()}
	for _, name := range realTools {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(h.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	h.write("etc/os-release", "NAME=x\nID=debian\n")
	for _, name := range []string{"rmem_max", "wmem_max", "bpf_jit_enable"} {
		h.write("proc/sys/net/core/"+name, "999999999\n")
	}
	h.tool("id", "echo 0")
	h.tool("go", "")
	h.tool("dpkg-query", `sed -n 's/^  - \([^ ]*\).*/installed \1/p' ../../ansible/roles/packages/vars/main.yml`)
	h.tool("apt-get", h.logging("apt-get"))
	h.tool("ansible-playbook", h.logging("ansible-playbook"))
	return h
}

func (h *host) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) read(name string) string {
	b, err := os.ReadFile(filepath.Join(h.root, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		h.t.Fatal(err)
	}
	return string(b)
}

// tool puts a command on PATH, written in bash.
func (h *host) tool(name, body string) {
	h.t.Helper()
	text := "#!" + filepath.Join(h.bin, "bash") + "\n" + body + "\n"
	if err := os.WriteFile(filepath.Join(h.bin, name), []byte(text), 0o755); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) logging(name string) string {
	return "echo " + name + ` "$@" >>"$METRONOME_ROOT/called"`
}

func (h *host) remove(tool string) {
	h.t.Helper()
	if err := os.Remove(filepath.Join(h.bin, tool)); err != nil {
		h.t.Fatal(err)
	}
}

// run calls the script and returns what it said, on both streams, and its exit status.
func (h *host) run(verb string, env ...string) (string, int) {
	h.t.Helper()
	cmd := exec.Command("bash", script, verb)
	cmd.Env = append([]string{"PATH=" + h.bin, "METRONOME_ROOT=" + h.root}, env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (h *host) expect(verb string, wantExit int, wantSaid ...string) {
	h.t.Helper()
	said, exit := h.run(verb)
	if exit != wantExit {
		h.t.Errorf("%s: exit status %d, want %d; it said:\n%s", verb, exit, wantExit, said)
	}
	for _, want := range wantSaid {
		if !strings.Contains(said, want) {
			h.t.Errorf("%s: it did not say %q; it said:\n%s", verb, want, said)
		}
	}
}

func (h *host) expectCalls(want ...string) {
	h.t.Helper()
	called := strings.Split(strings.TrimSpace(h.read("called")), "\n")
	if h.read("called") == "" {
		called = nil
	}
	if len(called) != len(want) {
		h.t.Fatalf("called %q, want %q", called, want)
	}
	for i := range want {
		if !strings.Contains(called[i], want[i]) {
			h.t.Errorf("call %d was %q, want one with %q", i, called[i], want[i])
		}
	}
}

func TestNothingMissing(t *testing.T) {
	h := newHost(t)
	if said, exit := h.run("ensure"); said != "" || exit != 0 {
		t.Errorf("ensure: exit status %d, said %q, want silence", exit, said)
	}
	h.expect("plan", 0, "would change nothing")
	h.expectCalls()
}

func TestSetupAlwaysPlays(t *testing.T) {
	h := newHost(t)
	h.expect("setup", 0, "+ env", "setup.yml")
	h.expectCalls("ansible-playbook -i")
}

// TestExtra asks for what only some experiments and tests use.
func TestExtra(t *testing.T) {
	h := newHost(t)
	said, exit := h.run("plan", "EXTRA=yes")
	if exit != 0 || !strings.Contains(said, "missing packages: chromium") {
		t.Errorf("plan: exit status %d, said %q", exit, said)
	}
	if said, exit := h.run("setup", "EXTRA=yes"); exit != 0 {
		t.Errorf("setup: exit status %d, said %q", exit, said)
	}
	h.expectCalls("extra.yml")
}

func TestLowSettingIsMissing(t *testing.T) {
	h := newHost(t)
	h.write("proc/sys/net/core/rmem_max", "212992\n")
	h.expect("plan", 0, "net.core.rmem_max=16777216", "would play")
	h.expectCalls()
	h.expect("ensure", 0)
	h.expectCalls("ansible-playbook -i")
}

func TestSettingThatAContainerHides(t *testing.T) {
	h := newHost(t)
	if err := os.Remove(filepath.Join(h.root, "proc/sys/net/core/rmem_max")); err != nil {
		t.Fatal(err)
	}
	h.expect("plan", 0, "would change nothing")
}

// TestFreshMachine has neither Ansible nor any package, and an apt that installs Ansible.
func TestFreshMachine(t *testing.T) {
	h := newHost(t)
	if err := os.Rename(filepath.Join(h.bin, "ansible-playbook"), filepath.Join(h.bin, "not-yet")); err != nil {
		t.Fatal(err)
	}
	h.tool("dpkg-query", "exit 1")
	h.tool("apt-get", h.logging("apt-get")+`
case "$*" in
*--simulate*) echo "Inst ansible-core (2.14 Debian)
Inst tzdata [1] (2 Debian)
Inst python3 (3.11 Debian)" ;;
install*) mv "$PATH/not-yet" "$PATH/ansible-playbook" ;;
esac`)
	h.expect("ensure", 0, "missing packages: ", "libdpdk-dev", "+ apt-get update", "apt-get install -y", "+ env")
	h.expectCalls("apt-get update", "--simulate", "apt-get install -y", "setup.yml")
	want := `{"kind": "packages", "old": "absent", "new": "ansible-core python3"}` + "\n"
	if got := h.read("var/lib/metronome/host-changes.jsonl"); got != want {
		t.Errorf("host changes: %q, want %q (an upgraded package is not a new one)", got, want)
	}
}

func TestNeitherRootNorSudo(t *testing.T) {
	h := newHost(t)
	h.tool("id", "echo 1000")
	h.tool("dpkg-query", "")
	h.expect("ensure", 0, "neither root nor sudo", "as root, run", "make setup", "libdpdk-dev")
	h.tool("sudo", "exit 1") // there, but it would ask for a password and nobody could answer
	h.expect("ensure", 0, "neither root nor sudo")
	h.expectCalls()
}

func TestSudo(t *testing.T) {
	h := newHost(t)
	h.tool("id", "echo 1000")
	h.tool("sudo", `[[ $1 != -n ]] || exit 0; `+h.logging("sudo"))
	h.expect("setup", 0, "+ sudo env")
	h.expectCalls("sudo env LC_ALL=C.UTF-8")
}

func TestNotDebian(t *testing.T) {
	h := newHost(t)
	h.write("etc/os-release", "ID=fedora\nID_LIKE=debian\n")
	h.remove("dpkg-query")
	h.expect("ensure", 0, "not Debian", "setup:   libdpdk-dev", "SETUP=no")
	h.expectCalls()
}

func TestPlayThatFails(t *testing.T) {
	h := newHost(t)
	h.tool("ansible-playbook", "exit 2")
	h.expect("setup", 1, "ERROR", "SETUP=no")
}

func TestNoGo(t *testing.T) {
	h := newHost(t)
	h.remove("go")
	h.expect("ensure", 1, "Go is not on PATH", "https://go.dev/doc/install")
}

func TestRestore(t *testing.T) {
	const changes = "var/lib/metronome/host-changes.jsonl"
	h := newHost(t)
	h.expect("restore", 0, "nothing to undo")
	h.expectCalls()

	h.write(changes, `{"kind": "packages", "old": "absent", "new": "a b"}
{"kind": "sysctl", "name": "x", "old": "1", "new": "2"}
{"kind": "packages", "old": "absent", "new": "c"}
`)
	h.expect("restore", 0, "left in place: 3 packages", "PACKAGES=remove")
	h.expectCalls("restore.yml")
	if said, exit := h.run("restore", "PACKAGES=remove"); exit != 0 {
		t.Errorf("exit status %d: %s", exit, said)
	}
	h.expectCalls("restore.yml", "restore.yml", "apt-get purge -y a b c")
	if left := h.read(changes); left != "" {
		t.Errorf("host changes are still there: %q", left)
	}
	h.write(changes, "{}\n")
	h.tool("id", "echo 1000")
	h.expect("restore", 1, "needs root", "sudo make restore-host")
}

func TestUsage(t *testing.T) {
	h := newHost(t)
	h.expect("frobnicate", 2, "host.sh setup", "host.sh restore")
}
