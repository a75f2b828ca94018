package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// SchemaVersion is the version of the manifest's and the tables' meaning. It grows when a name
// changes its meaning; a new name does not raise it.
const SchemaVersion = 1

// Unknown stands for a fact that could not be read. Facts are never left out.
const Unknown = "unknown"

// Manifest says what a run was: enough to run it again, and to judge whether another run may be
// compared with it.
type Manifest struct {
	SchemaVersion int    `json:"schema_version"`
	Experiment    string `json:"experiment"`
	RunID         string `json:"run_id"`
	Profile       string `json:"profile"`
	Status        string `json:"status"`     // running, ok, partial
	Conditions    string `json:"conditions"` // printed on every figure: "software path, no NIC"

	Kind    string   `json:"kind,omitempty"`    // Experiment..., or empty: ingest
	Figures []string `json:"figures,omitempty"` // of an experiment on stores: which to draw
	Design  *Design  `json:"design,omitempty"`  // of a factorial experiment

	Commit   string `json:"commit"` // full hash
	Dirty    bool   `json:"dirty"`  // the working tree differed from the commit
	DiffHash string `json:"diff_hash"`
	SpecHash string `json:"spec_hash"` // SHA-256 of experiment.yaml as used
	Seed     uint64 `json:"seed"`
	Blocks   int    `json:"blocks"`

	Argv        []string            `json:"argv"`
	Environment map[string]string   `json:"environment"` // GOMAXPROCS, GODEBUG, METRONOME_*, …
	Versions    map[string]string   `json:"versions"`    // go, dpdk, modules, …
	Binaries    map[string]string   `json:"binaries"`    // file name to SHA-256
	EALArgs     map[string][]string `json:"eal_args"`    // by arm

	Start      string `json:"start"` // RFC 3339, UTC
	End        string `json:"end"`
	SetupNS    int64  `json:"setup_ns"` // building and setting up, outside the stated minutes
	MeasuredNS int64  `json:"measured_ns"`

	Hosts    []Host   `json:"hosts"`
	Warnings []string `json:"warnings"`
}

// Host is one machine of a run. Values are as the machine prints them, [Unknown] where it does not.
type Host struct {
	Name   string            `json:"name"`
	Facts  map[string]string `json:"facts"`  // those of package testbed
	Before map[string]string `json:"before"` // counters when the run began: steal, throttling, …
	After  map[string]string `json:"after"`  // the same when it ended
}

// Flatten returns the fields of v, a struct or map, by their JSON names, as text. A null becomes
// [Unknown].
func Flatten(v any) (map[string]string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("flatten %T: %w", v, err)
	}
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return nil, fmt.Errorf("flatten %T: %w", v, err)
	}
	texts := make(map[string]string, len(fields))
	for name, field := range fields {
		texts[name] = Unknown
		if field != nil {
			texts[name] = fmt.Sprint(field)
		}
	}
	return texts, nil
}

// complete replaces what is empty by [Unknown], and absent lists by empty ones.
func (m *Manifest) complete() {
	m.SchemaVersion = SchemaVersion
	for _, s := range []*string{&m.Commit, &m.DiffHash, &m.SpecHash, &m.Start, &m.End} {
		if *s == "" {
			*s = Unknown
		}
	}
	m.Hosts = append([]Host{}, m.Hosts...)
	for i := range m.Hosts {
		h := &m.Hosts[i]
		h.Facts, h.Before, h.After = noEmpty(h.Facts), noEmpty(h.Before), noEmpty(h.After)
	}
	m.Environment, m.Versions, m.Binaries = noEmpty(m.Environment), noEmpty(m.Versions),
		noEmpty(m.Binaries)
	if m.Warnings == nil {
		m.Warnings = []string{}
	}
}

// noEmpty returns a copy of facts in which empty values are [Unknown].
func noEmpty(facts map[string]string) map[string]string {
	full := make(map[string]string, len(facts))
	for k, v := range facts {
		if v == "" {
			v = Unknown
		}
		full[k] = v
	}
	return full
}

// WriteManifest replaces the manifest at path. Empty values are written as [Unknown].
func WriteManifest(path string, m Manifest) error {
	m.complete()
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	return replaceFile(path, append(b, '\n'))
}

// ReadManifest reads the manifest at path. An unknown key or a newer schema is an error.
func ReadManifest(path string) (Manifest, error) {
	var m Manifest
	b, err := os.ReadFile(path)
	if err != nil {
		return m, fmt.Errorf("read the manifest: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("decode %s: %w", path, err)
	}
	if m.SchemaVersion != SchemaVersion {
		return m, fmt.Errorf("read %s: schema version %d, this program knows %d: "+
			"read it with commit %s", path, m.SchemaVersion, SchemaVersion, m.Commit)
	}
	return m, nil
}

// replaceFile writes b to path through a temporary file beside it, so that a reader, and a full
// disk, see either the old content or the new.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return diskError("create "+path, err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(diskError("write "+path, err), os.Remove(f.Name()))
	}
	return nil
}
