// Package ops is what operators see of a process: an HTTP server with
//
//	/metrics      Prometheus text format
//	/livez        200 while the process works, 503 and the reasons if only a restart helps
//	/readyz       200 while it can serve, 503 and the reasons if not
//	/debug/pprof  Go profiles, if asked for
//
// Reasons are text, one a line, or JSON with ?format=json or "Accept: application/json".
//
// # Metrics
//
// Hot loops count in plain integers of their own; nothing here runs per event. At a scrape a
// function reads snapshots of them and emits values, which a checked table describes:
//
//	c, err := ops.Counters(ops.Table{
//		{Name: "metronome_lane_frames_total", Help: "Frames placed.", Labels: []string{"lane"}},
//	}, func(emit ops.Emit) { emit("metronome_lane_frames_total", float64(n), "3") })
//
// Names are metronome_<subsystem>_<what>_<unit>, counters end in _total, units are base units
// (seconds, bytes), as Prometheus's conventions have it. [NewTable]'s errors say what a name lacks.
// A value under a name that is not in the table breaks that scrape's part loudly, not the page.
//
// The server speaks plain HTTP and knows no passwords: it shows nothing of the data, and belongs on
// an address that only operators reach. It does not push, store or aggregate.
package ops
