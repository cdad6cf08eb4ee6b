/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What elements of a network have to do with each other, once all are read: see network-rules.h.
 *
 * Tested by tests/unit/test-network-xml.c.
 */
#include <errno.h>
#include <stdio.h>

#include "config/network-rules.h"
#include "vmm-core/base/strutil.h"

#define HOST_PORT_NUMBER UINT32_MAX /* of the MAC address that follows from the UUID */

static bool goes_through_host(const struct network_config *config)
{
	return config->forward == NETWORK_NAT || config->forward == NETWORK_ROUTE ||
		config->forward == NETWORK_OPEN;
}

static int finish_identity(struct xml_parser *p, struct network_config *config)
{
	if (!*config->net.name)
		return xml_fail_path(p, "name", "the name is empty; write one");
	return uuid_is_null(config->net.uuid) ? xml_identify(p, config->net.name, config->net.uuid)
					      : 0;
}

/* Ways out. */

/* nat, route: libvirt lists the one interface that <forward dev=> names. */
static int settle_forward_dev(struct xml_parser *p, struct network_config *config)
{
	struct net_config *net = &config->net;

	if (config->forward == NETWORK_OPEN && (*config->forward_dev || net->n_uplinks))
		return xml_fail_path(
			p, "forward", "mode='open' filters nothing; remove dev= and <interface>");
	if (net->n_uplinks > 1)
		return xml_fail_path(p, "forward/interface[2]",
			"the gateway has one way out; write one, or mode='bridge' for a team");
	if (!net->n_uplinks)
		return 0;
	if (*config->forward_dev && !streq(config->forward_dev, net->uplinks[0].ifname))
		return xml_fail_path(p, "forward/interface[1]",
			"is not that of <forward dev=>; write the same in both");
	memcpy(config->forward_dev, net->uplinks[0].ifname, sizeof(config->forward_dev));
	net->uplinks[0] = (struct net_uplink){0};
	net->n_uplinks = 0;
	return 0;
}

/* bridge, private: <forward dev=> is one more uplink, unless it is in the list. */
static int settle_uplinks(struct xml_parser *p, struct network_config *config)
{
	struct net_config *net = &config->net;
	bool listed = !*config->forward_dev;

	for (uint32_t i = 0; i < net->n_uplinks; i++)
		listed |= streq(net->uplinks[i].ifname, config->forward_dev);
	if (!listed && net->n_uplinks == NET_MAX_UPLINKS)
		return xml_fail_path(
			p, "forward", "too many interfaces; write at most %u", NET_MAX_UPLINKS);
	if (!listed)
		memcpy(net->uplinks[net->n_uplinks++].ifname, config->forward_dev,
			sizeof(config->forward_dev));
	if (*config->bridge && net->n_uplinks)
		return xml_fail_path(p, "bridge",
			"given together with <interface>; write a bridge of the host's or a list "
			"of interfaces");
	if (!*config->bridge && !net->n_uplinks)
		return xml_fail_path(p, "forward",
			"no way out; add <interface dev='…'/>, or <bridge name='…'/> beside it");
	if (config->forward == NETWORK_PRIVATE && *config->bridge)
		return xml_fail_path(p, "bridge",
			"mode='private' needs uplinks of its own; write <interface dev='…'/>");
	if (config->forward == NETWORK_PRIVATE)
		config->port.flags |= NET_PORT_ISOLATED;
	return 0;
}

static int check_nat(struct xml_parser *p, const struct network_config *config)
{
	const struct net_ip *start = &config->nat_start, *end = &config->nat_end;

	if (config->forward != NETWORK_NAT && contract_find(p->report, "forward/nat") >= 0 &&
		(start->family || config->nat_port_start || config->nat_ipv6))
		return xml_fail_path(p, "forward/nat", "only mode='nat' has it; remove it");
	if (start->family != end->family || start->family == 6 ||
		(start->family && net_ip_compare(start, end) > 0))
		return xml_fail_path(p, "forward/nat/address",
			"no range of IPv4 addresses; write the lower one in start=");
	if (config->nat_port_start > config->nat_port_end ||
		(!config->nat_port_start && config->nat_port_end))
		return xml_fail_path(p, "forward/nat/port",
			"no range of ports; write 1 to 65535, the lower one in start=");
	return 0;
}

static int finish_forward(struct xml_parser *p, struct network_config *config)
{
	int r;

	if (goes_through_host(config))
		r = settle_forward_dev(p, config);
	else if (config->forward == NETWORK_ISOLATED)
		r = 0;
	else
		r = settle_uplinks(p, config);
	return r < 0 ? r : check_nat(p, config);
}

/* The team. */

static int settle_member(struct xml_parser *p, struct network_config *config, uint32_t i)
{
	const struct network_member *member = &config->members[i];
	char path[64];

	(void)snprintf(path, sizeof(path), "vmmd:team/vmmd:member[%u]", i + 1);
	for (uint32_t j = 0; j < i; j++)
		if (streq(config->members[j].dev, member->dev))
			return xml_fail_path(
				p, path, "'%s' is given twice; remove one", member->dev);
	for (uint32_t j = 0; j < config->net.n_uplinks; j++) {
		struct net_uplink *uplink = &config->net.uplinks[j];

		if (!streq(uplink->ifname, member->dev))
			continue;
		uplink->role = member->role;
		uplink->order = member->priority;
		uplink->weight = member->weight;
		return 0;
	}
	return xml_fail_path(
		p, path, "no such uplink; add <interface dev='%s'/> to <forward>", member->dev);
}

static int settle_targets(struct xml_parser *p, struct network_config *config, const char *element,
	uint8_t family, const struct network_target *targets, uint32_t n)
{
	struct net_team_config *team = &config->net.team;

	for (uint32_t i = 0; i < n; i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "vmmd:team/vmmd:detect/%s[%u]", element, i + 1);
		if (targets[i].ip.family != family)
			return xml_fail_path(p, path, "is probed with %s; write an IPv%u address",
				family == 4 ? "ARP" : "ND", family);
		if (team->n_targets == NET_MAX_TARGETS)
			return xml_fail_path(
				p, path, "too many targets; write at most %u", NET_MAX_TARGETS);
		team->targets[team->n_targets].ip = targets[i].ip;
		team->targets[team->n_targets++].vid = targets[i].vid;
	}
	return 0;
}

static int finish_team(struct xml_parser *p, struct network_config *config)
{
	int r = 0;

	if (contract_find(p->report, "vmmd:team") >= 0 && !config->net.n_uplinks)
		return xml_fail_path(p, "vmmd:team",
			"there are no uplinks; add <interface dev='…'/> to <forward "
			"mode='bridge'>");
	for (uint32_t i = 0; r == 0 && i < config->n_members; i++)
		r = settle_member(p, config, i);
	for (uint32_t i = 0; i < config->net.n_uplinks; i++)
		config->net.uplinks[i].exclusive = config->exclusive;
	if (r == 0)
		r = settle_targets(p, config, "vmmd:arp", 4, config->arps, config->n_arps);
	if (r == 0)
		r = settle_targets(p, config, "vmmd:nd", 6, config->nds, config->n_nds);
	return r;
}

/* Addresses. */

/* The prefix of an address that may have a netmask, a prefix, or neither. */
static int settle_prefix(struct xml_parser *p, const char *path, struct net_ip *ip,
	const struct net_ip *netmask, uint8_t *prefix, uint8_t family)
{
	unsigned bits = net_ip_bits(ip->family);
	int n = *prefix;

	if (family && family != ip->family)
		return xml_fail_path(
			p, path, "is not of family='ipv%u'; write an address of it", family);
	if (netmask->family && *prefix)
		return xml_fail_path(p, path, "has netmask= and prefix=; write only one");
	if (netmask->family) {
		n = ip->family == 4 ? net_ip_netmask_prefix(netmask) : -1;
		if (n <= 0)
			return xml_fail_path(
				p, path, "the netmask is wrong; write prefix= instead");
	} else if (!*prefix) {
		return xml_fail_path(
			p, path, "missing prefix=; add prefix='%u'", ip->family == 4 ? 24 : 64);
	}
	if ((unsigned)n > bits)
		return xml_fail_path(p, path, "prefix %d; write 1 to %u", n, bits);
	ip->prefix = (uint8_t)n;
	return 0;
}

static int check_range(struct xml_parser *p, const char *path, const struct network_ip *ip,
	const struct network_range *range)
{
	if (!net_ip_within(&range->start, &ip->ip) || !net_ip_within(&range->end, &ip->ip))
		return xml_fail_path(p, path,
			"is not within the network; write addresses of the <ip>'s network");
	if (net_ip_compare(&range->start, &range->end) > 0)
		return xml_fail_path(
			p, path, "ends before it starts; write the lower one in start=");
	return 0;
}

static bool is_same_host(const struct network_dhcp_host *a, const struct network_dhcp_host *b)
{
	return (!net_mac_is_zero(a->mac) && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0) ||
		(*a->id && streq(a->id, b->id)) || (*a->name && streq(a->name, b->name)) ||
		net_ip_compare(&a->ip, &b->ip) == 0;
}

static int check_dhcp_host(
	struct xml_parser *p, const char *path, const struct network_ip *ip, uint32_t i)
{
	const struct network_dhcp_host *host = &ip->hosts[i];

	if (net_mac_is_zero(host->mac) && !*host->id && !*host->name)
		return xml_fail_path(p, path, "whose address? add mac='…' or name='…'");
	if (!net_ip_within(&host->ip, &ip->ip))
		return xml_fail_path(p, path,
			"is not within the network; write an address of the <ip>'s network");
	if (net_ip_compare(&host->ip, &ip->ip) == 0)
		return xml_fail_path(p, path, "is the gateway's own address; write another");
	for (uint32_t j = 0; j < i; j++)
		if (is_same_host(host, &ip->hosts[j]))
			return xml_fail_path(
				p, path, "shares something with host[%u]; remove one", j + 1);
	return 0;
}

static int check_dhcp(struct xml_parser *p, const char *path, const struct network_ip *ip)
{
	char below[128];
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < ip->n_ranges; i++) {
		(void)snprintf(below, sizeof(below), "%s/dhcp/range[%u]", path, i + 1);
		r = check_range(p, below, ip, &ip->ranges[i]);
	}
	for (uint32_t i = 0; r == 0 && i < ip->n_hosts; i++) {
		(void)snprintf(below, sizeof(below), "%s/dhcp/host[%u]", path, i + 1);
		r = check_dhcp_host(p, below, ip, i);
	}
	return r;
}

static bool has_dhcp(const struct network_ip *ip)
{
	return ip->n_ranges || ip->n_hosts || *ip->bootp_file;
}

static int finish_ip(struct xml_parser *p, struct network_config *config, uint32_t i)
{
	struct network_ip *ip = &config->ips[i];
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "ip[%u]", i + 1);
	r = settle_prefix(p, path, &ip->ip, &ip->netmask, &ip->prefix, ip->family);
	if (r < 0)
		return r;
	if (net_ip_is_group(&ip->ip) || net_ip_is_unspecified(&ip->ip))
		return xml_fail_path(p, path, "not the address of one host; write such an address");
	for (uint32_t j = 0; j < i; j++) {
		const struct network_ip *other = &config->ips[j];

		if (net_ip_within(&ip->ip, &other->ip) || net_ip_within(&other->ip, &ip->ip))
			return xml_fail_path(
				p, path, "overlaps with ip[%u]; write another network", j + 1);
		if (has_dhcp(ip) && has_dhcp(other) && ip->ip.family == other->ip.family)
			return xml_fail_path(
				p, path, "a second <dhcp> of IPv%u; remove one", ip->ip.family);
	}
	/* A zone of DNS ends with a byte, or (IPv6) with a digit. */
	if (ip->local_ptr == VM_TRISTATE_YES && ip->ip.prefix % (ip->ip.family == 4 ? 8 : 4))
		return xml_fail_path(p, path,
			"localPtr needs a prefix that is a multiple of %u; write another prefix, "
			"or "
			"localPtr='no'",
			ip->ip.family == 4 ? 8 : 4);
	if (ip->ip.family == 6 && (*ip->tftp_root || *ip->bootp_file))
		return xml_fail_path(
			p, path, "tftp and bootp are of IPv4 only; move them to an IPv4 <ip>");
	return check_dhcp(p, path, ip);
}

static int finish_route(struct xml_parser *p, struct network_config *config, uint32_t i)
{
	struct network_route *route = &config->routes[i];
	char path[64];
	int r;

	(void)snprintf(path, sizeof(path), "route[%u]", i + 1);
	r = settle_prefix(p, path, &route->ip, &route->netmask, &route->prefix, route->family);
	if (r < 0)
		return r;
	for (uint32_t j = 0; j < config->n_ips; j++)
		if (net_ip_within(&route->gateway, &config->ips[j].ip) &&
			route->ip.family == route->gateway.family)
			return 0;
	return xml_fail_path(p, path, "the gateway is in no <ip>'s network; write one that is");
}

/* With a bridge, addresses come from whoever else is on it. */
static int check_no_services(struct xml_parser *p, const struct network_config *config)
{
	static const char *const elements[] = {"ip[1]", "route[1]", "dns", "domain"};

	if (config->forward != NETWORK_BRIDGE && config->forward != NETWORK_PRIVATE)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(elements); i++) {
		long entry = contract_find(p->report, elements[i]);

		if (entry >= 0)
			return xml_fail_path(p, elements[i],
				"the network is not the host's own: addresses and names come from "
				"elsewhere; remove it");
	}
	return 0;
}

static int finish_addresses(struct xml_parser *p, struct network_config *config)
{
	int r = check_no_services(p, config);

	if (r == 0 && goes_through_host(config) && !config->n_ips)
		return xml_fail_path(p, "forward",
			"the host needs an address to forward; add <ip address='…' prefix='24'/>");
	for (uint32_t i = 0; r == 0 && i < config->n_ips; i++)
		r = finish_ip(p, config, i);
	for (uint32_t i = 0; r == 0 && i < config->n_routes; i++)
		r = finish_route(p, config, i);
	return r;
}

static int finish_names(struct xml_parser *p, struct network_config *config)
{
	for (uint32_t i = 0; i < config->n_forwarders; i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "dns/forwarder[%u]", i + 1);
		if (!*config->forwarders[i].domain && !config->forwarders[i].ip.family)
			return xml_fail_path(p, path, "empty; write addr= or domain=");
	}
	return 0;
}

/* Ports. */

static int check_forward(struct xml_parser *p, const struct network_config *config, uint32_t i)
{
	const struct network_port_forward *forward = &config->forwards[i];
	bool is_local = false;
	char path[64];

	(void)snprintf(path, sizeof(path), "vmmd:forward[%u]", i + 1);
	if (config->forward != NETWORK_NAT)
		return xml_fail_path(p, path, "only mode='nat' forwards ports; remove it");
	if (!forward->port)
		return xml_fail_path(p, path, "port 0; write 1 to 65535");
	for (uint32_t j = 0; j < config->n_ips; j++)
		is_local |= net_ip_within(&forward->to, &config->ips[j].ip);
	if (!is_local)
		return xml_fail_path(
			p, path, "leads out of the network; write an address of its <ip> in to=");
	if (forward->address.family && forward->address.family != forward->to.family)
		return xml_fail_path(
			p, path, "from one IP to the other; write two addresses of one family");
	for (uint32_t j = 0; j < i; j++) {
		const struct network_port_forward *other = &config->forwards[j];

		if (forward->protocol == other->protocol && forward->port == other->port &&
			forward->to.family == other->to.family &&
			(!forward->address.family || !other->address.family ||
				net_ip_compare(&forward->address, &other->address) == 0))
			return xml_fail_path(
				p, path, "port %u is forwarded twice; remove one", forward->port);
	}
	return 0;
}

static int check_group(struct xml_parser *p, const struct network_config *config, uint32_t i)
{
	const struct network_portgroup *group = &config->portgroups[i];
	char path[XML_PATH_MAX], reason[256];

	(void)snprintf(path, sizeof(path), "portgroup[%u]", i + 1);
	if (!*group->name)
		return xml_fail_path(p, path, "the name is empty; write one");
	for (uint32_t j = 0; j < i; j++) {
		if (streq(config->portgroups[j].name, group->name))
			return xml_fail_path(p, path, "the name is used twice; write another");
		if (group->is_default && config->portgroups[j].is_default)
			return xml_fail_path(p, path, "a second default; remove default='yes'");
	}
	if (net_port_config_validate(&group->port, reason, sizeof(reason)) < 0)
		return xml_fail_path(p, path, "%s", reason);
	return 0;
}

static int finish_ports(struct xml_parser *p, struct network_config *config)
{
	struct net_config *net = &config->net;
	int r = 0;

	if (net->bandwidth.in.floor)
		return xml_fail_path(p, "bandwidth/inbound/@floor",
			"only interfaces have a floor; write it there");
	net->has_host_port = config->n_ips > 0;
	net->host_port.mtu = net->mtu;
	if (net->has_host_port && net_mac_is_zero(net->host_port.mac))
		net_mac_derive(net->uuid, HOST_PORT_NUMBER, net->host_port.mac);
	for (uint32_t i = 0; r == 0 && i < config->n_portgroups; i++)
		r = check_group(p, config, i);
	for (uint32_t i = 0; r == 0 && i < config->n_forwards; i++)
		r = check_forward(p, config, i);
	return r;
}

static int finish_valid(struct xml_parser *p, struct network_config *config)
{
	char reason[256], *colon;

	if (net_port_config_validate(&config->port, reason, sizeof(reason)) == 0 &&
		net_config_validate(&config->net, reason, sizeof(reason)) == 0)
		return 0;
	colon = strstr(reason, ": ");
	if (!colon)
		return xml_fail_path(p, "", "%s", reason);
	*colon = 0;
	return xml_fail_path(p, reason, "%s", colon + 2);
}

int network_finish(struct xml_parser *p, struct network_config *config)
{
	static int (*const steps[])(struct xml_parser *, struct network_config *) = {
		finish_identity, finish_forward, finish_team, finish_addresses, finish_names,
		finish_ports, finish_valid};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r = steps[i](p, config);

		if (r < 0)
			return r;
	}
	return 0;
}
