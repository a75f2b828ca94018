package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"metronome/system/daemon"
)

// Fleet is a cluster that is up, held by this process. Its methods are for one goroutine at a time,
// but Dial, which is for any.
type Fleet struct {
	state    *state
	lock     *lock
	progress func(string)
}

// Up brings a fleet up, or makes one that is up what the options say: then nothing changes if it is
// that already. What it began is taken down again if it fails or ctx ends. Fleets of killed
// processes are removed first. The error tells the host and the task; errors.Is(err, ErrBusy) if
// another process is at it.
func Up(ctx context.Context, o Options) (*Fleet, *Result, error) {
	o, err := o.complete()
	if err != nil {
		return nil, nil, err
	}
	if _, err := Sweep(); err != nil {
		return nil, nil, err
	}
	l, err := takeLock(lockPath(o.Name), "fleet "+o.Name)
	if err != nil {
		return nil, nil, err
	}
	f := &Fleet{lock: l, progress: o.Progress}
	r, err := f.up(ctx, &o)
	if err != nil {
		f.lock.release()
		return nil, r, err
	}
	if o.Keep {
		f.lock.release()
	}
	return f, r, nil
}

func (f *Fleet) up(ctx context.Context, o *Options) (*Result, error) {
	was, err := f.find(o)
	if err != nil {
		return nil, err
	}
	if !was {
		if err := f.begin(ctx, o); err != nil {
			return nil, errors.Join(err, f.remove())
		}
	}
	r, err := f.provision(ctx, o)
	if err == nil {
		f.state.Phase, f.state.Keep = Ready, o.Keep
		err = f.state.save()
	}
	if err != nil && !was {
		err = errors.Join(f.explain(err), f.remove())
	}
	return r, err
}

// explain adds what the log of the node to blame says at its end: it is about to be removed.
func (f *Fleet) explain(err error) error {
	var why *Failure
	if !errors.As(err, &why) {
		return err
	}
	n, unknown := f.Node(why.Host)
	log, missing := os.ReadFile(filepath.Join(n.Home, n.Name+".log"))
	if unknown != nil || missing != nil || len(log) == 0 {
		return err
	}
	return fmt.Errorf("%w\nThe log of %s ends so:\n%s", err, n.Name, log[max(0, len(log)-tailBytes):])
}

// find looks for the fleet as it is. One that is not as wanted is an error, remains are none:
// [Sweep] has removed them.
func (f *Fleet) find(o *Options) (found bool, err error) {
	s, err := loadState(o.Name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	f.state = s
	if !s.Local && o.Inventory == s.Inventory {
		return true, nil
	}
	if s.Local != (o.Inventory == Local) || !slices.Equal(s.Nodes, plan(o, s.Dir)) {
		return false, fmt.Errorf("fleet %s is up, and is another: %s. Next: lab cluster down --name %s, "+
			"or give the new one another name", o.Name, s.describe(), o.Name)
	}
	return true, nil
}

func (s *state) describe() string {
	if !s.Local {
		return "inventory " + s.Inventory
	}
	var all []string
	for _, n := range s.Nodes {
		all = append(all, n.Name)
	}
	return strings.Join(all, ", ")
}

// begin makes what a fleet stands on: its folder, and for a local one namespaces, keys, an
// inventory.
func (f *Fleet) begin(ctx context.Context, o *Options) error {
	s := &state{Name: o.Name, Boot: bootID(), Phase: Making, Keep: o.Keep, Inventory: o.Inventory,
		Local: o.Inventory == Local, Playbooks: o.Playbooks, Dir: o.Dir}
	f.state = s
	if exists(s.Dir) {
		f.state = nil
		return fmt.Errorf("folder %s exists and belongs to no fleet. Next: remove it, or name another", s.Dir)
	}
	if s.Local {
		s.Inventory = filepath.Join(s.Dir, "inventory.yml")
		s.Nodes = plan(o, s.Dir)
		s.Namespaces = []string{namespace(s.Name, "net")}
		for _, n := range s.Nodes {
			s.Namespaces = append(s.Namespaces, n.Namespace)
		}
		if !exists(sshdDir) {
			s.Made = append(s.Made, sshdDir)
		}
	}
	if err := s.save(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "build"), 0o700); err != nil {
		return fmt.Errorf("folder of fleet %s: %w", s.Name, err)
	}
	if !s.Local {
		return nil
	}
	for _, n := range s.Nodes {
		if err := os.MkdirAll(n.Home, 0o700); err != nil {
			return fmt.Errorf("folder of %s: %w", n.Name, err)
		}
	}
	if err := s.star().Make(ctx); err != nil {
		return err
	}
	return errors.Join(makeSSH(s), writeInventory(s))
}

func (f *Fleet) varsPath() string { return filepath.Join(f.state.Dir, "vars.json") }
func (f *Fleet) logPath() string  { return filepath.Join(f.state.Dir, "ansible.log") }

// writeVars writes what the options say to the roles.
func (f *Fleet) writeVars(o *Options) error {
	vars := map[string]any{"metronome_binary": o.Binary, "metronome_build": filepath.Join(f.state.Dir, "build")}
	if o.Cluster != nil {
		vars["metronome_cluster"] = o.Cluster
	}
	if o.Peers != nil {
		vars["metronome_peers"] = o.Peers
	}
	for k, v := range o.Vars {
		vars[k] = v
	}
	b, err := json.Marshal(vars)
	if err != nil {
		return fmt.Errorf("variables of the roles: %w", err)
	}
	if err := os.WriteFile(f.varsPath(), b, 0o600); err != nil {
		return fmt.Errorf("variables of the roles: %w", err)
	}
	return nil
}

// provision plays the playbook, alone on this machine.
func (f *Fleet) provision(ctx context.Context, o *Options) (*Result, error) {
	if err := f.writeVars(o); err != nil {
		return nil, err
	}
	alone, err := machineLock()
	if err != nil {
		return nil, err
	}
	defer alone.release()
	var args []string
	if o.SkipMachines {
		args = []string{"--skip-tags", "machines"}
	}
	return f.play(ctx, "cluster.yml", args...)
}

// machineLock is held while machines change: two plays at once would undo each other's.
func machineLock() (*lock, error) {
	return takeLock(machineLockPath(), "provisioning from this machine")
}

func machineLockPath() string { return filepath.Join(home(), ".machine.lock") }

// Open takes hold of a fleet that is up. The error is os.ErrNotExist's if there is none, ErrBusy's
// if another process holds it.
func Open(name string) (*Fleet, error) {
	if !nameShape.MatchString(name) {
		return nil, fmt.Errorf("fleet %q: use 1 to 24 of a-z, 0-9 and -, beginning with a letter", name)
	}
	l, err := takeLock(lockPath(name), "fleet "+name)
	if err != nil {
		return nil, err
	}
	s, err := loadState(name)
	if err != nil {
		l.release()
		return nil, err
	}
	return &Fleet{state: s, lock: l}, nil
}

// Release lets go of a fleet that is kept, without taking it down.
func (f *Fleet) Release() { f.lock.release() }

// Name is what the fleet is called.
func (f *Fleet) Name() string { return f.state.Name }

// Nodes are its members, replicas first. Of a fleet of other machines there are none: the inventory
// tells.
func (f *Fleet) Nodes() []Node { return slices.Clone(f.state.Nodes) }

// Node finds a member by name.
func (f *Fleet) Node(name string) (Node, error) {
	i := slices.IndexFunc(f.state.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return Node{}, fmt.Errorf("fleet %s has no node %s on this machine", f.state.Name, name)
	}
	return f.state.Nodes[i], nil
}

// Proxies are the members that clients speak to.
func (f *Fleet) Proxies() []Node {
	return slices.DeleteFunc(f.Nodes(), func(n Node) bool { return n.Role != "proxy" })
}

// Report is what one replica says.
type Report struct {
	Host   string
	Status daemon.ClusterStatus
}

// Status asks every replica. Those that do not answer are named by the error; the others are
// reported.
func (f *Fleet) Status(ctx context.Context) ([]Report, error) {
	r, err := f.play(ctx, "cluster-status.yml")
	if r == nil {
		return nil, err
	}
	var all []Report
	for _, e := range r.Reports {
		var said []daemon.ClusterStatus
		if bad := json.Unmarshal([]byte(e.Message), &said); bad != nil || len(said) == 0 {
			err = errors.Join(err, fmt.Errorf("host %s: it says no status: %q", e.Host, e.Message))
			continue
		}
		all = append(all, Report{e.Host, said[0]})
	}
	return all, err
}

// Collect gathers all nodes' logs into a folder of this machine: a folder each.
func (f *Fleet) Collect(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("collect logs: %w", err)
	}
	_, err = f.play(ctx, "cluster-collect.yml", "--extra-vars", "metronome_collected="+dir)
	return err
}

// PID is the process that serves on a node of this machine. Its supervisor starts another a second
// after it ends.
func (n Node) PID() (int, error) {
	b, err := os.ReadFile(filepath.Join(n.Home, "service", "supervise", "pid"))
	if err != nil {
		return 0, fmt.Errorf("process of %s: %w", n.Name, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("process of %s: it is not running: %w", n.Name, err)
	}
	return pid, nil
}
