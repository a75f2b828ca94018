package master

import (
	"fmt"
	"time"

	"metronome/internal/version"
	"metronome/system/access/pki"
	"metronome/system/master/api"
	"metronome/system/master/phi"
	"metronome/system/master/vault"
)

// Bounds of what an edge may say of itself: its words are shown to people.
const (
	minPromise  = time.Second
	maxPromise  = time.Hour
	maxText     = 400
	maxReasons  = 16
	wantPromise = 10 * time.Second // of an edge that says none
)

func bound(p *api.Report) {
	if p.Promise <= 0 {
		p.Promise = wantPromise
	}
	p.Promise = min(max(p.Promise, minPromise), maxPromise)
	for _, s := range []*string{&p.URL, &p.Software, &p.Store, &p.Incarnation, &p.Digest, &p.Backup.State,
		&p.Backup.Error} {
		*s = (*s)[:min(len(*s), maxText)]
	}
	p.Reasons = p.Reasons[:min(len(p.Reasons), maxReasons)]
	for i, s := range p.Reasons {
		p.Reasons[i] = s[:min(len(s), maxText)]
	}
}

// Status is all there is to see.
func (m *Master) Status() api.Status {
	now, mono := m.cfg.Now(), time.Duration(m.cfg.Mono())
	own := m.cfg.Keeper.Status()
	s := api.Status{Home: own.Name.Home, Master: own.Name.ID, Software: version.String(), Now: now.UTC(),
		Started: m.started.UTC(), Destination: m.cfg.Where, DiskFloor: m.cfg.MinFree, CertDays: own.DaysLeft,
		CADays: own.CADays, Retention: m.retention(), Heartbeats: "off", Edges: []api.Edge{},
		Findings: []api.Finding{}}
	if m.cfg.Heartbeat > 0 {
		s.Heartbeats = "every " + m.cfg.Heartbeat.String()
	}
	s.DiskFree, _ = m.cfg.FS.Free(m.cfg.Dir)
	s.Findings = append(s.Findings, m.findings(s.DiskFree, own)...)
	for _, b := range m.all() {
		s.Edges = append(s.Edges, b.show(now, mono))
	}
	return s
}

func (m *Master) retention() string {
	p := m.cfg.Policy
	return fmt.Sprintf("%d last, %d hourly, %d daily, %d weekly, %d monthly", p.Last, p.Hourly, p.Daily,
		p.Weekly,
		p.Monthly)
}

func finding(level api.Level, code, format string, args ...any) api.Finding {
	return api.Finding{Level: level, Code: code, Text: fmt.Sprintf(format, args...)}
}

// Findings is what somebody should know of the master itself.
func (m *Master) Findings() []api.Finding {
	free, _ := m.cfg.FS.Free(m.cfg.Dir)
	return m.findings(free, m.cfg.Keeper.Status())
}

func (m *Master) findings(free uint64, own pki.Status) (list []api.Finding) {
	floor := m.cfg.MinFree
	if free < floor {
		list = append(list, finding(api.Bad, "disk", "%d MiB of disk are free and %d MiB stay free: no backup "+
			"is taken in until there is room", free>>20, floor>>20))
	} else if free < 2*floor {
		list = append(list, finding(api.Warn, "disk", "%d MiB of disk are free; below %d MiB nothing is taken in",
			free>>20, floor>>20))
	}
	if own.State != pki.Good {
		list = append(list, finding(api.Bad, "certificate", "the master's certificate: %s", own.Detail))
	}
	if err := m.cfg.Keeper.Err(); err != nil {
		list = append(list, finding(api.Warn, "certificate", "the certificate's files cannot be used: %v", err))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, why := range m.broken {
		list = append(list, finding(api.Bad, "record", "edge %s: %s", name, why))
	}
	return list
}

// show is all there is to see of an edge.
func (b *member) show(now time.Time, mono time.Duration) api.Edge {
	v := b.opened()
	b.mu.Lock()
	defer b.mu.Unlock()
	e := api.Edge{Name: b.name, Revoked: !b.record.Revoked.IsZero(), LastSeen: b.seen, ClockSkew: b.skew,
		Report: b.report, Proof: b.proof, Drill: b.drill, Checked: b.check, BackupAge: b.age(now, mono),
		Backups: []vault.Summary{}, Findings: []api.Finding{}}
	e.Passive = liveness(b.passive, mono)
	if b.beats != nil {
		beats := liveness(b.beats, mono)
		e.Heartbeat = &beats
	}
	if v != nil {
		e.Backups = append(e.Backups, v.Backups()...)
		_, e.Stored = v.Stored()
		e.Restorable = restorable(e.Backups)
		if n, ok := v.Newest(); ok {
			e.Newest = &n
		}
	}
	e.Findings = append(e.Findings, b.findings(&e, now)...)
	e.Level = worst(e.Findings)
	return e
}

// age is how long ago everything was last known to be in a backup. Within one life of the master no
// clock that jumps has a say in it.
func (b *member) age(now time.Time, mono time.Duration) time.Duration {
	switch {
	case b.covered.live:
		return mono - time.Duration(b.covered.mono)
	case b.covered.wall.IsZero():
		return -1
	}
	return max(0, now.Sub(b.covered.wall))
}

func liveness(d *phi.Detector, mono time.Duration) api.Liveness {
	v := d.Judge(int64(mono))
	return api.Liveness{State: v.State, Phi: v.Phi, Silence: time.Duration(v.Silence),
		Interval: time.Duration(v.Mean),
		Why:      v.Why}
}

func restorable(all []vault.Summary) string {
	for i := range all {
		if s := &all[len(all)-1-i]; s.Readable && s.Missing == 0 {
			return fmt.Sprintf("backup %d leads to any revision from %d to %d", s.Number, s.Revision, s.Reach)
		}
	}
	return ""
}

func worst(list []api.Finding) api.Level {
	level := api.Good
	for _, f := range list {
		if f.Level == api.Bad || level == api.Good {
			level = f.Level
		}
	}
	return level
}
