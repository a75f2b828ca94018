package fleet

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sys/unix"
)

// long has tests go through every phase and every mistake one by one.
var long = flag.Bool("fleet.long", false, "every phase and every mistake, each by itself (minutes)")

// A whole cluster from nothing, used, played again without a change, and gone without a trace.
func TestClusterFromNothingToNothing(t *testing.T) {
	need(t)
	before := snapshot(t)
	ctx := testContext(t)
	o := options("whole")
	o.Replicas, o.Clients, o.Keep, o.SkipMachines, o.Vars = 3, 1, true, false, nil
	f, first, err := Up(ctx, o)
	must(t, err)
	t.Logf("from nothing: %.1f s, %d tasks", first.Elapsed.Seconds(), len(first.Tasks))
	readAndWrite(t, f)
	snooping(t, f)
	supervised(t, f)
	voters(t, f)

	_, again, err := Up(ctx, o)
	must(t, err)
	t.Logf("second run: %.1f s", again.Elapsed.Seconds())
	if len(again.Changed) > 0 {
		t.Errorf("the second run changed %v, want nothing", again.Changed)
	}

	if *long {
		o.SkipMachines = true
		resetting(t, f, o)
		readAndWrite(t, f)
	}

	logs := t.TempDir()
	must(t, f.Collect(ctx, logs))
	for _, n := range f.Nodes() {
		if b, _ := os.ReadFile(filepath.Join(logs, n.Name, n.Name+".log")); n.Role != "client" && len(b) == 0 {
			t.Errorf("no log of %s was collected", n.Name)
		}
	}

	begin := time.Now()
	must(t, f.Down(ctx))
	t.Logf("taken down: %.1f s", time.Since(begin).Seconds())
	clean(t, before)
	if _, err := Open("whole"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is gone, but to open it says %v", err)
	}
}

// resetting gives a fleet other settings, for which each of its nodes is started again.
func resetting(t *testing.T, f *Fleet, o Options) {
	t.Helper()
	was := pids(t, f)
	o.Cluster = map[string]any{"port": map[string]any{"burst": 32}}
	_, _, err := Up(testContext(t), o)
	must(t, err)
	for node, pid := range pids(t, f) {
		if pid == was[node] {
			t.Errorf("%s was not restarted for its new settings", node)
		}
	}
}

// readAndWrite is a client of the proxy's, from a client's namespace.
func readAndWrite(t *testing.T, f *Fleet) {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: f.Proxies()[0].Resp, Protocol: 2, DisableIdentity: true,
		MaxRetries: 20, MaxRetryBackoff: 500 * time.Millisecond,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return f.Dial(ctx, "client-1", network, addr)
		}})
	defer c.Close()
	ctx := testContext(t)
	must(t, c.Set(ctx, "greeting", "hello", 0).Err())
	got, err := c.Get(ctx, "greeting").Result()
	if err != nil || got != "hello" {
		t.Errorf("read %q, %v; want what was written", got, err)
	}
}

// snooping shows that the bridge knows who wants frames: the replicas, nobody else.
func snooping(t *testing.T, f *Fleet) {
	t.Helper()
	out, err := exec.Command("ip", "netns", "exec", namespace(f.Name(), "net"), "bridge", "mdb", "show").Output()
	must(t, err)
	var members []string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); slices.Contains(fields, "239.77.0.1") {
			members = append(members, fields[3])
		}
	}
	slices.Sort(members)
	if want := []string{"replica-0", "replica-1", "replica-2"}; !slices.Equal(members, want) {
		t.Errorf("the group's members are %v, want %v; the bridge says:\n%s", members, want, out)
	}
}

// supervised kills a replica, which is started again and votes again.
func supervised(t *testing.T, f *Fleet) {
	t.Helper()
	n, err := f.Node("replica-2")
	must(t, err)
	was, err := n.PID()
	must(t, err)
	must(t, unix.Kill(was, unix.SIGKILL))
	for ctx := testContext(t); ; time.Sleep(killPoll) {
		if pid, err := n.PID(); err == nil && pid != was && ready(ctx, f, n) {
			return
		}
		if ctx.Err() != nil {
			log, _ := os.ReadFile(filepath.Join(n.Home, n.Name+".log"))
			t.Fatalf("%s did not come back; its log ends so:\n%s", n.Name, log[max(0, len(log)-2000):])
		}
	}
}

// ready asks a node whether it serves.
func ready(ctx context.Context, f *Fleet, n Node) bool {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return f.Dial(ctx, n.Name, network, addr)
		}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Ops+"/readyz", nil)
	if err != nil {
		return false
	}
	answer, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// pids is the process of each node that has one.
func pids(t *testing.T, f *Fleet) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, n := range f.Nodes() {
		if n.Role != "client" {
			pid, err := n.PID()
			must(t, err)
			all[n.Name] = pid
		}
	}
	return all
}

// voters asks for the status as an operator does.
func voters(t *testing.T, f *Fleet) {
	t.Helper()
	held, err := Open(f.Name())
	must(t, err)
	defer held.Release()
	all, err := held.Status(testContext(t))
	must(t, err)
	for _, r := range all {
		if len(r.Status.Voters) != 3 {
			t.Errorf("%s says that %v vote, want three", r.Host, r.Status.Voters)
		}
	}
	if len(all) != 3 {
		t.Errorf("%d replicas said how they are, want 3", len(all))
	}
}

// Killed in any phase, a fleet is removed by whoever comes next: while nodes are looked at, so that connections
// stay open behind it, and while it starts processes that are to stay. The flag fleet.long adds the others.
func TestKilledInEveryPhase(t *testing.T) {
	need(t)
	phases := map[string]int{"preflight : Reach the node": 1, "run : Start it under runit": 1}
	if *long {
		maps.Copy(phases, map[string]int{"preflight : Count the replicas": 1, "deploy : Unpack": 1,
			"pki : Unpack": 1, "up": 3})
	}
	for at, replicas := range phases {
		t.Run(at, func(t *testing.T) {
			before := snapshot(t)
			kill(t, at, replicas)
			swept, err := Sweep()
			must(t, err)
			if !slices.Equal(swept, []string{"victim"}) {
				t.Errorf("swept %v, want the victim", swept)
			}
			clean(t, before)
		})
	}
}

// A fleet whose process died when it was up, or being taken down, goes the rest of the way, with what runs in it.
func TestKilledLater(t *testing.T) {
	need(t)
	for _, c := range []struct {
		name  string
		phase Phase
		keep  bool
		gone  string // a namespace that has been removed already
	}{{"up", Ready, false, ""}, {"going", Going, true, "proxy-1"}} {
		t.Run(c.name, func(t *testing.T) {
			before := snapshot(t)
			f := standing(t, options(c.name))
			f.state.Phase, f.state.Keep = c.phase, c.keep
			must(t, f.state.save())
			inside := exec.Command("ip", "netns", "exec", namespace(c.name, "replica-0"), "sleep", "1000")
			must(t, inside.Start())
			must(t, waitFor(testContext(t), func() bool { return len(f.state.processes()) > 0 }))
			if c.gone != "" {
				must(t, exec.Command("ip", "netns", "delete", namespace(c.name, c.gone)).Run())
			}
			f.lock.release()
			_, err := Sweep()
			must(t, err)
			_ = inside.Wait() // it was killed
			clean(t, before)
		})
	}
}

// waitFor waits until something has happened.
func waitFor(ctx context.Context, happened func() bool) error {
	for ; !happened(); time.Sleep(killPoll) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// standing is a fleet without a cluster: namespaces, keys, an inventory.
func standing(t *testing.T, o Options) *Fleet {
	t.Helper()
	o, err := o.complete()
	must(t, err)
	l, err := takeLock(lockPath(o.Name), "fleet "+o.Name)
	must(t, err)
	f := &Fleet{lock: l}
	t.Cleanup(func() {
		if exists(statePath(o.Name)) {
			must(t, f.Down(context.Background()))
		}
	})
	must(t, f.begin(testContext(t), &o))
	return f
}

// Interrupted as by Ctrl-C, it cleans up by itself and says where it was.
func TestInterrupted(t *testing.T) {
	need(t)
	before := snapshot(t)
	ctx, interrupt := context.WithCancelCause(testContext(t))
	o := options("interrupted")
	o.Progress = func(task string) {
		if strings.HasPrefix(task, "preflight : Reach") {
			interrupt(errors.New("somebody pressed Ctrl-C"))
		}
	}
	_, _, err := Up(ctx, o)
	wantError(t, err, `interrupted in task "preflight : Reach`, "somebody pressed Ctrl-C")
	clean(t, before)
}

func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Fatalf("error %v, want one that says %q", err, text)
		}
	}
}

// What fails names the host and the task, says what to do, and leaves nothing.
func TestBadInput(t *testing.T) {
	need(t)
	ours := fmt.Sprint(os.Getpid())
	for _, c := range []struct {
		name  string
		set   func(*Options)
		spoil func(t *testing.T, f *Fleet) // after the namespaces are made
		want  []string
	}{
		{"one replica", func(o *Options) { o.Vars = nil }, nil,
			[]string{"replicas has 1 hosts", `task "preflight : Count the replicas"`, "at least 3"}},
		{"two replicas", func(o *Options) { o.Replicas = 2 }, nil, []string{"2 replicas", "odd number"}},
		{"no program", func(o *Options) { o.Binary = "nothing" }, nil, []string{"no such file", "make build"}},
		{"a section that does not exist", func(o *Options) { o.Cluster = map[string]any{"intergity": "mac"} }, nil,
			[]string{`task "pki : Let the program judge`, "intergity", "integrity"}},
		{"a section that the machine cannot keep", func(o *Options) {
			o.Cluster = map[string]any{"multicast": map[string]any{"interface": "nic7"}}
			o.Vars["run_poll_s"], o.Vars["run_patience"] = 0.05, 5
		}, nil, []string{"host ", `task "run : `, "The log of ", "nic7"}},
		{"no Python", nil, func(t *testing.T, f *Fleet) {
			edit(t, f, "proxy-1", "ansible_python_interpreter: /nowhere/python3")
		}, []string{"host proxy-1 ", `task "preflight : Stop without Python"`, "/nowhere/python3",
			"apt-get install python3"}},
		{"a clock that is off", func(o *Options) { o.Vars["metronome_max_clock_skew_s"] = -1 }, nil,
			[]string{"host ", `task "preflight : Compare the clocks"`, "chrony"}},
		{"a wrong key, and a host that is not there", nil, func(t *testing.T, f *Fleet) {
			edit(t, f, "replica-0", "ansible_ssh_private_key_file: "+filepath.Join(f.state.sshDir(), "host"))
			must(t, exec.CommandContext(t.Context(), "ip", "netns", "delete", namespace(f.Name(), "proxy-1")).Run())
		}, []string{"host replica-0 is unreachable", "host proxy-1 is unreachable", `task "preflight : Reach`,
			"Permission denied", "ansible_ssh_private_key_file"}},
		{"two runs at once", nil, func(t *testing.T, _ *Fleet) {
			other, err := machineLock()
			must(t, err)
			t.Cleanup(other.release)
		}, []string{"in use by process " + ours}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := snapshot(t)
			o := options("bad")
			if c.set != nil {
				c.set(&o)
			}
			err := tryUp(t, o, c.spoil)
			wantError(t, err, c.want...)
			if c.name == "two runs at once" && !errors.Is(err, ErrBusy) {
				t.Errorf("%v is not ErrBusy", err)
			}
			if c.name != "two runs at once" {
				clean(t, before)
			}
		})
	}
}

// edit gives a host of a fleet's inventory one more variable.
func edit(t *testing.T, f *Fleet, host, variable string) {
	t.Helper()
	b, err := os.ReadFile(f.state.Inventory)
	must(t, err)
	at := regexp.MustCompile("(?m)^( *)metronome_namespace: " + namespace(f.Name(), host) + "$")
	must(t, os.WriteFile(f.state.Inventory, at.ReplaceAll(b, []byte("${0}\n${1}"+variable)), 0o600))
}

// tryUp is Up, with something spoilt on the way; then the error tells all that failed.
func tryUp(t *testing.T, o Options, spoil func(*testing.T, *Fleet)) error {
	t.Helper()
	if spoil == nil {
		_, _, err := Up(testContext(t), o)
		return err
	}
	f := standing(t, o)
	spoil(t, f)
	complete, err := o.complete()
	must(t, err)
	r, err := f.provision(testContext(t), &complete)
	for i := 1; r != nil && i < len(r.Failures); i++ {
		err = errors.Join(err, &r.Failures[i])
	}
	must(t, f.Down(testContext(t)))
	return err
}

// A fleet that somebody holds is left alone, by those who want to use it and by those who clean up.
func TestHeldByAnother(t *testing.T) {
	need(t)
	f := standing(t, options("held"))
	_, _, err := Up(testContext(t), options("held"))
	wantError(t, err, fmt.Sprintf("fleet held is in use by process %d", os.Getpid()), "Next: ")
	if swept, err := Sweep(); len(swept) > 0 || err != nil {
		t.Errorf("swept %v, %v; want nothing", swept, err)
	}
	if _, err := Open("held"); !errors.Is(err, ErrBusy) {
		t.Errorf("opened what is held: %v", err)
	}
	must(t, f.Down(testContext(t)))
}

// Another inventory is reached, provisioned, given other settings and taken down by playbooks alone, as a rack
// is. Here its hosts are namespaces, for want of a rack; and runit supervises, for want of systemd.
func TestInventoryFile(t *testing.T) {
	need(t)
	before := snapshot(t)
	rack := standing(t, options("rack"))
	o := options("driven")
	o.Inventory, o.Keep = rack.state.Inventory, true
	ctx := testContext(t)
	f, _, err := Up(ctx, o)
	must(t, err)
	resetting(t, rack, o)
	all, err := f.Status(ctx)
	if err != nil || len(all) != 1 || len(all[0].Status.Voters) != 1 {
		t.Errorf("status %v, %v; want a replica that votes", all, err)
	}
	if n, err := rack.Node("replica-0"); err != nil || !exists(filepath.Join(n.Home, "cluster.yaml")) {
		t.Errorf("nothing was put at %s: %v", n.Home, err)
	}
	must(t, f.Down(ctx))
	if err := waitFor(ctx, func() bool { return len(rack.state.processes()) == 0 }); err != nil {
		t.Fatalf("processes %v are left in the rack: %v", rack.state.processes(), err)
	}
	if n, _ := rack.Node("replica-0"); exists(n.Home) {
		t.Errorf("%s is left in the rack", n.Home)
	}
	must(t, rack.Down(ctx))
	clean(t, before)
}

func TestInventoryThatNamesNobody(t *testing.T) {
	need(t)
	before := snapshot(t)
	for text, want := range map[string]string{
		"all: {hosts: {somewhere: {}}}\n": "names nobody",
		"all: [\n":                        "Ansible said",
	} {
		o := options("nobody")
		o.Inventory = filepath.Join(t.TempDir(), "inventory.yml")
		must(t, os.WriteFile(o.Inventory, []byte(text), 0o600))
		_, _, err := Up(testContext(t), o)
		wantError(t, err, want)
		f, err := Open("nobody")
		must(t, err)
		must(t, f.forget())
		f.Release()
	}
	clean(t, before)
}
