package master

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"metronome/system/access/join"
	"metronome/system/access/pki"
	"metronome/system/access/secretfile"
	"metronome/system/master/vault"
)

// Record is what a master must not forget of an edge. It holds the edge's backup key: without it
// the backups are noise.
type Record struct {
	Edge     string    `json:"edge"`
	Key      string    `json:"backup_key"`
	Hosts    []string  `json:"hosts,omitempty"` // names and addresses that its certificate may speak for
	Created  time.Time `json:"created"`
	Revoked  time.Time `json:"revoked,omitzero"`
	Lease    uint64    `json:"lease"`    // given to the process that backs it up
	Restores uint16    `json:"restores"` // the highest epoch that was given out
}

// Registry is the edges that a master knows: a file each, which only their owner may read. The
// command that enrols and the server are different processes.
type Registry struct{ Dir string }

const (
	recordExt = ".json"
	maxRecord = 64 << 10
)

var edgeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// CheckName refuses what cannot be an edge's name: it is part of paths, certificates and buckets.
func CheckName(edge string) error {
	if !edgeName.MatchString(edge) {
		return fmt.Errorf("master: %.80q cannot be an edge's name: use 1 to 63 letters, digits, - and _", edge)
	}
	return nil
}

// ErrNotEnrolled is wrapped when a master does not know an edge.
var ErrNotEnrolled = errors.New("not enrolled here")

func (g Registry) path(edge string) string { return filepath.Join(g.Dir, edge+recordExt) }

// Read reads one record.
func (g Registry) Read(edge string) (*Record, error) {
	if err := CheckName(edge); err != nil {
		return nil, err
	}
	b, err := secretfile.Read(g.path(edge), maxRecord)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("master: edge %s: %w: run metronome master enroll %s", edge, ErrNotEnrolled, edge)
	}
	if err != nil {
		return nil, fmt.Errorf("master: edge %s: %w", edge, err)
	}
	r := &Record{}
	if err := json.Unmarshal(b, r); err != nil || r.Edge != edge {
		return nil, fmt.Errorf("master: %s is no record of edge %s: %w: bring it back from a copy, it holds the "+
			"key of its backups", g.path(edge), edge, errors.Join(err, vault.ErrDamaged))
	}
	return r, nil
}

// List names the edges there are.
func (g Registry) List() (edges []string, err error) {
	entries, err := os.ReadDir(g.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("master: %w", err)
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), recordExt); ok && CheckName(name) == nil {
			edges = append(edges, name)
		}
	}
	return edges, nil
}

// Edit changes a record, and makes one if there is none; nobody else changes it meanwhile.
func (g Registry) Edit(edge string, change func(r *Record) error) (*Record, error) {
	if err := CheckName(edge); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(g.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("master: %w", err)
	}
	unlock, err := secretfile.Lock(g.path(edge))
	if err != nil {
		return nil, fmt.Errorf("master: %w", err)
	}
	defer unlock()
	r, err := g.Read(edge)
	if errors.Is(err, ErrNotEnrolled) {
		r, err = &Record{Edge: edge}, nil
	}
	if err == nil {
		err = change(r)
	}
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = secretfile.Write(g.path(edge), append(b, '\n'))
	}
	return r, err
}

// known is Edit of a record that has to be there.
func (g Registry) known(edge string, change func(r *Record) error) (*Record, error) {
	if _, err := g.Read(edge); err != nil {
		return nil, err
	}
	return g.Edit(edge, change)
}

// Enrolment is what Enroll needs to know beside the edge.
type Enrolment struct {
	Hosts []string      // names and addresses under which the edge serves; empty = as before
	Life  time.Duration // of the token; 0 = an hour
	Again bool          // an edge that was revoked is welcome again
	Now   func() time.Time
}

// Enroll makes an edge known, with a backup key of its own, and a one-time token with which it can
// join. An edge that is known keeps its key, so that one with a new disk can read its old backups.
func (g Registry) Enroll(edge string, ca *pki.Authority, tokens join.Store, e Enrolment) (join.Token, error) {
	if e.Now == nil {
		e.Now = time.Now
	}
	_, err := g.Edit(edge, func(r *Record) error {
		if r.Key == "" {
			r.Key, r.Created = vault.NewKey().Text(), e.Now().UTC().Truncate(time.Second)
		}
		if !r.Revoked.IsZero() && !e.Again {
			return fmt.Errorf("master: edge %s was revoked on %s: enrol it with --again if it is to come back", edge,
				r.Revoked.Format(time.DateOnly))
		}
		r.Revoked = time.Time{}
		if len(e.Hosts) > 0 {
			r.Hosts = e.Hosts
		}
		return nil
	})
	if err != nil {
		return join.Token{}, err
	}
	return tokens.Issue(subject(edge), ca.Fingerprint(), e.Life)
}

// Revoke shuts an edge out: its certificate and its tokens are refused from now on. Its backups
// stay.
func (g Registry) Revoke(edge string, tokens join.Store, now time.Time) error {
	_, err := g.known(edge, func(r *Record) error {
		r.Revoked = now.UTC().Truncate(time.Second)
		return nil
	})
	if err != nil {
		return err
	}
	_, err = tokens.Revoke(subject(edge))
	return err
}

func subject(edge string) string { return string(pki.Edge) + "/" + edge }

// NextEpoch gives the number of one more restore of an edge, durably, above all that were given and
// above one that a backup tells of.
func (g Registry) NextEpoch(edge string, above uint16) (uint16, error) {
	r, err := g.known(edge, func(r *Record) error {
		if max(r.Restores, above) == ^uint16(0) {
			return fmt.Errorf("master: edge %s was restored %d times, which is all that revisions have room for", edge,
				r.Restores)
		}
		r.Restores = max(r.Restores, above) + 1
		return nil
	})
	if err != nil {
		return 0, err
	}
	return r.Restores, nil
}

// key reads the backup key.
func (r *Record) key() (vault.Key, error) {
	k, err := vault.ParseKey(r.Key)
	if err != nil {
		return k, fmt.Errorf("master: edge %s: %w", r.Edge, err)
	}
	return k, nil
}
