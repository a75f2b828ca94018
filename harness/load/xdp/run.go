package xdp

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// runAttr is the part of union bpf_attr that BPF_PROG_TEST_RUN reads, linux/bpf.h.
type runAttr struct {
	progFD, retval             uint32
	dataSizeIn, dataSizeOut    uint32
	dataIn, dataOut            unsafe.Pointer
	repeat, duration           uint32
	ctxSizeIn, ctxSizeOut      uint32
	ctxIn, ctxOut              unsafe.Pointer
	flags, cpu, batchSize, pad uint32
}

// xdpMd is struct xdp_md, the program's context.
type xdpMd struct{ data, dataEnd, dataMeta, ingressIfindex, rxQueue, egressIfindex uint32 }

const (
	cmdProgTestRun = 10
	flagLiveFrames = 1 << 1
	batchSize      = 64      // frames the kernel prepares and flushes together
	maxRepeat      = 1 << 30 // more than a core runs in a minute; a run that gets there goes on
)

// liveRun runs the program on live frames until it has run repeat times or a signal interrupts it,
// which is not an error. cilium/ebpf's Program.Run would take the signal for an accident and start
// again; here it is how a run ends on time.
func liveRun(fd int, frame []byte, ifindex int, repeat uint32) error {
	md := xdpMd{dataEnd: uint32(len(frame)), ingressIfindex: uint32(ifindex)}
	attr := runAttr{
		progFD:     uint32(fd),
		dataSizeIn: uint32(len(frame)), dataIn: unsafe.Pointer(unsafe.SliceData(frame)),
		repeat:    repeat,
		ctxSizeIn: uint32(unsafe.Sizeof(md)), ctxIn: unsafe.Pointer(&md),
		flags: flagLiveFrames, batchSize: batchSize,
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, cmdProgTestRun,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(frame)
	runtime.KeepAlive(&md)
	if errno != 0 && !errors.Is(errno, unix.EINTR) {
		return errno
	}
	return nil
}

// monotonic is the clock of every time in this package, bpf_ktime_get_ns included.
func monotonic() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return ts.Nano()
}

// runUntil repeats live runs on the calling thread until the end time or the context's end, and
// returns how many it took; one, unless something interrupted it.
func (g *Generator) runUntil(ctx context.Context, end int64) (runs int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	restore, err := onlyStopSignal()
	if err != nil {
		return 0, err
	}
	defer restore()
	stop := interruptAt(ctx, unix.Gettid(), end)
	defer stop()
	for ctx.Err() == nil && monotonic() < end {
		runs++
		if err := liveRun(g.prog.FD(), g.frame, g.ifindex, maxRepeat); err != nil {
			return runs, fmt.Errorf("run XDP program on live frames: %w", err)
		}
	}
	return runs, nil
}

// stopSignal ends a run. Go's runtime uses it to preempt goroutines and takes spurious ones calmly.
const stopSignal = unix.SIGURG

// onlyStopSignal blocks every other signal on the calling thread, so that one meant for the process
// does not open a gap of two set-up times in the middle of a trial.
func onlyStopSignal() (restore func(), err error) {
	var block, old unix.Sigset_t
	for i := range block.Val {
		block.Val[i] = ^block.Val[i]
	}
	block.Val[0] &^= 1 << (stopSignal - 1)
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &block, &old); err != nil {
		return nil, fmt.Errorf("block signals: %w", err)
	}
	return func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }, nil
}

// interruptAt signals the thread from the end time, or the context's end, on. It goes on until told
// to stop, since a signal that comes just before the system call is spent for nothing.
func interruptAt(ctx context.Context, tid int, end int64) (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		timer := time.NewTimer(time.Duration(end - monotonic()))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-done:
			return
		}
		again := time.NewTicker(time.Millisecond)
		defer again.Stop()
		for {
			_ = unix.Tgkill(unix.Getpid(), tid, stopSignal)
			select {
			case <-again.C:
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-gone }
}
