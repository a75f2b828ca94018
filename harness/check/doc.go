// Package check turns the trials of a run into rates, summaries and verdicts.
//
//	trials.csv --NewIndex--> Index --Summarise--> summary.csv
//	                           |
//	       declared claims ----+----Judge-------> claims.csv --Strict--> exit status
//
// A rate. Every block offers an arm a few fixed rates near the one it can just take. The block's
// loss-free rate is the highest offered rate whose loss stayed within the limit ([LossFree]). If
// even the highest passed, or the generator had little more to give, only a lower bound was seen;
// if none passed, only an upper bound.
//
// A ratio. Rates of two arms are divided within a block, under one workload; the estimate is the
// median over blocks, its interval is that of package stats, bounds included. So a bypass arm that
// outran its generator can support "reproduced" and nothing else, and a socket arm that outran it
// can support "not reproduced" and nothing else, without a special rule for either.
//
// A verdict. Reproduced: the whole interval lies at or above the bound. Not reproduced: the whole
// interval lies below it. Otherwise, and always below six blocks, inconclusive. Each claim has one
// primary cell and rung, fixed before the run; the other rows are exploratory, and the largest
// ratio is named as what it is, the maximum of k cells.
//
// Always. Some claims are about what must never happen: one block that breaks the bound refutes them, and a
// block that could not be measured leaves them undecided ([StoreClaim.Always], [Sims]).
//
// The package does not measure, does not know which arms exist, and does not read experiment.yaml.
package check
