package pcivm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"metronome/harness/testbed"
	"metronome/internal/require"
	"metronome/system/packet/dpdk"
)

const (
	repo        = "../.."
	cache       = repo + "/bin/pcivm"
	noKernelEnv = "METRONOME_PCIVM_KERNEL" // why there is no kernel: found outside the sandbox
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// testMain runs the tests in a sandbox; the kernel comes from where there still is a network.
func testMain(m *testing.M) int {
	if !wanted() || os.Geteuid() != 0 {
		return m.Run()
	}
	if !testbed.Sandboxed() {
		if _, err := FetchKernel(context.Background(), cache); err != nil {
			os.Setenv(noKernelEnv, err.Error())
		}
	}
	outside, code, err := testbed.Sandbox()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		return 1
	}
	if outside {
		return code
	}
	return m.Run()
}

// wanted reports whether the machine is to be booted: it takes longer than tests should that run
// every time.
func wanted() bool { return require.Required("pci") }

// missing is what this machine lacks to boot another.
func missing() error {
	switch {
	case !wanted():
		return errors.New("make test-pci boots it")
	case os.Geteuid() != 0:
		return errors.New("it takes root to make tap interfaces")
	case os.Getenv(noKernelEnv) != "":
		return errors.New(os.Getenv(noKernelEnv))
	case dpdk.Version() == "":
		return errors.New("this build has no DPDK")
	}
	for _, name := range []string{"qemu-system-x86_64", "ip"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w; next: make setup EXTRA=yes", err)
		}
	}
	return nil
}

// boot starts the machine for a test.
func boot(t *testing.T, nics []NIC) *Machine {
	t.Helper()
	if err := missing(); err != nil {
		require.Skip(t, "pci", err)
	}
	k, err := FetchKernel(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program, image := filepath.Join(dir, "guest"), filepath.Join(dir, "image")
	if err := command(t.Context(), ".", "go", "build", "-tags=dpdk", "-ldflags=-s -w", "-o", program,
		"./guest"); err != nil {
		t.Fatal(err)
	}
	if err := Image(t.Context(), image, program, repo, k); err != nil {
		t.Fatal(err)
	}
	m, err := Boot(context.Background(), dir, image, k, nics)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(m.lost(errors.New("the test failed")))
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}
