// Package stats is the little statistics that experiments need: medians with intervals that assume
// no distribution, ratios paired by block, and values of which only a bound was seen.
//
// The interval of a median. Of n independent values, the number that lie below the true median is
// binomial with probability 1/2, whatever their distribution. Hence the interval from the d-th
// smallest to the d-th largest covers the median with probability 1 - 2 P(Bin(n, 1/2) < d):
// n = 6 gives [min, max] 96.9 %, n = 10 gives [2nd, 9th] 97.9 %, and fewer than 6 values give no
// interval of 95 % at all. (David and Nagaraja, Order Statistics, 3rd ed., section 7.1; Conover,
// Practical Nonparametric Statistics, 3rd ed., section 3.2; Le Boudec, Performance Evaluation of
// Computer and Communication Systems, section 2.2.2.)
//
// Censored values. A rate that the generator could not exceed is only a lower bound. A [Value] is
// therefore a span from Lo to Hi, and an order statistic of spans lies between the same order
// statistic of all Lo and of all Hi. Intervals so formed are conservative: a bound can widen them,
// never move them towards a wished-for side. As ranks matter and distances do not, one censored
// block out of ten need not open the interval.
//
// The package does not fit, smooth, test for normality, discard outliers or average percentiles.
package stats
