package mastercmd

import (
	"time"

	"metronome/system/master/api"
	"metronome/system/master/phi"
	"metronome/system/ops"
)

var perEdge = []string{"edge"}

// table describes what a master shows to Prometheus.
var table = ops.Table{
	{Name: "metronome_master_edges", Help: "Edges that are enrolled."},
	{Name: "metronome_master_disk_free_bytes", Help: "Free disk space at the master."},
	{Name: "metronome_master_certificate_days", Help: "Days until the master's certificate ends."},
	{Name: "metronome_master_edge_alive", Help: "1 while an edge is fresh or late, else 0.", Labels: perEdge},
	{Name: "metronome_master_edge_phi", Help: "How unlikely an edge's silence is: -log10 of the probability.",
		Labels: perEdge},
	{Name: "metronome_master_edge_silence_seconds", Help: "Since an edge was heard.", Labels: perEdge},
	{Name: "metronome_master_edge_backup_age_seconds", Help: "Since everything of an edge was known to be in " +
		"a backup.",
		Labels: perEdge},
	{Name: "metronome_master_edge_stored_bytes", Help: "What an edge's backups take.", Labels: perEdge},
	{Name: "metronome_master_edge_backups", Help: "Backups of an edge.", Labels: perEdge},
	{Name: "metronome_master_edge_certificate_days", Help: "Days until an edge's certificate ends.",
		Labels: perEdge},
	{Name: "metronome_master_edge_queue_depth", Help: "Batches waiting at an edge.", Labels: perEdge},
	{Name: "metronome_master_edge_clock_skew_seconds", Help: "An edge's clock minus the master's.",
		Labels: perEdge},
	{Name: "metronome_master_last_proven_restore_seconds", Help: "Since a restore of an edge was last proven.",
		Labels: perEdge},
	{Name: "metronome_master_edge_findings", Help: "Things that somebody should look at, by level.",
		Labels: []string{"edge", "level"}},
}

// serveAdmin starts the operators' server.
func (r *Running) serveAdmin() error {
	if r.o.Admin == "" {
		return nil
	}
	r.admin = ops.New(r.o.Log)
	r.admin.Ready(func() (why []ops.Reason) {
		for _, f := range r.Master.Findings() {
			if f.Level == api.Bad {
				why = append(why, ops.Reason{Code: f.Code, Text: f.Text})
			}
		}
		return why
	})
	c, err := ops.Counters(table, func(emit ops.Emit) { measure(emit, r.Master.Status()) })
	if err == nil {
		err = r.admin.Register(c)
	}
	if err != nil {
		return err
	}
	addr, err := r.admin.Listen(r.o.Admin)
	if err != nil {
		return err
	}
	r.AdminURL = "http://" + addr.String()
	return nil
}

func measure(emit ops.Emit, s api.Status) {
	emit("metronome_master_edges", float64(len(s.Edges)))
	emit("metronome_master_disk_free_bytes", float64(s.DiskFree))
	emit("metronome_master_certificate_days", s.CertDays)
	for i := range s.Edges {
		measureEdge(emit, &s.Edges[i], s.Now)
	}
}

func measureEdge(emit ops.Emit, e *api.Edge, now time.Time) {
	alive := 0.0
	if e.Passive.State == phi.Fresh || e.Passive.State == phi.Late {
		alive = 1
	}
	emit("metronome_master_edge_alive", alive, e.Name)
	emit("metronome_master_edge_phi", e.Passive.Phi, e.Name)
	emit("metronome_master_edge_stored_bytes", float64(e.Stored), e.Name)
	emit("metronome_master_edge_backups", float64(len(e.Backups)), e.Name)
	if e.Passive.State != phi.Never {
		emit("metronome_master_edge_silence_seconds", e.Passive.Silence.Seconds(), e.Name)
	}
	if e.BackupAge >= 0 {
		emit("metronome_master_edge_backup_age_seconds", e.BackupAge.Seconds(), e.Name)
	}
	if e.Proof != nil {
		emit("metronome_master_last_proven_restore_seconds", now.Sub(e.Proof.At).Seconds(), e.Name)
	}
	if r := e.Report; r != nil {
		emit("metronome_master_edge_certificate_days", r.CertDays, e.Name)
		emit("metronome_master_edge_queue_depth", float64(r.QueueDepth), e.Name)
		emit("metronome_master_edge_clock_skew_seconds", e.ClockSkew.Seconds(), e.Name)
	}
	levels := map[api.Level]int{}
	for _, f := range e.Findings {
		levels[f.Level]++
	}
	for _, l := range []api.Level{api.Warn, api.Bad} {
		emit("metronome_master_edge_findings", float64(levels[l]), e.Name, string(l))
	}
}
