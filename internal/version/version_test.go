package version

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStamp builds a program with the linker flag that the Makefile passes and lets it print every
// form: a renamed variable or package would leave "unknown" in all of them.
func TestStamp(t *testing.T) {
	commit := strings.Repeat("0123456789", 4)
	for _, tc := range []struct{ name, stamp, want string }{
		{"clean", commit, commit + " false 0123456"},
		{"dirty", commit + "-dirty", commit + " true 0123456"},
		{"not stamped", "", "unknown false unknown"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bin := filepath.Join(t.TempDir(), "stamped")
			args := []string{"build", "-o", bin}
			if tc.stamp != "" {
				args = append(args, "-ldflags", "-X metronome/internal/version.Commit="+tc.stamp)
			}
			if out, err := exec.Command("go", append(args, "./testdata/stamped")...).CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
			out, err := exec.Command(bin).Output()
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(string(out)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
