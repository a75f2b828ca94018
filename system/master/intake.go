package master

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"metronome/system/master/api"
	"metronome/system/master/vault"
)

// hello begins a life of an edge's backups, and ends the one before.
func (m *Master) hello(w http.ResponseWriter, r *http.Request, b *member) error {
	var h api.Hello
	if err := readJSON(w, r, api.MaxJSON, &h); err != nil {
		return err
	}
	v, err := b.storage(r.Context())
	if err != nil {
		return err
	}
	b.mu.Lock()
	key, err := b.record.key()
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if h.KeyID != key.ID() {
		return api.NewProblem("foreign-key", fmt.Sprintf("Edge %s seals with backup key %.16s, and its record "+
			"here has %s. Join again with a new token, or bring back the right record.", b.name, h.KeyID, key.ID()))
	}
	record, err := m.lease(b)
	if err != nil {
		return err
	}
	out := api.Lease{Lease: record.Lease, Warning: warning(v, &h)}
	b.mu.Lock()
	b.warned = out.Warning
	b.mu.Unlock()
	b.look(v)
	m.cfg.Log.Info("an edge begins to back up", "edge", b.name, "lease", out.Lease, "incarnation", h.Incarnation,
		"revision", h.Revision, "warning", out.Warning)
	return reply(w, http.StatusOK, out)
}

// warning speaks up when an edge began with an empty or older store though there are backups of
// more.
func warning(v *vault.Vault, h *api.Hello) string {
	s, ok := v.Newest()
	if !ok || s.Incarnation == h.Incarnation || h.Revision >= s.Reach {
		return ""
	}
	return fmt.Sprintf("this edge is at revision %d of another life, and backup %d leads to revision %d: if "+
		"its data was lost, stop it and restore the backup before devices write more", h.Revision, s.Number,
		s.Reach)
}

// takeReport notes what an edge says of itself.
func (m *Master) takeReport(w http.ResponseWriter, r *http.Request, b *member) error {
	var p api.Report
	if err := readJSON(w, r, api.MaxJSON, &p); err != nil {
		return err
	}
	bound(&p)
	if err := b.rivalled(r); err != nil {
		return err
	}
	var newest vault.Summary
	if v := b.opened(); v != nil {
		newest, _ = v.Newest()
	}
	now := m.cfg.Now()
	b.mu.Lock()
	b.report, b.arrived, b.skew = &p, now, p.Clock.Sub(now)
	b.passive.Promise(int64(p.Promise))
	b.note(mark{p.Incarnation, p.Revision, p.Digest})
	if newest.Incarnation == p.Incarnation && newest.Reach >= p.Revision && newest.Readable {
		b.cover()
	}
	b.mu.Unlock()
	m.dirty.Store(true)
	return reply(w, http.StatusOK, api.Wish{Reach: newest.Reach, Backup: b.wish()})
}

// rivalled tells a process that was shut out so, also when it has nothing to ship; and remembers that
// there is one, for it is a copy of the edge. One that holds no lease yet may report.
func (b *member) rivalled(r *http.Request) error {
	lease := leaseOf(r)
	if lease == 0 {
		return nil // none, or nonsense, which holds nothing
	}
	err := b.hold(lease)
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.rival = b.m.cfg.Now()
	}
	return err
}

// note remembers a digest, for drills to compare with.
func (b *member) note(k mark) {
	if n := len(b.marks); n > 0 && b.marks[n-1].revision == k.revision &&
		b.marks[n-1].incarnation == k.incarnation {
		return
	}
	if b.marks = append(b.marks, k); len(b.marks) > maxMarks {
		b.marks = b.marks[1:]
	}
}

func (m *Master) missing(w http.ResponseWriter, r *http.Request, b *member) error {
	var q api.Missing
	if err := readJSON(w, r, api.MaxMissing, &q); err != nil {
		return err
	}
	if len(q.Names) > api.MaxNames {
		return api.NewProblem("too-large", fmt.Sprintf("Ask for %d names at a time.", api.MaxNames))
	}
	v, err := b.storage(r.Context())
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, api.Missing{Names: v.Missing(q.Names)})
}

func (m *Master) putChunk(w http.ResponseWriter, r *http.Request, b *member) error {
	body, err := read(w, r, vault.ChunkKind.MaxSealed())
	if err != nil {
		return err
	}
	v, err := b.storage(r.Context())
	if err == nil {
		err = v.PutChunk(r.Context(), r.PathValue("name"), body)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (m *Master) commit(w http.ResponseWriter, r *http.Request, b *member) error {
	body, err := read(w, r, vault.ManifestKind.MaxSealed())
	if err != nil {
		return err
	}
	v, err := b.storage(r.Context())
	if err != nil {
		return err
	}
	var s *vault.Summary
	var missing []string
	err = b.holding(r, func(lease uint64) (err error) {
		s, missing, err = v.Commit(r.Context(), lease, body)
		return err
	})
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		p := api.NewProblem("chunks-missing", fmt.Sprintf("%d chunks are not here: send them, then the manifest "+
			"again.",
			len(missing)))
		p.Missing = missing[:min(len(missing), api.MaxNames)]
		return p
	}
	b.look(v)
	m.cfg.Log.Info("a backup is complete", "edge", b.name, "backup", s.Number, "revision", s.Revision, "keys",
		s.Keys,
		"bytes", s.Bytes)
	return reply(w, http.StatusCreated, api.Committed{Number: s.Number, Reach: s.Reach})
}

func (m *Master) appendLog(w http.ResponseWriter, r *http.Request, b *member) error {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil {
		return api.NewProblem("bad-request", "The path ends in the number of a backup.")
	}
	body, err := read(w, r, vault.LogKind.MaxSealed())
	if err != nil {
		return err
	}
	v, err := b.storage(r.Context())
	if err != nil {
		return err
	}
	var reach uint64
	err = b.holding(r, func(uint64) (err error) {
		reach, err = v.AppendLog(r.Context(), number, body)
		return err
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.cover()
	b.mu.Unlock()
	return reply(w, http.StatusOK, api.Wish{Reach: reach, Backup: b.wish()})
}

// listObjects and getObject let an edge read its own backups, to restore them in place.
func (m *Master) listObjects(w http.ResponseWriter, r *http.Request, b *member) error {
	dest, err := b.destination(r.Context())
	if err != nil {
		return err
	}
	folder := r.PathValue("folder")
	if folder != "chunks" && folder != "backups" {
		return api.NewProblem("not-found", "There are chunks and backups.")
	}
	objects, err := dest.List(r.Context(), folder)
	if err != nil {
		return err
	}
	list := make([]api.Object, 0, len(objects))
	for _, o := range objects {
		list = append(list, api.Object{Name: o.Name, Size: o.Size})
	}
	return reply(w, http.StatusOK, list)
}

func (m *Master) getObject(w http.ResponseWriter, r *http.Request, b *member) error {
	folder, name := r.PathValue("folder"), r.PathValue("name")
	if folder != "chunks" && folder != "backups" || !plain(name) {
		return api.NewProblem("not-found", "There is no such object.")
	}
	dest, err := b.destination(r.Context())
	if err != nil {
		return err
	}
	limit := vault.ManifestKind.MaxSealed()
	body, err := dest.Get(r.Context(), folder+"/"+name, limit)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client is gone if this fails
	return nil
}

// plain reports whether a name is one that a vault gives: no path can be made of it.
func plain(name string) bool {
	return name != "" && len(name) <= 128 && name[0] != '.' &&
		strings.Trim(name, "0123456789abcdefghijklmnopqrstuvwxyz.-") == ""
}

// countRestore numbers one more restore of an edge.
func (m *Master) countRestore(w http.ResponseWriter, r *http.Request, b *member) error {
	var q api.Above
	if err := readJSON(w, r, api.MaxJSON, &q); err != nil {
		return err
	}
	epoch, err := m.registry.NextEpoch(b.name, q.Above)
	if err != nil {
		return err
	}
	m.cfg.Log.Info("an edge is restored", "edge", b.name, "epoch", epoch, "from", r.RemoteAddr)
	return reply(w, http.StatusOK, api.Epoch{Epoch: epoch})
}

func (m *Master) showEdge(w http.ResponseWriter, _ *http.Request, b *member) error {
	return reply(w, http.StatusOK, b.show(m.cfg.Now(), time.Duration(m.cfg.Mono())))
}
