//go:build dpdk

// The per-burst part: one call does a burst's work.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>

#include "shim.h"

// memif's transmit counts a burst in 8 bits in some releases (net/memif: fix crash with Tx burst
// larger than 255); no driver is faster for more than this at a time.
enum { TX_CHUNK = 128 };

// Buffers kept per thread, so that the burst just freed is the one allocated next, still in cache.
enum { POOL_CACHE = RTE_MEMPOOL_CACHE_MAX_SIZE };

// Like rte_pktmbuf_pool_create, but lets buffers cross page boundaries where that is harmless.
// Without hugepages a page is 4 KiB and DPDK would place one buffer of 2.3 KiB in each: twice the
// memory, and every buffer's header in the same few sets of the first-level cache.
static struct rte_mempool *pool_create(const char *name, uint32_t n, uint32_t cache, uint16_t room,
				       int socket)
{
	struct rte_pktmbuf_pool_private private = { .mbuf_data_room_size = room };
	struct rte_mempool *pool;

	if (rte_eal_iova_mode() != RTE_IOVA_VA || rte_eal_has_hugepages())
		return rte_pktmbuf_pool_create(name, n, cache, 0, room, socket);
	pool = rte_mempool_create_empty(name, n, sizeof(struct rte_mbuf) + room, cache, sizeof(private),
					socket, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
	if (pool == NULL)
		return NULL;
	rte_pktmbuf_pool_init(pool, &private);
	if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL) != 0 ||
	    rte_mempool_populate_default(pool) < 0) {
		rte_mempool_free(pool);
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

static uint16_t rx_burst(struct mtn_queue *q, uint16_t n)
{
	return q->guard ? mtn_guarded_burst(q, q->rx, n, 0) : rte_eth_rx_burst(q->port, q->queue, q->rx, n);
}

static uint16_t tx_burst(struct mtn_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	return q->guard ? mtn_guarded_burst(q, pkts, n, 1) : rte_eth_tx_burst(q->port, q->queue, pkts, n);
}

struct mtn_queue *mtn_queue_new(uint16_t port, uint16_t queue, uint32_t mbufs, uint16_t room)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	uint32_t cache = RTE_MIN((uint32_t)POOL_CACHE, mbufs / 3);
	struct mtn_queue *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->port = port;
	q->queue = queue;
	q->room = room;
	q->mbufs = mbufs;
	snprintf(name, sizeof(name), "mtn_%u_%u", port, queue);
	q->pool = pool_create(name, mbufs, cache, room + RTE_PKTMBUF_HEADROOM,
			      rte_eth_dev_socket_id(port));
	if (q->pool == NULL) {
		free(q);
		return NULL;
	}
	return q;
}

int mtn_queue_setup(struct mtn_queue *q, uint16_t rx_ring, uint16_t tx_ring)
{
	int socket = rte_eth_dev_socket_id(q->port);
	int rc = rte_eth_rx_queue_setup(q->port, q->queue, rx_ring, socket, NULL, q->pool);

	if (rc != 0)
		return rc;
	return rte_eth_tx_queue_setup(q->port, q->queue, tx_ring, socket, NULL);
}

void mtn_queue_drain(struct mtn_queue *q)
{
	uint32_t drained = 0;

	do {
		rte_pktmbuf_free_bulk(q->rx, q->held);
		q->held = rx_burst(q, MTN_MAX_BURST);
		drained += q->held;
	} while (q->held > 0 && drained < q->mbufs);
}

void mtn_queue_release(struct mtn_queue *q)
{
	rte_pktmbuf_free_bulk(q->rx, q->held);
	rte_pktmbuf_free_bulk(q->tx, q->ready);
	q->held = q->ready = 0;
}

uint32_t mtn_queue_free(struct mtn_queue *q)
{
	uint32_t lost = rte_mempool_in_use_count(q->pool);

	rte_mempool_free(q->pool);
	free(q);
	return lost;
}

uint16_t mtn_rx(struct mtn_queue *q, uint16_t n)
{
	rte_pktmbuf_free_bulk(q->rx, q->held);
	q->held = rx_burst(q, n);
	for (uint16_t i = 0; i < q->held; i++) {
		const struct rte_mbuf *m = q->rx[i];

		q->rx_pkt[i].data = rte_pktmbuf_mtod(m, void *);
		q->rx_pkt[i].len = m->nb_segs == 1 ? m->data_len : 0;
		rte_prefetch0(q->rx_pkt[i].data);
	}
	return q->held;
}

uint16_t mtn_reserve(struct mtn_queue *q, uint16_t want)
{
	if (q->ready >= want ||
	    rte_pktmbuf_alloc_bulk(q->pool, q->tx + q->ready, want - q->ready) != 0)
		return q->ready;
	for (uint16_t i = q->ready; i < want; i++)
		q->tx_pkt[i].data = rte_pktmbuf_mtod(q->tx[i], void *);
	q->ready = want;
	return want;
}

static uint16_t tx_chunks(struct mtn_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t sent = 0;

	while (sent < n) {
		uint16_t chunk = RTE_MIN((uint16_t)(n - sent), (uint16_t)TX_CHUNK);
		uint16_t took = tx_burst(q, pkts + sent, chunk);

		sent += took;
		if (took < chunk)
			break;
	}
	return sent;
}

// Sends the first n reserved buffers, keeps those the device did not take, and tops up to want.
uint16_t mtn_tx(struct mtn_queue *q, uint16_t n, uint16_t want)
{
	uint16_t sent;

	for (uint16_t i = 0; i < n; i++)
		q->tx[i]->data_len = q->tx[i]->pkt_len = q->tx_pkt[i].len;
	sent = tx_chunks(q, q->tx, n);
	q->ready -= sent;
	memmove(q->tx, q->tx + sent, q->ready * sizeof(q->tx[0]));
	memmove(q->tx_pkt, q->tx_pkt + sent, q->ready * sizeof(q->tx_pkt[0]));
	mtn_reserve(q, want);
	return sent;
}

int mtn_tx_one(struct mtn_queue *q, const void *data, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(q->pool);
	char *to;

	if (m == NULL)
		return 0;
	to = rte_pktmbuf_append(m, len);
	if (to != NULL) {
		memcpy(to, data, len);
		if (tx_burst(q, &m, 1) == 1)
			return 1;
	}
	rte_pktmbuf_free(m);
	return 0;
}

// A packet that goes to several queues is one buffer with as many references: each driver gives
// back one when it has sent it, the next mtn_rx gives back the receiver's own.
uint16_t mtn_relay(struct mtn_queue *from, struct mtn_queue *to, const uint16_t *refs, uint16_t n)
{
	struct rte_mbuf *pkts[MTN_MAX_BURST];
	uint16_t sent;

	for (uint16_t i = 0; i < n; i++) {
		pkts[i] = from->rx[refs[i]];
		rte_mbuf_refcnt_update(pkts[i], 1);
	}
	sent = tx_chunks(to, pkts, n);
	for (uint16_t i = sent; i < n; i++)
		rte_mbuf_refcnt_update(pkts[i], -1);
	return sent;
}
