package peer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"metronome/harness/load/kv"
)

// Peer is one system in one configuration.
type Peer struct {
	Name    string `json:"name"`
	What    string `json:"what"`
	Durable string `json:"durable"` // what an acknowledged write survives, as a sentence
	Modes   []Mode `json:"modes"`   // ways to drive it; the first is its best

	// Start brings the system up, empty, and returns once it takes writes. l is what it will be
	// loaded with: some bounds follow from it. After an error nothing is left running.
	Start func(ctx context.Context, h *Host, l kv.Load) (Instance, error) `json:"-"`

	settings []string // what [Settings] it knows
}

// Mode is a named way to drive a peer: the shape of its concurrency.
type Mode struct {
	Name        string `json:"name"`
	Connections int    `json:"connections"`
	Outstanding int    `json:"outstanding"` // batches a connection
	Batch       int    `json:"batch"`       // operations a batch
}

// Of returns the load in the shape of the mode.
func (m Mode) Of(l kv.Load) kv.Load {
	l.Connections, l.Outstanding, l.Batch = m.Connections, m.Outstanding, m.Batch
	return l
}

// Instance is a peer that runs.
type Instance interface {
	kv.Target
	// Info says what runs.
	Info() Info
	// Get reads a key, as fresh as acknowledged writes. [ErrNoKey] says that it is not there.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// Check waits, within ctx, until every member is up and has applied all that was written. Call it
	// after a load: members that fell behind make a system look faster than it is.
	Check(ctx context.Context) error
	// Stop ends it and removes its data. It may be called again.
	Stop() error
}

// ErrNoKey is returned by Get for a key that was never written.
var ErrNoKey = errors.New("no such key")

// Info is what is known of an instance.
type Info struct {
	Version string   `json:"version"`
	PIDs    []int    `json:"pids"`              // of all its processes; the generator's own for a library
	Roles   []string `json:"roles,omitempty"`   // of the processes, if they differ: replica, proxy
	DataFS  string   `json:"data_fs,omitempty"` // the kind of file system its files lie on
}

// All lists the peers.
func All() []Peer {
	return []Peer{etcdPeer(memoryDir), etcdPeer(diskDir), redisPeer(), redisWaitPeer(),
		natsPeer(natsMemory), natsPeer(natsFile), natsPeer(natsKV), hashicorpPeer(), etcdRaftPeer()}
}

// Find is the peer of the given name.
func Find(peers []Peer, name string) (Peer, error) {
	var names []string
	for _, p := range peers {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Peer{}, fmt.Errorf("unknown peer %q (there is: %s)", name, strings.Join(names, ", "))
}

// Mode is the mode of the given name; the empty name is the first mode's.
func (p Peer) Mode(name string) (Mode, error) {
	var names []string
	for _, m := range p.Modes {
		if m.Name == name || name == "" {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return Mode{}, fmt.Errorf("unknown mode %q of %s (there is: %s)", name, p.Name, strings.Join(names, ", "))
}

// libraryVersion is the version of a module linked into this program.
func libraryVersion(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == module {
				return module + " " + d.Version
			}
		}
	}
	return module + " of unknown version"
}
