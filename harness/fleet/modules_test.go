package fleet

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"metronome/internal/require"
)

// load is what Ansible does for a module: it puts our module_utils among its own.
const load = `import runpy, sys
sys.path.insert(0, "../../ansible/module_utils")
import record
sys.modules["ansible.module_utils.record"] = record
runpy.run_path(sys.argv.pop(1), run_name="__main__")`

// module runs a module of folder ansible, and returns what it says.
func module(t *testing.T, name string, args map[string]any, env ...string) (said struct {
	Changed bool
	Failed  bool
	Msg     string
	Changes []string
}) {
	t.Helper()
	if exec.Command("/usr/bin/python3", "-c", "import ansible").Run() != nil {
		require.Skip(t, "root", errors.New("Ansible is not installed. Next: make setup")) // CI is root and set up
	}
	b, err := json.Marshal(map[string]any{"ANSIBLE_MODULE_ARGS": args})
	must(t, err)
	cmd := exec.Command("/usr/bin/python3", "-c", load, "../../ansible/library/"+name+".py", string(b))
	cmd.Env = append(os.Environ(), append(env, "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1")...)
	out, _ := cmd.CombinedOutput()
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("module %s said:\n%s", name, out)
	}
	return said
}

func files(t *testing.T, dir string, list map[string]string) {
	t.Helper()
	for name, text := range list {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return strings.TrimSpace(string(b))
}

// Values are set once, by what they mean; what they were is written down first, and given back.
func TestKernelValues(t *testing.T) {
	dir := t.TempDir()
	files(t, dir, map[string]string{"cpu0/governor": "powersave\n", "cpu1/governor": "performance\n",
		"thp": "always [madvise] never\n", "irq": "0-3\n", "pages": "0\n"})
	record := filepath.Join(dir, "changes")
	args := map[string]any{"record": record, "values": []map[string]any{
		{"path": dir + "/cpu[0-9]/governor", "value": "performance"},
		{"path": dir + "/thp", "value": "madvise"},
		{"path": dir + "/irq", "value": "0,1,2-3"},
		{"path": dir + "/pages", "value": 1024},
		{"path": dir + "/absent", "value": 1, "optional": true},
	}}
	first := module(t, "kernel_values", args)
	if first.Failed || len(first.Changes) != 2 {
		t.Errorf("%+v; want two changes: one governor, and the pages", first)
	}
	if got := content(t, dir+"/pages"); got != "1024" {
		t.Errorf("pages are %s, want 1024", got)
	}
	if again := module(t, "kernel_values", args); again.Changed || again.Failed {
		t.Errorf("the second time: %+v; want no change", again)
	}
	files(t, dir, map[string]string{"cpu0/governor": "schedutil\n"}) // by somebody else, since
	back := module(t, "kernel_values", map[string]any{"record": record, "state": "restored"})
	if back.Failed || len(back.Changes) != 1 || content(t, dir+"/pages") != "0" {
		t.Errorf("restored %+v; want the pages and nothing else", back)
	}
	if got := content(t, dir+"/cpu0/governor"); got != "schedutil" {
		t.Errorf("the governor that somebody else set became %s", got)
	}
	if exists(record) {
		t.Error("the record is still there")
	}
}

func TestKernelValueThatDoesNotExist(t *testing.T) {
	said := module(t, "kernel_values", map[string]any{"record": t.TempDir() + "/changes",
		"values": []map[string]any{{"path": "/proc/nothing", "value": 1}}})
	if !said.Failed || !strings.Contains(said.Msg, "/proc/nothing: this kernel has no such file") {
		t.Errorf("%+v; want it to name the file", said)
	}
}

// rack is a made-up machine: eth0 for management, exp0 for experiments, bond0 over a third,
// and a virtual machine's, whose names are one device below its PCI device.
func rack(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	pci := "sys/bus/pci/devices/0000:0"
	files(t, root, map[string]string{
		pci + "1:00.0/driver_override": "", pci + "1:00.0/net/eth0/x": "",
		pci + "2:00.0/driver_override": "", pci + "2:00.0/net/exp0/x": "",
		pci + "3:00.0/driver_override": "", pci + "3:00.0/net/eth2/x": "",
		pci + "5:00.0/driver_override": "", pci + "5:00.0/virtio1/net/ens5/x": "",
		"sys/class/net/eth2/upper_bond0/x": "", "sys/class/net/bond0/upper_vlan7/x": "",
		"sys/class/iommu/dmar0/x":             "",
		"sys/bus/pci/drivers/vfio-pci/unbind": "", "sys/bus/pci/drivers/ixgbe/unbind": "",
		"sys/bus/pci/drivers_probe": "",
		"ip-route.json":             `[{"dst":"default","dev":"eth0"}]`,
		"ip-addr.json": `[{"ifname":"eth0","addr_info":[{"local":"192.0.2.1"}]},
			{"ifname":"exp0","addr_info":[{"local":"198.51.100.1"}]},
			{"ifname":"ens5","addr_info":[{"local":"192.0.2.5"}]},
			{"ifname":"vlan7","addr_info":[{"local":"203.0.113.1"}]}]`,
	})
	must(t, os.Symlink("../../drivers/ixgbe", filepath.Join(root, pci+"2:00.0", "driver")))
	return root
}

// The NIC that a machine is managed by is never taken away, however it is known.
func TestNeverTheManagementNIC(t *testing.T) {
	root := rack(t)
	for _, c := range []struct {
		name, pci string
		given     []string
		env       string
		want      string
	}{
		{"the default route", "0000:01:00.0", nil, "", "0000:01:00.0 is eth0, which has the default route"},
		{"an address given, on a VLAN of a bond", "0000:03:00.0", []string{"203.0.113.1"}, "",
			"is vlan7, with 203.0.113.1"},
		{"where SSH came in", "0000:02:00.0", nil, "SSH_CONNECTION=192.0.2.9 50000 198.51.100.1 22",
			"is exp0, with 198.51.100.1"},
		{"a virtual machine's NIC", "0000:05:00.0", []string{"192.0.2.5"}, "", "is ens5, with 192.0.2.5"},
		{"no such device", "0000:04:00.0", nil, "", "no PCI device"},
		{"no PCI address", "exp0", nil, "", "lspci -D"},
	} {
		t.Run(c.name, func(t *testing.T) {
			record := filepath.Join(t.TempDir(), "changes")
			said := module(t, "nic_driver", map[string]any{"pci": c.pci, "management": c.given, "record": record,
				"root": root}, c.env)
			if !said.Failed || !strings.Contains(said.Msg, c.want) {
				t.Errorf("%+v; want a refusal that says %q", said, c.want)
			}
			if exists(record) {
				t.Error("a change was recorded")
			}
		})
	}
}

// The experiment's NIC goes to its driver, which is written down before, and comes back.
func TestExperimentNIC(t *testing.T) {
	root := rack(t)
	record := filepath.Join(root, "changes")
	device := filepath.Join(root, "sys/bus/pci/devices/0000:02:00.0")
	args := map[string]any{"pci": "0000:02:00.0", "management": []string{"192.0.2.1"}, "record": record,
		"root": root}
	said := module(t, "nic_driver", args)
	if said.Failed || !said.Changed {
		t.Fatalf("%+v; want it bound", said)
	}
	if got := content(t, device+"/driver_override"); got != "vfio-pci" {
		t.Errorf("driver_override is %q", got)
	}
	if got := content(t, root+"/sys/bus/pci/drivers/ixgbe/unbind"); got != "0000:02:00.0" {
		t.Errorf("the old driver was told to let go of %q", got)
	}
	if got := content(t, record); !strings.Contains(got, `"old": "ixgbe", "new": "vfio-pci"`) {
		t.Errorf("recorded %s", got)
	}
	must(t, os.Remove(device+"/driver"))
	must(t, os.Symlink("../../drivers/vfio-pci", device+"/driver")) // as the kernel would
	if again := module(t, "nic_driver", args); again.Changed || again.Failed {
		t.Errorf("the second time: %+v; want no change", again)
	}
	back := module(t, "nic_driver", map[string]any{"record": record, "root": root, "state": "restored"})
	if !back.Changed || content(t, device+"/driver_override") != "" || exists(record) {
		t.Errorf("restored %+v, driver_override %q, record there: %v", back, content(t, device+"/driver_override"),
			exists(record))
	}
}

// The units are judged by systemd, which need not run for that. The program is not installed here.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		require.Skip(t, "root", err)
	}
	units, err := filepath.Glob("../../ansible/roles/deploy/files/*.service")
	must(t, err)
	if len(units) != 2 {
		t.Fatalf("units %v, want the replica's and the proxy's", units)
	}
	for _, u := range units {
		text := regexp.MustCompile(`(?m)^ExecStart=\S+`).ReplaceAllString(content(t, u), "ExecStart=/bin/true")
		path := filepath.Join(t.TempDir(), filepath.Base(u))
		must(t, os.WriteFile(path, []byte(text+"\n"), 0o644))
		out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", filepath.Base(u), err, out)
		}
		// 0 is a unit that can do nothing, 10 one that can do everything.
		security := exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true",
			"--threshold=40", path)
		if out, err := security.CombinedOutput(); err != nil {
			t.Errorf("%s is too open: %v\n%s", filepath.Base(u), err, out)
		}
	}
}

// The example of a rack is an inventory that is judged good, as far as that goes without its hosts.
func TestServersExample(t *testing.T) {
	need(t)
	before := snapshot(t)
	o := options("example")
	o.Inventory = "../../ansible/inventory/servers.example.yml"
	o.SkipMachines = false
	l, err := takeLock(lockPath(o.Name), "fleet "+o.Name)
	must(t, err)
	f := &Fleet{lock: l}
	complete, err := o.complete()
	must(t, err)
	must(t, f.begin(t.Context(), &complete))
	must(t, f.writeVars(&complete))
	if _, err := f.play(testContext(t), "cluster.yml", "--tags", "inventory"); err != nil {
		t.Error(err)
	}
	file := content(t, filepath.Join(f.state.Dir, "build", "cluster.yaml"))
	for _, want := range []string{"name: rack", "198.51.100.13:7701", "lanes: 4", "integrity: mac",
		"interface: exp0"} {
		if !strings.Contains(file, want) {
			t.Errorf("the cluster file lacks %q:\n%s", want, file)
		}
	}
	must(t, f.forget())
	l.release()
	clean(t, before)
}
