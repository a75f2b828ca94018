// Package record defines what a run leaves behind: the rows of its CSV files, its manifest and its
// directory.
//
// A run directory holds
//
//	results/<experiment>/<run id>/
//	  manifest.json   what ran, where, from which commit ([Manifest])
//	  trials.csv      one row a trial, exactly as measured ([Trial], [StoreTrial], [SimTrial]),
//	                  or one row a metric of a trial ([FactorialRow])
//	  summary.csv     per arm, placement, cell and metric: median, interval, n ([Summary])
//	  claims.csv      one row a claim and rung: expected, measured, verdict ([Claim])
//	  offloads.csv    which hardware acceleration each arm leaned on ([Offload])
//	  kills.csv       of an experiment that kills: one row a kill ([Kill]); timeline.csv ([Moment])
//	  coverage.csv    of one on the simulator: how often rare branches were reached ([Covered])
//	  logs/           what every process wrote to stderr
//	  NAME.csv.gz     instead of NAME.csv, of a finished run's table over 4 MiB ([Compress])
//	results/<experiment>/latest   a symbolic link to the newest run
//
// Every CSV is driven by one table of columns ([Table]), which also generates results/README.md
// ([Readme]): a column cannot exist without a unit and a sentence that explains it. Values are
// written as measured, without rounding, so the number of digits says nothing about significance;
// a value that could not be read is an empty field, never a zero (the habit of BenchExec's
// run-results). Rows reach the file one write each, so that an interrupted run keeps the rows it
// has.
//
// [Ledger] is the drop equation: every frame the generator emitted is found again under exactly one
// cause, or [Ledger.Balance] says how many are missing and where.
//
// The package does not measure, decide or draw: probes fill rows, package check turns them into
// verdicts, package plot into figures. It reads no host facts; the testbed hands them over as
// strings.
package record
