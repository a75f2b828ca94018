package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netns"

	"metronome/harness/testbed"
)

const netnsDir = "/run/netns"

// namespace is the name of a node's namespace under /run/netns.
func namespace(fleet, node string) string { return "mtn-" + fleet + "-" + node }

// star is a local fleet's network. All of it is in the state already.
func (s *state) star() *testbed.Star {
	star := &testbed.Star{Hub: namespace(s.Name, "net")}
	for _, n := range s.Nodes {
		star.Nodes = append(star.Nodes, testbed.StarNode{Namespace: n.Namespace, Port: n.Name, Address: n.Address})
	}
	return star
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// within runs f on a thread inside a namespace. Sockets that f opens stay in it; f starts no
// goroutine that needs it.
func within(name string, f func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("this thread's namespace: %w", err)
	}
	defer home.Close()
	there, err := netns.GetFromName(name)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	err = f()
	if back := netns.Set(home); back != nil {
		return errors.Join(err, back) // still locked: the thread ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// Dial connects from a node of this machine to an IPv4 address.
func (f *Fleet) Dial(ctx context.Context, node, network, address string) (conn net.Conn, err error) {
	n, err := f.Node(node)
	if err != nil {
		return nil, err
	}
	if n.Namespace == "" {
		return nil, fmt.Errorf("dial from %s: it is another machine. Next: run what dials there", node)
	}
	err = within(n.Namespace, func() error {
		var e error
		conn, e = (&net.Dialer{}).DialContext(ctx, network, address)
		return e
	})
	return conn, err
}
