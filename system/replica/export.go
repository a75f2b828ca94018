package replica

// exportState is a snapshot for somebody outside: a backup. It needs no durability, and no
// leadership: what a replica has applied is agreed.
type exportState struct {
	wanted bool
	from   uint64 // agreed when it was wanted: what is captured before is not meant
	out    *Save
}

// Export asks for a snapshot of everything that is known here to be agreed on by now; Exported has it in a
// while. One at a time: it holds up state transfer and snapshots of its own until ExportDone.
func (r *Replica) Export() error {
	if r.orderer == nil {
		return errNoMember
	}
	if !r.export.wanted {
		r.export.wanted, r.export.from = true, r.agreed()
	}
	return nil
}

// Exported is the snapshot that was asked for, nil while it is not there.
func (r *Replica) Exported() *Save { return r.export.out }

// ExportDone ends the use of a snapshot, or the wish for one.
func (r *Replica) ExportDone() { r.export = exportState{} }

// agreed is the last position that was handed out.
func (r *Replica) agreed() uint64 {
	if n := len(r.queue); n > 0 {
		return r.queue[n-1].position
	}
	return r.applied
}

// steerExport captures for an export.
func (r *Replica) steerExport() {
	if r.export.wanted && r.export.out == nil && !r.transfer.wanted {
		r.capture(true)
	}
}

// exportCaptured hands out what was captured, unless that was begun before it was asked for.
func (r *Replica) exportCaptured() {
	if !r.export.wanted || r.export.out != nil || r.transfer.captured < r.export.from {
		return
	}
	r.export.out = r.capturedFile()
}
