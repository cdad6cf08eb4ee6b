/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* struct network_config on the heap: made, copied, freed. Tested by tests/unit/test-network-xml.c. */
#include <errno.h>
#include <stdlib.h>

#include "config/net-addr.h"
#include "config/network-xml.h"
#include "config/xml-extra.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

struct network_config *network_config_new(void)
{
	struct network_config *config = calloc(1, sizeof(*config));

	if (config)
		net_config_init(&config->net);
	return config;
}

struct network_config *network_config_free(struct network_config *config)
{
	if (!config)
		return NULL;
	xml_extra_free(config->extra);
	free(config);
	return NULL;
}

int network_config_copy(const struct network_config *config, struct network_config **ret_copy)
{
	struct network_config *copy = malloc(sizeof(*copy));
	int r;

	if (!copy)
		return -ENOMEM;
	*copy = *config;
	copy->extra = NULL;
	r = xml_extra_copy(config->extra, &copy->extra);
	if (r < 0) {
		network_config_free(copy);
		return r;
	}
	*ret_copy = copy;
	return 0;
}

/* The DHCP of the same address. */
static void merge_dhcp(struct network_config *to, const struct network_config *from)
{
	for (uint32_t i = 0; i < to->n_ips; i++)
		for (uint32_t j = 0; j < from->n_ips; j++) {
			struct network_ip *a = &to->ips[i];
			const struct network_ip *b = &from->ips[j];

			if (a->ip.family != b->ip.family || net_ip_compare(&a->ip, &b->ip) != 0)
				continue;
			a->n_ranges = b->n_ranges;
			a->n_hosts = b->n_hosts;
			memcpy(a->ranges, b->ranges, sizeof(a->ranges));
			memcpy(a->hosts, b->hosts, sizeof(a->hosts));
		}
}

int network_config_merge(const struct network_config *running, const struct network_config *config,
	struct network_config **ret)
{
	struct network_config *merged;
	int r = network_config_copy(running, &merged);

	if (r < 0)
		return r;
	merge_dhcp(merged, config);
	merged->n_txts = config->n_txts;
	merged->n_srvs = config->n_srvs;
	merged->n_dns_hosts = config->n_dns_hosts;
	merged->n_portgroups = config->n_portgroups;
	merged->n_forwards = config->n_forwards;
	memcpy(merged->txts, config->txts, sizeof(merged->txts));
	memcpy(merged->srvs, config->srvs, sizeof(merged->srvs));
	memcpy(merged->dns_hosts, config->dns_hosts, sizeof(merged->dns_hosts));
	memcpy(merged->portgroups, config->portgroups, sizeof(merged->portgroups));
	memcpy(merged->forwards, config->forwards, sizeof(merged->forwards));
	*ret = merged;
	return 0;
}

/* The named portgroup, or the default one for "". */
static const struct network_portgroup *find_group(
	const struct network_config *config, const char *name)
{
	for (uint32_t i = 0; i < config->n_portgroups; i++) {
		const struct network_portgroup *group = &config->portgroups[i];

		if (*name ? streq(group->name, name) : group->is_default)
			return group;
	}
	return NULL;
}

static bool has_rate(const struct net_rate *rate)
{
	return rate->average || rate->peak || rate->burst || rate->floor;
}

/* Fill in from 'under' what 'port' does not say. */
static void inherit(struct net_port_config *port, const struct net_port_config *under)
{
	port->flags |= under->flags;
	if (port->vlan.mode == NET_VLAN_ANY)
		port->vlan = under->vlan;
	if (!has_rate(&port->bandwidth.in) && !has_rate(&port->bandwidth.out))
		port->bandwidth = under->bandwidth;
	port->broadcast_pps = port->broadcast_pps ? port->broadcast_pps : under->broadcast_pps;
	port->multicast_pps = port->multicast_pps ? port->multicast_pps : under->multicast_pps;
	port->unknown_pps = port->unknown_pps ? port->unknown_pps : under->unknown_pps;
	port->learn_limit = port->learn_limit ? port->learn_limit : under->learn_limit;
	port->age_s = port->age_s ? port->age_s : under->age_s;
}

int network_config_port(const struct network_config *config, const char *portgroup,
	const struct net_port_config *own, struct net_port_config *ret_port)
{
	const struct network_portgroup *group = find_group(config, portgroup);
	struct net_port_config port = *own;

	if (*portgroup && !group)
		return -ENOENT;
	if (group)
		inherit(&port, &group->port);
	inherit(&port, &config->port);
	if (!port.mtu)
		port.mtu = config->net.mtu;
	*ret_port = port;
	return 0;
}
