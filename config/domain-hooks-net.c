/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The code behind the rows of <interface>: see domain-rules.h and domain-rules-net.c.
 *
 * Tested by tests/unit/test-domain-xml-devices.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "config/domain-rules.h"
#include "config/net-addr.h"
#include "vmm-core/base/strutil.h"

#define GUARDS (NET_PORT_GUARD_ARP | NET_PORT_GUARD_IP)

static int fail(
	struct xml_parser *p, const struct xml_place *place, const char *below, const char *text)
{
	return xml_fail(p, p->report->entries[place->entry].line, place->path, below, "%s", text);
}

/* The verdict of what is at 'below' in the element; none when it is not there. */
static int verdict_below(struct xml_parser *p, const struct xml_place *place, const char *below,
	enum contract_verdict verdict, const char *why)
{
	char path[XML_PATH_MAX + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", place->path, below);
	return xml_verdict_path(p, path, verdict, why);
}

/* Filters. */

bool domain_is_ip_parameter(const xmlNode *node)
{
	_cleanup_(freep) char *name = xml_attribute(node, "name");

	return name && (streq(name, "IP") || streq(name, "IPV6"));
}

void domain_format_ip_name(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out)
{
	const struct net_ip *ip = place->base[0];

	(void)f;
	(void)rule;
	(void)depth;
	xml_buf_attr(out, "name", ip->family == 6 ? "IPV6" : "IP");
}

/* What a filter forbids. All that are not here allow what is allowed anyway. */
static uint32_t guards_of(uint8_t filter)
{
	static const uint32_t guards[DOMAIN_FILTER_X_MAX] = {
		[DOMAIN_FILTER_CLEAN] = GUARDS,
		[DOMAIN_FILTER_CLEAN_GATEWAY] = GUARDS,
		[DOMAIN_FILTER_IP] = NET_PORT_GUARD_IP,
		[DOMAIN_FILTER_IPV6] = NET_PORT_GUARD_IP,
		[DOMAIN_FILTER_ARP] = NET_PORT_GUARD_ARP,
		[DOMAIN_FILTER_ARP_IP] = NET_PORT_GUARD_ARP,
		[DOMAIN_FILTER_ARP_MAC] = NET_PORT_GUARD_ARP,
		[DOMAIN_FILTER_DHCP] = NET_PORT_GUARD_DHCP,
		[DOMAIN_FILTER_ROUTER] = NET_PORT_GUARD_RA,
		[DOMAIN_FILTER_STRICT] = GUARDS | NET_PORT_GUARD_DHCP | NET_PORT_GUARD_RA,
	};

	return guards[filter];
}

static bool guards_mac(uint8_t filter)
{
	return filter == DOMAIN_FILTER_CLEAN || filter == DOMAIN_FILTER_CLEAN_GATEWAY ||
		filter == DOMAIN_FILTER_MAC || filter == DOMAIN_FILTER_STRICT;
}

int domain_after_filterref(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	const struct domain_nic *host = place->base[1];
	struct vm_nic *nic = place->base[0];

	(void)node;
	if (host->filter >= DOMAIN_FILTER_X_MAX)
		return 0; /* refused */
	nic->port.flags |= guards_of(host->filter);
	if (guards_mac(host->filter) && nic->port.flags & NET_PORT_ALLOW_MAC)
		return fail(p, place, "@filter",
			"does not go together with trustGuestRxFilters='yes'; remove one of them");
	if (!(nic->port.flags & GUARDS) || nic->port.n_ips)
		return 0;
	if (host->ip_learning == DOMAIN_LEARN_NONE)
		return fail(p, place, "parameter",
			"no address is given and none may be learned; add <parameter name='IP' "
			"value='…'/>");
	nic->port.flags |= NET_PORT_LEARN_IPS;
	return 0;
}

/* Sources and targets. */

void domain_format_portid(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out)
{
	const struct domain_live *live = f->user;
	const struct domain_nic *nic = place->base[1];
	char uuid[UUID_STRING_LEN + 1];

	(void)rule;
	(void)depth;
	if (!live || nic->type != DOMAIN_NIC_NETWORK || !live->nics[place->index].port_id)
		return;
	uuid_format(live->nics[place->index].port_id, uuid);
	xml_buf_attr(out, "portid", uuid);
}

static int settle_network(
	struct xml_parser *p, xmlNode *node, const struct xml_place *place, struct domain_nic *nic)
{
	_cleanup_(freep) char *type = xml_attribute(node, "type");

	*nic->bridge = 0; /* of the running domain */
	if (!*nic->network && type && streq(type, "user"))
		(void)str_copy(nic->network, sizeof(nic->network), "default");
	if (!*nic->network)
		return fail(
			p, place, "source/@network", "missing; add <source network='default'/>");
	return 0;
}

/* What only interfaces of another type have: not used, not kept. */
static int drop_attributes(struct xml_parser *p, const struct xml_place *place,
	const char *const *attributes, size_t n, const char *why)
{
	for (size_t i = 0; i < n; i++) {
		int r = verdict_below(p, place, attributes[i], CONTRACT_IGNORED, why);

		if (r < 0)
			return r;
	}
	return 0;
}

static int drop_network(struct xml_parser *p, const struct xml_place *place, struct domain_nic *nic)
{
	static const char *const attributes[] = {"source/@network", "source/@portgroup"};

	*nic->network = *nic->portgroup = 0;
	return drop_attributes(
		p, place, attributes, ARRAY_SIZE(attributes), "only type='network' has one");
}

static int drop_direct(struct xml_parser *p, const struct xml_place *place, struct domain_nic *nic)
{
	static const char *const attributes[] = {"source/@dev", "source/@mode"};

	*nic->dev = 0;
	nic->mode = 0;
	return drop_attributes(p, place, attributes, ARRAY_SIZE(attributes),
		nic->type == DOMAIN_NIC_NETWORK
			? "the network decides which of the host's interfaces is used, and how"
			: "only type='direct' has one");
}

static int drop_existing(
	struct xml_parser *p, const struct xml_place *place, struct domain_nic *nic)
{
	nic->existing_tap = 0;
	return verdict_below(
		p, place, "target/@managed", CONTRACT_IGNORED, "only type='ethernet' has one");
}

static int settle_source(
	struct xml_parser *p, xmlNode *node, const struct xml_place *place, struct domain_nic *nic)
{
	int r = 0;

	if (nic->type != DOMAIN_NIC_DIRECT)
		r = drop_direct(p, place, nic);
	if (r == 0 && nic->type != DOMAIN_NIC_ETHERNET)
		r = drop_existing(p, place, nic);
	if (r < 0 || nic->type == DOMAIN_NIC_NETWORK)
		return r < 0 ? r : settle_network(p, node, place, nic);
	r = drop_network(p, place, nic);
	if (r < 0)
		return r;
	if (nic->type != DOMAIN_NIC_BRIDGE)
		*nic->bridge = 0;
	if (nic->type == DOMAIN_NIC_BRIDGE && !*nic->bridge)
		return fail(p, place, "source/@bridge", "missing; add <source bridge='br0'/>");
	if (nic->type == DOMAIN_NIC_DIRECT && !*nic->dev)
		return fail(
			p, place, "source/@dev", "missing; add <source dev='eth0' mode='bridge'/>");
	if (nic->existing_tap && !*nic->target)
		return fail(
			p, place, "target/@dev", "missing; add <target dev='tap0' managed='no'/>");
	return 0;
}

/* Names that the host gave once are not part of the definition. */
static int settle_target(
	struct xml_parser *p, const struct xml_place *place, struct domain_nic *nic)
{
	bool direct = nic->type == DOMAIN_NIC_DIRECT;
	const char *given = direct ? "macvtap" : "vnet";

	if (nic->existing_tap || strncmp(nic->target, given, strlen(given)) != 0)
		return 0;
	*nic->target = 0;
	return verdict_below(p, place, "target/@dev", CONTRACT_IGNORED,
		direct ? "names that begin with macvtap are given at each start"
		       : "names that begin with vnet are given at each start");
}

/* VLANs and isolation are the bridge's, or the network's. */
static int check_alone(struct xml_parser *p, const struct xml_place *place,
	const struct domain_nic *host, const struct vm_nic *nic)
{
	static const char no_vlan[] =
		"such an interface has no VLANs; remove it and use a VLAN interface of the "
		"host's (eth0.42) as source, or a bridge or network with VLANs";
	static const char no_isolation[] =
		"isolation is between ports of one bridge or network; remove it";
	int r = 0;

	if (host->type != DOMAIN_NIC_ETHERNET && host->type != DOMAIN_NIC_DIRECT)
		return 0;
	if (nic->port.vlan.mode != NET_VLAN_ANY)
		r = fail(p, place, "vlan", no_vlan);
	if (r == 0 && nic->port.flags & NET_PORT_ISOLATED)
		r = fail(p, place, "port/@isolated", no_isolation);
	return r;
}

static int settle_queue_size(
	struct xml_parser *p, const struct xml_place *place, const char *attribute, uint16_t *size)
{
	if (*size <= VM_MAX_NIC_QUEUE_SIZE)
		return 0;
	if (*size & (*size - 1))
		return 0; /* the validator says what is wrong */
	*size = VM_MAX_NIC_QUEUE_SIZE;
	return verdict_below(
		p, place, attribute, CONTRACT_ADAPTED, "queues have at most 256 entries: 256");
}

int domain_after_interface(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct domain_nic *host = place->base[1];
	struct vm_nic *nic = place->base[0];
	int r;

	if (p->report->counts[CONTRACT_REFUSED])
		return 0;
	host->number = (uint8_t)place->index;
	r = settle_source(p, node, place, host);
	if (r == 0)
		r = settle_target(p, place, host);
	if (r == 0)
		r = check_alone(p, place, host, nic);
	if (r == 0)
		r = settle_queue_size(p, place, "driver/@rx_queue_size", &nic->rx_queue_size);
	if (r == 0)
		r = settle_queue_size(p, place, "driver/@tx_queue_size", &nic->tx_queue_size);
	return r;
}
