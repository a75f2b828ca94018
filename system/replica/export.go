package replica

// exportState is a snapshot for somebody outside: a backup. It needs no durability, and no
// leadership: what a replica has applied is agreed.
type exportState struct {
	wanted bool
	out    *Save
}

// Export asks for a snapshot of what is applied from now on; Exported has it in a while. One at a
// time: it holds up state transfer and snapshots of its own until ExportDone.
func (r *Replica) Export() error {
	if r.orderer == nil {
		return errNoMember
	}
	r.export.wanted = true
	return nil
}

// Exported is the snapshot that was asked for, nil while it is not there.
func (r *Replica) Exported() *Save { return r.export.out }

// ExportDone ends the use of a snapshot, or the wish for one.
func (r *Replica) ExportDone() { r.export = exportState{} }

// steerExport captures for an export.
func (r *Replica) steerExport() {
	if r.export.wanted && r.export.out == nil && !r.transfer.wanted {
		r.capture(true)
	}
}

// exportCaptured hands out what was captured.
func (r *Replica) exportCaptured() {
	if !r.export.wanted || r.export.out != nil {
		return
	}
	r.export.out = r.capturedFile()
}
