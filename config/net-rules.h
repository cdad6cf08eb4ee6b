/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows that domain XML and network XML share: <vlan>, <bandwidth>, <mtu>, <port>, for fields of config/net-config.h. A
 * macro names the base and the struct that hold the field, as XML_FIELD() does.
 */
#pragma once

#include "config/net-addr.h"
#include "config/xml-rows.h"

#define NET_VLAN_ROW(which, type, member)                                                          \
	{                                                                                          \
		.name = "vlan", .kind = XML_ELEMENT, XML_FIELD(which, type, member),               \
		.after = net_after_vlan, .rows = (const struct xml_rule[])                         \
		{                                                                                  \
			{.name = "@trunk",                                                         \
				.kind = XML_WORD,                                                  \
				XML_FIELD(which, type, member.mode),                               \
				.words = net_trunk_words,                                          \
				.print_if = net_vlan_is_trunk},                                    \
				{.name = "tag",                                                    \
					.kind = XML_ARRAY,                                         \
					.flags = XML_REQUIRED,                                     \
					.rows = net_tag_rows,                                      \
					.after = net_after_tag,                                    \
					.array =                                                   \
						&(const struct xml_array){                         \
							.count_offset =                            \
								offsetof(type, member.n_tags),     \
							.offset = {offsetof(type, member.tags)},   \
							.stride = {sizeof(uint16_t)},              \
							.max = NET_MAX_VLANS},                     \
					.why = "<tag id='…'/>"},                                   \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}

#define NET_RATE_ROWS(which, type, member)                                                         \
	{.name = "@average", .kind = XML_UINT, XML_FIELD(which, type, member.average)},            \
		{.name = "@peak", .kind = XML_UINT, XML_FIELD(which, type, member.peak)},          \
		{.name = "@floor", .kind = XML_UINT, XML_FIELD(which, type, member.floor)},        \
		{.name = "@burst", .kind = XML_UINT, XML_FIELD(which, type, member.burst)},        \
	{                                                                                          \
		0                                                                                  \
	}
#define NET_BANDWIDTH_ROW(which, type, member)                                                     \
	{                                                                                          \
		.name = "bandwidth", .kind = XML_ELEMENT, .rows = (const struct xml_rule[])        \
		{                                                                                  \
			{.name = "@classID",                                                       \
				.kind = XML_DROP,                                                  \
				.why = "classes are given at each start"},                         \
				{.name = "inbound",                                                \
					.kind = XML_ELEMENT,                                       \
					.rows = (const struct xml_rule[]){NET_RATE_ROWS(           \
						which, type, member.in)}},                         \
				{.name = "outbound",                                               \
					.kind = XML_ELEMENT,                                       \
					.rows = (const struct xml_rule[]){                         \
						NET_RATE_ROWS(which, type, member.out)}},          \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}

#define NET_MTU_ROW(which, type, member)                                                           \
	{                                                                                          \
		.name = "mtu", .kind = XML_ELEMENT, .rows = (const struct xml_rule[])              \
		{                                                                                  \
			{.name = "@size",                                                          \
				.kind = XML_UINT,                                                  \
				.flags = XML_REQUIRED,                                             \
				XML_FIELD(which, type, member)},                                   \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}

/* 'member' is the flags of a struct net_port_config. */
#define NET_PORT_ROW(which, type, member)                                                          \
	{                                                                                          \
		.name = "port", .kind = XML_ELEMENT, .rows = (const struct xml_rule[])             \
		{                                                                                  \
			{.name = "@isolated",                                                      \
				.kind = XML_BIT,                                                   \
				.bit = NET_PORT_ISOLATED,                                          \
				XML_FIELD(which, type, member),                                    \
				.words = net_yes_words},                                           \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}
#define NET_TRUST_ROW(which, type, member)                                                         \
	{                                                                                          \
		.name = "@trustGuestRxFilters", .kind = XML_BIT, .bit = NET_PORT_ALLOW_MAC,        \
		XML_FIELD(which, type, member), .words = net_yes_words                             \
	}

extern const struct xml_word net_yes_words[]; /* yes: 1, no: 0 */
extern const struct xml_word net_trunk_words[];
extern const struct xml_rule net_tag_rows[];

bool net_vlan_is_trunk(const struct xml_place *place, const struct xml_formatter *f);
int net_after_tag(struct xml_parser *p, xmlNode *node, const struct xml_place *place);
int net_after_vlan(struct xml_parser *p, xmlNode *node, const struct xml_place *place);

/* NULL, or what is wrong with the name of a network interface. */
const char *net_check_ifname(const char *name);
