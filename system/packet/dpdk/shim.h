// The C half of package dpdk: everything that needs DPDK's inline functions or the layout of its
// structs, which differ between releases. Go sees only the types below.
#ifndef METRONOME_DPDK_SHIM_H
#define METRONOME_DPDK_SHIM_H

#include <stddef.h>
#include <stdint.h>

enum { MTN_MAX_BURST = 512 }; // packet.MaxBurst

struct rte_mbuf;
struct rte_mempool;

// One packet as Go sees it.
struct mtn_pkt {
	void *data;   // first byte of the Ethernet header
	uint32_t len; // received bytes (0: a chain of buffers, refused), or bytes to send
	uint32_t pad;
};

// One receive and transmit queue pair with the buffers it holds. Lives in C memory, so that a burst
// crosses from C to Go without a pointer check per packet.
struct mtn_queue {
	uint16_t port, queue;
	uint16_t held;  // packets of the last receive burst, to be freed by the next
	uint16_t ready; // buffers reserved for sending
	uint32_t room;  // bytes a buffer holds
	uint32_t mbufs; // buffers of the pool
	uint32_t guard; // bursts may fault, because the peer takes the memory with it: memif
	uint32_t faults; // bursts that did
	struct rte_mempool *pool;
	struct rte_mbuf *rx[MTN_MAX_BURST], *tx[MTN_MAX_BURST];
	struct mtn_pkt rx_pkt[MTN_MAX_BURST], tx_pkt[MTN_MAX_BURST];
};

struct mtn_info {
	char driver[64];
	uint8_t mac[6];
	uint16_t mtu, reta_size, max_queues;
	uint64_t rss; // hash functions the device knows
	uint8_t rss_key_bytes;
};

struct mtn_stats {
	uint64_t rx_packets, rx_bytes, rx_missed, rx_nombuf, rx_errors;
	uint64_t tx_packets, tx_bytes, tx_errors;
};

struct mtn_xstat {
	char name[64];
	uint64_t value;
};

struct mtn_heap {
	uint64_t total, allocated;
};

// How a device was made to accept the group, tightest first.
enum mtn_filter {
	MTN_FILTER_LIST = 1,
	MTN_FILTER_ALL_MULTICAST,
	MTN_FILTER_PROMISCUOUS,
	MTN_FILTER_NONE,
};

void mtn_guard_faults(void); // once a process
uint32_t mtn_faults(void);    // of all queues
uint16_t mtn_guarded_burst(struct mtn_queue *q, struct rte_mbuf **pkts, uint16_t n, int send);

// Functions that return int give 0 or -errno unless noted.
int mtn_eal_init(int argc, char **argv);
int mtn_eal_cleanup(void);
const char *mtn_version(void);
const char *mtn_runtime_dir(void);
void mtn_take_error(char *out, size_t size); // the first error EAL logged since last asked
int mtn_thread_register(void);               // 1: this thread already was known to EAL
void mtn_thread_unregister(void);
void mtn_heap(struct mtn_heap *out);

int mtn_port_by_name(const char *name, uint16_t *port);
int mtn_port_name(uint16_t port, char *name); // 64 bytes
int mtn_info(uint16_t port, struct mtn_info *out);
int mtn_configure(uint16_t port, uint16_t queues, uint64_t rss, uint8_t *key, uint8_t key_bytes);
int mtn_adjust_rings(uint16_t port, uint16_t *rx, uint16_t *tx);
int mtn_set_mac(uint16_t port, const uint8_t *mac);
int mtn_set_reta(uint16_t port, uint16_t entries, uint16_t queues);
int mtn_set_filter(uint16_t port, const uint8_t *mac); // an enum mtn_filter
uint64_t mtn_rss_bits(int udp);
int mtn_steer(uint16_t port, uint16_t udp_source, uint16_t queue); // a flow of UDP over IPv4
void mtn_steer_nothing(uint16_t port);                             // undoes all of them
int mtn_start(uint16_t port);
int mtn_restart(uint16_t port);
int mtn_link_up(uint16_t port); // 1 or 0
int mtn_close(uint16_t port);
int mtn_stats(uint16_t port, struct mtn_stats *out);
int mtn_xstats(uint16_t port, struct mtn_xstat *out, int room); // how many there are

struct mtn_queue *mtn_queue_new(uint16_t port, uint16_t queue, uint32_t mbufs, uint16_t room);
int mtn_queue_setup(struct mtn_queue *q, uint16_t rx_ring, uint16_t tx_ring);
void mtn_queue_drain(struct mtn_queue *q);    // receives what the device still holds, for nobody
void mtn_queue_release(struct mtn_queue *q);  // gives back the buffers the queue holds
uint32_t mtn_queue_free(struct mtn_queue *q); // frees the pool; how many buffers never came back

uint16_t mtn_rx(struct mtn_queue *q, uint16_t n);
uint16_t mtn_reserve(struct mtn_queue *q, uint16_t want);
uint16_t mtn_tx(struct mtn_queue *q, uint16_t n, uint16_t want);
int mtn_tx_one(struct mtn_queue *q, const void *data, uint16_t len); // 1 sent, 0 not
// Sends packets refs[0..n) of from's last burst on to, by reference; how many were taken.
uint16_t mtn_relay(struct mtn_queue *from, struct mtn_queue *to, const uint16_t *refs, uint16_t n);

#endif
