package plot

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"metronome/harness/check"
	"metronome/harness/record"
	"metronome/harness/stats"
)

// view is a run as figures see it: a primary cell, the arms in their order, and values by name.
type view struct {
	record.Results
	index   *check.Index
	primary check.Ref // the claims' cell, or the one with the most trials
	arms    []string  // those that ran, in drawing order, then those that could not
	rows    map[check.Ref]map[string]record.Summary
}

func (v *view) names() []string { return v.arms }

func (v *view) group(arm string) int { return groupOf(arm) }

func newView(r record.Results) *view {
	v := &view{Results: r, index: check.NewIndex(r.Trials)}
	if len(v.Summaries) == 0 {
		v.Summaries = v.index.Summarise(v.index.Arms())
	}
	v.rows = map[check.Ref]map[string]record.Summary{}
	for _, s := range v.Summaries {
		ref := check.Ref{Arm: s.Arm, Placement: s.Placement, Cell: s.Cell}
		if v.rows[ref] == nil {
			v.rows[ref] = map[string]record.Summary{}
		}
		v.rows[ref][s.Metric] = s
	}
	v.primary = v.findPrimary()
	v.arms = v.orderedArms()
	return v
}

// findPrimary returns the cell of the first primary claim that ran, else the cell in which the most
// arms ran.
func (v *view) findPrimary() check.Ref {
	for _, c := range v.Claims {
		ref := check.Ref{Arm: c.Arm, Placement: c.Placement, Cell: c.Cell}
		if _, ok := v.index.Factors(ref); c.Primary && ok {
			return ref
		}
	}
	var best check.Ref
	most := 0
	for _, ref := range v.index.Refs() {
		n := 0
		for _, arm := range v.index.Arms() {
			if _, ok := v.index.Partner(ref, arm, ref.Placement); ok {
				n++
			}
		}
		if n > most {
			best, most = ref, n
		}
	}
	return best
}

// orderedArms returns all arms by group, the slower first, those that could not run last.
func (v *view) orderedArms() []string {
	seen := map[string]bool{}
	var arms []string
	for _, t := range v.Trials {
		if !seen[t.Arm] && t.Arm != "" {
			seen[t.Arm] = true
			arms = append(arms, t.Arm)
		}
	}
	speed := func(arm string) float64 {
		d := v.rate(arm, "same")
		if math.IsNaN(d.v) {
			d = v.rate(arm, "other")
		}
		if math.IsNaN(d.v) {
			return math.Inf(1)
		}
		return d.v
	}
	slices.SortFunc(arms, func(a, b string) int {
		return cmp.Or(cmp.Compare(groupOf(a), groupOf(b)), cmp.Compare(speed(a), speed(b)),
			cmp.Compare(a, b))
	})
	return arms
}

// rate returns an arm's loss-free rate in the primary cell; that of a reference program, which is
// not searched, is what it took at most.
func (v *view) rate(arm, placement string) point {
	d := v.value(arm, placement, record.LossFreeFPS)
	if math.IsNaN(d.v) {
		d = v.value(arm, placement, record.CeilingFPS)
	}
	return d
}

// value returns a metric of an arm in its cell of the primary workload.
func (v *view) value(arm, placement, metric string) point {
	ref, ok := v.index.Partner(v.primary, arm, placement)
	if !ok {
		return missing()
	}
	return v.at(ref, metric)
}

// at returns a metric of a cell.
func (v *view) at(ref check.Ref, metric string) point {
	s, ok := v.rows[ref][metric]
	if !ok {
		return missing()
	}
	return pointOf(s)
}

func pointOf(s record.Summary) point {
	d := point{s.Median, s.CILow, s.CIHigh}
	// Without an interval, the direction of censoring is all there is to show.
	if math.IsNaN(d.lo) && s.Censor == "upper" {
		d.lo = math.Inf(-1)
	}
	if math.IsNaN(d.hi) && s.Censor == "lower" {
		d.hi = math.Inf(1)
	}
	return d
}

func missing() point { return point{math.NaN(), math.NaN(), math.NaN()} }

// absent reports whether an arm has no usable trial.
func (v *view) absent(arm string) bool { return len(v.index.Placements(arm)) == 0 }

// absences says of each arm that could not run why.
func (v *view) absences() (lines []string) {
	for _, arm := range v.arms {
		if v.absent(arm) {
			lines = append(lines, absenceWords(arm, v.index.Why(arm)))
		}
	}
	return lines
}

// absenceWords says why an arm could not run, at no great length.
func absenceWords(arm, why string) string {
	const most = 110
	words := []rune(cmp.Or(why, "no usable trial"))
	if len(words) > most {
		words = append(words[:most:most], '…')
	}
	return arm + " " + string(words)
}

// placements returns the placements of the run.
func (v *view) placements() []string {
	var all []string
	for _, ref := range v.index.Refs() {
		all = append(all, ref.Placement)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	slices.Reverse(all) // same before other
	return all
}

// conditions returns the lines under every figure.
func (v *view) conditions(extra ...string) []string {
	m := v.Manifest
	if slices.ContainsFunc(v.Trials, partial) {
		m.Status = record.StatusPartial
	}
	path := pathWords(m)
	lines := []string{path + "; " + v.primaryWords() + "; " + v.blocksWords() + "."}
	lines = append(append(lines, extra...), v.absences()...)
	return append(lines, hostWords(m))
}

// pathWords says what path was measured, and whether the run is less than a result.
func pathWords(m record.Manifest) string {
	path := cmp.Or(m.Conditions, "conditions not stated")
	if m.Status == record.StatusPartial {
		path = "PARTIAL RUN, " + path
	}
	if m.Profile == "smoke" {
		path = "SMOKE RUN, not a result; " + path
	}
	return path
}

// hostWords names machine and run.
func hostWords(m record.Manifest) string {
	host := "host unknown"
	if len(m.Hosts) > 0 {
		f := m.Hosts[0].Facts
		host = fmt.Sprintf("%s, %s cores, Linux %s", known(f["cpu_model"]), known(f["cores_online"]),
			known(f["kernel"]))
	}
	return host + "; run " + cmp.Or(m.RunID, record.Unknown)
}

func partial(t record.Trial) bool { return t.Status == record.StatusPartial }

func known(fact string) string {
	return cmp.Or(strings.Join(strings.Fields(fact), " "), record.Unknown)
}

func (v *view) primaryWords() string {
	f, ok := v.index.Factors(v.primary)
	if !ok {
		return "no cell"
	}
	return fmt.Sprintf("%d-B items, burst %d, %s", f.ItemBytes, f.Burst, f.Digest)
}

// blocksWords states n, and the interval that so many blocks give.
func (v *view) blocksWords() string {
	least, most := math.MaxInt, 0
	for _, metrics := range v.rows {
		if s, ok := metrics[record.LossFreeFPS]; ok {
			least, most = min(least, s.N), max(most, s.N)
		}
	}
	n := fmt.Sprintf("n = %d", most)
	if least < most {
		n = fmt.Sprintf("n = %d to %d", least, most)
	}
	d, coverage := stats.Ranks(most, stats.Level)
	if d == 0 {
		return n + " blocks, no intervals"
	}
	return fmt.Sprintf("medians of %s blocks, bars: %.1f\u00a0%% intervals", n, 100*coverage)
}
