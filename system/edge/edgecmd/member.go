package edgecmd

import (
	"context"
	"net"
	"path/filepath"
	"time"

	"metronome/system/access/pki"
	"metronome/system/edge"
	"metronome/system/edge/local"
	"metronome/system/master/api"
	"metronome/system/master/ship"
)

// membership is what ties an edge to its master: who it is there, and how it backs up.
type membership struct {
	*ship.Membership
	keeper  *pki.Keeper
	shipper *ship.Shipper // nil: backups are off
	why     string        // they are off
}

// openMember reads a membership; nil if the edge has none.
func openMember(dir string) (*membership, error) {
	if dir == "" {
		return nil, nil
	}
	m, err := ship.Load(dir)
	if err != nil {
		return nil, err
	}
	k, err := pki.Open(m.Files, nil)
	return &membership{Membership: m, keeper: k}, err
}

// keep renews the certificate at the master when two thirds of its life are over.
func (m *membership) keep(ctx context.Context, o *Options) {
	m.keeper.Run(ctx, pki.Upkeep{Sign: ship.Signer(m.Master, ship.Client(m.keeper)), Again: o.RenewEvery,
		Log: o.Log})
}

// openShipper prepares the backups. What is wrong with them is said, and stops nothing: the house needs its
// edge more than the edge its backups.
func (e *Edge) openShipper() {
	if e.member == nil {
		return
	}
	var source local.Source = onlyStatus{status: e.store.Status}
	if e.Local != nil {
		source = e.Local
	}
	cfg, err := e.member.Config(e.member.keeper, source, filepath.Clean(e.o.Data)+".ship")
	if err == nil {
		cfg.Log, cfg.Describe, cfg.Elsewhere = e.o.Log, e.describe, e.Local == nil
		cfg.Every, cfg.Promise = e.o.ShipEvery, e.o.ReportEvery
		e.member.shipper, err = ship.New(cfg)
	}
	if err != nil {
		e.member.why = err.Error()
		e.o.Log.Error("there are no backups; the edge goes on", "error", err)
	}
}

// onlyStatus is what there is to report of a store that others back up.
type onlyStatus struct {
	local.Source // nil, and not asked

	status func() edge.Status
}

// Status implements [local.Source].
func (s onlyStatus) Status() edge.Status { return s.status() }

// describe adds to a report what the shipper does not know.
func (e *Edge) describe(r *api.Report) {
	r.URL, r.CertDays = e.reachable(), e.member.keeper.DaysLeft()
	if e.Local != nil {
		s := e.Local.Stats()
		r.QueueDepth, r.DiskFree, r.DiskFloor = s.Queued, s.Free, e.o.MinFree<<20
	}
	for _, why := range e.Server.Reasons() {
		r.Reasons = append(r.Reasons, why.Part+": "+why.Text)
	}
}

// reachable is the address for the master's heartbeats: of an edge that listens everywhere, the first name
// in its certificate.
func (e *Edge) reachable() string {
	if e.id == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(e.Addr.String())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		list, err := pki.Describe(e.member.Files.Identity, time.Now())
		if err != nil || len(list[0].Hosts) == 0 {
			return ""
		}
		host = list[0].Hosts[0]
	}
	return "https://" + net.JoinHostPort(host, port)
}

// reasons says what of a membership keeps an edge from being whole.
func (m *membership) reasons() []edge.Reason {
	if m == nil || m.why == "" {
		return nil
	}
	return []edge.Reason{{Part: "backup", Text: m.why}}
}

// Shipping is how backups go; the zero value without a master.
func (e *Edge) Shipping() api.BackupState {
	switch {
	case e.member == nil:
		return api.BackupState{}
	case e.member.shipper == nil:
		return api.BackupState{State: "failing", Error: e.member.why}
	}
	return e.member.shipper.State()
}
