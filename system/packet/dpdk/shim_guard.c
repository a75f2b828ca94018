//go:build dpdk

// memif frees the ring it shares with a peer in EAL's interrupt thread the moment the peer goes away,
// whether or not another thread is inside a burst. That thread then reads memory that is gone. There
// is no hook to stop it, so the fault is caught: a burst of a memif device that runs into it ends as an
// empty one. Every other fault goes to whoever handled it before, which is Go's runtime.

#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

#include <rte_ethdev.h>

#include "shim.h"

static __thread sigjmp_buf back;
static __thread volatile sig_atomic_t inside;
static struct sigaction before;
static _Atomic uint32_t faults;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	if (inside) {
		inside = 0;
		pthread_sigmask(SIG_SETMASK, &((ucontext_t *)context)->uc_sigmask, NULL);
		siglongjmp(back, 1);
	}
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(sig, info, context);
	} else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
		before.sa_handler(sig);
	} else {
		signal(sig, SIG_DFL); // the fault repeats, and ends the process
	}
}

void mtn_guard_faults(void)
{
	struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };

	sigfillset(&act.sa_mask);
	sigaction(SIGSEGV, &act, &before);
}

uint32_t mtn_faults(void)
{
	return faults;
}

// What the burst held is lost with it: packets of a ring that is gone, and their buffers.
uint16_t mtn_guarded_burst(struct mtn_queue *q, struct rte_mbuf **pkts, uint16_t n, int send)
{
	uint16_t done;

	if (sigsetjmp(back, 0) != 0) {
		q->faults++;
		faults++;
		return 0;
	}
	inside = 1;
	done = send ? rte_eth_tx_burst(q->port, q->queue, pkts, n) : rte_eth_rx_burst(q->port, q->queue, pkts, n);
	inside = 0;
	return done;
}
