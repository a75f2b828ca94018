// Command go is the Go client of runtime-profile: it works through a workload file and prints what it did,
// as one line of JSON.
//
//	go noop
//	go write|read|delete store WORKLOAD
//	go write|read|delete https WORKLOAD URL CA SECRET
//
// The same in C++, Go and Python: one connection, one request at a time, standard means of the language.
// SECRET is a file with USER:PASSWORD. With store the keys go to a map in this process instead.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

const chunks = 50 // parts of a run that are timed one by one

// report is what is printed.
type report struct {
	Runtime    string  `json:"runtime"`
	Operations int     `json:"operations"`
	Checksum   string  `json:"checksum,omitempty"`
	LoadNS     int64   `json:"load_ns"`
	FirstNS    int64   `json:"first_ns"`
	MarksNS    []int64 `json:"marks_ns,omitempty"`
	PeakKiB    int64   `json:"peak_kib"`
}

// target is where the keys go.
type target interface {
	write(key string, value []byte) error
	read(key string) ([]byte, error)
	delete(key string) error
}

var errUsage = errors.New("write: noop | write|read|delete store WORKLOAD | … https WORKLOAD URL CA SECRET")

func main() {
	r := report{Runtime: runtime.Version()}
	err := profile(os.Args[1:], &r)
	if err == nil {
		r.PeakKiB = peak()
		err = json.NewEncoder(os.Stdout).Encode(&r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func profile(args []string, r *report) error {
	if len(args) == 1 && args[0] == "noop" {
		return nil
	}
	if len(args) < 3 || !strings.Contains(" write read delete ", " "+args[0]+" ") {
		return errUsage
	}
	begun := time.Now()
	operations, pool, err := load(args[2])
	if err != nil {
		return err
	}
	to, err := open(args, operations, pool)
	if err != nil {
		return err
	}
	r.LoadNS, r.Operations = int64(time.Since(begun)), len(operations)
	return run(args[0], to, operations, pool, r)
}

func open(args []string, operations []operation, pool []byte) (target, error) {
	switch {
	case args[1] == "store" && len(args) == 3:
		s := store{}
		if args[0] == "write" {
			return s, nil
		}
		_, err := work("write", s, operations, pool, 0)
		return s, err
	case args[1] == "https" && len(args) == 6:
		return connect(args[3], args[4], args[5])
	}
	return nil, errUsage
}

// run does all operations and notes when the first was done and when each part was.
func run(verb string, to target, operations []operation, pool []byte, r *report) error {
	start := time.Now()
	sum, err := work(verb, to, operations[:1], pool, 0)
	r.FirstNS = int64(time.Since(start))
	done := 1
	for part := 1; part <= chunks && err == nil; part++ {
		end := max(1, len(operations)*part/chunks)
		sum, err = work(verb, to, operations[done:end], pool, sum)
		done = end
		r.MarksNS = append(r.MarksNS, int64(time.Since(start)))
	}
	r.Checksum = fmt.Sprintf("%08x", sum)
	return err
}

// work does a part of the operations and returns the checksum so far.
func work(verb string, to target, operations []operation, pool []byte, sum uint32) (_ uint32, err error) {
	for i := range operations {
		o := &operations[i]
		value := pool[o.from:o.to]
		switch verb {
		case "write":
			err = to.write(o.key, value)
		case "read":
			value, err = to.read(o.key)
		default:
			value, err = nil, to.delete(o.key)
		}
		if err != nil {
			return sum, err
		}
		sum = crc32.Update(sum, crc32.IEEETable, []byte(o.key))
		sum = crc32.Update(sum, crc32.IEEETable, value)
	}
	return sum, nil
}

// peak is the peak resident memory in KiB, as the kernel counts it for this address space.
func peak() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, " kB")
	kib, _ := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	return kib
}
