package testbed

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"metronome/internal/require"
	"metronome/system/packet"
)

// fakePool is a directory that looks like the kernel's pool; resizing it changes nothing but the
// file, as a kernel with no memory left would leave free_hugepages alone.
func fakePool(t *testing.T, total, free int) hugePool {
	t.Helper()
	p := hugePool(t.TempDir())
	for name, v := range map[string]int{"nr_hugepages": total, "free_hugepages": free} {
		err := os.WriteFile(filepath.Join(string(p), name), []byte(strconv.Itoa(v)+"\n"), 0o600)
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestReserveUsesWhatIsFree(t *testing.T) {
	tb, pool := open(t), fakePool(t, 10, 8)
	if err := tb.reserve(pool, 8); err != nil {
		t.Fatal(err)
	}
	if got, _ := pool.read("nr_hugepages"); got != 10 || len(tb.state.Huge) != 0 {
		t.Errorf("pool resized to %d, state %v; enough were free", got, tb.state.Huge)
	}
}

func TestReserveSaysWhatIsMissing(t *testing.T) {
	tb, pool := open(t), fakePool(t, 10, 4)
	err := tb.reserve(pool, 8)
	var un *packet.ErrUnavailable
	if !errors.As(err, &un) || un.What != "hugepages" || un.Next == "" {
		t.Fatalf("got %v, want hugepages unavailable with a next step", err)
	}
	if got, _ := pool.read("nr_hugepages"); got != 14 {
		t.Errorf("pool was asked for %d pages, want 14", got)
	}
	h := tb.state.Huge[0]
	tb.state.Huge = nil // not the real pool's business
	if err := h.shrink(pool); err != nil {
		t.Fatal(err)
	}
	if got, _ := pool.read("nr_hugepages"); got != 10 {
		t.Errorf("pool restored to %d pages, want 10", got)
	}
}

func TestShrinkGivesBackNoMoreThanWasTaken(t *testing.T) {
	for _, c := range []struct{ now, before, target, want int }{
		{14, 10, 14, 10},
		{12, 10, 14, 10}, // the kernel had only 2 of the 4
		{30, 10, 14, 26}, // another process added 16 since
		{10, 10, 14, 10}, // killed before the kernel was asked
		{5, 10, 14, 5},   // somebody shrank it below
	} {
		pool := fakePool(t, c.now, 0)
		if err := (hugeState{Before: c.before, Target: c.target}).shrink(pool); err != nil {
			t.Fatal(err)
		}
		if got, _ := pool.read("nr_hugepages"); got != c.want {
			t.Errorf("%+v: restored to %d", c, got)
		}
	}
}

func TestStatusField(t *testing.T) {
	const status = "Name:\ttestpmd\nHugetlbPages:\t  172032 kB\n"
	if got := statusField(status, "HugetlbPages"); got != "172032 kB" {
		t.Errorf("HugetlbPages = %q", got)
	}
	if got := statusField(status, "Huge"); got != "" {
		t.Errorf("Huge = %q, want none", got)
	}
}

// The kernel's own pool gives four pages, and Close takes nothing away from others.
func TestHugepagesOfThisHost(t *testing.T) {
	tb := open(t)
	err := tb.Hugepages(4)
	if un := new(packet.ErrUnavailable); errors.As(err, &un) {
		require.Skip(t, "hugepages", un)
	}
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(hugeMount, &st); err != nil || st.Type != unix.HUGETLBFS_MAGIC {
		t.Errorf("%s has type %#x, %v; want hugetlbfs", hugeMount, st.Type, err)
	}
	if err := tb.Close(); err != nil {
		t.Error(err)
	}
}
