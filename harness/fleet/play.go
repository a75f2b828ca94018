package fleet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Event is one thing that a play did, as ansible/callback_plugins/events.py writes it.
type Event struct {
	Event   string `json:"event"` // task, changed, failed, unreachable, report, end
	Host    string `json:"host"`
	Task    string `json:"task"` // "role : name"
	Message string `json:"message"`
}

// Result is what a play did.
type Result struct {
	Changed []Event // a task that changed a host
	Reports []Event // what tasks were asked to report
	Hosts   []string
	Tasks   []TaskTime
	Elapsed time.Duration

	Failures []Failure // in the order they happened
}

// TaskTime is how long a task took, on all its hosts.
type TaskTime struct {
	Task    string
	Elapsed time.Duration
}

// Failure is why a play failed: what went wrong on one host in one task.
type Failure struct {
	Host, Task, Message string
	Unreachable         bool
}

func (f *Failure) Error() string {
	what := "failed"
	if f.Unreachable {
		what = "is unreachable"
	}
	text := fmt.Sprintf("host %s %s in task %q: %s", f.Host, what, f.Task, f.Message)
	if next := f.next(); next != "" {
		text += ". Next: " + next
	}
	return text
}

// hints say what to do about what SSH and Ansible say.
var hints = []struct{ said, next string }{
	{"Permission denied", "name the user and the key that this host accepts: ansible_user, " +
		"ansible_ssh_private_key_file"},
	{"Host key verification failed", "compare the host's key with known_hosts: " +
		"ssh-keygen -R forgets an old one"},
	{"UNPROTECTED PRIVATE KEY", "chmod 600 the key"},
	{"Could not resolve", "set ansible_host to an address of the control network"},
	{"Missing sudo password", "let this user use sudo without a password, or log in as root"},
}

func (f *Failure) next() string {
	if strings.Contains(f.Message, "Next:") {
		return ""
	}
	for _, h := range hints {
		if strings.Contains(f.Message, h.said) {
			return h.next
		}
	}
	if f.Unreachable {
		return "see that it is on, and that ssh reaches it with the inventory's address, user and key"
	}
	return ""
}

// play runs a playbook on a fleet. The error is a *Failure if a host was to blame.
func (f *Fleet) play(ctx context.Context, book string, args ...string) (*Result, error) {
	begin := time.Now()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("play %s: %w", book, err)
	}
	defer r.Close()
	said := newTail(f.logPath())
	defer said.close()
	cmd := f.command(ctx, book, args)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = said, said, []*os.File{w}
	read := make(chan *Result)
	go func() { read <- f.follow(r) }()
	err = runHere(cmd)
	_ = w.Close()
	_ = r.SetReadDeadline(time.Now().Add(readWait)) // a worker that outlives Ansible holds the pipe
	result := <-read
	result.Elapsed = time.Since(begin)
	if err := result.judge(ctx, err, said.text()); err != nil {
		return result, fmt.Errorf("play %s: %w", book, err)
	}
	return result, nil
}

const readWait = 2 * time.Second

// command is ansible-playbook as this fleet needs it. Nothing of the caller's Ansible settings
// counts.
// Events go to its file 3.
func (f *Fleet) command(ctx context.Context, book string, args []string) *exec.Cmd {
	s := f.state
	args = append([]string{"--inventory", s.Inventory, "--extra-vars", "@" + f.varsPath()}, args...)
	cmd := exec.CommandContext(ctx, "ansible-playbook", append(args, filepath.Join(s.Playbooks, book))...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ANSIBLE_") })
	cmd.Env = append(cmd.Env, s.mark(), "METRONOME_EVENTS=/dev/fd/3",
		"LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1",
		"ANSIBLE_CONFIG="+filepath.Join(s.Playbooks, "ansible.cfg"),
		"ANSIBLE_NOCOLOR=1", "ANSIBLE_INVENTORY_UNPARSED_FAILED=true",
		"ANSIBLE_HOME="+filepath.Join(s.Dir, "ansible"),
		"ANSIBLE_LOCAL_TEMP="+filepath.Join(s.Dir, "ansible", "tmp"),
		"ANSIBLE_SSH_CONTROL_PATH_DIR="+s.controlDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = readWait
	return cmd
}

// runHere runs a command that is killed when this process dies: the signal comes when the *thread*
// that started it ends, so that thread stays here.
func runHere(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

// follow reads events until the end.
func (f *Fleet) follow(events io.Reader) *Result {
	r, begin := &Result{}, time.Now()
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		if n := len(r.Tasks); n > 0 && (e.Event == "task" || e.Event == "end") {
			r.Tasks[n-1].Elapsed += time.Since(begin)
		}
		if e.Event == "task" && f.progress != nil {
			f.progress(e.Task)
		}
		if e.Event == "task" || e.Event == "end" {
			begin = time.Now()
		}
		r.add(e)
	}
	return r
}

func (r *Result) add(e Event) {
	switch e.Event {
	case "task":
		r.Tasks = append(r.Tasks, TaskTime{Task: e.Task})
	case "changed":
		r.Changed = append(r.Changed, e)
	case "report":
		r.Reports = append(r.Reports, e)
	case "failed", "unreachable":
		r.Failures = append(r.Failures, Failure{e.Host, e.Task, e.Message, e.Event == "unreachable"})
	case "end":
		r.Hosts = append(r.Hosts, e.Host)
	}
}

// judge tells whether a play succeeded: how Ansible ended says too little.
func (r *Result) judge(ctx context.Context, err error, said string) error {
	switch {
	case ctx.Err() != nil:
		at := "before its first task"
		if n := len(r.Tasks); n > 0 {
			at = fmt.Sprintf("in task %q", r.Tasks[n-1].Task)
		}
		return fmt.Errorf("interrupted %s: %w", at, context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%w. Next: make setup", err)
	case len(r.Failures) > 0:
		return &r.Failures[0] // others follow from it, or say the same of other hosts
	case err != nil:
		return fmt.Errorf("%w; Ansible said:\n%s", err, said)
	case len(r.Hosts) == 0:
		return fmt.Errorf("the inventory names nobody to play for: it needs a group nodes with the groups "+
			"replicas and proxies, and a group machines; Ansible said:\n%s", said)
	}
	return nil
}

// tail keeps the end of what is written, and all of it in a file.
type tail struct {
	file *os.File
	last bytes.Buffer
}

const tailBytes = 4096

func newTail(path string) *tail {
	f, _ := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // without it the tail has to do
	return &tail{file: f}
}

func (t *tail) Write(p []byte) (int, error) {
	if t.file != nil {
		_, _ = t.file.Write(p)
	}
	t.last.Write(p)
	if over := t.last.Len() - tailBytes; over > 0 {
		t.last.Next(over)
	}
	return len(p), nil
}

func (t *tail) text() string { return strings.TrimSpace(t.last.String()) }

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close()
	}
}
