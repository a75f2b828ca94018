package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
)

const inSandbox = "METRONOME_SANDBOX"

// Sandbox runs this program again, with the same arguments, in network, mount and process namespaces of its
// own: whatever it makes there (interfaces, rules, named namespaces, mounts, processes) is gone when it ends,
// however it ends. In the sandbox it returns false, 0; outside true and the exit code. It needs root.
func Sandbox() (outside bool, code int, err error) {
	if Sandboxed() {
		return false, 0, Furnish()
	}
	cmd, err := SandboxCommand(os.Args[1:]...)
	if err != nil {
		return true, 1, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	runtime.LockOSThread() // the child dies with this thread
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return true, exit.ExitCode(), nil
	}
	return true, 0, err
}

// SandboxCommand is this program with other arguments, to be started inside a new sandbox; it calls
// [Furnish] first. It dies with the thread that starts it: lock that for as long as it runs.
func SandboxCommand(args ...string) (*exec.Cmd, error) {
	SweepCgroups()
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("sandbox: find this program: %w", err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), inSandbox+"="+strconv.Itoa(os.Getpid()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	return cmd, nil
}

// Furnish makes the namespaces of a sandbox usable: mounts kept to itself, a /proc of its own processes, an
// empty /run, loopback up.
func Furnish() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("sandbox: make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("sandbox: mount /proc: %w", err)
	}
	if err := syscall.Mount("none", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("sandbox: mount /run: %w", err)
	}
	if err := os.MkdirAll("/run/lock", 0o755); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("sandbox: loopback: %w: %s", err, out)
	}
	return nil
}

// Sandboxed reports whether this program runs in a [Sandbox].
func Sandboxed() bool { return os.Getenv(inSandbox) != "" }
