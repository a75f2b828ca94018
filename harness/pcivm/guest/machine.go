package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"metronome/harness/pcivm"
)

// hugepages of 2 MiB that the machine sets aside: DPDK wants them for a NIC that reads memory itself.
const hugepages = "128"

// machine runs the emulated machine until the host has enough of it.
func machine() error {
	if err := setUp(); err != nil {
		return err
	}
	tty, err := openRaw("/dev/ttyS1")
	if err != nil {
		return err
	}
	defer tty.Close()
	if err := writeLine(tty, pcivm.Answer{}); err != nil { // up
		return err
	}
	for {
		var c pcivm.Command
		if err := readLine(tty, &c); err != nil {
			return err
		}
		switch c.Do {
		case "bind":
			err = writeLine(tty, bind(&c))
		case "open":
			err = child(tty, &c)
		default:
			return errors.New("the host said " + c.Do)
		}
		if err != nil {
			return err
		}
	}
}

func setUp() error {
	if err := os.Chmod("/", 0o755); err != nil { // DPDK loads no drivers from where all may write
		return err
	}
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"},
		{"tmpfs", "/run"}, {"tmpfs", "/tmp"}, {"tmpfs", "/root"}} {
		if err := errors.Join(os.MkdirAll(m[1], 0o755), unix.Mount(m[0], m[1], m[0], 0, "")); err != nil {
			return fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	modules, err := filepath.Glob(pcivm.ModuleDir + "/*.ko")
	if err != nil {
		return err
	}
	for _, m := range modules { // in the order of their numbers
		if err := load(m); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/vm/nr_hugepages", []byte(hugepages), 0); err != nil {
		return err
	}
	err = errors.Join(os.Mkdir("/dev/hugepages", 0o755),
		unix.Mount("hugetlbfs", "/dev/hugepages", "hugetlbfs", 0, ""))
	if err != nil {
		return fmt.Errorf("hugepages: %w", err)
	}
	return errors.Join(os.Setenv("PATH", "/usr/sbin:/usr/bin"), manage())
}

func load(module string) error {
	f, err := os.Open(module)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
		return fmt.Errorf("load %s: %w", module, err)
	}
	return nil
}

// manage makes the NIC with the first address the one that the machine is managed by: the one of the
// default route.
func manage() error {
	links, err := filepath.Glob("/sys/bus/pci/devices/" + pcivm.ManagementPCI + "/virtio*/net/*")
	if err != nil || len(links) != 1 {
		return fmt.Errorf("the management NIC has %d names: %w", len(links), err)
	}
	name := filepath.Base(links[0])
	for _, args := range [][]string{{"addr", "add", "10.99.0.2/24", "dev", name}, {"link", "set", name, "up"},
		{"route", "add", "default", "via", "10.99.0.1", "dev", name}} {
		if out, err := exec.Command(pcivm.IP, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	return nil
}

// openRaw opens a serial line that carries bytes and nothing else.
func openRaw(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	t := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200}
	t.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &t); err != nil {
		return nil, fmt.Errorf("set up %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// bind runs the Ansible module as Ansible does on a server: the file, with its arguments in JSON.
func bind(c *pcivm.Command) pcivm.Answer {
	args, err := json.Marshal(map[string]any{"ANSIBLE_MODULE_ARGS": c.Args})
	if err != nil {
		return pcivm.Answer{Error: err.Error()}
	}
	cmd := exec.Command(pcivm.Python, pcivm.Module)
	cmd.Stdin = bytes.NewReader(args)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output() // a refusal is a failure of the process, too
	a := pcivm.Answer{Bound: &pcivm.Bound{}}
	if wrong := json.Unmarshal(out, a.Bound); wrong != nil {
		a.Error = fmt.Sprintf("%v: %s %s", errors.Join(err, wrong), out, complaint.String())
	}
	pci, _ := c.Args["pci"].(string)
	if link, err := os.Readlink("/sys/bus/pci/devices/" + pci + "/driver"); err == nil {
		a.Driver = filepath.Base(link)
	}
	return a
}

// child hands the line to a process that receives from a NIC, until that ends.
func child(tty *os.File, c *pcivm.Command) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	cmd := exec.Command("/init")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, os.Stderr
	cmd.Env = append(os.Environ(), openEnv+"="+string(line))
	if err := cmd.Run(); err != nil {
		log.Printf("receive from %s: %v", c.PCI, err)
		return writeLine(tty, pcivm.Answer{Error: "the guest's receiver ended: " + err.Error()})
	}
	return nil
}
