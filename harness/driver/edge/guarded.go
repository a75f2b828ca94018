package edge

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"time"

	"metronome/system/access"
	"metronome/system/edge"
	"metronome/system/edge/edgecmd"
	"metronome/system/edge/local"
)

// Guarded is an edge whose defences can be switched off: the packages of metronome edge, put together as it
// does, with other settings of the guard. It exists for edge-security; nobody else should want it.
type Guarded struct {
	Dir      string `json:"dir"`
	Identity string `json:"identity"` // certificate and key
	Users    string `json:"users"`
	Cache    bool   `json:"cache"`  // credentials that were right are remembered
	Gate     bool   `json:"gate"`   // few hashes at a time, the rest is turned away
	Limits   bool   `json:"limits"` // of failures by address and by user
	Told     string `json:"told"`   // the file that it writes its address to
}

// guard is the guard's settings. What is off is so wide that it never holds.
func (g Guarded) guard() access.Config {
	c := access.Config{File: g.Users, Log: slog.New(slog.DiscardHandler)}
	if !g.Cache {
		c.Cache = access.CacheConfig{Size: 1, Life: 1}
	}
	if !g.Gate {
		c.Gate = access.GateConfig{Width: 1 << 16, Queue: 1 << 16, Wait: time.Hour}
	}
	if !g.Limits {
		c.Limits = access.LimitConfig{AddressBurst: math.MaxInt32, AddressEvery: 1, UserBurst: math.MaxInt32,
			UserEvery: 1}
	}
	return c
}

// ServeGuarded serves the edge that some JSON describes, until ctx ends.
func ServeGuarded(ctx context.Context, what string) (err error) {
	var g Guarded
	if err := json.Unmarshal([]byte(what), &g); err != nil {
		return fmt.Errorf("what to serve: %w", err)
	}
	identity, err := tls.LoadX509KeyPair(g.Identity, g.Identity)
	if err != nil {
		return fmt.Errorf("load the certificate: %w", err)
	}
	guard, err := access.NewGuard(g.guard())
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	store, err := local.Open(local.Config{Dir: filepath.Join(g.Dir, "data"), MinFree: 1, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	s, err := edge.New(edge.Config{Name: "hall", Store: store, Access: edgecmd.Guarded(guard), Log: log})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve(l, &tls.Config{Certificates: []tls.Certificate{identity}, MinVersion: tls.VersionTLS12})
	}()
	err = os.WriteFile(g.Told, []byte(l.Addr().String()+"\n"), 0o600)
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, s.Close(), <-ended)
}
