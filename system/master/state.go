package master

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"metronome/system/access/secretfile"
	"metronome/system/master/api"
)

// saved is what a master remembers over a restart, beside records and backups. Losing it loses no
// backup.
type saved struct {
	Version int                  `json:"version"`
	Written time.Time            `json:"written"`
	Edges   map[string]savedEdge `json:"edges"`
}

type savedEdge struct {
	Seen    time.Time   `json:"seen,omitzero"`
	Gaps    []int64     `json:"gaps,omitempty"`
	Covered time.Time   `json:"covered,omitzero"`
	Report  *api.Report `json:"report,omitempty"`
	Arrived time.Time   `json:"arrived,omitzero"`
	Proof   *api.Proof  `json:"proof,omitempty"`
	Drill   *api.Drill  `json:"drill,omitempty"`
	Check   *api.Check  `json:"check,omitempty"`
	Turn    int         `json:"turn"`
}

const (
	stateVersion = 1
	maxState     = 64 << 20
)

func (m *Master) statePath() string { return filepath.Join(m.cfg.Dir, "state.json") }

func (m *Master) remember() error {
	s := saved{Version: stateVersion, Written: m.cfg.Now().UTC(), Edges: map[string]savedEdge{}}
	for _, b := range m.all() {
		s.Edges[b.name] = b.saved()
	}
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return secretfile.Write(m.statePath(), body)
}

func (b *member) saved() savedEdge {
	b.mu.Lock()
	defer b.mu.Unlock()
	return savedEdge{Seen: b.seen, Gaps: b.passive.Gaps(), Covered: b.covered.wall, Report: b.report,
		Arrived: b.arrived,
		Proof:   b.proof, Drill: b.drill, Check: b.check, Turn: b.turn}
}

// recall reads what was remembered. What cannot be read is left behind: edges then begin as never
// heard, and the last proof is unknown until the next drill.
func (m *Master) recall() error {
	body, err := secretfile.Read(m.statePath(), maxState)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var s saved
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	if err != nil || s.Version != stateVersion {
		m.cfg.Log.Error("what the master remembered of edges is lost; backups are not touched", "error", err)
		return os.Rename(m.statePath(), m.statePath()+".bad")
	}
	for _, b := range m.all() {
		if e, ok := s.Edges[b.name]; ok {
			b.recall(&e)
		}
	}
	return nil
}

// recall begins where the process before left off. While no master was there nobody could be heard.
func (b *member) recall(e *savedEdge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, mono := b.m.cfg.Now(), b.m.cfg.Mono()
	if e.Report != nil {
		b.passive.Promise(int64(e.Report.Promise))
	}
	if !e.Seen.IsZero() {
		b.passive.Recall(e.Gaps, mono, int64(now.Sub(e.Seen)))
		b.passive.Excuse(mono)
	}
	b.seen, b.report, b.arrived, b.proof = e.Seen, e.Report, e.Arrived, e.Proof
	b.drill, b.check, b.turn = e.Drill, e.Check, e.Turn
	b.covered = covered{wall: e.Covered}
}
