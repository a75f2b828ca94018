package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"metronome/harness/record"
)

// kills is the table of what was felt of kills, by role, all blocks together.
func kills(w io.Writer, res record.Results) error {
	if len(res.Kills) == 0 {
		return nil
	}
	var roles []string
	outages, own, rejoins := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for _, k := range res.Kills {
		if !slices.Contains(roles, k.Role) {
			roles = append(roles, k.Role)
		}
		outages[k.Role] = append(outages[k.Role], k.OutageMS)
		rejoins[k.Role] = append(rejoins[k.Role], k.RejoinMS)
		if !math.IsNaN(k.OwnOutageMS) {
			own[k.Role] = append(own[k.Role], k.OwnOutageMS)
		}
	}
	slices.Sort(roles)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "killed\tkills\toutage p50 ms\tp99\tmax\town clients' p50\tmax\trejoined p50\tmax\t")
	for _, r := range roles {
		fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r, len(outages[r]), rank(outages[r], 0.5),
			rank(outages[r], 0.99), rank(outages[r], 1), rank(own[r], 0.5), rank(own[r], 1), rank(rejoins[r], 0.5),
			rank(rejoins[r], 1))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	sum := func(of func(*record.Crash) float64) (n float64) {
		for i := range res.Stores {
			if v := of(&res.Stores[i].Crash); !math.IsNaN(v) {
				n += v
			}
		}
		return n
	}
	fmt.Fprintf(w, "\n%.0f writes acknowledged, %.0f unknown, %.0f refused; read back: %.0f found, %.0f lost, "+
		"%.0f phantoms; histories of %.0f operations judged\n\n",
		sum(func(c *record.Crash) float64 { return c.AckedWrites }),
		sum(func(c *record.Crash) float64 { return c.UnknownWrites }),
		sum(func(c *record.Crash) float64 { return c.RefusedWrites }),
		sum(func(c *record.Crash) float64 { return c.FoundWrites }),
		sum(func(c *record.Crash) float64 { return c.LostWrites }),
		sum(func(c *record.Crash) float64 { return c.PhantomWrites }),
		sum(func(c *record.Crash) float64 { return c.CheckedOps }))
	return nil
}

// rank prints the least value that a share of all do not exceed.
func rank(values []float64, share float64) string {
	if len(values) == 0 {
		return "-"
	}
	values = slices.Sorted(slices.Values(values))
	return number(values[max(0, int(math.Ceil(share*float64(len(values))))-1)])
}
