package dpdk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrOccupied says that another process listens on a memif socket path.
type ErrOccupied struct {
	Path string
	PID  int // the listener, 0 if unknown
}

func (e *ErrOccupied) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("dpdk: memif socket %s is occupied: %s listens on it; "+
		"next: end that process or choose another path", e.Path, who)
}

// claim makes the interface's socket path free if this process is going to listen on it.
func (m memifArg) claim() error {
	if !m.server || m.socket == "" {
		return nil
	}
	return claimSocket(m.socket)
}

// claimSocket makes path free for a memif server. A socket that nobody listens on, left by a
// process that was killed, is removed; a living one is *ErrOccupied; anything else on that path is
// left alone.
func claimSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("dpdk: memif socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("dpdk: memif socket %s is a file of another kind (%s); "+
			"next: choose another path", path, info.Mode())
	}
	pid, err := listener(path)
	switch {
	case err == nil:
		return &ErrOccupied{Path: path, PID: pid}
	case !errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("dpdk: memif socket %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("dpdk: remove stale memif socket: %w", err)
	}
	return nil
}

// listener connects to path and asks who answers. ECONNREFUSED means nobody.
func listener(path string) (pid int, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EPROTOTYPE):
		return 0, nil // a full backlog, or a socket of another type: somebody lives there
	case err != nil:
		return 0, err
	}
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}
