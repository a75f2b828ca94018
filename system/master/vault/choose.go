package vault

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Target says what to restore to; the zero value is the newest there is.
type Target struct {
	Backup   uint64    // only from this one
	Revision uint64    // up to this revision
	Time     time.Time // up to this time of the edge's clock
}

// ErrNotCovered is wrapped when no backup leads to what is asked for.
var ErrNotCovered = errors.New("no backup leads there")

// choice is a checkpoint to begin with, and how far the logs behind it lead.
type choice struct {
	m      *Manifest
	pieces []piece
	reach  uint64
}

// choose lists what leads to a target, best first.
func (v *Vault) choose(t Target) ([]choice, error) {
	all := v.choices()
	if len(all) == 0 {
		return nil, fmt.Errorf("vault: %s: %w", v, ErrNoBackup)
	}
	incarnation := all[0].m.Incarnation
	fits := slices.DeleteFunc(slices.Clone(all), func(c choice) bool {
		m := c.m
		switch {
		case t.Backup != 0 && m.Number != t.Backup,
			t.Revision != 0 && (t.Revision < m.Revision || t.Revision > c.reach),
			!t.Time.IsZero() && m.Taken.After(t.Time):
			return true
		}
		return t == Target{} && m.Incarnation != incarnation
	})
	if (t == Target{}) {
		slices.SortStableFunc(fits, func(a, b choice) int { return cmp.Compare(b.reach, a.reach) })
	}
	if len(fits) == 0 {
		return nil, fmt.Errorf("vault: %s: %w: %s", v, ErrNotCovered, covered(all))
	}
	return fits, nil
}

// covered says in words what can be restored.
func covered(all []choice) string {
	s := "these do:"
	for i, c := range all {
		if i == 8 {
			return s + " and older ones"
		}
		s += fmt.Sprintf(" backup %d of %s, revisions %d to %d;", c.m.Number, c.m.Taken.UTC().Format(time.DateTime),
			c.m.Revision, c.reach)
	}
	return s
}

// choices are all chains that can be read, newest first, each with the logs of later chains of the
// same life: where a later checkpoint is lost, its log still follows an earlier one.
func (v *Vault) choices() (all []choice) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for n, c := range v.chains {
		if c.m == nil {
			continue
		}
		x := choice{m: c.m, reach: c.m.Revision}
		for k, later := range v.chains {
			if k >= n && later.m != nil && later.m.Incarnation == c.m.Incarnation {
				x.pieces = append(x.pieces, later.pieces...)
			}
		}
		slices.SortFunc(x.pieces, func(a, b piece) int {
			return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last))
		})
		for _, p := range x.pieces {
			if p.first <= x.reach+1 {
				x.reach = max(x.reach, p.last)
			}
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b choice) int { return cmp.Compare(b.m.Number, a.m.Number) })
	return all
}
