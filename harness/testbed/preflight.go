package testbed

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// Check is one thing a run may need, tried out on this host.
type Check struct {
	Name string // "root", "netns", "bpf", "hugepages", "dpdk", "testpmd", "cores", "disk"
	OK   bool
	Why  string // what was found
	Next string // if not OK: the command or the document that would mend it
}

// prober is what a check looks at; tests put their own in.
type prober struct {
	euid     func() int
	unshare  func() error                                      // makes a network namespace and drops it
	bpf      func() error                                      // loads a program
	pool     hugePool                                          // of 2-MiB pages
	output   func(name string, args ...string) (string, error) // runs a command
	lookPath func(name string) (string, error)
	cores    func() int
	free     func(dir string) (uint64, error) // bytes
}

// Preflight tries out what runs need. resultsDir is where they will write; it need not exist yet.
func Preflight(resultsDir string) []Check {
	return prober{
		euid: os.Geteuid, unshare: tryNetns, bpf: tryBPF, pool: pool2M,
		output: output, lookPath: exec.LookPath, cores: usableCores, free: freeBytes,
	}.all(resultsDir)
}

func (p prober) all(dir string) []Check {
	return []Check{p.root(), p.netns(), p.program(), p.hugepages(), p.dpdk(), p.testpmd(),
		p.enoughCores(), p.disk(dir)}
}

// check makes the result of a trial: fine is what to say if err is nil.
func check(name, fine string, err error, next string) Check {
	if err != nil {
		return Check{Name: name, Why: err.Error(), Next: next}
	}
	return Check{Name: name, OK: true, Why: fine}
}

func (p prober) root() Check {
	var err error
	if id := p.euid(); id != 0 {
		err = fmt.Errorf("effective user id is %d; namespaces, XDP and SCHED_FIFO need 0", id)
	}
	return check("root", "effective user id is 0", err, "run again under sudo; memif arms run without")
}

func (p prober) netns() Check {
	return check("netns", "a network namespace could be made", p.unshare(),
		"run as root, in a container with CAP_SYS_ADMIN")
}

func (p prober) program() Check {
	return check("bpf", "an XDP program could be loaded", p.bpf(),
		"run as root on a kernel of 5.18 or newer with CONFIG_BPF_SYSCALL")
}

func (p prober) hugepages() Check {
	const next = "echo 1024 > /proc/sys/vm/nr_hugepages as root; arms without hugepages run as they are"
	total, err := p.pool.read("nr_hugepages")
	if err != nil {
		return check("hugepages", "", err, "use a kernel with CONFIG_HUGETLBFS")
	}
	free, err := p.pool.read("free_hugepages")
	if err == nil && free == 0 && p.euid() != 0 {
		err = fmt.Errorf("0 of %d pages of 2 MiB are free, and only root may add some", total)
	}
	fine := fmt.Sprintf("%d of %d pages of 2 MiB are free; a run reserves what it needs", free, total)
	return check("hugepages", fine, err, next)
}

func (p prober) dpdk() Check {
	version, err := p.output("pkg-config", "--modversion", "libdpdk")
	return check("dpdk", "libdpdk "+version, err, "apt-get install dpdk libdpdk-dev pkg-config")
}

func (p prober) testpmd() Check {
	path, err := p.lookPath("dpdk-testpmd")
	return check("testpmd", path, err, "apt-get install dpdk")
}

func (p prober) enoughCores() Check {
	n := p.cores()
	var err error
	if n < 2 {
		err = fmt.Errorf("%d core; generator and receiver need one each", n)
	}
	return check("cores", strconv.Itoa(n)+" cores for this process", err,
		"give the machine or container 2 cores or more")
}

// minFree is what a full run with its logs may write, with room to spare.
const minFree = 1 << 30

func (p prober) disk(dir string) Check {
	free, err := p.free(dir)
	if err == nil && free < minFree {
		err = fmt.Errorf("%d MiB free for %s; a run may write %d", free>>20, dir, minFree>>20)
	}
	return check("disk", fmt.Sprintf("%d MiB free for %s", free>>20, dir), err,
		"free some space, or point RESULTS elsewhere")
}

// tryNetns makes a namespace on a thread that ends with it.
func tryNetns() error {
	th, err := startThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) })
	if err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	th.stop()
	return nil
}

func tryBPF() error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}})
	if err != nil {
		return err
	}
	return p.Close()
}

// output is a command's first line of output.
func output(name string, args ...string) (string, error) {
	b, err := exec.Command(name, args...).CombinedOutput()
	line, _, _ := strings.Cut(string(bytes.TrimSpace(b)), "\n")
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %s", name, line)
	}
	return line, err
}

// usableCores is the number of cores this process may run on.
func usableCores() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return runtime.NumCPU()
	}
	return set.Count()
}

// freeBytes asks for the nearest directory that exists.
func freeBytes(dir string) (uint64, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			return st.Bavail * uint64(st.Bsize), nil
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, unix.ENOENT) || parent == dir {
			return 0, fmt.Errorf("free space of %s: %w", dir, err)
		}
		dir = parent
	}
}
