package pcivm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Where the guest finds what it starts. They are Debian's paths, so that the code finds what it would
// find on a server.
const (
	Python    = "/usr/bin/python3"
	IP        = "/usr/sbin/ip"
	Module    = "/ansible/nic_driver.py" // the binding code, unchanged
	ModuleDir = "/modules"
)

// kernelModules are loaded in this order: the drivers that NICs have at first, then the one they get.
var kernelModules = []string{
	"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
	"failover", "net_failover", "virtio_net", "vmxnet3",
	"irqbypass", "vfio_virqfd", "vfio", "vfio_iommu_type1", "vfio-pci-core", "vfio-pci",
	"tun", "sch_multiq", "sch_ingress", "cls_flower", "act_skbedit",
}

// pmds are the parts of DPDK that it loads by name; no library depends on them.
var pmds = []string{"bus_pci", "bus_vdev", "mempool_ring", "net_virtio", "net_e1000", "net_vmxnet3",
	"net_tap"}

// Image writes the initramfs: program, which runs as the guest's first process, the kernel's modules,
// the binding code of repo's ansible folder with the Python and ip(8) of this machine, and every
// library they need.
func Image(ctx context.Context, to, program, repo string, k *Kernel) error {
	f, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	a := newArchive(w)
	for _, l := range []string{"bin", "sbin", "lib", "lib64"} {
		a.link("/"+l, "usr/"+l)
	}
	a.link("/var/run", "/run")
	a.put("/etc/passwd", 0o644, 0, []byte("root:x:0:0::/root:/bin/sh\n"))
	a.file("/init", program)
	if err := errors.Join(a.modules(k), a.python(ctx, repo), a.libraries(ctx, program)); err != nil {
		return err
	}
	return errors.Join(a.close(), w.Flush(), f.Close())
}

// modules puts the kernel's modules, numbered in the order in which they are to be loaded.
func (a *archive) modules(k *Kernel) error {
	found := map[string]string{}
	err := filepath.WalkDir(k.Modules, func(path string, d fs.DirEntry, err error) error {
		found[strings.TrimSuffix(filepath.Base(path), ".ko")] = path
		return err
	})
	if err != nil {
		return fmt.Errorf("image: modules: %w", err)
	}
	for i, m := range kernelModules {
		if found[m] == "" {
			return fmt.Errorf("image: %s has no module %s", k.Modules, m)
		}
		a.file(fmt.Sprintf("%s/%02d-%s.ko", ModuleDir, i, m), found[m])
	}
	return nil
}

// loaded is a program that imports the binding code as Ansible does and prints every file it took.
const loaded = `
import os, sys
repo = sys.argv[1]
import ansible.module_utils
ansible.module_utils.__path__.append(os.path.join(repo, "module_utils"))
sys.path.insert(0, os.path.join(repo, "library"))
sys.dont_write_bytecode = True
import encodings.ascii, encodings.utf_8, nic_driver
for folder in ("", "/compat", "/common", "/distro"):  # some modules there put others in their own place
    for f in os.scandir(ansible.module_utils.__path__[0] + folder):
        if f.name.endswith(".py"):
            print(f.path)
for m in list(sys.modules.values()):
    for f in (getattr(m, "__file__", None), getattr(m, "__cached__", None)):
        if f and f.startswith("/usr/") and os.path.exists(f):
            print(f)
`

// python puts the interpreter, what the binding code imports, and that code as Ansible would lay it
// out on a server.
func (a *archive) python(ctx context.Context, repo string) error {
	dir := filepath.Join(repo, "ansible")
	cmd := exec.CommandContext(ctx, Python, "-I", "-c", loaded, dir)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("image: what nic_driver.py imports: %w: %s", err, complaint.String())
	}
	for _, f := range strings.Fields(string(out)) {
		a.copy(f)
	}
	a.copy(Python)
	a.copy(IP)
	a.file(Module, filepath.Join(dir, "library", "nic_driver.py"))
	utils := "/usr/lib/python3/dist-packages/ansible/module_utils/"
	a.file(utils+"record.py", filepath.Join(dir, "module_utils", "record.py"))
	return nil
}

// libraries puts what the programs and DPDK's drivers are linked with.
func (a *archive) libraries(ctx context.Context, program string) error {
	files := []string{program, Python, IP}
	for name := range a.have {
		if strings.Contains(name, ".so") {
			files = append(files, "/"+name)
		}
	}
	for _, p := range pmds {
		found, err := filepath.Glob("/usr/lib/*/dpdk/pmds-*/librte_" + p + ".so.[0-9]*")
		if err != nil || len(found) == 0 {
			return fmt.Errorf("image: DPDK's %s is not installed: %w", p, errors.Join(err, fs.ErrNotExist))
		}
		for _, f := range found {
			a.copy(f)
		}
		files = append(files, found[0])
	}
	out, err := exec.CommandContext(ctx, "ldd", files...).Output()
	if err != nil {
		return fmt.Errorf("image: ldd: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "/") && !strings.HasSuffix(word, ":") {
				a.copy(word)
			}
		}
	}
	return nil
}
