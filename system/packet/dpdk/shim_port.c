//go:build dpdk

// Device part: configuration, filters, statistics. Nothing here runs per burst.

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>

#include "shim.h"

int mtn_port_by_name(const char *name, uint16_t *port)
{
	return rte_eth_dev_get_port_by_name(name, port);
}

int mtn_port_name(uint16_t port, char *name)
{
	return rte_eth_dev_get_name_by_port(port, name);
}

int mtn_info(uint16_t port, struct mtn_info *out)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	int rc = rte_eth_dev_info_get(port, &info);

	if (rc != 0)
		return rc;
	memset(out, 0, sizeof(*out));
	if (info.driver_name != NULL)
		strncpy(out->driver, info.driver_name, sizeof(out->driver) - 1);
	if (rte_eth_macaddr_get(port, &mac) == 0)
		memcpy(out->mac, mac.addr_bytes, sizeof(out->mac));
	rte_eth_dev_get_mtu(port, &out->mtu);
	out->max_queues = RTE_MIN(info.max_rx_queues, info.max_tx_queues);
	out->reta_size = info.reta_size;
	out->rss = info.flow_type_rss_offloads;
	out->rss_key_bytes = info.hash_key_size;
	return 0;
}

uint64_t mtn_rss_bits(int udp)
{
	return udp ? RTE_ETH_RSS_NONFRAG_IPV4_UDP : RTE_ETH_RSS_IPV4;
}

int mtn_configure(uint16_t port, uint16_t queues, uint64_t rss, uint8_t *key, uint8_t key_bytes)
{
	struct rte_eth_conf conf;

	memset(&conf, 0, sizeof(conf));
	if (rss != 0) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf = rss;
		conf.rx_adv_conf.rss_conf.rss_key = key;
		conf.rx_adv_conf.rss_conf.rss_key_len = key_bytes;
	}
	return rte_eth_dev_configure(port, queues, queues, &conf);
}

int mtn_adjust_rings(uint16_t port, uint16_t *rx, uint16_t *tx)
{
	return rte_eth_dev_adjust_nb_rx_tx_desc(port, rx, tx);
}

int mtn_set_mac(uint16_t port, const uint8_t *mac)
{
	struct rte_ether_addr addr;

	memcpy(addr.addr_bytes, mac, sizeof(addr.addr_bytes));
	return rte_eth_dev_default_mac_addr_set(port, &addr);
}

// Spreads the redirection table's entries over the queues round robin.
int mtn_set_reta(uint16_t port, uint16_t entries, uint16_t queues)
{
	uint16_t groups = (entries + RTE_ETH_RETA_GROUP_SIZE - 1) / RTE_ETH_RETA_GROUP_SIZE;
	struct rte_eth_rss_reta_entry64 *table = calloc(groups, sizeof(*table));
	int rc;

	if (table == NULL)
		return -ENOMEM;
	for (uint16_t i = 0; i < entries; i++) {
		table[i / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1) << (i % RTE_ETH_RETA_GROUP_SIZE);
		table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = i % queues;
	}
	rc = rte_eth_dev_rss_reta_update(port, table, entries);
	free(table);
	return rc;
}

int mtn_steer(uint16_t port, uint16_t udp_source, uint16_t queue)
{
	const struct rte_flow_attr in = {.ingress = 1};
	const struct rte_flow_item_udp source = {.hdr.src_port = rte_cpu_to_be_16(udp_source)};
	const struct rte_flow_item_udp mask = {.hdr.src_port = RTE_BE16(0xffff)};
	const struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH},
		{.type = RTE_FLOW_ITEM_TYPE_IPV4},
		{.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &source, .mask = &mask},
		{.type = RTE_FLOW_ITEM_TYPE_END},
	};
	const struct rte_flow_action_queue to = {.index = queue};
	const struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to},
		{.type = RTE_FLOW_ACTION_TYPE_END},
	};
	struct rte_flow_error error;

	return rte_flow_create(port, &in, pattern, actions, &error) == NULL ? -rte_errno : 0;
}

void mtn_steer_nothing(uint16_t port)
{
	struct rte_flow_error error;

	rte_flow_flush(port, &error);
}

int mtn_set_filter(uint16_t port, const uint8_t *mac)
{
	struct rte_ether_addr addr;

	if (mac != NULL) {
		memcpy(addr.addr_bytes, mac, sizeof(addr.addr_bytes));
		if (rte_eth_dev_set_mc_addr_list(port, &addr, 1) == 0)
			return MTN_FILTER_LIST;
	}
	if (rte_eth_allmulticast_enable(port) == 0)
		return MTN_FILTER_ALL_MULTICAST;
	if (rte_eth_promiscuous_enable(port) == 0)
		return MTN_FILTER_PROMISCUOUS;
	return MTN_FILTER_NONE;
}

int mtn_start(uint16_t port)
{
	return rte_eth_dev_start(port);
}

int mtn_restart(uint16_t port)
{
	int rc = rte_eth_dev_stop(port);

	return rc != 0 ? rc : rte_eth_dev_start(port);
}

int mtn_link_up(uint16_t port)
{
	struct rte_eth_link link;

	memset(&link, 0, sizeof(link));
	if (rte_eth_link_get_nowait(port, &link) != 0)
		return 0;
	return link.link_status == RTE_ETH_LINK_UP;
}

int mtn_close(uint16_t port)
{
	int rc = rte_eth_dev_stop(port);
	int closed = rte_eth_dev_close(port);

	return rc != 0 ? rc : closed;
}

int mtn_stats(uint16_t port, struct mtn_stats *out)
{
	struct rte_eth_stats s;
	int rc = rte_eth_stats_get(port, &s);

	if (rc != 0)
		return rc;
	out->rx_packets = s.ipackets;
	out->rx_bytes = s.ibytes;
	out->rx_missed = s.imissed;
	out->rx_nombuf = s.rx_nombuf;
	out->rx_errors = s.ierrors;
	out->tx_packets = s.opackets;
	out->tx_bytes = s.obytes;
	out->tx_errors = s.oerrors;
	return 0;
}

int mtn_xstats(uint16_t port, struct mtn_xstat *out, int room)
{
	int n = rte_eth_xstats_get(port, NULL, 0);
	struct rte_eth_xstat_name *names;
	struct rte_eth_xstat *values;

	if (n <= 0 || room < n)
		return n;
	names = calloc(n, sizeof(*names));
	values = calloc(n, sizeof(*values));
	if (names == NULL || values == NULL) {
		n = -ENOMEM;
	} else if (rte_eth_xstats_get_names(port, names, n) != n ||
		   rte_eth_xstats_get(port, values, n) != n) {
		n = -EIO;
	}
	for (int i = 0; i < n; i++) {
		memcpy(out[i].name, names[values[i].id].name, sizeof(out[i].name) - 1);
		out[i].name[sizeof(out[i].name) - 1] = 0;
		out[i].value = values[i].value;
	}
	free(names);
	free(values);
	return n;
}
