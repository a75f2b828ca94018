package nemesis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"metronome/harness/testbed"
	"metronome/system/cluster"
	"metronome/system/wire"
)

// What a replica with a disk of its own keeps on it: a journal that fits several times, and a floor that is
// reached before the disk is full.
const (
	diskJournal = 32 << 20
	diskFloor   = 48 << 20
)

// disks moves every replica's data to a file system of its own, of so many bytes, in an image in the
// cluster's folder. The mounts belong to the sandbox; the loop devices end with them.
func (c *Cluster) disks(ctx context.Context) error {
	if !testbed.Sandboxed() {
		return errors.New("nemesis: disks are mounted in a sandbox only: it unmounts them however it ends")
	}
	for i := range c.Config.Replicas {
		p := wire.ReplicaPeer(i)
		image, at := c.mountPoint(p)+".img", c.mountPoint(p)
		if err := os.MkdirAll(at, 0o700); err != nil {
			return fmt.Errorf("nemesis: disk of %v: %w", p, err)
		}
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			return fmt.Errorf("nemesis: disk of %v: %w", p, err)
		}
		if err := os.Truncate(image, c.o.Disk); err != nil {
			return fmt.Errorf("nemesis: disk of %v: %w", p, err)
		}
		if err := shell(ctx, "", "mkfs.ext4", "-q", "-F", "-m", "0", image); err != nil {
			return err
		}
		if err := shell(ctx, "", "mount", "-o", "loop", image, at); err != nil {
			return err
		}
		c.mounted = append(c.mounted, at)
	}
	return nil
}

func (c *Cluster) mountPoint(p wire.Peer) string { return filepath.Join(c.o.Dir, "disks", p.String()) }

// onDisks changes a cluster file accordingly.
func onDisks(c *cluster.Config) {
	for i := range c.Replicas {
		c.Replicas[i].Data = filepath.Join("disks", wire.ReplicaPeer(i).String(), "data")
	}
	c.Storage.Journal, c.Storage.Floor = diskJournal, diskFloor
}

func (c *Cluster) unmount() {
	for _, at := range c.mounted {
		_ = syscall.Unmount(at, syscall.MNT_DETACH)
	}
	c.mounted = nil
}

// FullDisk fills the disk of a replica that has one of its own to the last byte, and frees it again.
func (c *Cluster) FullDisk(p wire.Peer) Fault {
	filler := filepath.Join(c.mountPoint(p), "filler")
	return Fault{Name: fmt.Sprintf("the disk of %v is full", p),
		Apply: func(context.Context) error {
			if c.o.Disk == 0 {
				return fmt.Errorf("nemesis: %v has no disk of its own", p)
			}
			return fill(filler)
		},
		Heal: func(context.Context) error { return os.Remove(filler) }}
}

// fill makes a file that leaves no space.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("nemesis: fill a disk: %w", err)
	}
	defer f.Close()
	size := int64(0)
	for step := int64(16 << 20); step >= 4<<10; {
		if err := unix.Fallocate(int(f.Fd()), 0, size, step); err == nil {
			size += step
		} else if errors.Is(err, unix.ENOSPC) {
			step /= 2
		} else if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("nemesis: fill a disk: %w", err)
		}
	}
	return nil
}
