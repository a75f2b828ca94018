// Package mutate is a set of switches that break the protocol on purpose: the negative controls of
// the simulator. A core asks at the place where a rule is kept
//
//	if !mutate.On(mutate.SkipGate) && gate.Holds(cut) != order.Held {
//
// Without the build tag "mutation" On is the constant false, so the compiler removes the question
// and no binary that anybody runs can be broken this way. With the tag, [Set] turns one mutation
// on, and a test of harness/sim shows that the simulator notices each of them.
//
// The package knows neither the protocol nor the simulator, and with the tag its one variable is
// not synchronised: simulations run one after another in one goroutine.
package mutate

// EnvName is the environment variable that turns a mutation on in a process from its start, by name: so a
// cluster of real processes can be broken. Only a build with the tag "mutation" looks at it.
const EnvName = "METRONOME_MUTATION"

// Mutation is one way of breaking the protocol.
type Mutation uint8

// The mutations. Each names the rule it breaks and the place where [On] is to be asked.
const (
	// None breaks nothing.
	None Mutation = iota
	// SkipGate accepts every cut as if all items under it were held (R11).
	SkipGate
	// OnlyEmptyAppends holds back whole appends at the gate while empty ones pass (R12). It breaks
	// progress, not safety.
	OnlyEmptyAppends
	// ProposeUnheld proposes the highest marks that any member reported, not what a majority holds
	// jointly and the leader itself (R8, R9).
	ProposeUnheld
	// RestartUnderOldID lets a replica that lost its state come back under its old id and vote (R1).
	RestartUnderOldID
	// JudgeAtPropose voids components of closed lanes when a cut is proposed instead of when its
	// decision is applied (R6, R19).
	JudgeAtPropose
	// CommitMinority counts one holder too few as a quorum (I1).
	CommitMinority
	// ApplyTwice applies the last item of a cut again with the next cut (I4).
	ApplyTwice
	// HighestNumberOnly keeps, of a session's executed numbers, the highest only (R24).
	HighestNumberOnly
	// StaleRead answers barrier reads from whatever is applied, without waiting for the read index
	// (R26).
	StaleRead
	// LanesReordered executes the lanes of a cut in an order that differs between replicas (I3).
	LanesReordered
	// IgnoreDigest accepts a cut whose chain digest differs from what is held (R14).
	IgnoreDigest
	// ReuseIncarnation lets a restarted proxy go on under its old incarnation and lanes (R19).
	ReuseIncarnation
	// CloseAtHeld closes a lane at what this replica holds, not at the effective cut of the closing
	// decision's position (R19).
	CloseAtHeld
	// TrimUndecided drops items under a cut that is accepted and not yet decided (R17).
	TrimUndecided
	// ExpireByLocalTime expires sessions by the local clock instead of log time (R23).
	ExpireByLocalTime
	// LocalLimits takes limits from the local configuration instead of replicated state (R23).
	LocalLimits
	// RestoreSameEpoch installs a snapshot without its session table, so that an index or a session's
	// number comes to mean something else (R29, R30).
	RestoreSameEpoch
	// ProposeVolatile counts a leader's own acceptance before it is durable (R8).
	ProposeVolatile
	// AcknowledgeBeforeSync answers the orderer's messages at once, not when what they rest on is
	// durable (R8, R11, I5).
	AcknowledgeBeforeSync
	// VoteBeforePersist grants votes at once (I5, R3).
	VoteBeforePersist
	// FramesAfterOrder writes an acceptance before the frames that it rests on (R8, R11).
	FramesAfterOrder
	// DamageAsTornTail takes damage at a journal's end for a torn tail (R3).
	DamageAsTornTail
	// TornTailAsDamage takes a torn tail for damage, so that a power failure costs a life (R3).
	TornTailAsDamage
	// TrimJournalUndecided lets a saved snapshot free records of frames that it has not applied, under
	// cuts that are accepted and not decided (R17).
	TrimJournalUndecided
	// TrimBeforeSaved trims the journal when a snapshot is captured, before it is durable (R17, R30).
	TrimBeforeSaved
	// SavedBeforeDurable calls a snapshot saved without syncing its file (R30).
	SavedBeforeDurable
	// RestoreWithoutEpoch lets a restored cluster go on from the index of its backup, so that revisions
	// and sessions of what was lost come to mean something else (R29).
	RestoreWithoutEpoch
	// SkipDirSync makes files durable and not their names.
	SkipDirSync
	// PaxosForgetAccepted lets a new leader of multipaxos propose as if nobody else had accepted
	// anything (I2).
	PaxosForgetAccepted
	// PaxosLowestBallot lets it propose, of what was accepted, the value of the lowest ballot (I2).
	PaxosLowestBallot
	// PaxosAcceptBelowPromise accepts in a ballot lower than the one promised (I2).
	PaxosAcceptBelowPromise
	// PaxosMinority decides with one acceptance too few (I1, R13).
	PaxosMinority
	// PaxosRecoverUnheld lets a new leader propose again, and accept, values whose items it does not
	// hold (R8, R11).
	PaxosRecoverUnheld
	// MenciusForgetAccepted lets a revocation decide as if nobody else had accepted anything (I2).
	MenciusForgetAccepted
	// MenciusAcceptBelowPromise accepts from a slot's owner what was promised to a revocation (I2).
	MenciusAcceptBelowPromise
	// MenciusReuseSlots lets a restarted owner use slots that it may have used before (I2).
	MenciusReuseSlots
	// MenciusMinority decides with one acceptance too few (I1, R13).
	MenciusMinority
	// MenciusRevokeUnheld lets a revocation propose, and accept, values whose items are not held (R8, R11).
	MenciusRevokeUnheld
	// BaxosForgetAccepted lets a proposer of baxos choose a value as if nobody had accepted any (I2).
	BaxosForgetAccepted
	// BaxosLowestBallot lets it propose, of what was accepted, the value of the lowest ballot (I2).
	BaxosLowestBallot
	// BaxosAcceptBelowPromise accepts in a ballot lower than the one promised for the slot (I2).
	BaxosAcceptBelowPromise
	// BaxosMinority decides with one acceptance too few (I1, R13).
	BaxosMinority
	// BaxosRecoverUnheld proposes again, and accepts, a value whose items the proposer does not hold
	// (R8, R11).
	BaxosRecoverUnheld
	// RabiaProposeUnheld proposes what others want and is not held here (R8, R11).
	RabiaProposeUnheld
	// RabiaMinority takes one proposal too few for a majority's (I1, R13).
	RabiaMinority
	// RabiaHastyVote votes 1 where anybody has that as its state, a majority or not (I2).
	RabiaHastyVote
	// RabiaOneVote decides with one vote too few (I2).
	RabiaOneVote
	// RabiaForgetVotes lets a restarted member forget what it said in the present slot (I2).
	RabiaForgetVotes
	// RacsForgetAccepted lets who leads a view of racs propose as if nobody else had accepted anything (I2).
	RacsForgetAccepted
	// RacsLowestBallot lets it propose, of what was accepted, the value of the lowest ballot (I2).
	RacsLowestBallot
	// RacsAcceptBelowPromise accepts in a ballot lower than the one promised (I2).
	RacsAcceptBelowPromise
	// RacsMinority decides with one acceptance too few (I1, R13).
	RacsMinority
	// RacsRecoverUnheld lets who was drawn propose again, and accept, values whose items it does not hold
	// (R8, R11).
	RacsRecoverUnheld
	// RacsEveryoneDrawn lets whoever completes in a fallback lead in its ballot, whatever the coin says (I2).
	RacsEveryoneDrawn
	count
)

var catalog = [count]struct{ name, doc string }{
	None:                  {"none", "breaks nothing"},
	SkipGate:              {"skip-gate", "R11: accept every cut as if it were held"},
	OnlyEmptyAppends:      {"only-empty-appends", "R12: hold back whole appends while empty ones pass"},
	ProposeUnheld:         {"propose-unheld", "R8, R9: propose what nobody is known to hold"},
	RestartUnderOldID:     {"restart-under-old-id", "R1: come back empty under the old id, and vote"},
	JudgeAtPropose:        {"judge-at-propose", "R6: judge validity when proposing, not when applying"},
	CommitMinority:        {"commit-minority", "I1: count one holder too few as a quorum"},
	ApplyTwice:            {"apply-twice", "I4: apply an item twice"},
	HighestNumberOnly:     {"highest-number-only", "R24: remember a session's highest number only"},
	StaleRead:             {"stale-read", "R26: answer barrier reads without the read index"},
	LanesReordered:        {"lanes-reordered", "I3: execute a cut's lanes in an order of one's own"},
	IgnoreDigest:          {"ignore-digest", "R14: accept a cut of another history"},
	ReuseIncarnation:      {"reuse-incarnation", "R19: restart a proxy under its old incarnation"},
	CloseAtHeld:           {"close-at-held", "R19: close a lane at what happens to be held here"},
	TrimUndecided:         {"trim-undecided", "R17: drop items under an undecided cut"},
	ExpireByLocalTime:     {"expire-by-local-time", "R23: expire sessions by the local clock"},
	LocalLimits:           {"local-limits", "R23: take limits from the local configuration"},
	RestoreSameEpoch:      {"restore-same-epoch", "R29, R30: install a snapshot without its sessions"},
	ProposeVolatile:       {"propose-volatile", "R8: count a leader's own acceptance before it is durable"},
	AcknowledgeBeforeSync: {"acknowledge-before-sync", "R11, I5: answer before it is durable"},
	VoteBeforePersist:     {"vote-before-persist", "I5: vote before the vote is durable"},
	FramesAfterOrder:      {"frames-after-order", "R8: write an acceptance before the frames it rests on"},
	DamageAsTornTail:      {"damage-as-torn-tail", "R3: drop what was durable as if it had never been"},
	TornTailAsDamage:      {"torn-tail-as-damage", "R3: end a life for a torn tail"},
	TrimJournalUndecided:  {"trim-journal-undecided", "R17: trim the journal under an undecided cut"},
	TrimBeforeSaved:       {"trim-before-saved", "R17, R30: trim below a snapshot not durable yet"},
	SavedBeforeDurable:    {"saved-before-durable", "R30: call a snapshot saved that is not durable"},
	RestoreWithoutEpoch:   {"restore-without-epoch", "R29: go on from the index of the backup"},
	SkipDirSync:           {"skip-dir-sync", "I5: make files durable and not their names"},

	PaxosForgetAccepted:     {"paxos-forget-accepted", "I2: lead as if nobody had accepted anything"},
	PaxosLowestBallot:       {"paxos-lowest-ballot", "I2: take the value of the lowest ballot"},
	PaxosAcceptBelowPromise: {"paxos-accept-below-promise", "I2: accept below the ballot promised"},
	PaxosMinority:           {"paxos-minority", "I1, R13: decide with one acceptance too few"},
	PaxosRecoverUnheld:      {"paxos-recover-unheld", "R8: lead with values whose items are not held"},

	MenciusForgetAccepted:     {"mencius-forget-accepted", "I2: revoke as if nobody had accepted anything"},
	MenciusAcceptBelowPromise: {"mencius-accept-below-promise", "I2: accept below the ballot promised"},
	MenciusReuseSlots:         {"mencius-reuse-slots", "I2: use slots again after a restart"},
	MenciusMinority:           {"mencius-minority", "I1, R13: decide with one acceptance too few"},
	MenciusRevokeUnheld:       {"mencius-revoke-unheld", "R8: revoke with values whose items are not held"},

	BaxosForgetAccepted:     {"baxos-forget-accepted", "I2: choose as if nobody had accepted anything"},
	BaxosLowestBallot:       {"baxos-lowest-ballot", "I2: take the value of the lowest ballot"},
	BaxosAcceptBelowPromise: {"baxos-accept-below-promise", "I2: accept below the ballot promised"},
	BaxosMinority:           {"baxos-minority", "I1, R13: decide with one acceptance too few"},
	BaxosRecoverUnheld:      {"baxos-recover-unheld", "R8: propose again what is not held"},

	RabiaProposeUnheld: {"rabia-propose-unheld", "R8: propose what another wants and is not held here"},
	RabiaMinority:      {"rabia-minority", "I1, R13: take one proposal too few for a majority's"},
	RabiaHastyVote:     {"rabia-hasty-vote", "I2: vote 1 without a majority of states"},
	RabiaOneVote:       {"rabia-one-vote", "I2: decide with one vote too few"},
	RabiaForgetVotes:   {"rabia-forget-votes", "I2: forget what was said before a restart"},

	RacsForgetAccepted:     {"racs-forget-accepted", "I2: lead as if nobody had accepted anything"},
	RacsLowestBallot:       {"racs-lowest-ballot", "I2: take the value of the lowest ballot"},
	RacsAcceptBelowPromise: {"racs-accept-below-promise", "I2: accept below the ballot promised"},
	RacsMinority:           {"racs-minority", "I1, R13: decide with one acceptance too few"},
	RacsRecoverUnheld:      {"racs-recover-unheld", "R8: lead with values whose items are not held"},
	RacsEveryoneDrawn:      {"racs-everyone-drawn", "I2: lead whatever the coin says"},
}

// All are the mutations, None left out, in a fixed order.
func All() []Mutation {
	all := make([]Mutation, 0, count-1)
	for m := None + 1; m < count; m++ {
		all = append(all, m)
	}
	return all
}

// String is the mutation's name in tables and on command lines.
func (m Mutation) String() string {
	if m >= count {
		return "unknown"
	}
	return catalog[m].name
}

// OfDisk reports whether a mutation breaks a rule about stable storage: without a disk it does
// nothing.
func (m Mutation) OfDisk() bool { return m >= ProposeVolatile && m <= SkipDirSync }

// Orderer is the algorithm that alone has the rule which a mutation breaks; empty: every one has it.
func (m Mutation) Orderer() string {
	switch {
	case m == OnlyEmptyAppends:
		return "raft"
	case m >= PaxosForgetAccepted && m <= PaxosRecoverUnheld:
		return "multipaxos"
	case m >= BaxosForgetAccepted && m <= BaxosRecoverUnheld:
		return "baxos"
	case m >= MenciusForgetAccepted && m <= MenciusRevokeUnheld:
		return "mencius"
	case m >= RabiaProposeUnheld && m <= RabiaForgetVotes:
		return "rabia"
	case m >= RacsForgetAccepted && m <= RacsEveryoneDrawn:
		return "racs"
	}
	return ""
}

// Doc names the rule a mutation breaks and says how.
func (m Mutation) Doc() string {
	if m >= count {
		return "unknown"
	}
	return catalog[m].doc
}

// Parse finds a mutation by its name.
func Parse(name string) (m Mutation, ok bool) {
	for m = None; m < count; m++ {
		if catalog[m].name == name {
			return m, true
		}
	}
	return None, false
}
