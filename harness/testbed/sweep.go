package testbed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Sweep removes what dead harnesses left on this host and returns the ids of their runs. Testbeds of
// living processes are not touched. Call it before [Open].
func Sweep() ([]string, error) { return sweepIn(runDir()) }

func sweepIn(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return nil, err
	}
	var swept []string
	var errs []error
	err = withLock(dir, func() error {
		for _, f := range files {
			id := strings.TrimSuffix(filepath.Base(f), ".json")
			switch err := evict(dir, id); {
			case errors.Is(err, errOwned):
			case err != nil:
				errs = append(errs, err)
			default:
				swept = append(swept, id)
			}
		}
		return nil
	})
	return swept, errors.Join(append(errs, err)...)
}

// errOwned says that a living process owns a testbed.
var errOwned = errors.New("owned by a living process")

// evict removes the testbed of a dead owner, if there is one. The caller holds the lock.
func evict(dir, id string) error {
	s, err := loadState(statePath(dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.Boot == bootID() && s.Owner.alive() {
		return fmt.Errorf("testbed %s is in use by process %d (%s): %w",
			id, s.Owner.PID, s.Owner.Name, errOwned)
	}
	return remove(dir, s)
}

// remove undoes everything a state records and, if all of it worked, deletes the state file. The
// caller holds the lock.
func remove(dir string, s *state) error {
	var errs []error
	if s.Boot == bootID() {
		s.killChildren()
		for i := len(s.Huge) - 1; i >= 0; i-- {
			errs = append(errs, s.Huge[i].restore())
		}
	}
	for _, name := range s.Netns {
		errs = append(errs, deleteNetns(name))
	}
	for _, p := range s.Paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove testbed %s: %w; its state stays in %s",
			s.ID, err, statePath(dir, s.ID))
	}
	if err := os.Remove(statePath(dir, s.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove testbed %s: %w", s.ID, err)
	}
	return nil
}

// deleteNetns removes a named namespace and the veths in it. The veths go first and by hand: those
// of a dying namespace linger until the kernel's clean-up thread comes round.
func deleteNetns(name string) error {
	path := filepath.Join(netnsDir, name)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	deleteVeths(name)
	// EINVAL: not a mount point, as after a crash between creating the file and mounting on it.
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("delete namespace: %w", err)
	}
	return nil
}

// deleteVeths empties a namespace as far as possible; what resists goes with the namespace.
func deleteVeths(name string) {
	ns, err := netns.GetFromName(name)
	if err != nil {
		return
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return
	}
	for _, l := range links {
		if l.Type() == "veth" {
			_ = h.LinkDel(l)
		}
	}
}

const (
	killWait = 5 * time.Second // a child in an uninterruptible sleep may outlast it
	killPoll = 5 * time.Millisecond
)

// killChildren ends every recorded child that still runs, with its process group.
func (s *state) killChildren() {
	for _, p := range s.Children {
		p.kill()
	}
	for _, p := range s.Children {
		for end := time.Now().Add(killWait); p.alive() && time.Now().Before(end); {
			time.Sleep(killPoll)
		}
	}
}

// kill ends the process and its group; each child leads a group of its own.
func (p process) kill() {
	if p.alive() {
		_ = unix.Kill(-p.PID, unix.SIGKILL)
		_ = unix.Kill(p.PID, unix.SIGKILL)
	}
}
