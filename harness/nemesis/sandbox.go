package nemesis

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

const inSandbox = "METRONOME_SANDBOX"

// Sandbox runs this program again, with the same arguments, in network and mount namespaces of its own:
// whatever it makes there, interfaces, rules, named namespaces, is gone when it and its children are. In the
// sandbox it returns false, 0; outside true and the exit code. It needs root.
func Sandbox() (outside bool, code int, err error) {
	if os.Getenv(inSandbox) != "" {
		return false, 0, furnish()
	}
	runtime.LockOSThread() // the child dies with this thread
	exe, err := os.Executable()
	if err != nil {
		return true, 1, fmt.Errorf("nemesis: find this program: %w", err)
	}
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inSandbox+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return true, exit.ExitCode(), nil
	}
	return true, 0, err
}

// furnish makes the namespaces usable: loopback up, named network namespaces kept to itself.
func furnish() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("nemesis: make mounts private: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return fmt.Errorf("nemesis: %w", err)
	}
	if err := syscall.Mount("none", "/run/netns", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("nemesis: mount /run/netns: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("nemesis: loopback: %w: %s", err, out)
	}
	return nil
}

// Sandboxed reports whether this program runs in a [Sandbox].
func Sandboxed() bool { return os.Getenv(inSandbox) != "" }
