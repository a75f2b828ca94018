package wait4

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// Usage is what one process, and the children it waited for, used.
type Usage struct {
	Wall   time.Duration `json:"wall_ns"` // from just before it was forked until it was reaped
	User   time.Duration `json:"user_ns"`
	System time.Duration `json:"system_ns"`

	MaxRSS int64 `json:"max_rss_kib"` // peak resident memory, KiB: the largest process, no sum
	Floor  int64 `json:"floor_kib"`   // peak memory of the launcher, KiB: MaxRSS is never below it

	MinorFaults int64 `json:"minor_faults"`
	MajorFaults int64 `json:"major_faults"`
	BlocksIn    int64 `json:"blocks_in"` // 512-byte blocks read from disks
	BlocksOut   int64 `json:"blocks_out"`
	Voluntary   int64 `json:"voluntary_switches"`   // it waited
	Involuntary int64 `json:"involuntary_switches"` // it was made to wait

	Exit   int `json:"exit"`   // exit status; -1 if a signal ended it
	Signal int `json:"signal"` // that ended it, 0 = none
}

// CPU is user and system time.
func (u *Usage) CPU() time.Duration { return u.User + u.System }

// ErrFloor says that a peak is the launcher's own, so that nothing is known of the program's.
var ErrFloor = errors.New("wait4: the peak memory is the launcher's own")

// slack is how far, in KiB, the kernel's count of pages may be off: each core keeps some to itself.
const slack = 256

// maxOutput bounds what a program may print.
const maxOutput = 16 << 20

// Launcher runs programs through the command launch.
type Launcher struct {
	Path string // of the command, see package launch
	CPU  int    // the core that programs run on, -1 = any
}

// Run runs argv to its end and returns what it printed and used. A program that fails is an error that
// quotes its last words; the usage is valid then, too. When ctx ends, the program is killed.
func (l *Launcher) Run(ctx context.Context, argv ...string) (out []byte, u Usage, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, u, fmt.Errorf("wait4: %w", err)
	}
	defer func() { _ = read.Close() }()
	var stdout, stderr bounded
	cmd := exec.CommandContext(ctx, l.Path, append([]string{fmt.Sprint(l.CPU)}, argv...)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &stdout, &stderr, []*os.File{write}
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Start()
	_ = write.Close()
	if err != nil {
		return nil, u, fmt.Errorf("wait4: %w. Next: build the launcher", err)
	}
	line, readErr := io.ReadAll(io.LimitReader(read, 4096))
	if err := cmd.Wait(); err != nil {
		return nil, u, fmt.Errorf("launch %v: %w: %s", argv, errors.Join(err, context.Cause(ctx)), stderr.last())
	}
	if err := errors.Join(readErr, json.Unmarshal(line, &u)); err != nil {
		return nil, u, fmt.Errorf("wait4: the launcher said %q: %w", line, err)
	}
	return stdout.b.Bytes(), u, u.judge(argv[0], &stderr)
}

func (u *Usage) judge(name string, stderr *bounded) error {
	switch {
	case u.Signal != 0:
		return fmt.Errorf("%s was ended by signal %d: %s", name, u.Signal, stderr.last())
	case u.Exit != 0:
		return fmt.Errorf("%s ended with status %d: %s", name, u.Exit, stderr.last())
	case u.MaxRSS <= u.Floor+slack:
		return fmt.Errorf("%w: %s, %d KiB", ErrFloor, name, u.Floor)
	}
	return nil
}

// bounded keeps the first maxOutput bytes.
type bounded struct{ b bytes.Buffer }

func (w *bounded) Write(p []byte) (int, error) {
	w.b.Write(p[:min(len(p), maxOutput-w.b.Len())])
	return len(p), nil
}

// last is the last 500 bytes: the words that say why.
func (w *bounded) last() string {
	b := bytes.TrimSpace(w.b.Bytes())
	return string(b[max(0, len(b)-500):])
}
