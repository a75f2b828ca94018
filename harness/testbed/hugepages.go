package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

// hugeState is what one reservation changed. Before and Target are saved before the kernel is asked,
// so that however far it got, restoring gives back no more than was taken.
type hugeState struct {
	Before  int    `json:"before_pages"`
	Target  int    `json:"target_pages"` // equal to Before if enough were free
	Mounted string `json:"mounted,omitempty"`
	Made    string `json:"made_dir,omitempty"`
}

// hugeMount is where DPDK looks for hugepages by default.
const hugeMount = "/dev/hugepages"

// hugePool is the directory of the kernel's pool of 2-MiB pages; a variable path only for tests.
type hugePool string

const pool2M hugePool = "/sys/kernel/mm/hugepages/hugepages-2048kB"

func (p hugePool) read(name string) (int, error) {
	b, err := os.ReadFile(filepath.Join(string(p), name))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func (p hugePool) resize(pages int) error {
	return os.WriteFile(filepath.Join(string(p), "nr_hugepages"), []byte(strconv.Itoa(pages)), 0)
}

// Hugepages makes sure that n 2-MiB pages are free and that /dev/hugepages is mounted. Pages free
// already are used as they are; missing ones are reserved and given back by [Testbed.Close]. The
// error is a *packet.ErrUnavailable if the kernel had fewer to give.
func (t *Testbed) Hugepages(n int) error {
	return withLock(t.dir, func() error {
		return errors.Join(t.reserve(pool2M, n), t.mountHuge())
	})
}

// reserve tops the pool up to n free pages.
func (t *Testbed) reserve(pool hugePool, n int) error {
	total, err := pool.read("nr_hugepages")
	if err != nil {
		return &packet.ErrUnavailable{What: "hugepages", Why: err.Error(),
			Next: "use a kernel with CONFIG_HUGETLBFS, or run without hugepages"}
	}
	free, err := pool.read("free_hugepages")
	if err != nil {
		return fmt.Errorf("read free hugepages: %w", err)
	}
	if free >= n {
		return nil
	}
	h := hugeState{Before: total, Target: total + n - free}
	if err := t.record(func(s *state) { s.Huge = append(s.Huge, h) }); err != nil {
		return fmt.Errorf("reserve hugepages: %w", err)
	}
	if err := pool.resize(h.Target); err != nil {
		return &packet.ErrUnavailable{What: "hugepages", Why: err.Error(), Next: "run again as root"}
	}
	if free, err = pool.read("free_hugepages"); err != nil {
		return fmt.Errorf("read free hugepages: %w", err)
	}
	if free >= n {
		return nil
	}
	return &packet.ErrUnavailable{What: "hugepages",
		Why: fmt.Sprintf("asked for %d pages of 2 MiB, %d are free; %s", n, free, hugeUsers()),
		Next: "end that process, or `echo 1 > /proc/sys/vm/compact_memory` and run again, " +
			"or run without hugepages"}
}

// mountHuge mounts the pool's file system unless some process's set-up has done so.
func (t *Testbed) mountHuge() error {
	var fs unix.Statfs_t
	err := unix.Statfs(hugeMount, &fs)
	if err == nil && fs.Type == unix.HUGETLBFS_MAGIC {
		return nil
	}
	h := hugeState{Mounted: hugeMount}
	if errors.Is(err, unix.ENOENT) {
		h.Made = hugeMount
	}
	if err := t.record(func(s *state) { s.Huge = append(s.Huge, h) }); err != nil {
		return fmt.Errorf("mount hugepages: %w", err)
	}
	if err := os.MkdirAll(hugeMount, 0o755); err != nil {
		return fmt.Errorf("mount hugepages: %w", err)
	}
	if err := unix.Mount("none", hugeMount, "hugetlbfs", 0, ""); err != nil {
		return &packet.ErrUnavailable{What: "hugepages", Why: "mount " + hugeMount + ": " + err.Error(),
			Next: "run again as root: mount -t hugetlbfs none " + hugeMount}
	}
	return nil
}

// restore gives back what the reservation took, and no more: others may have grown the pool since.
func (h hugeState) restore() error {
	var errs []error
	if h.Target > h.Before {
		errs = append(errs, h.shrink(pool2M))
	}
	if h.Mounted != "" {
		errs = append(errs, unlessGone(unix.Unmount(h.Mounted, 0)))
	}
	if h.Made != "" {
		errs = append(errs, unlessGone(unix.Rmdir(h.Made)))
	}
	return errors.Join(errs...)
}

// unlessGone drops the errors that mean there is nothing to undo: never mounted (EINVAL), never made
// (ENOENT), or by now in use by another process (EBUSY), whose it then is.
func unlessGone(err error) error {
	for _, e := range []error{unix.EINVAL, unix.ENOENT, unix.EBUSY} {
		if errors.Is(err, e) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", hugeMount, err)
	}
	return nil
}

// shrink takes the reserved pages out of the pool again.
func (h hugeState) shrink(pool hugePool) error {
	now, err := pool.read("nr_hugepages")
	if err != nil {
		return fmt.Errorf("restore hugepages: %w", err)
	}
	back := max(h.Before, now-(h.Target-h.Before))
	if back >= now {
		return nil
	}
	if err := pool.resize(back); err != nil {
		return fmt.Errorf("restore hugepages to %d: %w", back, err)
	}
	return nil
}

// hugeUsers names the processes that hold hugepages, for an error message.
func hugeUsers() string {
	files, _ := filepath.Glob("/proc/[0-9]*/status")
	var users []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if kib := statusField(string(b), "HugetlbPages"); kib != "" && kib != "0 kB" {
			users = append(users, fmt.Sprintf("process %s (%s) holds %s",
				filepath.Base(filepath.Dir(f)), statusField(string(b), "Name"), kib))
		}
	}
	if users == nil {
		return "no process holds any: memory is fragmented or full"
	}
	return strings.Join(users, ", ")
}

// statusField returns the value of one line of /proc/<pid>/status.
func statusField(status, key string) string {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
