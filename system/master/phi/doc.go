// Package phi judges from the times at which somebody was heard whether it is still there.
//
//	d := phi.New(phi.Config{Promise: 10e9})    // it promised to speak every ten seconds
//	d.Heard(now)                               // at every sign of life
//	v := d.Judge(now)                          // v.State, v.Phi, v.Why
//
// It is the phi-accrual detector of Hayashibara et al. (SRDS 2004) in the form that Akka and
// Hazelcast use: φ = −log10 of the probability that a living peer stays silent for as long as this
// one has, with gaps between signs taken as normal. φ = 1 is wrong one time in ten, φ = 8 one time
// in 10^8.
//
// Gaps of edges come in bursts: a backup is a hundred requests in a second, then nothing until the
// next beat. Three bounds keep φ from accusing those: the mean gap counts as no shorter than the
// interval that was promised, the deviation as no smaller than half a second, and silence of three
// promised intervals is suspect whatever φ says.
//
// Other edges say nothing but what they promised, like clockwork. Their past hardly varies, so that a
// single lost message would be twenty deviations of silence: a normal distribution knows nothing of
// messages that are lost. So the deviation also counts as no smaller than a quarter of the mean gap.
// A sign that is missing is then φ = 4.5 when the next one comes, which is late and not suspect; it
// takes a silence of 2.4 gaps to reach φ = 8, two signs in a row. Akka's acceptable pause serves the
// same end; it would also delay suspicion of peers whose gaps do vary, and who need no such help.
//
// The package is pure: time is a number of nanoseconds that only grows, and is handed in. It sends
// nothing and asks nobody.
package phi
