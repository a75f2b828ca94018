package pcivm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// NIC is one of the machine's network devices. Each hangs on a tap interface of the caller's network
// namespace.
type NIC struct {
	PCI    string // address in the guest
	Model  string // qemu's name and options of the device
	Queues int    // pairs; more than one needs a model that has them
	MAC    [6]byte
	Tap    string // interface on the host's side
}

// ManagementPCI is the address of the NIC that stays with the guest's kernel.
const ManagementPCI = "0000:00:03.0"

// Machine is an emulated machine that runs. Its end is qemu's end.
type Machine struct {
	cmd     *exec.Cmd
	line    net.Conn // the guest's second serial line
	r       *bufio.Reader
	console string
}

// answerTime bounds how long the guest may take for one answer. It bounds nothing that is measured.
const answerTime = 3 * time.Minute

// Boot starts a machine with the NICs and waits until its program answers; dir takes its sockets and
// logs. The machine is emulated in full (TCG), IOMMU included: it needs no KVM.
func Boot(ctx context.Context, dir, image string, k *Kernel, nics []NIC) (*Machine, error) {
	for _, n := range nics {
		if err := n.tap(ctx); err != nil {
			return nil, err
		}
	}
	socket := filepath.Join(dir, "line.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	defer l.Close()
	m := &Machine{console: filepath.Join(dir, "console.log")}
	args := append(slices.Clone(hardware), "-kernel", k.Image, "-initrd", image, "-serial", "file:"+m.console,
		"-serial", "unix:"+socket)
	for i, n := range nics {
		args = append(args, n.args(i)...)
	}
	m.cmd = exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	said := &strings.Builder{}
	m.cmd.Stdout, m.cmd.Stderr = said, said
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	if err := errors.Join(l.(*net.UnixListener).SetDeadline(time.Now().Add(answerTime))); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if m.line, err = l.Accept(); err != nil {
		return nil, errors.Join(fmt.Errorf("qemu did not start: %w: %s", err, said), m.Close())
	}
	m.r = bufio.NewReader(m.line)
	if _, err := m.answer(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// hardware is the machine without its NICs: two cores, an IOMMU that the guest's kernel uses, and
// nothing that qemu would add unasked. Its kernel does not test its timers: on a busy host they seem broken.
var hardware = []string{"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
	"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024",
	"-M", "q35,kernel-irqchip=split", "-device", "intel-iommu,intremap=on,caching-mode=on",
	"-append", "console=ttyS0 quiet panic=-1 intel_iommu=on iommu=pt random.trust_cpu=on no_timer_check"}

// tap makes the NIC's interface on the host's side, silent: what it carries are our frames and the
// guest's.
func (n *NIC) tap(ctx context.Context) error {
	args := []string{"tuntap", "add", "mode", "tap", "name", n.Tap}
	if n.Queues > 1 {
		args = append(args, "multi_queue")
	}
	quiet := fmt.Sprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", n.Tap)
	return errors.Join(command(ctx, "/", "ip", args...), os.WriteFile(quiet, []byte("1"), 0),
		command(ctx, "/", "ip", "link", "set", n.Tap, "txqueuelen", "4096", "arp", "off", "up"))
}

// args describes the NIC to qemu; it is the i-th.
func (n *NIC) args(i int) []string {
	dev := fmt.Sprintf("%s,netdev=n%d,addr=%s,mac=%s,romfile=", n.Model, i,
		strings.TrimPrefix(n.PCI, "0000:00:"), net.HardwareAddr(n.MAC[:]))
	netdev := fmt.Sprintf("tap,id=n%d,ifname=%s,script=no,downscript=no,vhost=off", i, n.Tap)
	if n.Queues > 1 {
		netdev += fmt.Sprintf(",queues=%d", n.Queues)
		dev += fmt.Sprintf(",mq=on,vectors=%d", 2*n.Queues+2)
	}
	return []string{"-netdev", netdev, "-device", dev}
}

// Ask has the guest do something and waits for its answer; an answer that tells an error is one.
func (m *Machine) Ask(c Command) (*Answer, error) {
	line, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("ask the guest: %w", err)
	}
	if _, err := m.line.Write(append(line, '\n')); err != nil {
		return nil, m.lost(err)
	}
	return m.answer()
}

func (m *Machine) answer() (*Answer, error) {
	if err := m.line.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return nil, m.lost(err)
	}
	line, err := m.r.ReadBytes('\n')
	if err != nil {
		return nil, m.lost(err)
	}
	a := &Answer{}
	if err := json.Unmarshal(line, a); err != nil {
		return nil, m.lost(fmt.Errorf("%w: %q", err, line))
	}
	if a.Error != "" {
		return nil, m.lost(errors.New(a.Error))
	}
	return a, nil
}

// lost explains an error by the last the guest said on its console.
func (m *Machine) lost(err error) error {
	b, _ := os.ReadFile(m.console)
	return fmt.Errorf("guest: %w; its console ends with:\n%s", err, b[max(0, len(b)-4000):])
}

// Close ends the machine.
func (m *Machine) Close() error {
	if m.line != nil {
		m.line.Close()
	}
	err := m.cmd.Process.Kill()
	_ = m.cmd.Wait() // it was killed, and says so
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end qemu: %w", err)
	}
	return nil
}
