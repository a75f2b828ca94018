package edgecmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"metronome/internal/require"
	"metronome/system/edge/local"
)

// tmpfs is a disk of so many MiB.
func tmpfs(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		require.Skip(t, "root", fmt.Errorf("mount a small disk: %w", err))
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestFullDisk fills an edge's disk under it, faster than it looks: it says so or ends, it never
// acknowledges what is not there, and it starts again once there is room.
func TestFullDisk(t *testing.T) {
	dir := tmpfs(t, 24)
	p := spawn(t, filepath.Join(dir, "edge"))
	filler := filepath.Join(dir, "filler")
	value := strings.Repeat("v", 16<<10)
	acknowledged := 0
	write := func() bool {
		status, body, err := try("PUT", fmt.Sprintf("%s/v1/kv/k/%d", p.url, acknowledged), value)
		if err == nil && status == 201 {
			acknowledged++
			return true
		}
		if err == nil && (status != 503 || !strings.Contains(body, "problem:")) {
			t.Fatalf("a full disk is answered %d %s", status, body)
		}
		return false
	}
	for range 20 {
		if !write() {
			t.Fatal("it does not write to an empty disk")
		}
	}
	fill(t, filler)
	for i := 0; write(); i++ {
		if i > 10_000 {
			t.Fatal("it writes on without end")
		}
	}
	p.kill()
	if p.cmd.ProcessState.Exited() && p.cmd.ProcessState.ExitCode() != local.FailedExit {
		t.Errorf("it ended with code %d", p.cmd.ProcessState.ExitCode())
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p = spawn(t, filepath.Join(dir, "edge"))
	for i := range acknowledged {
		status, body, err := try("GET", fmt.Sprintf("%s/v1/kv/k/%d", p.url, i), "")
		if err != nil || body != value {
			t.Fatalf("value %d of %d: %d, %v", i, acknowledged, status, err)
		}
	}
	if !write() {
		t.Error("it does not write although there is room again")
	}
}

// fill takes all free space.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); ; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
