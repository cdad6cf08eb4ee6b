/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of network-xml.c: the verdict tables of network XML (network-rules.c for libvirt's elements,
 * network-rules-vmmd.c for vmmd's own) and what elements have to do with each other (network-finish.c).
 *
 * Both bases are the struct network_config; arrays move base 0. The formatter's user pointer is the struct
 * network_live, or NULL.
 */
#pragma once

#include "config/net-rules.h"
#include "config/network-xml.h"

#define NETWORK(member) XML_FIELD(0, struct network_config, member)

/* A whole array of struct network_config. */
#define NETWORK_ARRAY(items, count, limit)                                                         \
	&(const struct xml_array)                                                                  \
	{                                                                                          \
		.count_offset = offsetof(struct network_config, count),                            \
		.offset = {offsetof(struct network_config, items)},                                \
		.stride = {sizeof(((struct network_config *)0)->items[0])}, .max = (limit)         \
	}

/* Attributes of <vmmd:switch>: of the network, or of a portgroup; 'member' is a struct net_port_config. */
#define NETWORK_SWITCH_BIT(attribute, which, type, member)                                         \
	{                                                                                          \
		.name = (attribute), .kind = XML_BIT, .bit = (which),                              \
		XML_FIELD(0, type, member.flags), .words = net_yes_words                           \
	}
#define NETWORK_SWITCH_ROWS(type, member)                                                          \
	{.name = "@stormPps", .kind = XML_UINT, XML_FIELD(0, type, member.broadcast_pps)},         \
		{.name = "@multicastPps",                                                          \
			.kind = XML_UINT,                                                          \
			XML_FIELD(0, type, member.multicast_pps)},                                 \
		{.name = "@unknownPps", .kind = XML_UINT, XML_FIELD(0, type, member.unknown_pps)}, \
		{.name = "@learnLimit", .kind = XML_UINT, XML_FIELD(0, type, member.learn_limit)}, \
		{.name = "@ageSeconds", .kind = XML_UINT, XML_FIELD(0, type, member.age_s)},       \
		NETWORK_SWITCH_BIT("@forgedTransmits", NET_PORT_ALLOW_FORGED, type, member),       \
		NETWORK_SWITCH_BIT("@promiscuous", NET_PORT_PROMISCUOUS, type, member),            \
		NETWORK_SWITCH_BIT("@bpdu", NET_PORT_ALLOW_BPDU, type, member)

extern const struct xml_namespace network_namespaces[];
extern const struct xml_rule network_root;
extern const struct xml_rule network_team_rows[];
extern const struct xml_rule network_switch_rows[];
extern const struct xml_rule network_forward_rows[];

/* Single elements, for network-update.c; both bases are the item. */
extern const struct xml_rule network_dhcp_host_rule, network_range_rule, network_uplink_rule,
	network_portgroup_rule, network_dns_host_rule, network_txt_rule, network_srv_rule,
	network_port_forward_rule;

/* Checks of strings: NULL, or what is wrong. */
const char *network_check_dns_name(const char *name);

/* After the whole document: defaults, the team's members, checks between elements. Returns 0, -EINVAL with p->error, or
 * another negative errno. */
int network_finish(struct xml_parser *p, struct network_config *config);
