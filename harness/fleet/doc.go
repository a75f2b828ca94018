// Package fleet brings whole clusters up with Ansible and takes them down again: on this machine in
// network namespaces, or on a rack of servers, by the same playbooks (folder ansible).
//
//	f, _, err := fleet.Up(ctx, fleet.Options{Replicas: 3, Proxies: 1, Clients: 1})
//	conn, err := f.Dial(ctx, "client-1", "tcp", f.Proxies()[0].Resp)
//	err = f.Down(ctx)
//
// # Namespaces
//
// Each node has a network namespace of its own, joined to the others by a bridge in one more
// namespace, so that nothing shows on the host:
//
//	mtn-<name>-replica-0   mtn-<name>-proxy-1   mtn-<name>-client-1
//	  eth0 10.78.0.10        eth0 10.78.0.101     eth0 10.78.0.201
//	        │                      │                    │
//	  ┌─────┴──────────────────────┴────────────────────┴─────┐
//	  │ br0 10.78.0.1: IGMP snooping, querier                 │ mtn-<name>-net
//	  └───────────────────────────────────────────────────────┘
//
// Ansible reaches a namespace by SSH without a daemon and without a port: the client's ProxyCommand
// starts `sshd -i` inside it, with keys that are made for this fleet alone.
//
// # What is left
//
// Nothing. What a fleet makes is written to /run/metronome/fleet/<name>.json before it is made, and
// one process at a time holds the lock beside it, which the kernel lets go when that process dies.
// So [Sweep], which [Up] calls, knows the fleets whose owner was killed and removes them. Processes
// are found by the namespace they are in, or by a variable in their environment, so that no list of
// them can be out of date.
//
// A fleet lives as long as the process that made it, or with Options.Keep until somebody takes it
// down.
//
// The package does NOT break anything (harness/nemesis), generate load (harness/load) or judge; it
// does not know how a node is set up, which the roles do; and it installs nothing on a machine of
// its own accord: the roles packages and tune do, and say so.
package fleet
