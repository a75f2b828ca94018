package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"metronome/system/packet"
	"metronome/system/wire"
)

// Local is the inventory that is made rather than read: network namespaces of this machine.
const Local = "local"

// Options say what to bring up. Their zero value is a fleet "lab" of three replicas and one proxy
// in namespaces.
type Options struct {
	Name      string // 1 to 24 of a-z, 0-9 and -, beginning with a letter; default "lab"
	Inventory string // Local, or an inventory file of other machines; default Local

	// Of a local fleet. An inventory file says it itself.
	Replicas, Proxies, Clients int    // default 3, 1 and 0
	Dir                        string // must not exist; default /var/tmp/metronome-fleet/<name>

	Binary    string         // the program; default bin/metronome
	Playbooks string         // default the folder ansible
	Cluster   map[string]any // sections of the cluster file, as in {"integrity": "mac"}
	Vars      map[string]any // variables of the roles, which win over the inventory's
	Peers     []string       // stores to put beside the replicas: etcd, nats, redis
	Keep      bool           // it outlives this process

	// SkipMachines leaves packages, kernel settings and drivers as they are.
	SkipMachines bool

	Progress func(task string) // told of each task when it begins; may be nil
}

// dirs is where fleets have their folders, unless told otherwise: on a disk, for what is durable.
const dirs = "/var/tmp/metronome-fleet"

// Longest parts of interface names and paths come from a fleet's name.
var nameShape = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,22}[a-z0-9])?$`)

// Bounds of the address plan of namespaces; see plan.
const mostProxies, mostClients = 99, 50

func (o Options) complete() (Options, error) {
	setDefault(&o.Name, "lab")
	setDefault(&o.Inventory, Local)
	setDefault(&o.Binary, filepath.Join("bin", "metronome"))
	setDefault(&o.Playbooks, "ansible")
	setDefault(&o.Replicas, 3)
	setDefault(&o.Proxies, 1)
	setDefault(&o.Dir, filepath.Join(dirs, o.Name))
	for _, path := range []*string{&o.Binary, &o.Playbooks, &o.Dir} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return o, fmt.Errorf("bring up a fleet: %w", err)
		}
		*path = abs
	}
	if o.Inventory != Local {
		abs, err := filepath.Abs(o.Inventory)
		if err != nil {
			return o, fmt.Errorf("bring up a fleet: %w", err)
		}
		o.Inventory = abs
	}
	return o, o.check()
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

func (o *Options) check() error {
	if !nameShape.MatchString(o.Name) {
		return fmt.Errorf("fleet %q: use 1 to 24 of a-z, 0-9 and -, beginning with a letter", o.Name)
	}
	if _, err := os.Stat(filepath.Join(o.Playbooks, "cluster.yml")); err != nil {
		return fmt.Errorf("playbooks: %w. Next: run this in the repository's top folder", err)
	}
	if _, err := os.Stat(o.Binary); err != nil {
		return fmt.Errorf("the program to hand out: %w. Next: make build", err)
	}
	if o.Inventory != Local {
		return o.checkInventory()
	}
	switch {
	case o.Replicas < 1 || o.Replicas%2 == 0 || o.Replicas > wire.MaxSeats:
		return fmt.Errorf("%d replicas: use an odd number up to %d: an even one survives no more losses than "+
			"the odd one below", o.Replicas, wire.MaxSeats)
	case o.Proxies < 1 || o.Proxies > mostProxies:
		return fmt.Errorf("%d proxies: use 1 to %d", o.Proxies, mostProxies)
	case o.Clients < 0 || o.Clients > mostClients:
		return fmt.Errorf("%d clients: use 0 to %d", o.Clients, mostClients)
	case os.Geteuid() != 0:
		return &packet.ErrUnavailable{What: "network namespaces", Why: "not root",
			Next: "run again under sudo, or name an inventory of other machines"}
	}
	return nil
}

func (o *Options) checkInventory() error {
	if _, err := os.Stat(o.Inventory); err != nil {
		return fmt.Errorf("inventory: %w. Next: use %s, or begin with a copy of %s", err, Local,
			filepath.Join(o.Playbooks, "inventory", "servers.example.yml"))
	}
	return nil
}
