// Package factorial runs experiments whose trials are arms at points of a grid of factors.
//
// What is measured is a [Driver]'s business, and nothing else is: the order of trials, repeats, void and
// unavailable rows, tables, verdicts and figures follow from the declaration (package spec, kind
// factorial) and are the same for every driver.
//
//	experiment.yaml --spec--> plan --Runner--> Driver.Open --> Session.Trial(cell) --> Outcome
//	                                  |                                                  |
//	                                  +-- trials.csv, timeline.csv <--------- rows ------+
//	                                              |
//	                                            Judge --> summary.csv, claims.csv
//
// A driver starts its servers in Open, measures one arm at one point in Trial, and undoes everything in
// Close. It tells what is missing on this machine by a *packet.ErrUnavailable, from Open for everything or
// from Trial for one arm: that becomes a row with the reason and the next step, and is not tried again.
// Any other error is a trial that broke: the session is opened anew and the trial repeated once, then the
// row is void. A trial that ran and may not be used says so in [Outcome.Void]. A trial during which the
// hypervisor took more than 1 % of the cores' time is repeated, at most twice.
//
// A driver of a few lines:
//
//	type driver struct{}
//
//	func (driver) Open(_ context.Context, env factorial.Env) (factorial.Session, error) {
//		return session{dir: env.Dir}, nil // env.Dir is empty, and removed after Close
//	}
//
//	func (s session) Trial(ctx context.Context, c factorial.Cell) (factorial.Outcome, error) {
//		n, err := c.Int("batch")
//		if err != nil {
//			return factorial.Outcome{}, err
//		}
//		ops, err := load(ctx, c.Arm, n, c.Length)
//		return factorial.Outcome{Values: map[string]float64{"ops_per_s": ops}}, err
//	}
//
// It is registered in harness/cmd/lab/drivers.go. ExampleRunner shows one that runs.
//
// The package starts no process and keeps no clock but for how long trials took. It does not draw.
package factorial
