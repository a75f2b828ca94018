package probe

import (
	"math"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestBetween(t *testing.T) {
	a := Snapshot{AtNS: 100,
		Cores:     map[int]CPUTimes{0: {User: 10, Idle: 5, Steal: 1}, 1: {User: 1, Idle: 9}},
		Processes: map[int]Process{7: {ClockNS: 1000}},
		Threads: map[int]Thread{
			70: {PID: 7, Sched: Sched{RunNS: 400, WaitNS: 40, Slices: 4}},
			71: {PID: 7, Sched: Sched{RunNS: 100}},
			72: {PID: 7, Sched: Sched{RunNS: 999}}},
		Net:     Counters{"Udp.RcvbufErrors": 3, "Udp.InErrors": 4},
		Softnet: []Softnet{{Core: 1, Processed: math.MaxUint32}},
		Links:   map[string]Counters{"v": {"rx_dropped": 1}},
		Devices: map[string]Counters{"v": {"rx_queue_0_drops": 5, "remade": 50}}}
	b := Snapshot{AtNS: 300,
		Cores:     map[int]CPUTimes{0: {User: 60, Idle: 4, Steal: 51}, 1: {User: 1, Idle: 109}},
		Processes: map[int]Process{7: {ClockNS: 1700, Memory: Memory{Peak: 9}}},
		Threads: map[int]Thread{
			70: {PID: 7, Sched: Sched{RunNS: 900, WaitNS: 50, Slices: 9}},
			72: {PID: 7, Sched: Sched{RunNS: 11}}, // another thread under an old number
			73: {PID: 73, Name: "napi/v-1", Sched: Sched{RunNS: 30}}},
		Net:     Counters{"Udp.RcvbufErrors": 13, "Udp.InErrors": 16},
		Softnet: []Softnet{{Core: 1, Processed: 9}},
		Sockets: []UDPSocket{{Port: 7700}},
		Links:   map[string]Counters{"v": {"rx_dropped": 6}},
		Devices: map[string]Counters{"v": {"rx_queue_0_drops": 9, "remade": 2}}}
	want := Delta{WallNS: 200,
		Cores: map[int]CPUTimes{0: {User: 50, Steal: 50}, 1: {Idle: 100}},
		Threads: map[int]Thread{
			70: {PID: 7, Sched: Sched{RunNS: 500, WaitNS: 10, Slices: 5}},
			72: {PID: 7, Sched: Sched{RunNS: 11}},
			73: {PID: 73, Name: "napi/v-1", Sched: Sched{RunNS: 30}}},
		Clock: map[int]uint64{7: 700}, Gone: []int{71},
		Net:     Net{UDPRcvbuf: 10, UDPErrors: 12},
		Softnet: []Softnet{{Core: 1, Processed: 10}},
		Links:   map[string]Counters{"v": {"rx_dropped": 5}},
		Devices: map[string]Counters{"v": {"rx_queue_0_drops": 4, "remade": 2}},
		Memory:  map[int]Memory{7: {Peak: 9}},
		Sockets: []UDPSocket{{Port: 7700}}}
	got := Between(a, b)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got.RunNS() != 541 || got.ThreadNS(73) != 30 || got.ThreadNS(1) != 0 {
		t.Errorf("run %d ns, want 541", got.RunNS())
	}
	if s := got.Core(0).StealRatio(); s != 0.5 {
		t.Errorf("steal of core 0 is %g, want 0.5", s)
	}
	if s := got.Core().StealRatio(); s != 0.25 {
		t.Errorf("steal of all cores is %g, want 0.25", s)
	}
	if s := (CPUTimes{}).StealRatio(); s != 0 {
		t.Errorf("steal of no time is %g", s)
	}
}

// Goal: what a busy thread spends is seen in its own figure, its process's clock and, by and by,
// in no other's. Method: burn 60 ms of this thread's CPU clock, however long that takes.
func TestReadSeesWork(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, tid := os.Getpid(), unix.Gettid()
	target := Target{Processes: []int{pid, gonePID(t)}, ProcNet: "/proc/thread-self/net"}
	a, err := Read(target)
	if err != nil {
		t.Fatal(err)
	}
	const burn = 60_000_000
	for start := threadClock(t); threadClock(t)-start < burn; {
	}
	runtime.Gosched()
	b, err := Read(target)
	if err != nil {
		t.Fatal(err)
	}
	d := Between(a, b)
	if d.Clock[pid] < burn {
		t.Errorf("process clock grew by %d ns, want at least %d", d.Clock[pid], burn)
	}
	const tick = 10_000_000 // HZ 100; a thread's figure may be late by one
	if ns := d.ThreadNS(tid); ns < burn-tick {
		t.Errorf("thread ran %d ns, want about %d", ns, burn)
	}
	if m := d.Memory[pid]; m.Peak == 0 || m.Resident == 0 || m.Peak < m.Resident/2 {
		t.Errorf("memory %+v", m)
	}
	if len(d.Cores) == 0 || len(d.Softnet) == 0 || d.WallNS <= 0 || len(b.Net) == 0 {
		t.Errorf("cores %v, softnet %v, wall %d ns, net %v", d.Cores, d.Softnet, d.WallNS, b.Net)
	}
}

func threadClock(t *testing.T) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

// gonePID is the pid of a process that has ended.
func gonePID(t *testing.T) int {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestReadReportsBadNamespace(t *testing.T) {
	if _, err := Read(Target{ProcNet: t.TempDir()}); err == nil {
		t.Error("no error for a directory that is no /proc/net")
	}
}

func TestDevice(t *testing.T) {
	if _, err := OpenDevice("no-such-device"); err == nil {
		t.Error("opened a device that does not exist")
	}
}
