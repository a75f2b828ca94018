// Package racs is a hybrid behind the gate: Multi-Paxos while its leader is heard, and a randomised
// fallback when it is not. It is an [order.Orderer] of our own after RACS (Tennage, Desjardins and
// Kokoris-Kogias, "RACS and SADL: Towards Robust SMR in the Wide-Area Network", arXiv 2404.04183,
// 2024; its third version is called "RACS-SADL: Robust and Understandable Randomized Consensus in the
// Cloud"; the fallback goes back to Ditto: Gelashvili et al., FC 2022).
//
// Positions of the sequence are *slots*. A *view* has one *ballot*, and a common coin draws whose it
// is.
//
//	synchronous   Accept → Accepted → Decided in the ballot of a view: one round trip to a majority
//	suspicion     Probe → Probed: does a majority miss the leader, or its decisions?
//	fallback      Promise, from everybody to everybody: what was accepted (the paper's timeout)
//	              who was drawn holds the promises of a quorum: it leads, and its Accepts go out;
//	              the others ProposeAsync → VoteAsync → Complete, and a majority of these ends the view
//	beside them   Heartbeat and Alive, Read, TakeOver, Refusal
//
// # What the fallback is for
//
// A view change by timeout guesses twice: that the leader is gone, and that the next one will be done
// in time. Here the second guess is none. All members go through the same exchanges at the same time;
// if the one that was drawn is not heard before a majority has completed, the next view is entered at
// once, at the pace of the network, whatever that is, and the coin is tossed again. Whoever decides
// which messages are slow without looking at the coin cannot hinder the drawn one more than others:
// it is as likely as any to be first, and a majority that hears it has accepted what it proposes. So
// the first guess may be hasty: two heartbeats that do not come ([Racs.patience]), or acceptances
// that the leader does not decide upon, where an election timeout has to be several times that.
// Nobody splits votes, for all enter the same ballot, and timeouts are not random.
//
// # The lemma
//
// Evidence of holding is *Accepted*, and nothing else: "I accepted these slots in your ballot, or
// know that they are decided". Probes, promises, heartbeats, their answers, and what is said in the
// fallback say nothing about items. Claim: *if a slot is decided, then a majority held, durably,
// every item under its cut, or had a durable snapshot there* (I1).
//
//  1. What is in an acceptor's log was held there when it got in. take is the one way in, and gets
//     what the gate said is [order.Held]: from accept, for what a leader offers; from Propose, for
//     the leader's own (R8); from begin, for what earlier views left (able). A restart reads what had
//     got in before. Items stay held: nothing under an accepted, undecided cut is dropped (R17, the
//     caller's).
//  2. An Accepted leaves after everything in the log that it speaks of is durable (Outbox.Hold), the
//     leader's own to itself included.
//  3. A slot is decided when Config.AcceptQuorum members sent Accepted for it in one ballot: a
//     majority at least, for New takes no less. So a majority sent the evidence. ∎
//  4. An Accepted may also cover a slot by "decided". The first of whom that is true learnt it from a
//     leader, who had counted a quorum that accepted, or from a snapshot of what was decided.
//
// And Paxos: *no slot is decided twice* (I2). Nothing of it rests on suspicion, on who completes, or
// on time.
//
//  5. A ballot has one owner: that of view v is a hash of v and the members, which everybody
//     computes. An Accept, Heartbeat or Decided of anybody else is refused (vouched), and so is a
//     ballot that the coin did not draw.
//  6. An acceptor promises a ballot durably before it says so, and then accepts nothing lower (enter,
//     onAccept). The owner leads only with its own promise among the others', so that its ballot is
//     durable before it is used, and begins no ballot that it had promised before a restart (compete,
//     rejoin): it uses none twice.
//  7. The owner proposes, for each slot beyond what it knows to be decided, the value of the highest
//     ballot among the promises, or nothing if there is none (onPromise, begin). The quorums of the
//     two phases meet: accepts + promises = members + 1 (Promises).
//  8. A promise goes to all, who know of different decided slots. It says beyond which slot it tells
//     all that was accepted, decided or not, and counts only at a member that knows all up to there
//     to be decided. To propose a decided slot again is harmless: by 7 with its value.
//  9. A member learns that a slot is decided when it accepted it in the leader's ballot and the
//     leader says that so much is decided (advance); by 7 a leader's value for a decided slot is the
//     decided one. A slot that was decided before is therefore caught up with by a plain Accept,
//     through the gate.
//
// # What is kept of the paper, and what differs
//
// The protocol here stands by its own lemma. What it is compared with is the paper's outline, not its
// pseudocode line by line.
//
// Kept: a leader whose round trip to a majority decides, and no quadratic messages, while it is
// heard; suspicion by what is decided and not only by silence; timeouts that carry the highest vote
// and go to all; a fallback in which everybody proposes, everybody votes for everybody, a majority of
// completions ends it, and a common coin says whose proposal was one; after which there is a leader
// again.
//
//   - The coin is known beforehand, as with the paper's seed shared in advance: a hash of view and
//     members. So what those propose who are not drawn would be thrown away unread, and is not sent:
//     ProposeAsync is as many messages and says nothing. An adversary that reads the coin could delay
//     who is drawn, view by view; that costs progress, not safety.
//   - The drawn one leads on in its ballot. In the paper the next view's leader follows from its
//     number, and may be the dead one; and a fallback's proposals are blocks on a chain, two deep.
//     Slots need one.
//   - Accept stands for the proposal of the one that was drawn, and goes out an exchange before
//     others complete: a healthy one is always in time. That is weaker against an adversary than
//     secrecy, and simpler.
//   - The coin draws without putting back, so that one that is gone is drawn twice in a row at most.
//   - Suspicion is asked for first (Probe): who alone hears badly deposes nobody. The paper's n-f
//     timeouts do that.
//   - There is no dissemination layer (SADL): items reach all by multicast, and what is ordered is
//     small (R5).
//   - The gate. A value waits at the acceptor until its items are held, each slot by itself. Who was
//     drawn and lacks items of what it would propose again is not able to lead: it gets them
//     meanwhile, or others complete. If nobody has them, the next view is entered after a while, and
//     finds the value only if somebody alive has it.
//   - Patience doubles with every fallback that follows another too soon, up to a bound: on a network
//     slower than it, views would come often, and each make little progress.
//   - Reads: a quorum of phase 2 confirms that it follows (confirm); each quorum of phase 1 has a
//     member of it.
//   - To hand over (R15), the successor enters the next view that the coin gives it.
//   - R7 holds by "everything that earlier ballots may have decided is applied" (leads).
//
// # After a restart
//
// Records hold the ballot promised, how far all is decided, and what was accepted; a restart accepts
// where it stopped. Slots that are not applied are judged again by the gate, and while one is not
// held there is no suspicion and no leading, and nothing is handed out from there on (R4); promises
// and votes are given. A member that lacks what the log no longer holds gets a snapshot.
//
// # Members
//
// They are fixed: those of the founding configuration. ProposeConf is refused with
// [order.ErrMembership], a life that is no member with [order.ErrStatic]. A replica that lost its
// state does not come back; the cluster goes on as long as a quorum is left, and is then restored
// from a backup.
//
// # What this package does not do
//
// It does not check who sent a message, hold or send items, write files, or keep time. Committed.Term
// is the ballot in which this member accepted, and may be another one elsewhere; the decision is not.
// Records need a journal that detects damage; a restart believes them.
package racs
