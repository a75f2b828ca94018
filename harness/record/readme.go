package record

import (
	"fmt"
	"strings"
)

// Readme returns the text of results/README.md: every file of a run directory and every column of
// its tables, from the tables themselves.
func Readme() string {
	var b strings.Builder
	b.WriteString(readmeHead)
	section(&b, Trials())
	section(&b, Summaries())
	b.WriteString("\nMetrics:\n\n| metric | unit | meaning |\n|---|---|---|\n")
	for _, m := range Metrics() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Name, m.Unit, m.Doc)
	}
	section(&b, StoreTrials())
	b.WriteString(bindingText)
	b.WriteString("\nMetrics of experiments on stores:\n\n| metric | unit | meaning |\n|---|---|---|\n")
	for _, m := range StoreMetrics() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Name, m.Unit, m.Doc)
	}
	section(&b, Kills())
	section(&b, Timeline())
	section(&b, SimTrials())
	section(&b, Coverage())
	b.WriteString("\nMetrics of experiments on the simulator:\n\n| metric | unit | meaning |\n|---|---|---|\n")
	for _, m := range SimMetrics() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Name, m.Unit, m.Doc)
	}
	section(&b, FactorialRows())
	section(&b, FactorialPoints())
	section(&b, Claims())
	section(&b, Offloads())
	b.WriteString(readmeManifest)
	return b.String()
}

func section[R any](b *strings.Builder, t Table[R]) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| column | unit | meaning |\n|---|---|---|\n", t.File, t.Doc)
	for _, c := range t.Columns {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", c.Name, c.Unit, c.Doc)
	}
}

const readmeHead = `<!-- Generated from the column tables in harness/record; do not edit. -->
# Results

    results/<experiment>/<run id>/     one run; never changed afterwards
      manifest.json    what ran, on what, from which commit
      trials.csv       one row a trial, as measured
      summary.csv      median and interval per arm, placement, cell and metric
      claims.csv       one row per claim and rung, with its verdict
      offloads.csv     which hardware acceleration each arm used
      kills.csv        where processes were killed: one row a kill
      timeline.csv     likewise: writes acknowledged in each tenth of a second; or series of factorial trials
      coverage.csv     of the simulator: how often each rare branch was reached
      NAME.csv.gz      instead of NAME.csv, of a table over 4 MiB: zcat NAME.csv.gz | head
      logs/            what the processes said, and what drivers keep
    results/<experiment>/latest        link to the newest run
    results/<experiment>/reference/    the committed run behind the figures in the documentation

A run id is ` + "`<UTC>-<commit, 7 digits>-<hash of the declaration, 4 digits>`" + `.

Values are written as measured, without rounding: the number of digits says nothing about
significance. An empty field is a value that could not be read, or that a trial which did not run
cannot have; it is never a zero. Lines end in LF, columns have a fixed order, units are part of the
names.

An interval is formed by order statistics: of n values, one a block, its ends are the d-th smallest
and the d-th largest, with the largest d that still covers the median with 95 % probability (n = 6:
smallest and largest, 96.9 %; n = 10: second and ninth, 97.9 %). Below six blocks there is no
interval.
`

const bindingText = `
What bound the throughput is the first of these that holds. offered: an open loop, and 95 % of it was
answered. ingesting: the proxy's frames a second are at 85 % of their bound. processing: the CPU time
wasted on items is 70 % of a core. storing: the proxy had no room for what is not agreed on yet. rounds:
at most two items a round, so that each waits for the one before. cores: the machine is busy to 85 %.
`

const readmeManifest = `
## manifest.json

Schema version, experiment, run id, profile, status (running, ok, partial), conditions, commit (and
whether the working tree differed), hash of the declaration, seed, blocks, exact command line,
environment, versions, hashes of the binaries, EAL arguments by arm, start and end, each host's
facts and its counters before and after, and the warnings. What could not be read is "unknown";
nothing is left out.
`
