package edge_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/edge"
	"metronome/system/edge/local"
	"metronome/system/edge/quorum"
	"metronome/system/proxy/resp"
	"metronome/system/proxy/resp/resptest"
	"metronome/system/wire"
)

// overStores runs a test over each kind of store: what clients see of them is the same.
func overStores(t *testing.T, test func(t *testing.T, store edge.Store)) {
	t.Run("local", func(t *testing.T) { test(t, openLocal(t, local.Config{BackedUp: true})) })
	t.Run("metronome", func(t *testing.T) { test(t, openQuorum(t)) })
}

// openQuorum opens a store over a core that is one state machine behind a proxy.
func openQuorum(t *testing.T) *quorum.Store {
	s, _ := openQuorumThat(t)
	return s
}

// openQuorumThat opens one whose core can be made to refuse everything.
func openQuorumThat(t *testing.T) (*quorum.Store, *atomic.Bool) {
	t.Helper()
	core, down := resptest.New(), new(atomic.Bool)
	core.Answer = func(*resp.Op) (wire.Result, bool) {
		return wire.Result{Status: wire.StatusUnavailable}, !down.Load()
	}
	p := resp.NewServer(core, resp.Options{Limits: resp.Limits{Drain: 50 * time.Millisecond}})
	if err := p.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s, err := quorum.Open(t.Context(), quorum.Config{Dir: t.TempDir(), Addresses: []string{p.Addr().String()},
		MinFree: 1, Poll: 5 * time.Millisecond, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, down
}
