package plot

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"

	"metronome/harness/check"
	"metronome/harness/record"
	"metronome/harness/stats"
)

// storeView is a run of an experiment on stores as figures see it.
type storeView struct {
	record.Results
	index *check.Stores
	arms  []string // by saturation, the slower first, those that could not run last
	rows  map[check.Ref]map[string]record.Summary
}

// storeFigures are the figures that an experiment on stores may declare.
func storeFigures() map[string]func(*storeView) (Figure, error) {
	return map[string]func(*storeView) (Figure, error){
		"saturation": saturation, "latency-curve": latencyCurve, "rounds-load": roundsLoad,
		"rounds-interval": roundsInterval, "limits": limits, "bytes-per-item": bytesPerItem,
		"syncs-load": syncsLoad, "crash-timeline": crashTimeline, "crash-outages": crashOutages,
	}
}

func allStores(r record.Results) (figures []Figure, err error) {
	v := newStoreView(r)
	known := storeFigures()
	var errs []error
	for _, name := range r.Manifest.Figures {
		draw := known[name]
		if draw == nil {
			errs = append(errs, fmt.Errorf("figure %s: there is none of that name", name))
			continue
		}
		f, err := draw(v)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		figures = append(figures, f)
	}
	return figures, errors.Join(errs...)
}

func newStoreView(r record.Results) *storeView {
	v := &storeView{Results: r, index: check.NewStores(r.Stores),
		rows: map[check.Ref]map[string]record.Summary{}}
	if len(v.Summaries) == 0 {
		v.Summaries = v.index.Summarise()
	}
	for _, s := range v.Summaries {
		ref := check.Ref{Arm: s.Arm, Placement: s.Placement, Cell: s.Cell}
		if v.rows[ref] == nil {
			v.rows[ref] = map[string]record.Summary{}
		}
		v.rows[ref][s.Metric] = s
	}
	for _, t := range r.Stores {
		if !slices.Contains(v.arms, t.Arm) {
			v.arms = append(v.arms, t.Arm)
		}
	}
	slices.SortStableFunc(v.arms, func(a, b string) int {
		return cmp.Or(cmp.Compare(v.group(a), v.group(b)), cmp.Compare(v.speed(a), v.speed(b)), cmp.Compare(a, b))
	})
	return v
}

// at returns a metric of an arm in a setup under a load.
func (v *storeView) at(ref check.Ref, metric string) point {
	s, ok := v.rows[ref][metric]
	if !ok {
		return missing()
	}
	return pointOf(s)
}

// factors returns a trial of ref, whose factor columns hold for all of them.
func (v *storeView) factors(ref check.Ref) record.StoreTrial {
	if all := v.index.Trials(ref); len(all) > 0 {
		return all[0]
	}
	return record.NewStoreTrial()
}

// refs returns everything measured of an arm under loads of a role, whatever the setup.
func (v *storeView) refs(arm, role string) (all []check.Ref) {
	for _, ref := range v.index.Refs() {
		if ref.Arm == arm && v.factors(ref).Role == role {
			all = append(all, ref)
		}
	}
	return all
}

// closed returns where an arm was saturated first.
func (v *storeView) closed(arm string) (check.Ref, bool) {
	all := v.refs(arm, record.RoleClosed)
	if len(all) == 0 {
		return check.Ref{}, false
	}
	return all[0], true
}

func (v *storeView) speed(arm string) float64 {
	ref, ok := v.closed(arm)
	if d := v.at(ref, record.StoreOPS); ok && !math.IsNaN(d.v) {
		return d.v
	}
	return math.Inf(1)
}

func (v *storeView) names() []string        { return v.arms }
func (v *storeView) absent(arm string) bool { return !v.index.Ran(arm) }

// group sets our own store apart.
func (v *storeView) group(arm string) int {
	if strings.HasPrefix(arm, "metronome") {
		return 1
	}
	return 0
}

// setups returns the setups that have usable trials, in the order in which they appear.
func (v *storeView) setups() (all []string) {
	for _, t := range v.Stores {
		if t.Status == record.StatusOK && !slices.Contains(all, t.Setup) {
			all = append(all, t.Setup)
		}
	}
	slices.SortStableFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(v.interval(a), v.interval(b)), cmp.Compare(a, b))
	})
	return all
}

// interval is a setup's time between rounds, ns.
func (v *storeView) interval(setup string) int64 {
	i := slices.IndexFunc(v.Stores, func(t record.StoreTrial) bool { return t.Setup == setup })
	return v.Stores[i].RoundIntervalNS
}

// footer returns the lines of conditions, broken to a width.
func (v *storeView) footer(width vg.Length, extra []string) (lines []string) {
	for _, l := range v.conditions(extra) {
		lines = append(lines, wrap(l, sizeSmall, width)...)
	}
	return lines
}

func (v *storeView) conditions(extra []string) []string {
	m := v.Manifest
	lines := []string{pathWords(m) + "; " + v.workload() + "; " + v.blocks() + "."}
	lines = append(lines, extra...)
	for _, arm := range v.arms {
		if v.absent(arm) {
			lines = append(lines, absenceWords(arm, v.index.Why(arm)))
		}
	}
	return append(lines, hostWords(m))
}

// promises says what an acknowledged write of each arm is worth.
func (v *storeView) promises() []string {
	var order []string
	arms := map[string][]string{}
	for _, arm := range v.arms {
		i := slices.IndexFunc(v.Stores, func(t record.StoreTrial) bool { return t.Arm == arm })
		if d := v.Stores[i].Durable; d != "" {
			if arms[d] == nil {
				order = append(order, d)
			}
			arms[d] = append(arms[d], arm)
		}
	}
	var parts []string
	for _, d := range order {
		parts = append(parts, strings.Join(arms[d], ", ")+": "+d)
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{"An acknowledged write is, of " + strings.Join(parts, "; ") + "."}
}

func (v *storeView) workload() string {
	if len(v.Stores) == 0 {
		return "no trials"
	}
	t := v.Stores[0]
	return fmt.Sprintf("puts of %d-B keys, %d-B values, %s keys", t.KeyBytes, t.ValueBytes, si(float64(t.Keys)))
}

func (v *storeView) blocks() string {
	most := 0
	for _, metrics := range v.rows {
		most = max(most, metrics[record.StoreOPS].N)
	}
	n := fmt.Sprintf("n = %d", most)
	d, coverage := stats.Ranks(most, stats.Level)
	if d == 0 {
		return n + " blocks, no intervals"
	}
	return fmt.Sprintf("medians of %s blocks, bars: %.1f\u00a0%% intervals", n, 100*coverage)
}

// drawnPlaces are those of points that a logarithmic scale has, by x.
func drawnPlaces(all []place) (kept []place) {
	for _, p := range all {
		if p.y.drawn(scale{log: true}) && p.x > 0 {
			kept = append(kept, p)
		}
	}
	slices.SortStableFunc(kept, func(a, b place) int { return cmp.Compare(a.x, b.x) })
	return kept
}

// values are the ys of curves, with their intervals, and the xs.
func valuesOf(curves []curve) (xs, ys []float64) {
	for _, c := range curves {
		for _, p := range c.points {
			xs, ys = append(xs, p.x), append(ys, p.y.v, p.y.lo, p.y.hi)
		}
	}
	return xs, ys
}
