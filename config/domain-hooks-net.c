/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The code behind the rows of <interface>: see domain-rules.h and domain-rules-net.c.
 *
 * Tested by tests/unit/test-domain-xml.c.
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

void domain_format_managed(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out)
{
	const struct domain_nic *nic = place->base[1];

	(void)f;
	(void)rule;
	(void)depth;
	if (nic->type == DOMAIN_NIC_ETHERNET)
		xml_buf_attr(out, "managed", "no");
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

/* Only a network has a name and groups of ports. */
static int drop_network(struct xml_parser *p, const struct xml_place *place, struct domain_nic *nic)
{
	static const char *const attributes[] = {"source/@network", "source/@portgroup"};

	*nic->network = *nic->portgroup = 0;
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		int r = verdict_below(
			p, place, attributes[i], CONTRACT_IGNORED, "only type='network' has one");

		if (r < 0)
			return r;
	}
	return 0;
}

static int settle_source(
	struct xml_parser *p, xmlNode *node, const struct xml_place *place, struct domain_nic *nic)
{
	int r;

	if (nic->type == DOMAIN_NIC_NETWORK)
		return settle_network(p, node, place, nic);
	r = drop_network(p, place, nic);
	if (r < 0)
		return r;
	if (nic->type == DOMAIN_NIC_BRIDGE)
		return *nic->bridge
			? 0
			: fail(p, place, "source/@bridge", "missing; add <source bridge='br0'/>");
	*nic->bridge = 0;
	return *nic->target
		? 0
		: fail(p, place, "target/@dev", "missing; add <target dev='tap0' managed='no'/>");
}

/* Names that the host gave once are not part of the definition. */
static int settle_target(
	struct xml_parser *p, const struct xml_place *place, struct domain_nic *nic)
{
	if (nic->type == DOMAIN_NIC_ETHERNET || strncmp(nic->target, "vnet", 4) != 0)
		return 0;
	*nic->target = 0;
	return verdict_below(p, place, "target/@dev", CONTRACT_IGNORED,
		"names that begin with vnet are given at each start");
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
	r = settle_source(p, node, place, host);
	if (r == 0)
		r = settle_target(p, place, host);
	if (r == 0)
		r = settle_queue_size(p, place, "driver/@rx_queue_size", &nic->rx_queue_size);
	if (r == 0)
		r = settle_queue_size(p, place, "driver/@tx_queue_size", &nic->tx_queue_size);
	return r;
}
