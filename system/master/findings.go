package master

import (
	"time"

	"metronome/system/access/pki"
	"metronome/system/master/api"
	"metronome/system/master/phi"
)

// When things are complained about.
const (
	oldBackup   = time.Minute // behind by so long although the edge is alive
	mostSkew    = time.Minute
	neverProven = 24 * time.Hour // a first drill should have been by then
	rivalFor    = time.Hour      // a copy is remembered
)

// findings is what somebody should know of an edge. The caller holds b.mu.
func (b *member) findings(e *api.Edge, now time.Time) (list []api.Finding) {
	if e.Revoked {
		return []api.Finding{finding(api.Warn, "revoked", "it was revoked on %s; its backups stay",
			b.record.Revoked.Format(time.DateOnly))}
	}
	list = append(list, alive(e)...)
	list = append(list, b.backups(e, now)...)
	if r := e.Report; r != nil {
		list = append(list, said(r, e.ClockSkew)...)
	}
	return list
}

func alive(e *api.Edge) []api.Finding {
	silent := e.Passive.Silence.Round(time.Second)
	switch e.Passive.State {
	case phi.Never:
		return []api.Finding{finding(api.Warn, "never-seen", "it was enrolled and has not been heard yet")}
	case phi.Late:
		return []api.Finding{finding(api.Warn, "late", "silent for %v, and it speaks every %v: %s", silent,
			e.Passive.Interval.Round(time.Second), e.Passive.Why)}
	case phi.Suspect:
		return []api.Finding{finding(api.Bad, "suspect", "silent for %v: %s. Look whether it has power and "+
			"network", silent,
			e.Passive.Why)}
	case phi.Gone:
		return []api.Finding{finding(api.Bad, "gone", "silent for %v. Its newest backup can be restored "+
			"elsewhere: metronome master restore %s", silent, e.Name)}
	}
	return nil
}

// backups is what there is to say of what is stored. The caller holds b.mu.
func (b *member) backups(e *api.Edge, now time.Time) (list []api.Finding) {
	if b.warned != "" {
		list = append(list, finding(api.Bad, "empty-store", "%s", b.warned))
	}
	if since := now.Sub(b.rival); !b.rival.IsZero() && since.Abs() < rivalFor {
		list = append(list, finding(api.Bad, "copy", "%v ago a second process reported as this edge: its "+
			"data and certificate were copied. Stop one of the two", since.Round(time.Second)))
	}
	if b.want != "" {
		list = append(list, finding(api.Bad, "lost", "%s: the edge was asked for a new checkpoint", b.want))
	}
	switch {
	case e.Report != nil && e.Report.Backup.State == api.Elsewhere:
	case e.Newest == nil && b.vault != nil:
		list = append(list, finding(api.Warn, "no-backup", "there is no backup of it"))
	case e.BackupAge > oldBackup && e.Passive.State == phi.Fresh:
		list = append(list, finding(api.Warn, "behind", "it is alive, and its backup is %v behind",
			e.BackupAge.Round(time.Second)))
	}
	if d := e.Drill; d != nil && !d.Good {
		list = append(list, finding(api.Bad, "drill-failed", "the restore drill of %s failed: %s",
			d.At.Format(time.DateTime), d.Error))
	}
	if e.Proof == nil && e.Newest != nil && now.Sub(e.Newest.Received) > neverProven {
		list = append(list, finding(api.Warn, "unproven", "no restore of it was ever tried: metronome master "+
			"drill %s",
			e.Name))
	}
	if c := e.Checked; c != nil && !c.Good() {
		list = append(list, finding(api.Warn, "damage", "on %s %d objects were damaged and %d chunks missing",
			c.At.Format(time.DateTime), len(c.Bad), len(c.Missing)))
	}
	return list
}

// said is what an edge's own report gives reason for.
func said(r *api.Report, skew time.Duration) (list []api.Finding) {
	switch days := r.CertDays; {
	case days == 0: // not told
	case days < 0:
		list = append(list, finding(api.Bad, "certificate", "its certificate ended %.0f days ago", -days))
	case days < pki.WarnBefore.Hours()/24:
		list = append(list, finding(api.Warn, "certificate", "its certificate ends in %.0f days and was not "+
			"renewed", days))
	}
	if r.DiskFloor > 0 && r.DiskFree < r.DiskFloor {
		list = append(list, finding(api.Bad, "disk", "%d MiB of its disk are free, below its floor of %d MiB: "+
			"it refuses writes", r.DiskFree>>20, r.DiskFloor>>20))
	} else if r.DiskFloor > 0 && r.DiskFree < 2*r.DiskFloor {
		list = append(list, finding(api.Warn, "disk", "%d MiB of its disk are free; below %d MiB it refuses writes",
			r.DiskFree>>20, r.DiskFloor>>20))
	}
	if skew.Abs() > mostSkew {
		list = append(list, finding(api.Warn, "clock", "its clock differs from the master's by %v",
			skew.Round(time.Second)))
	}
	if r.Backup.Error != "" {
		list = append(list, finding(api.Warn, "shipping", "it cannot ship: %s", r.Backup.Error))
	}
	for _, reason := range r.Reasons {
		list = append(list, finding(api.Warn, "edge", "%s", reason))
	}
	return list
}
