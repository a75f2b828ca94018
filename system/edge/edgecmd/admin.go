package edgecmd

import (
	"metronome/system/ops"
)

// localTable describes what an embedded store counts.
var localTable = ops.Table{
	{Name: "metronome_edge_commits_total", Help: "Commits made durable, each by one fsync."},
	{Name: "metronome_edge_operations_total", Help: "Operations executed."},
	{Name: "metronome_edge_duplicates_total", Help: "Operations left out because their numbers were used " +
		"before."},
	{Name: "metronome_edge_damaged_reads_total", Help: "Reads that met damaged data."},
	{Name: "metronome_edge_disk_free_bytes", Help: "Free disk space."},
	{Name: "metronome_edge_disk_used_bytes", Help: "Disk space that the store takes."},
	{Name: "metronome_edge_cursors", Help: "Listings open."},
	{Name: "metronome_edge_queued_batches", Help: "Batches waiting for the writer."},
	{Name: "metronome_edge_log_low_revision", Help: "Revision at which the log of changes begins."},
}

// backupTable describes what goes to the master.
var backupTable = ops.Table{
	{Name: "metronome_edge_backup_checkpoints_total", Help: "Checkpoints that the master committed."},
	{Name: "metronome_edge_backup_chunks_sent_total", Help: "Chunks of checkpoints that were sent."},
	{Name: "metronome_edge_backup_chunks_reused_total", Help: "Chunks of checkpoints that the master had."},
	{Name: "metronome_edge_backup_bytes_sent_total", Help: "Sealed bytes of chunks and log that were sent."},
	{Name: "metronome_edge_backup_log_pieces_total", Help: "Pieces of the log that were sent."},
	{Name: "metronome_edge_backup_failures_total", Help: "Failures, each tried again."},
	{Name: "metronome_edge_backup_shipped_revision", Help: "Revision up to which the master has everything."},
	{Name: "metronome_edge_backup_behind_revisions", Help: "Revisions that it has not."},
}

// certificateTable describes the certificate.
var certificateTable = ops.Table{
	{Name: "metronome_edge_certificate_days", Help: "Days until the certificate ends; negative afterwards."},
}

// serveAdmin starts the operators' server.
func (e *Edge) serveAdmin() error {
	if e.o.Admin == "" {
		return nil
	}
	e.admin = ops.New(e.o.Log)
	if e.o.Profile {
		e.admin.Profile()
	}
	e.admin.Ready(func() (why []ops.Reason) {
		for _, r := range e.Server.Reasons() {
			why = append(why, ops.Reason{Code: r.Part, Text: r.Text})
		}
		return why
	})
	if err := e.admin.Register(e.Server.Metrics()...); err != nil {
		return err
	}
	if err := e.count(); err != nil {
		return err
	}
	addr, err := e.admin.Listen(e.o.Admin)
	if err != nil {
		return err
	}
	e.AdminURL = "http://" + addr.String()
	return nil
}

func (e *Edge) count() error {
	table, emit := localTable, e.emitLocal
	if e.core != nil {
		table, emit = coreTable, e.emitCore
	}
	c, err := ops.Counters(table, emit)
	if err == nil {
		err = e.admin.Register(c)
	}
	if err == nil && e.Local != nil && e.member != nil && e.member.shipper != nil {
		if c, err = ops.Counters(backupTable, e.emitBackup); err == nil {
			err = e.admin.Register(c)
		}
	}
	if err != nil || e.id == nil {
		return err
	}
	c, err = ops.Counters(certificateTable, func(emit ops.Emit) {
		emit("metronome_edge_certificate_days", e.id.daysLeft())
	})
	if err != nil {
		return err
	}
	return e.admin.Register(c)
}

func (e *Edge) emitLocal(emit ops.Emit) {
	s := e.Local.Stats()
	emit("metronome_edge_commits_total", float64(s.Commits))
	emit("metronome_edge_operations_total", float64(s.Operations))
	emit("metronome_edge_duplicates_total", float64(s.Duplicates))
	emit("metronome_edge_damaged_reads_total", float64(s.Damaged))
	emit("metronome_edge_disk_free_bytes", float64(s.Free))
	emit("metronome_edge_disk_used_bytes", float64(s.DiskBytes))
	emit("metronome_edge_cursors", float64(s.Cursors))
	emit("metronome_edge_queued_batches", float64(s.Queued))
	emit("metronome_edge_log_low_revision", float64(s.LogLow))
}

func (e *Edge) emitBackup(emit ops.Emit) {
	s, at := e.member.shipper.Stats(), e.member.shipper.State()
	emit("metronome_edge_backup_checkpoints_total", float64(s.Checkpoints))
	emit("metronome_edge_backup_chunks_sent_total", float64(s.ChunksSent))
	emit("metronome_edge_backup_chunks_reused_total", float64(s.ChunksReused))
	emit("metronome_edge_backup_bytes_sent_total", float64(s.BytesSent))
	emit("metronome_edge_backup_log_pieces_total", float64(s.LogPieces))
	emit("metronome_edge_backup_failures_total", float64(s.Failures))
	emit("metronome_edge_backup_shipped_revision", float64(at.Shipped))
	emit("metronome_edge_backup_behind_revisions", float64(at.Behind))
}
