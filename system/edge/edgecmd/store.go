package edgecmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"metronome/system/edge"
	"metronome/system/edge/local"
	"metronome/system/edge/quorum"
	"metronome/system/ops"
)

// The stores that an edge may have.
const (
	storeLocal = "local"     // of its own, on Pebble
	storeCore  = "metronome" // the replicated core's, shared with other edges
)

// checkStore compares the store with the flags that go with it.
func (o *Options) checkStore() error {
	core := o.Cluster != "" || o.Proxy != 0 || len(o.Core) > 0
	switch {
	case o.Store != storeLocal && o.Store != storeCore:
		return fmt.Errorf("--store=%s: use local or metronome", o.Store)
	case o.Store == storeLocal && core:
		return errors.New("--cluster, --proxy and --core go with --store=metronome")
	case o.Store == storeCore && (o.Cluster == "") == (len(o.Core) == 0):
		return errors.New("--store=metronome needs --cluster FILE, or --core HOST:PORT of proxies, and not both")
	case o.Proxy != 0 && o.Cluster == "":
		return errors.New("--proxy is the number of a proxy of --cluster FILE")
	}
	return nil
}

// openStore opens the data. A copy of the core's that does not exist yet is waited for.
func (e *Edge) openStore(ctx context.Context) error {
	o := e.o
	if o.Store == storeCore {
		s, err := quorum.Open(ctx, quorum.Config{Dir: o.Data, Addresses: o.Core, Cluster: o.Cluster,
			Proxy: o.Proxy, MinFree: o.MinFree << 20, Log: o.Log})
		if err == nil {
			e.store, e.core, e.closer = s, s, s
		}
		return err
	}
	s, err := local.Open(local.Config{Dir: o.Data, MinFree: o.MinFree << 20, BackedUp: e.member != nil,
		Log: o.Log})
	if err == nil {
		e.store, e.Local, e.closer = s, s, s
	}
	return err
}

// data is an edge's store: one of these two.
type data struct {
	Local  *local.Store // nil: the data is the core's
	core   *quorum.Store
	store  edge.Store
	closer io.Closer
}

// coreTable describes what a store in the core counts.
var coreTable = ops.Table{
	{Name: "metronome_edge_core_place", Help: "Place of the copy in the order of all edges' turns."},
	{Name: "metronome_edge_core_turns_total", Help: "Turns of this edge that the core took."},
	{Name: "metronome_edge_core_followed_total", Help: "Turns of other edges that the copy followed."},
	{Name: "metronome_edge_core_late_total", Help: "Offers that came after another edge's: judged again."},
	{Name: "metronome_edge_core_rebuilt_total", Help: "Copies that were built anew."},
	{Name: "metronome_edge_core_cut_off", Help: "1 while the core cannot be reached."},
}

func (e *Edge) emitCore(emit ops.Emit) {
	s := e.core.Stats()
	cut := 0.0
	if s.Cut {
		cut = 1
	}
	emit("metronome_edge_core_place", float64(s.Place))
	emit("metronome_edge_core_turns_total", float64(s.Turns))
	emit("metronome_edge_core_followed_total", float64(s.Followed))
	emit("metronome_edge_core_late_total", float64(s.Late))
	emit("metronome_edge_core_rebuilt_total", float64(s.Rebuilt))
	emit("metronome_edge_core_cut_off", cut)
}
