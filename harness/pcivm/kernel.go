package pcivm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"metronome/system/packet"
)

// kernelPackage is Debian's name for the newest kernel without drivers that no virtual machine needs;
// it depends on the package that holds it.
const kernelPackage = "linux-image-cloud-amd64"

// Kernel is an unpacked kernel package. Nothing of it is installed.
type Kernel struct {
	Image   string // path of the bootable image
	Modules string // folder of its modules
}

// FetchKernel downloads the kernel's package into dir and unpacks it, unless it is there: the first
// time takes seconds and needs Debian's archive. Errors: *packet.ErrUnavailable.
func FetchKernel(ctx context.Context, dir string) (*Kernel, error) {
	if k, err := findKernel(dir); err == nil {
		return k, nil
	}
	name, err := kernelName(ctx)
	if err != nil {
		return nil, err
	}
	// Unpacked beside its place and then moved: a folder that is there is whole.
	part := filepath.Join(dir, "part")
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(part, 0o755)); err != nil {
		return nil, fmt.Errorf("fetch kernel: %w", err)
	}
	if err := command(ctx, part, "apt-get", "-q", "download", name); err != nil {
		return nil, noKernel(err)
	}
	debs, err := filepath.Glob(filepath.Join(part, "*.deb"))
	if err != nil || len(debs) != 1 {
		return nil, noKernel(fmt.Errorf("apt-get left %d packages: %w", len(debs), err))
	}
	if err := command(ctx, part, "dpkg-deb", "-x", filepath.Base(debs[0]), "."); err != nil {
		return nil, noKernel(err)
	}
	if err := errors.Join(os.Remove(debs[0]), os.Rename(part, filepath.Join(dir, name))); err != nil {
		return nil, fmt.Errorf("fetch kernel: %w", err)
	}
	return findKernel(dir)
}

var depends = regexp.MustCompile(`Depends: (linux-image-\S+)`)

// kernelName asks apt which package holds the kernel today.
func kernelName(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", "depends", kernelPackage).Output()
	if err != nil {
		return "", noKernel(err)
	}
	m := depends.FindSubmatch(out)
	if m == nil {
		return "", noKernel(errors.New("apt-cache knows no " + kernelPackage))
	}
	return string(m[1]), nil
}

func findKernel(dir string) (*Kernel, error) {
	images, err := filepath.Glob(filepath.Join(dir, "linux-image-*", "boot", "vmlinuz-*"))
	if err != nil || len(images) == 0 {
		return nil, noKernel(errors.Join(err, os.ErrNotExist))
	}
	image := images[len(images)-1]
	_, release, _ := strings.Cut(filepath.Base(image), "-")
	return &Kernel{image, filepath.Join(filepath.Dir(image), "..", "lib", "modules", release)}, nil
}

func noKernel(err error) error {
	return &packet.ErrUnavailable{What: "pci", Why: "no kernel to boot: " + err.Error(),
		Next: "apt-get update, and see that apt-get download " + kernelPackage + " works"}
}

// command runs a program in dir; its error holds what it said.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
