// Command worker is a device's process in edge-offline: it fills its queue while no edge answers, or opens
// the queue again and empties it into one. It reads a [spec] in JSON, which holds a password, from standard
// input, and prints a [report].
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"metronome/harness/driver/offline/outage"
	"metronome/system/device"
	"metronome/system/device/queue"
)

// spec is what to do.
type spec struct {
	Drain                     bool // else fill
	Dir, Edge, User, Password string
	CA                        string // file; "" = no edge is to be reached
	Batch                     int
	Every, Latest             bool // send every operation; only the newest of a key
	RetryMS                   int  // the shortest wait before another try; 0 = the device's own
	Outage                    outage.Spec
	SampleMS                  int // how often the backlog is looked at
}

// report is what came of it.
type report struct {
	OpenNS, WorkNS, CPUNS int64 // opening the queue; filling or draining it; CPU time of the process
	PeakKiB               int64 // resident memory
	Status                device.Status
	Samples               [][2]float64 // seconds since the drain began, operations that wait
}

func main() {
	var s spec
	r := report{}
	err := json.NewDecoder(os.Stdin).Decode(&s)
	if err == nil {
		err = s.run(&r)
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(&r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (s *spec) run(r *report) (err error) {
	cfg, err := s.config()
	if err != nil {
		return err
	}
	start := time.Now()
	d, err := device.Open(cfg)
	if err != nil {
		return err
	}
	r.OpenNS = int64(time.Since(start))
	defer func() { err = errors.Join(err, d.Close()) }()
	start = time.Now()
	if s.Drain {
		err = s.drain(d, r)
	} else {
		_, err = d.Import(context.Background(), s.writes(), false)
	}
	r.WorkNS, r.Status = int64(time.Since(start)), d.Status()
	return errors.Join(err, used(r))
}

func (s *spec) config() (device.Config, error) {
	cfg := device.Config{Dir: s.Dir, Client: s.User, Password: s.Password, Edges: []string{s.Edge}, FreeFloor: 1,
		BatchOps: s.Batch, Rules: queue.Rules{SendAll: s.Every}}
	if s.Latest {
		cfg.Rules.LatestOnly = []string{outage.Prefix}
	}
	if s.RetryMS > 0 {
		cfg.RetryLeast = time.Duration(s.RetryMS) * time.Millisecond
		cfg.RetryMost = 10 * cfg.RetryLeast
	}
	if s.CA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return cfg, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return cfg, fmt.Errorf("%s holds no certificate", s.CA)
	}
	cfg.HTTP = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	return cfg, nil
}

func (s *spec) writes() iter.Seq2[device.Write, error] {
	return func(yield func(device.Write, error) bool) {
		for op := range s.Outage.All() {
			if !yield(device.Write{Key: op.Key, Value: op.Value, Delete: op.Delete}, nil) {
				return
			}
		}
	}
}

// drain waits until all is at the edge, and looks at the backlog now and then.
func (s *spec) drain(d *device.Device, r *report) error {
	done := make(chan error, 1)
	start := time.Now()
	sample := func() {
		r.Samples = append(r.Samples, [2]float64{time.Since(start).Seconds(), float64(d.Status().Pending)})
	}
	go func() { done <- d.Flush(context.Background(), queue.Edge) }()
	tick := time.NewTicker(time.Duration(max(1, s.SampleMS)) * time.Millisecond)
	defer tick.Stop()
	sample()
	for {
		select {
		case <-tick.C:
			sample()
		case err := <-done:
			sample()
			return err
		}
	}
}

// used is what the process took: VmHWM, which unlike ru_maxrss has nothing of who started it.
func used(r *report) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	line, _, _ := bytes.Cut(rest, []byte(" kB"))
	if r.PeakKiB, err = strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64); err != nil {
		return err
	}
	var u syscall.Rusage
	err = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	r.CPUNS = u.Utime.Nano() + u.Stime.Nano()
	return err
}
