package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"metronome/harness/record"
	"metronome/harness/testbed"
	"metronome/internal/version"
	"metronome/system/packet/dpdk"
)

// describe completes the manifest by everything that is known before the first trial.
func (r *runFiles) describe(m record.Manifest) (err error) {
	m.RunID, m.Start = r.dir.ID, r.start.Format(time.RFC3339)
	m.Commit, m.Dirty, m.DiffHash = version.Hash(), version.Dirty(), diffHash()
	m.Argv, m.Environment, m.Versions = os.Args, environment(), versions()
	if m.Binaries, err = binaries(); err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil {
		name = record.Unknown
	}
	m.Hosts = []record.Host{{Name: name, Facts: testbed.Facts()}}
	if m.Dirty {
		m.Warnings = append(m.Warnings, "the source differs from the commit it is named after")
	}
	if n := runtime.NumCPU(); n < 3 {
		m.Warnings = append(m.Warnings, fmt.Sprintf("%d cores: the harness shares the generator's core", n))
	}
	r.res.Manifest = m
	return nil
}

func (r *runFiles) writeManifest(status string) error {
	mf := &r.res.Manifest
	mf.Status = status
	mf.End = time.Now().UTC().Format(time.RFC3339)
	mf.MeasuredNS = time.Since(r.start).Nanoseconds()
	before, err := record.Flatten(r.begun)
	if err != nil {
		return err
	}
	after, err := record.Flatten(testbed.ReadCounters())
	if err != nil {
		return err
	}
	mf.Hosts[0].Before, mf.Hosts[0].After = before, after
	return record.WriteManifest(r.dir.Path("manifest.json"), *mf)
}

// environment is what in the environment changes how Go programs behave.
func environment() map[string]string {
	env := map[string]string{}
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "GO") && name != "GOPROXY" || strings.HasPrefix(name, "METRONOME_") {
			env[name] = value
		}
	}
	return env
}

func versions() map[string]string {
	v := map[string]string{"go": runtime.Version(), "dpdk": dpdk.Version()}
	if v["dpdk"] == "" {
		v["dpdk"] = record.Unknown
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			v[d.Path] = d.Version
		}
	}
	return v
}

// binaries is the SHA-256 of the programs that measured.
func binaries() (map[string]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	sums := map[string]string{}
	for _, name := range []string{"lab", "metronome"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(self), name))
		if err != nil {
			return nil, fmt.Errorf("hash %s: %w; next: make build", name, err)
		}
		sum := sha256.Sum256(b)
		sums[name] = hex.EncodeToString(sum[:])
	}
	return sums, nil
}

// diffHash tells two runs of a changed source apart.
func diffHash() string {
	out, err := exec.Command("git", "diff", "HEAD", "--", ".", ":!results", ":!figures").Output()
	if err != nil {
		return record.Unknown
	}
	sum := sha256.Sum256(out)
	return hex.EncodeToString(sum[:])
}
