//go:build dpdk

package dpdk

/*
#cgo CFLAGS: -O3
#cgo pkg-config: libdpdk
#cgo noescape mtn_rx
#cgo nocallback mtn_rx
#cgo noescape mtn_tx
#cgo nocallback mtn_tx
#cgo noescape mtn_reserve
#cgo nocallback mtn_reserve
#cgo noescape mtn_tx_one
#cgo nocallback mtn_tx_one
#cgo noescape mtn_relay
#cgo nocallback mtn_relay
#cgo noescape mtn_stats
#cgo nocallback mtn_stats
#include <stdlib.h>
#include "shim.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"metronome/system/packet"
)

// eal is this process's EAL: a singleton because DPDK makes it one. Its main thread lives as long
// as EAL does and runs nothing else, so that no goroutine inherits its CPU affinity or buffer
// cache.
var eal struct {
	sync.Mutex
	started bool
	work    chan func() // runs on the main thread; nil when EAL does not run
	memifs  []memifArg  // the memif interfaces among the devices
}

// Version is the linked DPDK's version, "DPDK 22.11.11".
func Version() string { return C.GoString(C.mtn_version()) }

// Init starts EAL with args (see [EAL].Args; the program's name, a unique file prefix and a core
// list are added if missing). A stale memif socket that args name is removed first. EAL logs to
// standard error.
//
// Errors: [ErrInitialized], *[ErrOccupied], *packet.ErrUnavailable, *[InitError].
func Init(args []string) error {
	eal.Lock()
	defer eal.Unlock()
	if eal.started {
		return ErrInitialized
	}
	memifs := memifArgs(args)
	for _, m := range memifs {
		if err := m.claim(); err != nil {
			return err
		}
	}
	work := make(chan func())
	go mainThread(work)
	args = completeArgs(args)
	if err := start(work, args); err != nil {
		close(work)
		return err
	}
	eal.started, eal.work, eal.memifs = true, work, memifs
	if err := missingDevice(args); err != nil {
		return errors.Join(err, shutdown())
	}
	return nil
}

// missingDevice finds a virtual device that EAL could not make: it logs that and starts without.
func missingDevice(args []string) error {
	for _, v := range vdevs(args) {
		name, _, _ := strings.Cut(v, ",")
		if _, _, err := findDevice(name); err == nil {
			continue
		}
		why := name + ": " + takeError()
		if strings.HasPrefix(name, "net_af_") && os.Geteuid() != 0 {
			return &packet.ErrUnavailable{What: "root", Why: why, Next: "run as root: kernel " +
				"interfaces are opened with CAP_NET_RAW and CAP_NET_ADMIN"}
		}
		return &InitError{Args: args, Errno: unix.ENODEV, Log: why}
	}
	return nil
}

// mainThread is EAL's main thread. It never unlocks: the thread ends with the goroutine.
func mainThread(work chan func()) {
	runtime.LockOSThread()
	for f := range work {
		f()
	}
}

// start calls rte_eal_init on the main thread. EAL keeps pointers into argv, which is therefore not
// freed unless it failed.
func start(work chan func(), args []string) error {
	argv := (*[1 << 16]*C.char)(C.calloc(C.size_t(len(args)+1), C.size_t(8)))
	for i, a := range args {
		argv[i] = C.CString(a)
	}
	rc := on(work, func() C.int { return C.mtn_eal_init(C.int(len(args)), &argv[0]) })
	// A folder for what processes would share. Ours share nothing, so it is empty, and stays behind if
	// this process is killed.
	_ = os.Remove(C.GoString(C.mtn_runtime_dir()))
	if rc == 0 {
		return nil
	}
	if meminfo, err := os.ReadFile("/proc/meminfo"); err == nil {
		if err := hugepagesMissing(args, string(meminfo)); err != nil {
			return err
		}
	}
	return &InitError{Args: args, Errno: unix.Errno(-rc), Log: takeError()}
}

// on runs f on the main thread.
func on(work chan func(), f func() C.int) C.int {
	done := make(chan C.int)
	work <- func() { done <- f() }
	return <-done
}

// takeError is the first line EAL logged as an error since it was last asked.
func takeError() string {
	var line [256]C.char
	C.mtn_take_error(&line[0], C.size_t(len(line)))
	return C.GoString(&line[0])
}

// Shutdown ends EAL and gives its memory back. Devices must be closed before. EAL does not start
// again in this process.
func Shutdown() error {
	eal.Lock()
	defer eal.Unlock()
	return shutdown()
}

// shutdown is Shutdown for a caller that holds the lock.
func shutdown() error {
	if eal.work == nil {
		return nil
	}
	rc := on(eal.work, func() C.int { return C.mtn_eal_cleanup() })
	close(eal.work)
	eal.work = nil
	return wrap("shut EAL down", rc)
}

// running reports whether EAL runs.
func running() bool {
	eal.Lock()
	defer eal.Unlock()
	return eal.work != nil
}

// memifClient finds the memif interface of that name, if this process is its client.
func memifClient(name string) (memifArg, bool) {
	eal.Lock()
	defer eal.Unlock()
	i := slices.IndexFunc(eal.memifs, func(m memifArg) bool { return m.name == name && !m.server })
	if i < 0 {
		return memifArg{}, false
	}
	return eal.memifs[i], true
}

// Attach locks the calling goroutine to its thread and makes the thread known to EAL, which gives
// it a cache of packet buffers of its own: the goroutine that polls wants it. detach undoes both.
func Attach() (detach func(), err error) {
	if !running() {
		return func() {}, errNotRunning
	}
	runtime.LockOSThread()
	switch rc := C.mtn_thread_register(); {
	case rc < 0:
		runtime.UnlockOSThread()
		return func() {}, wrap("attach thread", rc)
	case rc > 0:
		return runtime.UnlockOSThread, nil
	}
	return func() {
		C.mtn_thread_unregister()
		runtime.UnlockOSThread()
	}, nil
}

// HeapUse reads the use of EAL's memory.
func HeapUse() Heap {
	if !running() {
		return Heap{}
	}
	var h C.struct_mtn_heap
	C.mtn_heap(&h)
	return Heap{Total: uint64(h.total), Allocated: uint64(h.allocated)}
}

// errNotRunning is returned by what needs EAL before Init or after Shutdown.
var errNotRunning = &packet.ErrUnavailable{
	What: "dpdk", Why: "EAL does not run in this process", Next: "call Init first",
}

// wrap makes an error of a C result, 0 or -errno.
func wrap(what string, rc C.int) error {
	if rc >= 0 {
		return nil
	}
	if line := takeError(); line != "" {
		return fmt.Errorf("dpdk: %s: %w (EAL: %s)", what, unix.Errno(-rc), line)
	}
	return fmt.Errorf("dpdk: %s: %w", what, unix.Errno(-rc))
}
