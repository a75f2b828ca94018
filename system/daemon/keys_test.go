package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"metronome/system/cluster"
	"metronome/system/wire"
)

type reloader = func(context.Context, *cluster.Config) error

// turn makes a step of a rotation and has processes read the key file again.
func (m *coresCluster) turn(t *testing.T, step func(*cluster.Ring) error, who ...reloader) {
	t.Helper()
	if _, err := m.config.ChangeRing(step); err != nil {
		t.Fatal(err)
	}
	for _, reload := range who {
		if err := reload(t.Context(), m.config); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *coresCluster) everybody() (all []reloader) {
	for _, r := range m.replicas {
		all = append(all, r.Reload)
	}
	return append(all, m.proxy.Reload)
}

// refused is how many frames the replicas refused for the key on a place.
func (m *coresCluster) refused(place int) (n uint64) {
	for _, r := range m.replicas {
		v := r.View()
		n += v.Status.Ingest.BadKeys[place]
	}
	return n
}

// Goal: a cluster under load rotates its key twice and no put fails; a process that was passed over says
// which key it lacks, and loses nothing by it; a replica that restarts reads the journal of a retired key,
// and asks for one that was dropped. Method: a real cluster over sockets in this process, with journals, and
// with and without ingest cores.
func TestKeysAreRotatedUnderLoad(t *testing.T) {
	m := startCoresCluster(t, func(c *cluster.Config) {
		c.Integrity = "aead"
		c.Replicas[0].Cores = &cluster.Cores{Ingest: []int{0, 0}}
	})
	var stop atomic.Bool
	var rounds atomic.Int64
	var lanes sync.WaitGroup
	for lane := range uint64(4) {
		lanes.Go(func() {
			for !stop.Load() {
				if err := m.write(lane, 10); err != nil {
					t.Error(err)
					return
				}
				rounds.Add(1)
			}
		})
	}
	more := func() {
		from := rounds.Load()
		m.until(t, "more writes", func() error {
			if n := rounds.Load(); n < from+2 && !t.Failed() {
				return fmt.Errorf("%d rounds after %d", n, from)
			}
			return nil
		})
	}
	for range 2 {
		for _, step := range []func(*cluster.Ring) error{(*cluster.Ring).Add, (*cluster.Ring).Activate,
			(*cluster.Ring).Retire} {
			more()
			m.turn(t, step, m.everybody()...)
		}
	}
	more()
	for place := range wire.KeyPlaces {
		for _, r := range m.replicas[1:] { // cores take keys up a little later than the loop
			n := r.View().Status.Ingest.BadKeys[place]
			if n > 0 && place != 0 && place != 1 { // a late repair may meet a retired key
				t.Errorf("%v refused %d frames under key %d", r.cfg.Self, n, place)
			}
		}
	}
	m.turn(t, (*cluster.Ring).Add)
	m.turn(t, (*cluster.Ring).Activate, m.proxy.Reload) // nobody else: its frames are nobody's
	m.until(t, "refused", func() error {
		if m.refused(3) == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	for _, r := range m.replicas {
		if err := r.Reload(t.Context(), m.config); err != nil {
			t.Fatal(err)
		}
	}
	more()
	stop.Store(true)
	lanes.Wait()
	m.turn(t, (*cluster.Ring).Retire, m.everybody()...)
	m.dropTooEarly(t)
	m.load(t, 20)
}

// dropTooEarly: a key that is dropped while a journal needs it is no damage, for which state would be set
// aside, but asked for.
func (m *coresCluster) dropTooEarly(t *testing.T) {
	t.Helper()
	kept, err := m.config.Ring()
	if err != nil {
		t.Fatal(err)
	}
	m.turn(t, func(r *cluster.Ring) error {
		_, err := r.Drop()
		return err
	})
	m.stops[1]()
	_, err = NewReplica(ReplicaConfig{Cluster: m.config, Self: wire.ReplicaPeer(1), Log: quiet})
	if err == nil || !strings.Contains(err.Error(), "another key (0 modulo 16)") {
		t.Fatalf("it starts without the key of its journal: %v", err)
	}
	m.turn(t, func(r *cluster.Ring) error {
		*r = *kept
		return nil
	})
	r, err := NewReplica(ReplicaConfig{Cluster: m.config, Self: wire.ReplicaPeer(1), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	m.replicas[1], m.stops[1] = r, m.run(t, r.Run)
}

func TestKeyWatch(t *testing.T) {
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(&text, nil))
	ring := &cluster.Ring{Keys: wire.Keys{List: []wire.Key{
		{Number: 20, State: wire.KeyRetired, Secret: []byte("secret")}, {Number: 21, State: wire.KeyActive}}}}
	var w keyWatch
	n := wire.KeyCounts{4: 1, 9: 2}
	for now := range 5 * int64(time.Second) / int64(100*time.Millisecond) {
		n[4]++
		w.note(now*int64(100*time.Millisecond), log, ring, &n)
	}
	if got := strings.Count(text.String(), "\n"); got != 2 || !strings.Contains(text.String(), " key=20 ") ||
		!strings.Contains(text.String(), "key_modulo_16=9 frames=2") || strings.Contains(text.String(), "secret") {
		t.Errorf("%d lines:\n%s", got, text.String())
	}
}

func TestKeysOfMetrics(t *testing.T) {
	k, err := readKeys(strings.NewReader(`# HELP metronome_key_state x
metronome_key_state{check="0000000a",key="16",state="retired"} 1
metronome_key_state{check="0000000b",key="17",state="active"} 1
metronome_key_needed{key="16"} 1
metronome_key_needed{key="17"} 0
`))
	if err != nil || len(k.States) != 2 || k.States[16] != (KeyInUse{wire.KeyRetired, 10}) ||
		!slices.Equal(k.Needed, []uint32{16}) {
		t.Errorf("%+v, %v", k, err)
	}
	if got := k.String(); got != "key 16 0000000a retired, needed; key 17 0000000b active" {
		t.Error(got)
	}
}
