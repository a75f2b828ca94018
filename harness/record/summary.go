package record

// Summary is one row of summary.csv: one metric of one arm in one cell, over the blocks of the run.
type Summary struct {
	Arm, Placement, Cell string
	Metric, Unit         string
	Median               float64
	CILow, CIHigh        float64 // missing without an interval; ±Inf where it is open
	N                    int
	Censor               string // none, lower, upper, unknown
	Method               string
}

// Summaries is the schema of summary.csv.
func Summaries() Table[Summary] {
	return Table[Summary]{
		File: "summary.csv",
		Doc: "One row per arm, placement, cell and metric. Each block gives one value; the row is " +
			"their median and its interval.",
		Columns: []Column[Summary]{
			{Name: "arm", Doc: "As in trials.csv.",
				Field: func(s *Summary) any { return &s.Arm }},
			{Name: "placement", Doc: "As in trials.csv.",
				Field: func(s *Summary) any { return &s.Placement }},
			{Name: "cell", Doc: "As in trials.csv.",
				Field: func(s *Summary) any { return &s.Cell }},
			{Name: "metric", Doc: "What the row is about; the list is below.",
				Field: func(s *Summary) any { return &s.Metric }},
			{Name: "unit", Doc: "Unit of median, ci_low and ci_high.",
				Field: func(s *Summary) any { return &s.Unit }},
			{Name: "median", Doc: "Median over blocks; under censoring, the bound it stands for. Of a store's " +
				"latencies: the percentile of all blocks' operations together, as method says.",
				Field: func(s *Summary) any { return &s.Median }},
			{Name: "ci_low",
				Doc:   "Lower end of the interval of the median; empty below 6 blocks, -Inf if open.",
				Field: func(s *Summary) any { return &s.CILow }},
			{Name: "ci_high", Doc: "Upper end; empty below 6 blocks, +Inf if open.",
				Field: func(s *Summary) any { return &s.CIHigh }},
			{Name: "n", Unit: "blocks", Doc: "Blocks that gave a value.",
				Field: func(s *Summary) any { return &s.N }},
			{Name: "censor", Doc: "none: the median was seen; lower: it is at least that; upper: at most; " +
				"unknown: neither end was seen.",
				Field: func(s *Summary) any { return &s.Censor }},
			{Name: "method", Doc: "How the interval was formed.",
				Field: func(s *Summary) any { return &s.Method }},
		},
	}
}

// Verdicts of a claim.
const (
	Reproduced    = "reproduced"
	NotReproduced = "not reproduced"
	Inconclusive  = "inconclusive"
	NotJudged     = "not judged"
)

// Claim is one row of claims.csv: a claim against one rung.
type Claim struct {
	Claim, Source      string
	Expected, Measured float64
	CILow, CIHigh      float64
	N                  int
	Verdict            string
	Primary            bool
	Arm, Rung          string
	Placement, Cell    string
	Sentence           string
}

// Claims is the schema of claims.csv.
func Claims() Table[Claim] {
	return Table[Claim]{
		File: "claims.csv",
		Doc: "One row per claim and rung. Each claim has one primary row, fixed before the run; the " +
			"other rows are exploratory.",
		Columns: []Column[Claim]{
			{Name: "claim", Doc: "Short name of the claim.",
				Field: func(c *Claim) any { return &c.Claim }},
			{Name: "source", Doc: "Where it was made.",
				Field: func(c *Claim) any { return &c.Source }},
			{Name: "expected",
				Doc:   "The bound the measurement must reach; empty for claims without a number.",
				Field: func(c *Claim) any { return &c.Expected }},
			{Name: "measured", Doc: "Median over blocks.",
				Field: func(c *Claim) any { return &c.Measured }},
			{Name: "ci_low", Doc: "Lower end of its interval; empty below 6 blocks.",
				Field: func(c *Claim) any { return &c.CILow }},
			{Name: "ci_high", Doc: "Upper end; empty below 6 blocks, +Inf if open.",
				Field: func(c *Claim) any { return &c.CIHigh }},
			{Name: "n", Unit: "blocks", Doc: "Blocks that gave a value.",
				Field: func(c *Claim) any { return &c.N }},
			{Name: "verdict", Doc: "reproduced, not reproduced, inconclusive, not judged.",
				Field: func(c *Claim) any { return &c.Verdict }},
			{Name: "primary", Doc: "Whether this row is the claim's fixed cell and rung.",
				Field: func(c *Claim) any { return &c.Primary }},
			{Name: "arm", Doc: "The arm the claim speaks for.",
				Field: func(c *Claim) any { return &c.Arm }},
			{Name: "rung", Doc: "The arm it is compared with; empty without one.",
				Field: func(c *Claim) any { return &c.Rung }},
			{Name: "placement", Doc: "As in trials.csv.",
				Field: func(c *Claim) any { return &c.Placement }},
			{Name: "cell", Doc: "As in trials.csv.",
				Field: func(c *Claim) any { return &c.Cell }},
			{Name: "sentence", Doc: "The row in words.",
				Field: func(c *Claim) any { return &c.Sentence }},
		},
	}
}

// States of an offload.
const (
	OffloadOn      = "on"
	OffloadOff     = "off"
	OffloadUnknown = "unknown" // could not be read
)

// Offload is one row of offloads.csv: whether one arm leaned on one hardware acceleration.
type Offload struct {
	Arm, Offload, State, Evidence string
}

// Offloads is the schema of offloads.csv.
func Offloads() Table[Offload] {
	return Table[Offload]{
		File: "offloads.csv",
		Doc:  "One row per arm and hardware acceleration, in use or not.",
		Columns: []Column[Offload]{
			{Name: "arm", Doc: "As in trials.csv.",
				Field: func(o *Offload) any { return &o.Arm }},
			{Name: "offload", Doc: "multicast-filter, checksum, gro, rss, interrupt-moderation.",
				Field: func(o *Offload) any { return &o.Offload }},
			{Name: "state", Doc: "on, off, or unknown if it could not be read.",
				Field: func(o *Offload) any { return &o.State }},
			{Name: "evidence", Doc: "What said so.",
				Field: func(o *Offload) any { return &o.Evidence }},
		},
	}
}
