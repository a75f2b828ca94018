package fleet

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Phase is how far a fleet has come.
type Phase string

// The phases of a fleet.
const (
	Making Phase = "making" // being set up, or what a killed set-up left
	Ready  Phase = "up"
	Going  Phase = "going" // being taken down, or what a killed [Fleet.Down] left
)

// state is what a fleet has made, or was about to make. It is saved before each thing is made, so
// it may name what does not exist.
type state struct {
	Name       string   `json:"name"`
	Boot       string   `json:"boot_id"` // namespaces of another boot are gone
	Phase      Phase    `json:"phase"`
	Keep       bool     `json:"keep"`      // it outlives the process that made it
	Inventory  string   `json:"inventory"` // a file; of namespaces, one in Dir
	Local      bool     `json:"local"`     // namespaces of this machine
	Playbooks  string   `json:"playbooks"`
	Dir        string   `json:"dir"` // everything that is made of files, keys among them
	Namespaces []string `json:"namespaces,omitempty"`
	Made       []string `json:"made,omitempty"` // empty folders to remove again
	Nodes      []Node   `json:"nodes,omitempty"`
}

// home is where states and locks are: a folder that does not outlive the boot where possible.
func home() string {
	if os.Geteuid() == 0 {
		return "/run/metronome/fleet"
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "metronome", "fleet")
	}
	return filepath.Join(os.TempDir(), "metronome-"+strconv.Itoa(os.Getuid()), "fleet")
}

func statePath(name string) string   { return filepath.Join(home(), name+".json") }
func lockPath(name string) string    { return filepath.Join(home(), name+".lock") }
func changesPath(name string) string { return filepath.Join(home(), name+".changes") }

// save writes the state so that a reader sees the old or the new one, never half of either.
func (s *state) save() error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the state of fleet %s: %w", s.Name, err)
	}
	if err := os.MkdirAll(home(), 0o700); err != nil {
		return fmt.Errorf("save the state of fleet %s: %w", s.Name, err)
	}
	tmp := statePath(s.Name) + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("save the state of fleet %s: %w", s.Name, err)
	}
	return os.Rename(tmp, statePath(s.Name))
}

// loadState reads a fleet's state; os.ErrNotExist if there is no such fleet.
func loadState(name string) (*state, error) {
	b, err := os.ReadFile(statePath(name))
	if err != nil {
		return nil, fmt.Errorf("state of fleet %s: %w", name, err)
	}
	s := new(state)
	if err := json.Unmarshal(b, s); err != nil || s.Name != name {
		return nil, fmt.Errorf("%s does not describe fleet %s: %w. Next: remove it by hand",
			statePath(name), name, err)
	}
	return s, nil
}

// names lists the fleets that there is a state of.
func names() []string {
	files, _ := filepath.Glob(statePath("*"))
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".json")
	}
	return files
}

// bootID tells boots apart; empty if it cannot be read, which then compares equal.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
