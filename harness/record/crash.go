package record

// Crash is what killing processes under load showed, as part of a [StoreTrial]. Outages are the longest
// times without an answer, in ms, from a kill until everything was up again.
type Crash struct {
	Kills                        int
	LeaderP50, LeaderP99         float64
	FollowerP99                  float64
	ProxyOthersP99, ProxyOwnP99  float64
	ReplicasP99                  float64
	CalmP99                      float64
	RejoinMax                    float64
	AckedWrites, UnknownWrites   float64
	LostWrites, PhantomWrites    float64
	CheckedOps, NotLinearizable  float64
	Unrecovered, DifferingStates float64
	SelfEnded                    float64
	RefusedWrites, FoundWrites   float64
}

func storeCrash() []scol {
	ms := func(name, doc string, field func(*StoreTrial) any) scol {
		return scol{Name: name, Unit: "ms", Doc: doc, Field: field, Measured: true}
	}
	count := func(name, doc string, field func(*StoreTrial) any) scol {
		return scol{Name: name, Doc: doc, Field: field, Measured: true}
	}
	return []scol{
		count("kills", "Kills of the trial; what they were is in kills.csv.",
			func(t *StoreTrial) any { return &t.Crash.Kills }),
		ms("outage_ms_leader_p50", "Median outage by a leader's kill, over the trial's kills.",
			func(t *StoreTrial) any { return &t.Crash.LeaderP50 }),
		ms("outage_ms_leader_p99", "99th percentile by nearest rank: below 100 kills, the longest.",
			func(t *StoreTrial) any { return &t.Crash.LeaderP99 }),
		ms("outage_ms_follower_p99", "The same of kills of other replicas.",
			func(t *StoreTrial) any { return &t.Crash.FollowerP99 }),
		ms("outage_ms_proxy_others_p99", "The same of kills of a proxy, of clients of the other proxies.",
			func(t *StoreTrial) any { return &t.Crash.ProxyOthersP99 }),
		ms("outage_ms_proxy_own_p99", "The same, of the proxy's own clients, which have no other.",
			func(t *StoreTrial) any { return &t.Crash.ProxyOwnP99 }),
		ms("outage_ms_replicas_p99", "The same of kills of all replicas at once.",
			func(t *StoreTrial) any { return &t.Crash.ReplicasP99 }),
		ms("outage_ms_calm_p99", "The same of times like these in which nothing was killed.",
			func(t *StoreTrial) any { return &t.Crash.CalmP99 }),
		ms("rejoin_ms_max", "Longest time from a process' start until the cluster was whole again.",
			func(t *StoreTrial) any { return &t.Crash.RejoinMax }),
		count("unrecovered_kills", "Kills after which the cluster was not whole, or gave no answers, in time.",
			func(t *StoreTrial) any { return &t.Crash.Unrecovered }),
		count("self_ended_processes", "Processes that ended by themselves after a kill, and were started again.",
			func(t *StoreTrial) any { return &t.Crash.SelfEnded }),
		count("acknowledged_writes", "Writes of keys of their own that were acknowledged.",
			func(t *StoreTrial) any { return &t.Crash.AckedWrites }),
		count("unknown_writes", "Those whose clients were told that the outcome is unknown.",
			func(t *StoreTrial) any { return &t.Crash.UnknownWrites }),
		count("refused_writes", "Those that were refused for good.",
			func(t *StoreTrial) any { return &t.Crash.RefusedWrites }),
		count("found_writes", "Writes found when all were read back at the end, whatever their outcome.",
			func(t *StoreTrial) any { return &t.Crash.FoundWrites }),
		count("lost_writes", "Acknowledged writes that were not found, or with another value.",
			func(t *StoreTrial) any { return &t.Crash.LostWrites }),
		count("phantom_writes", "Writes found though they were refused, or with a value never written.",
			func(t *StoreTrial) any { return &t.Crash.PhantomWrites }),
		count("differing_states", "1 if replicas did not end in one state, else 0.",
			func(t *StoreTrial) any { return &t.Crash.DifferingStates }),
		count("checked_ops", "Operations of the history that was judged.",
			func(t *StoreTrial) any { return &t.Crash.CheckedOps }),
		count("not_linearizable", "1 if no order explains the history, 0 if one does.",
			func(t *StoreTrial) any { return &t.Crash.NotLinearizable }),
	}
}

// StoreLeaderOutage is the metric of crashes that other packages look up.
const StoreLeaderOutage = "outage_ms_leader_p99"

func crashMetrics() []StoreMetric {
	m := func(name, unit, doc string, of func(*Crash) float64) StoreMetric {
		return StoreMetric{Metric{name, unit, doc}, func(t *StoreTrial) float64 { return of(&t.Crash) }}
	}
	return []StoreMetric{
		m("outage_ms_leader_p50", "ms", "Median outage by a leader's kill.",
			func(c *Crash) float64 { return c.LeaderP50 }),
		m(StoreLeaderOutage, "ms", "99th percentile of a block's leader kills by nearest rank.",
			func(c *Crash) float64 { return c.LeaderP99 }),
		m("outage_ms_follower_p99", "ms", "Of kills of other replicas.",
			func(c *Crash) float64 { return c.FollowerP99 }),
		m("outage_ms_proxy_others_p99", "ms", "Of kills of a proxy, other proxies' clients.",
			func(c *Crash) float64 { return c.ProxyOthersP99 }),
		m("outage_ms_proxy_own_p99", "ms", "Of kills of a proxy, its own clients.",
			func(c *Crash) float64 { return c.ProxyOwnP99 }),
		m("outage_ms_replicas_p99", "ms", "Of kills of all replicas at once.",
			func(c *Crash) float64 { return c.ReplicasP99 }),
		m("outage_ms_calm_p99", "ms", "Of times in which nothing was killed.",
			func(c *Crash) float64 { return c.CalmP99 }),
		m("rejoin_ms_max", "ms", "Longest time from a start until the cluster was whole.",
			func(c *Crash) float64 { return c.RejoinMax }),
		m("unrecovered_kills", "", "Kills after which the cluster did not become whole in time.",
			func(c *Crash) float64 { return c.Unrecovered }),
		m("self_ended_processes", "", "Processes that ended by themselves.",
			func(c *Crash) float64 { return c.SelfEnded }),
		m("lost_writes", "", "Acknowledged writes that were not found.",
			func(c *Crash) float64 { return c.LostWrites }),
		m("phantom_writes", "", "Writes found though refused or never sent.",
			func(c *Crash) float64 { return c.PhantomWrites }),
		m("differing_states", "", "1 if replicas did not end in one state.",
			func(c *Crash) float64 { return c.DifferingStates }),
		m("not_linearizable", "", "1 if no order explains the history.",
			func(c *Crash) float64 { return c.NotLinearizable }),
	}
}

// Kill is one row of kills.csv.
type Kill struct {
	Block            int
	Arm, Setup, Load string
	Number           int
	Role, Victim     string
	AtMS             float64
	DownMS, RejoinMS float64
	OutageMS         float64
	OwnOutageMS      float64
	Unknown, Refused int
	Ended            int
	Status, Reason   string
}

// RoleCalm is the role of a [Kill] that killed nothing: what the others are compared with.
const RoleCalm = "calm"

// Kills is the schema of kills.csv.
func Kills() Table[Kill] {
	return Table[Kill]{
		File: "kills.csv",
		Doc: "In experiments that kill processes, one row a kill. Some kill nothing, and show what the machine " +
			"does by itself.",
		Columns: []Column[Kill]{
			{Name: "block", Doc: "As in trials.csv.", Field: func(k *Kill) any { return &k.Block }},
			{Name: "arm", Doc: "As in trials.csv.", Field: func(k *Kill) any { return &k.Arm }},
			{Name: "setup", Doc: "As in trials.csv.", Field: func(k *Kill) any { return &k.Setup }},
			{Name: "load", Doc: "As in trials.csv.", Field: func(k *Kill) any { return &k.Load }},
			{Name: "number", Doc: "Running number in the block, from 1.",
				Field: func(k *Kill) any { return &k.Number }},
			{Name: "role", Doc: "leader, follower, proxy, replicas (all at once), or calm (nothing).",
				Field: func(k *Kill) any { return &k.Role }},
			{Name: "victim", Doc: "Whose process was killed.", Field: func(k *Kill) any { return &k.Victim }},
			{Name: "at_ms", Unit: "ms", Doc: "When, on the timeline of the block.",
				Field: func(k *Kill) any { return &k.AtMS }},
			{Name: "down_ms", Unit: "ms", Doc: "From the kill to the start of the next process.",
				Field: func(k *Kill) any { return &k.DownMS }},
			{Name: "rejoin_ms", Unit: "ms", Doc: "From that start until every replica votes and every proxy " +
				"takes clients.", Field: func(k *Kill) any { return &k.RejoinMS }},
			{Name: "outage_ms", Unit: "ms", Doc: "Longest time, from just before the kill until a moment after " +
				"the rejoining, without an acknowledgement at a proxy that was not killed; the longest of them.",
				Field: func(k *Kill) any { return &k.OutageMS }},
			{Name: "own_outage_ms", Unit: "ms", Doc: "The same at the proxy that was killed.",
				Field: func(k *Kill) any { return &k.OwnOutageMS }},
			{Name: "unknown_writes", Doc: "Writes meanwhile whose outcome is unknown to their client.",
				Field: func(k *Kill) any { return &k.Unknown }},
			{Name: "refused_writes", Doc: "Writes meanwhile that were refused for good.",
				Field: func(k *Kill) any { return &k.Refused }},
			{Name: "self_ended_processes", Doc: "Processes that ended by themselves, and were started again.",
				Field: func(k *Kill) any { return &k.Ended }},
			{Name: "status", Doc: "ok; void (the cluster did not become whole in time, or gave no answers then).",
				Field: func(k *Kill) any { return &k.Status }},
			{Name: "reason", Doc: "Why the status is not ok.", Field: func(k *Kill) any { return &k.Reason }},
		},
	}
}

// Moment is one row of timeline.csv.
type Moment struct {
	Block            int
	Arm, Setup, Load string
	AtMS             int
	Proxy            int
	Acked            int
}

// MomentMS is how much time one row of timeline.csv covers.
const MomentMS = 100

// Timeline is the schema of timeline.csv.
func Timeline() Table[Moment] {
	return Table[Moment]{
		File: "timeline.csv",
		Doc:  "In experiments that kill processes, one row a tenth of a second and proxy.",
		Columns: []Column[Moment]{
			{Name: "block", Doc: "As in trials.csv.", Field: func(m *Moment) any { return &m.Block }},
			{Name: "arm", Doc: "As in trials.csv.", Field: func(m *Moment) any { return &m.Arm }},
			{Name: "setup", Doc: "As in trials.csv.", Field: func(m *Moment) any { return &m.Setup }},
			{Name: "load", Doc: "As in trials.csv.", Field: func(m *Moment) any { return &m.Load }},
			{Name: "at_ms", Unit: "ms", Doc: "Its beginning, from when the clients began.",
				Field: func(m *Moment) any { return &m.AtMS }},
			{Name: "proxy", Doc: "Whose clients.", Field: func(m *Moment) any { return &m.Proxy }},
			{Name: "acknowledged_writes", Doc: "Writes acknowledged to them.",
				Field: func(m *Moment) any { return &m.Acked }},
		},
	}
}
