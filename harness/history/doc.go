// Package history judges what clients saw. A [History] is plain data: every client operation with
// when it was invoked, when and how it ended, and, where it is known, the log of what was executed
// at which index. The simulator and tests with real processes record the same histories, and [File] keeps
// one as lines of JSON that [Judge] can judge again at any time (`lab check FILE.jsonl`).
//
// There are three judges, and they share no shortcut:
//
//   - [Exact] believes the log and replays it in index order through a sequential model of the
//     store. Every answer must be the model's; whatever was acknowledged must be in the log,
//     whatever was refused must not; indexes must agree with real time across all keys, and with
//     program order on each connection. It costs O(n log n), so it sees every operation. That a log
//     index turns checking into sorting is an observation from porcupine's issue 35.
//   - [Indexed] does what Exact does without a log, by the indexes that answers tell.
//   - [Linearizable] hides the index and asks porcupine (Lowe 2017; Horn and Kroening 2015) whether
//     any order explains the answers: key by key on sampled keys, and whole if the history is
//     small. A wrong index cannot deceive it. A revision is used as a name for a write, never as a
//     place.
//
// An operation whose outcome is unknown stays open to the end of the history: it may take effect at
// any time after its invocation, or never. A check that runs out of its budget is [Unfinished],
// which is a failure; the budget is counted in model steps, so that verdicts do not depend on the
// machine, unless a time is given beside it.
//
// testdata/bad holds histories that each have one thing wrong: all must be found.
//
// The package neither runs nor records anything, and does not know how a cluster works.
package history
