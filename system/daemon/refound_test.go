package daemon

import (
	"errors"
	"fmt"
	"testing"

	"metronome/system/cluster"
)

// Goal: a proxy that is not restarted serves the cluster that is founded in place of its own, under the
// same name and key, and brings nothing of the old one along. Method: real processes' parts over sockets;
// replicas in memory end and others take their places.
func TestAProxyServesTheNextCluster(t *testing.T) {
	m := startCoresCluster(t, func(c *cluster.Config) { c.Durability = "memory" })
	m.load(t, 100)
	first := m.proxy.View().Core.Incarnation
	for _, stop := range m.stops {
		stop()
	}
	m.found(t)
	m.until(t, "a new life", func() error {
		if v := m.proxy.View().Core; !v.Open || v.Incarnation == first || v.Counters.Refounded != 1 {
			return fmt.Errorf("open %t, incarnation %d after %d, %d times founded anew", v.Open, v.Incarnation, first,
				v.Counters.Refounded)
		}
		return nil
	})
	m.until(t, "a write", func() error { return m.write(0, 1) })
	m.until(t, "it is all there is", func() error {
		for _, r := range m.replicas {
			if v := r.View(); v.Status.Keys > 1 {
				t.Fatalf("%v has %d keys, of one that was written", r.cfg.Self, v.Status.Keys)
			} else if v.Status.Keys == 0 {
				return errors.New("not there yet")
			}
		}
		return nil
	})
}
