package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"metronome/harness/driver/bypass"
	"metronome/harness/driver/cluster"
	"metronome/harness/driver/consensus"
	"metronome/harness/driver/edge"
	"metronome/harness/driver/offline"
	"metronome/harness/driver/recovery"
	"metronome/harness/driver/rss"
	"metronome/harness/driver/runtimes"
	"metronome/harness/factorial"
	"metronome/internal/strictyaml"
)

// drivers are the drivers that factorial experiments name, a line each.
func drivers() map[string]factorial.Driver {
	return map[string]factorial.Driver{
		"barrier-reads":  bypass.Reads{},
		"edge-backup":    edge.Backup{},
		"edge-load":      edge.Load{},
		"ingest-cluster": bypass.Driver{},
		"consensus":      consensus.Driver{},
		"edge-liveness":  edge.Liveness{},
		"edge-security":  edge.Security{},
		"offline":        offline.Driver{},
		"recovery":       recovery.Driver{},
		"ingest-rss":     rss.Driver{},
		"runtimes":       runtimes.Driver{},

		"linearizability":   cluster.Driver{Experiment: cluster.Linearizability},
		"faults":            cluster.Driver{Experiment: cluster.Faults},
		"non-ideal-network": cluster.Driver{Experiment: cluster.NonIdeal},
		"consensus-real":    cluster.Driver{Experiment: cluster.Consensus},
	}
}

// driverNamed finds a driver.
func driverNamed(name string) (factorial.Driver, error) {
	all := drivers()
	if d, ok := all[name]; ok {
		return d, nil
	}
	names := slices.Sorted(maps.Keys(all))
	if near := strictyaml.Nearest(name, names); near != "" {
		return nil, fmt.Errorf("driver: there is no %q: did you mean %s?", name, near)
	}
	return nil, fmt.Errorf("driver: there is no %q; next: use %s, or add it to harness/cmd/lab/drivers.go", name,
		strings.Join(names, ", "))
}
