// Package racs is a hybrid behind the gate: Multi-Paxos while its leader is heard, and a randomised
// fallback when it is not. It is an [order.Orderer] of our own after RACS (Tennage, Desjardins and
// Kokoris-Kogias, "RACS and SADL: Towards Robust SMR in the Wide-Area Network", arXiv 2404.04183,
// 2024; its third version is called "RACS-SADL: Robust and Understandable Randomized Consensus in the
// Cloud"; the fallback goes back to Ditto: Gelashvili et al., FC 2022).
//
// Positions of the sequence are *slots*. A *view* has one *ballot*, and a common coin draws whose it
// is.
//
//	synchronous   Accept → Accepted → Decided in the ballot of a view: one round trip to a majority. What
//	              a leader and its followers do, and what is written down, is package paxos
//	suspicion     Probe → Probed: does a majority miss the leader, or its decisions?
//	fallback      Promise, from everybody to everybody: what was accepted (the paper's timeout)
//	              who was drawn holds the promises of a quorum: it leads, and its Accepts go out;
//	              the others ProposeAsync → VoteAsync → Complete, and a majority of these ends the view
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
// # Its part of the lemma
//
// Evidence of holding is *Accepted*, and nothing else (lemmas 1 to 4 of paxos): probes, promises, and
// what is said in the fallback say nothing about items. What paxos asks of a protocol, so that no slot
// is decided twice (I2); nothing of it rests on suspicion, on who completes, or on time:
//
//   - A. A ballot has one owner: that of view v is a hash of v and the members, which everybody
//     computes. An Accept, Heartbeat or Decided of anybody else is refused, and so is a ballot that
//     the coin did not draw (Vouch). The owner begins no ballot that it had promised before a restart
//     (enter, rejoin): it leads in none twice.
//   - B. A promise goes to all, who know of different decided slots. It says beyond which slot it
//     tells all that was accepted, decided or not, and is counted only by a member that knows all up
//     to there to be decided (onPromise).
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
//   - The gate. Who was drawn and lacks items of what it would propose again is not able to lead: it
//     gets them meanwhile, or others complete. If nobody has them, the next view is entered after a
//     while, and finds the value only if somebody alive has it.
//   - Patience doubles with every fallback that follows another too soon, up to a bound: on a network
//     slower than it, views would come often, and each make little progress.
//   - To hand over (R15), the successor enters the next view that the coin gives it.
//
// # After a restart
//
// While a slot that was accepted before it is not held there is no suspicion and no leading (R4);
// promises and votes are given.
//
// # What this package does not do
//
// What paxos does not. Members are fixed, and a replica that lost its state does not come back; the
// cluster goes on as long as a quorum is left, and is then restored from a backup.
package racs
