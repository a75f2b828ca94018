package ops

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Metric describes one metric.
type Metric struct {
	Name   string   // metronome_<subsystem>_<what>_<unit>; a counter if it ends in _total, else a gauge
	Help   string   // one sentence
	Labels []string // names; values are emitted in this order
}

// Counter reports whether the metric only grows.
func (m Metric) Counter() bool { return strings.HasSuffix(m.Name, "_total") }

// Table describes all metrics of one source.
type Table []Metric

var (
	nameShape  = regexp.MustCompile(`^metronome(_[a-z][a-z0-9]*){2,}$`)
	labelShape = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
)

// Units that are not base units, and what to use.
var badUnits = map[string]string{
	"ms": "seconds", "us": "seconds", "ns": "seconds", "millis": "seconds", "milliseconds": "seconds",
	"microseconds": "seconds", "nanoseconds": "seconds", "minutes": "seconds", "kb": "bytes", "mb": "bytes",
	"kib": "bytes", "mib": "bytes", "percent": "ratio", "count": "_total or nothing", "counter": "_total",
}

// Suffixes and labels that Prometheus uses itself.
var (
	reservedSuffixes = []string{"_bucket", "_sum", "_count", "_created"}
	reservedLabels   = []string{"le", "quantile", "job", "instance"}
)

// Check names everything in the table that breaks the conventions.
func (t Table) Check() error {
	var errs []error
	seen := map[string]bool{}
	for _, m := range t {
		for _, why := range m.faults() {
			errs = append(errs, fmt.Errorf("metric %q: %s", m.Name, why))
		}
		if seen[m.Name] {
			errs = append(errs, fmt.Errorf("metric %q is described twice", m.Name))
		}
		seen[m.Name] = true
	}
	return errors.Join(errs...)
}

func (m Metric) faults() (why []string) {
	if !nameShape.MatchString(m.Name) {
		why = append(why, "use metronome_<subsystem>_<what>_<unit>, of a-z, 0-9 and single _")
	}
	for word := range strings.SplitSeq(m.Name, "_") {
		if better, bad := badUnits[word]; bad {
			why = append(why, fmt.Sprintf("%s is no base unit: use %s", word, better))
		}
	}
	for _, s := range reservedSuffixes {
		if strings.HasSuffix(m.Name, s) {
			why = append(why, s+" belongs to histograms")
		}
	}
	if m.Help == "" || !strings.HasSuffix(m.Help, ".") {
		why = append(why, "help must be a sentence")
	}
	for i, l := range m.Labels {
		if !labelShape.MatchString(l) || slices.Contains(reservedLabels, l) || slices.Contains(m.Labels[:i], l) {
			why = append(why, fmt.Sprintf("label %q is malformed, reserved or given twice", l))
		}
	}
	return why
}
