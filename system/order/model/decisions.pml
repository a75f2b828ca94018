/* Decisions, gate, close and restart of the default orderer (Raft behind the gate), for Spin.
 *
 * README.md says what is modelled, what is left out and why that loses nothing, and within which bounds.
 * `make model` checks this file, and then each mutation below: in each Spin must find a violation.
 *
 *   MUT_GATE     an append is accepted without asking whether its items are held (R11)
 *   MUT_ACK      "my log is yours" leaves before the log is durable (R11)
 *   MUT_ITEMS    the log is durable before the items that it rests on (R8)
 *   MUT_TERM     term and vote are not remembered over a restart (R1)
 *   MUT_OLDTERM  entries of earlier terms are committed by counting (Raft, 5.4.2)
 *   MUT_STALE    any log is good enough to be voted for (Raft, 5.4.1)
 *   MUT_CLOSE    a cut that comes after the lane's close still moves the lane (R6)
 */
#define N 3 /* replicas */
#ifndef T
#define T 3 /* terms */
#endif
#ifndef L
#define L 2 /* entries of a log */
#endif
#ifndef ITEMS
#define ITEMS 1 /* items of the one lane */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif

#define CLOSE (ITEMS + 1) /* the command that closes the lane; what is smaller is a cut */
#define NONE 255

/* Entry k, from 0, of replica or term x. */
#define AT(x, k) ((x) * L + (k))
#define ROW(t, x) ((t) * N + (x)) /* term t, replica x */

/* What a replica keeps. Its term stands for its vote too: it votes once, when it enters the term. */
byte term[N];
byte logTerm[N * L];
byte logWhat[N * L];
byte size[N];           /* entries in the log */
byte sizeSafe[N];       /* of them, how many an fsync has covered */
byte held[N];           /* items of the lane that are held, without a gap */
byte heldSafe[N];

/* What a restart forgets. */
bool leads[N];
byte same[N];           /* how much of the log is known to be the leader's */
byte commit[N];         /* and applied */
bool closed[N];         /* the lane, as far as applied */

/* What leaders have sent, to be received at any time, repeatedly, or never: a leader's log only grows in its
 * term, so whatever append it sent is a prefix of this. */
byte by[T + 1] = NONE;  /* who leads, or led */
byte sentTerm[(T + 1) * L];
byte sentWhat[(T + 1) * L];
byte sentSize[T + 1];
byte sentCommit[T + 1];
byte acked[(T + 1) * N]; /* the highest "my log is yours up to here" */

/* What may never change once it is so. */
byte decided[L] = NONE;
byte markAfter[L];       /* the lane's effective cut after a decision */

byte crashes;
byte k, n, w;            /* scratch: 0 between steps */
bool ok, open;

#define majority(a, b, c) (((a) -> 1 : 0) + ((b) -> 1 : 0) + ((c) -> 1 : 0) >= 2)
#define lastTerm(x) (size[x] == 0 -> 0 : logTerm[AT(x, size[x] - 1)])
#define min(a, b) ((a) < (b) -> (a) : (b))

inline scrub() { k = 0; n = 0; w = 0; ok = false; open = false }

/* The evidence of holding (R13): it goes out as soon as it may. One that is late, or lost, is one that the
 * leader makes no use of. */
#ifdef MUT_ACK
#define answerable(x) same[x]
#else
#define answerable(x) min(same[x], sizeSafe[x])
#endif
inline answer(x) {
	if
	:: by[term[x]] != NONE && leads[by[term[x]]] && term[by[term[x]]] == term[x] &&
		answerable(x) > acked[ROW(term[x], x)] -> acked[ROW(term[x], x)] = answerable(x)
	:: else
	fi
}

#ifdef MUT_STALE
#define votes(y, x, t) (term[y] < t)
#else
#define votes(y, x, t) (term[y] < t && (lastTerm(x) > lastTerm(y) || \
	(lastTerm(x) == lastTerm(y) && size[x] >= size[y])))
#endif

/* A leader that stops needs no answers any more. */
inline stop(x) {
	if
	:: leads[x] -> leads[x] = false; acked[ROW(term[x], 0)] = 0; acked[ROW(term[x], 1)] = 0; acked[ROW(term[x], 2)] = 0
	:: else
	fi;
	same[x] = 0
}

/* What was sent in a term that everybody has left reaches nobody. */
inline outdate() {
	for (n : 1 .. T - 1) {
		if
		:: term[0] > n && term[1] > n && term[2] > n ->
			sentSize[n] = 0; sentCommit[n] = 0;
			for (k : 0 .. L - 1) { sentTerm[AT(n, k)] = 0; sentWhat[AT(n, k)] = 0 }
		:: else
		fi
	}
	n = 0; k = 0
}

inline enter(x, t) {
	if
	:: term[x] < t -> stop(x); term[x] = t; outdate()
	:: else
	fi
}

/* Entries beyond the end of a log are all alike: fewer states. */
inline forget(x) {
	for (k : 0 .. L - 1) {
		if
		:: k >= size[x] -> logTerm[AT(x, k)] = 0; logWhat[AT(x, k)] = 0
		:: else
		fi
	}
}

inline apply(x) {
	closed[x] = false;
	for (k : 0 .. L - 1) {
		if
		:: k < commit[x] ->
			n = logWhat[AT(x, k)];
			assert(decided[k] == n); /* I2: everybody applies the same, in the same order */
			if
			:: n == CLOSE -> closed[x] = true
#ifdef MUT_CLOSE
			:: n != CLOSE && n > w ->
#else
			:: n != CLOSE && !closed[x] && n > w ->
#endif
				assert(held[x] >= n); /* what is applied is there */
				w = n
			:: else
			fi;
			assert(w == markAfter[k]) /* "closed where" has one answer */
		:: else
		fi
	}
	scrub()
}

/* x is elected in term t by itself and y. */
inline elect(x, y, t) {
	d_step {
		term[x] < t && votes(y, x, t) ->
		assert(by[t] == NONE); /* one leader a term */
		enter(x, t); enter(y, t);
		leads[x] = true; by[t] = x; same[x] = size[x];
		for (k : 0 .. L - 1) {
			sentTerm[AT(t, k)] = logTerm[AT(x, k)];
			sentWhat[AT(t, k)] = logWhat[AT(x, k)]
		}
		sentSize[t] = size[x];
		answer(x);
		scrub()
	}
}

/* The gate: the items under a cut are held; a closed lane's are not asked for. */
#ifdef MUT_GATE
#define holds(x, what) true
#else
#define holds(x, what) ((what) == CLOSE || (what) <= held[x] || closed[x])
#endif

/* The leader proposes what it holds itself (R8). The cut 0 is also its first, empty entry. */
inline propose(x, what) {
	d_step {
		leads[x] && size[x] < L && ((what) == CLOSE || (what) <= held[x] || closed[x]) ->
		logTerm[AT(x, size[x])] = term[x]; logWhat[AT(x, size[x])] = what;
		sentTerm[AT(term[x], size[x])] = term[x]; sentWhat[AT(term[x], size[x])] = what;
		size[x]++; same[x] = size[x]; sentSize[term[x]] = size[x];
		answer(x)
	}
}

#define matches(x, t, k) (k < size[x] && logTerm[AT(x, k)] == sentTerm[AT(t, k)])

/* x receives the first upto entries of term t, and takes those that pass the gate (R12). */
inline append(x, t, upto) {
	d_step {
		by[t] != NONE && by[t] != x && term[x] <= t && upto <= sentSize[t] && (term[x] < t || upto > same[x]) ->
		enter(x, t);
		ok = true;
		for (k : 0 .. L - 1) {
			if
			:: ok && k < upto && matches(x, t, k) ->
				assert(logWhat[AT(x, k)] == sentWhat[AT(t, k)]); /* log matching */
				n = k + 1
			:: ok && k < upto && !matches(x, t, k) && holds(x, sentWhat[AT(t, k)]) ->
				assert(k >= commit[x]); /* what is committed is not overwritten */
				logTerm[AT(x, k)] = sentTerm[AT(t, k)]; logWhat[AT(x, k)] = sentWhat[AT(t, k)];
				size[x] = k + 1; sizeSafe[x] = min(sizeSafe[x], k); n = k + 1
			:: else -> ok = false
			fi;
		}
		forget(x);
		same[x] = (n > same[x] -> n : same[x]);
		answer(x);
		scrub()
	}
}

inline arrive(x) {
	d_step { held[x] < ITEMS -> held[x]++ }
}

/* Frames and log share a journal, so that one fsync covers both. */
inline fsync(x) {
	d_step {
		sizeSafe[x] < size[x] || heldSafe[x] < held[x] ->
		sizeSafe[x] = size[x];
#ifndef MUT_ITEMS
		heldSafe[x] = held[x];
#endif
		answer(x)
	}
}

#ifdef MUT_OLDTERM
#define ofThisTerm(x, k) true
#else
#define ofThisTerm(x, k) (logTerm[AT(x, k)] == term[x])
#endif
#define has(x, y, upto) (acked[ROW(term[x], y)] >= upto)

inline decide(x, upto) {
	d_step {
		leads[x] && upto > commit[x] && upto <= size[x] && ofThisTerm(x, upto - 1) &&
		majority(has(x, 0, upto), has(x, 1, upto), has(x, 2, upto)) ->
		open = true;
		for (k : 0 .. L - 1) {
			if
			:: k < upto ->
				assert(decided[k] == NONE || decided[k] == logWhat[AT(x, k)]);
				decided[k] = logWhat[AT(x, k)];
				if
				:: logWhat[AT(x, k)] == CLOSE -> open = false
				:: logWhat[AT(x, k)] != CLOSE && open && logWhat[AT(x, k)] > w -> w = logWhat[AT(x, k)]
				:: else
				fi;
				markAfter[k] = w
			:: else
			fi
		}
		/* I1: a majority holds, durably, every item that is decided. */
		assert(majority(heldSafe[0] >= w, heldSafe[1] >= w, heldSafe[2] >= w));
		scrub();
		sentCommit[term[x]] = upto;
		commit[x] = upto;
		apply(x)
	}
}

/* A follower hears how far its leader has committed. */
inline learn(x) {
	d_step {
		!leads[x] && term[x] > 0 && commit[x] < min(same[x], sentCommit[term[x]]) ->
		commit[x] = min(same[x], sentCommit[term[x]]);
		apply(x)
	}
}

/* Power fails: what no fsync covered is gone, and so is what is never written. */
inline crash(x) {
	d_step {
		crashes < CRASHES ->
		crashes++;
		stop(x);
		held[x] = heldSafe[x]; size[x] = sizeSafe[x];
#ifdef MUT_TERM
		term[x] = 0;
#endif
		commit[x] = 0; closed[x] = false;
		forget(x);
		scrub()
	}
}


#if T > 3
#define T_MIDDLE 3
#else
#define T_MIDDLE T
#endif

/* What replica x may do, alone or with y or z. */
#define elections(x, y, z, t) \
	:: elect(x, y, t) \
	:: elect(x, z, t)
#define appends(x, t) \
	:: append(x, t, 1) \
	:: append(x, t, L)
#define steps(x, y, z) \
	elections(x, y, z, 2) \
	elections(x, y, z, T_MIDDLE) \
	elections(x, y, z, T) \
	:: propose(x, ITEMS) \
	:: propose(x, CLOSE) \
	appends(x, 1) \
	appends(x, 2) \
	appends(x, T_MIDDLE) \
	appends(x, T) \
	:: arrive(x) \
	:: fsync(x) \
	:: decide(x, 1) \
	:: decide(x, L) \
	:: learn(x) \
	:: crash(x)

/* Replicas are alike, so that the first leader is number 0 and the first to vote for it number 1. */
#define first (by[1] == NONE && by[2] == NONE && by[T_MIDDLE] == NONE && by[T] == NONE)

active proctype World() {
end:
	do
	:: first -> elect(0, 1, 1)
	steps(0, 1, 2)
	steps(1, 2, 0)
	steps(2, 0, 1)
	od
}
