package buildtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Programs builds programs of this module, given by their import paths, with build tags (comma-separated, or
// none), and returns the folder that they are in. Other builds with the same tags wait meanwhile.
func Programs(tags string, packages ...string) (dir string, err error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find this module: %w", err)
	}
	name := "plain"
	if tags != "" {
		name = strings.ReplaceAll(tags, ",", "-")
	}
	dir = filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "bin", "test", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("folder of programs for tests: %w", err)
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("lock of programs for tests: %w", err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock of programs for tests: %w", err)
	}
	args := append([]string{"build", "-tags=" + tags, "-o", dir + string(filepath.Separator)}, packages...)
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", strings.Join(packages, " "), err, out)
	}
	return dir, nil
}
