package tool

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"metronome/internal/require"
	"metronome/system/packet"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCpp(t *testing.T) {
	if _, err := Find("g++"); err != nil {
		require.Skip(t, "g++", err)
	}
	source, out := write(t, "a.cc", "int main() { return 7; }"), filepath.Join(t.TempDir(), "deep", "a")
	if err := Cpp(t.Context(), source, out); err != nil {
		t.Fatal(err)
	}
	var status *exec.ExitError
	if err := exec.Command(out).Run(); !errors.As(err, &status) || status.ExitCode() != 7 {
		t.Fatal(err)
	}
	// What is newer than its source is left alone; what is older is built again.
	if err := os.WriteFile(source, []byte("int main() { return 0; }"), 0o644); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := errors.Join(os.Chtimes(source, now, now), os.Chtimes(out, now, now.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if err := Cpp(t.Context(), source, out); err != nil || exec.Command(out).Run() == nil {
		t.Fatal("it was built again", err)
	}
	if err := os.Chtimes(source, now, now.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Cpp(t.Context(), source, out), exec.Command(out).Run()); err != nil {
		t.Fatal("it was not built again", err)
	}
}

// What cannot be built is unavailable, with the compiler's words: a library may be missing.
func TestWhatCannotBeBuilt(t *testing.T) {
	var un *packet.ErrUnavailable
	out := filepath.Join(t.TempDir(), "a")
	if err := Cpp(t.Context(), write(t, "b.cc", "#include <there/is/none>"), out); !errors.As(err, &un) {
		t.Fatal(err)
	}
	if err := Go(t.Context(), ".", "./there-is-none", out); !errors.As(err, &un) {
		t.Fatal(err)
	}
	if _, err := Find("there-is-none", "/nor/here"); !errors.As(err, &un) {
		t.Fatal(err)
	}
}
