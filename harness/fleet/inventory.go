package fleet

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"metronome/harness/testbed"
)

// Ports of every node in namespaces; each has an address of its own.
const (
	streamPort   = 7701
	datagramPort = 7702
	opsPort      = 7703
	respPort     = 6379
	group        = "239.77.0.1:7700"
)

// Node is a member of a fleet.
type Node struct {
	Name      string `json:"name"`                // replica-0, proxy-1, client-1
	Role      string `json:"role"`                // replica, proxy, client
	Address   string `json:"address"`             // on the experiment's network
	Namespace string `json:"namespace,omitempty"` // under /run/netns; "": another machine
	Home      string `json:"home"`                // its files: cluster.yaml, log, runsv's folder
	Resp      string `json:"resp,omitempty"`      // of a proxy: where clients speak the Redis protocol
	Ops       string `json:"ops,omitempty"`       // of a replica or proxy: metrics and health
}

// plan names the nodes of a fleet in namespaces.
func plan(o *Options, dir string) (all []Node) {
	add := func(role string, count, number, host int) {
		for i := range count {
			name := fmt.Sprintf("%s-%d", role, number+i)
			n := Node{Name: name, Role: role, Address: fmt.Sprintf("10.78.0.%d", host+i),
				Namespace: namespace(o.Name, name), Home: filepath.Join(dir, "nodes", name, "home")}
			if role != "client" {
				n.Ops = fmt.Sprintf("%s:%d", n.Address, opsPort)
			}
			if role == "proxy" {
				n.Resp = fmt.Sprintf("%s:%d", n.Address, respPort)
			}
			all = append(all, n)
		}
	}
	add("replica", o.Replicas, 0, 10)
	add("proxy", o.Proxies, 1, 101)
	add("client", o.Clients, 1, 201)
	return all
}

// The shape of an inventory as Ansible reads it.
type (
	inventoryGroup struct {
		Hosts    map[string]map[string]any `yaml:"hosts,omitempty"`
		Children map[string]inventoryGroup `yaml:"children,omitempty"`
		Vars     map[string]any            `yaml:"vars,omitempty"`
	}
	inventoryFile struct {
		All inventoryGroup `yaml:"all"`
	}
)

// writeInventory writes the inventory of namespaces: one machine, and a node in each namespace.
func writeInventory(s *state) error {
	roles := map[string]inventoryGroup{
		"replicas": {Hosts: map[string]map[string]any{}},
		"proxies":  {Hosts: map[string]map[string]any{}},
		"clients":  {Hosts: map[string]map[string]any{}},
	}
	group := map[string]string{"replica": "replicas", "proxy": "proxies", "client": "clients"}
	for _, n := range s.Nodes {
		roles[group[n.Role]].Hosts[n.Name] = map[string]any{
			"metronome_address":   n.Address,
			"metronome_namespace": n.Namespace,
			"metronome_home":      n.Home,
		}
	}
	file := inventoryFile{All: inventoryGroup{
		Vars: sharedVars(s),
		Children: map[string]inventoryGroup{
			"machines": {Hosts: map[string]map[string]any{"localhost": {"ansible_connection": "local"}}},
			"nodes":    {Children: roles, Vars: sshVars(s)},
		},
	}}
	b, err := yaml.Marshal(file)
	if err != nil {
		return fmt.Errorf("write the inventory: %w", err)
	}
	head := "# The nodes of fleet " + s.Name + ": namespaces of this machine. Written by harness/fleet.\n"
	return os.WriteFile(s.Inventory, append([]byte(head), b...), 0o600)
}

// sharedVars are what the machine and its namespaces have in common.
func sharedVars(s *state) map[string]any {
	return map[string]any{
		"ansible_python_interpreter":   "/usr/bin/python3",
		"ansible_remote_tmp":           filepath.Join(s.Dir, "remote"),
		"metronome_fleet_changes_file": changesPath(s.Name),
		"metronome_supervisor":         "runit",
		"metronome_user":               "root",
		"metronome_programs":           filepath.Join(s.Dir, "programs"),
		"metronome_interface":          testbed.StarDevice,
		"metronome_group":              group,
		"metronome_stream_port":        streamPort,
		"metronome_datagram_port":      datagramPort,
		"metronome_ops_port":           opsPort,
		"metronome_resp_port":          respPort,
		"metronome_cluster_name":       s.Name,
	}
}

// sshVars are how Ansible reaches a namespace: sshd is started inside it for each connection.
func sshVars(s *state) map[string]any {
	dir := s.sshDir()
	return map[string]any{
		"ansible_user":                 "root",
		"ansible_ssh_private_key_file": filepath.Join(dir, "user"),
		"ansible_ssh_common_args": "-F none -o BatchMode=yes -o ConnectTimeout=20 -o StrictHostKeyChecking=yes " +
			"-o UserKnownHostsFile=" + dir + "/known_hosts -o IdentitiesOnly=yes " +
			"-o ProxyCommand='ip netns exec {{ metronome_namespace }} /usr/sbin/sshd -i -f " + dir + "/sshd_config'",
	}
}
