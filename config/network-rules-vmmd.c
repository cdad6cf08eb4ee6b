/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of network XML: the elements of namespace urn:vmmd:network:1.
 *
 * Tested by tests/unit/test-network-xml.c.
 */
#include <string.h>

#include "config/network-rules.h"

#define TEAM(member) NETWORK(net.team.member)

/* Words of a flag that is 1 for "no". */
static const struct xml_word not_words[] = {
	{.word = "yes", .value = 0},
	{.word = "no", .value = 1},
	{0},
};

static const struct xml_word policy_words[] = {
	{.word = "port-id", .value = NET_TEAM_PORT_ID},
	{.word = "active-backup", .value = NET_TEAM_EXPLICIT},
	{"explicit", NET_TEAM_EXPLICIT, CONTRACT_ADAPTED, "another name of active-backup"},
	{.word = "src-mac", .value = NET_TEAM_SRC_MAC},
	{.word = "load", .value = NET_TEAM_LOAD},
	{.word = "ip-hash", .value = NET_TEAM_IP_HASH},
	{"l34-hash", NET_TEAM_IP_HASH, CONTRACT_ADAPTED, "ip-hash: addresses and ports are hashed"},
	{.word = "lacp", .value = NET_TEAM_LACP},
	{0},
};
static const struct xml_word failback_words[] = {
	{.word = "yes", .value = NET_FAILBACK_YES},
	{.word = "no", .value = NET_FAILBACK_NO},
	{"rolling", NET_FAILBACK_NO, CONTRACT_ADAPTED, "no: the member that works stays in use"},
	{0},
};
static const struct xml_word guest_link_words[] = {
	{.word = "follow", .value = 0},
	{.word = "always-up", .value = 1},
	{0},
};
static const struct xml_word yes_words[] = {
	{.word = "yes", .value = 1},
	{.word = "no", .value = 0},
	{0},
};
static const struct xml_word role_words[] = {
	{.word = "active", .value = NET_ROLE_ACTIVE},
	{.word = "standby", .value = NET_ROLE_STANDBY},
	{.word = "unused", .value = NET_ROLE_UNUSED},
	{0},
};
static const struct xml_word weight_words[] = {
	{.word = "auto", .value = 0},
	{0},
};

#define MEMBER(member) XML_FIELD(0, struct network_member, member)
static const struct xml_rule member_rows[] = {
	{.name = "@dev",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		MEMBER(dev),
		.check = net_check_ifname,
		.why = "dev='…', as in <forward><interface dev='…'/>"},
	{.name = "@role", .kind = XML_WORD, MEMBER(role), .words = role_words},
	{.name = "@prio", .kind = XML_UINT, MEMBER(priority)},
	{.name = "@weight", .kind = XML_UINT, MEMBER(weight), .words = weight_words},
	{0},
};

static const struct xml_rule beacon_rows[] = {
	{.name = "@intervalMs", .kind = XML_UINT, .flags = XML_REQUIRED, TEAM(beacon_ms)},
	{.name = "@missed", .kind = XML_UINT, TEAM(beacon_missed)},
	{0},
};
static const struct xml_rule target_rows[] = {
	{.name = "@target",
		.kind = XML_IP,
		.flags = XML_REQUIRED,
		XML_FIELD(0, struct network_target, ip)},
	{.name = "@vlan", .kind = XML_UINT, XML_FIELD(0, struct network_target, vid)},
	{0},
};
static const struct xml_word probe_words[] = {
	{.word = "any", .value = 0},
	{.word = "all", .value = 1},
	{0},
};

static const struct xml_rule detect_rows[] = {
	{.name = "@pollMs", .kind = XML_UINT, TEAM(poll_ms)},
	{.name = "@upDelayMs", .kind = XML_UINT, .flags = XML_ZERO_IS_MAX, TEAM(up_delay_ms)},
	{.name = "@downDelayMs", .kind = XML_UINT, .flags = XML_ZERO_IS_MAX, TEAM(down_delay_ms)},
	{.name = "@damping",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		TEAM(no_damping),
		.words = not_words},
	{.name = "@probe",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		TEAM(probe_all),
		.words = probe_words},
	{.name = "@probeMs", .kind = XML_UINT, TEAM(probe_ms)},
	{.name = "@probeMissed", .kind = XML_UINT, TEAM(probe_missed)},
	{.name = "vmmd:beacon", .kind = XML_ELEMENT, .rows = beacon_rows},
	{.name = "vmmd:arp",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(arps, n_arps, NET_MAX_TARGETS),
		.rows = target_rows},
	{.name = "vmmd:nd",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(nds, n_nds, NET_MAX_TARGETS),
		.rows = target_rows},
	{0},
};

#define SCHEDULE "rounds follow after 50, 150, 250 … at most 550 ms"
static const struct xml_rule notify_rows[] = {
	{.name = "@enable",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		TEAM(no_notify),
		.words = not_words},
	{.name = "@rounds", .kind = XML_UINT, TEAM(notify_rounds)},
	KEEP("@initialMs", SCHEDULE),
	KEEP("@stepMs", SCHEDULE),
	KEEP("@maxMs", SCHEDULE),
	KEEP("@guestAnnounce", "guests are asked to announce themselves where their driver can"),
	{0},
};

static const struct xml_word mode_words[] = {
	{.word = "active", .value = 0},
	{.word = "passive", .value = 1},
	{0},
};
static const struct xml_word rate_words[] = {
	{.word = "fast", .value = 0},
	{.word = "slow", .value = 1},
	{0},
};
static const struct xml_word fallback_words[] = {
	{.word = "active-backup", .value = NET_LACP_FALLBACK_DEFAULT},
	{.word = "startup", .value = NET_LACP_FALLBACK_STARTUP},
	{.word = "none", .value = NET_LACP_FALLBACK_NONE},
	{0},
};
static const struct xml_rule lacp_rows[] = {
	{.name = "@mode",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		TEAM(lacp_passive),
		.words = mode_words},
	{.name = "@rate",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		TEAM(lacp_slow),
		.words = rate_words},
	{.name = "@fallback",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		TEAM(lacp_fallback),
		.words = fallback_words},
	{.name = "@sysPrio", .kind = XML_UINT, TEAM(lacp_system_priority)},
	{.name = "@key", .kind = XML_UINT, TEAM(lacp_key)},
	{0},
};
static const struct xml_rule rebalance_rows[] = {
	{.name = "@intervalMs", .kind = XML_UINT, .flags = XML_ZERO_IS_MAX, TEAM(rebalance_ms)},
	{.name = "@minGain", .kind = XML_UINT, TEAM(rebalance_gain)},
	{0},
};

const struct xml_rule network_team_rows[] = {
	{.name = "@policy", .kind = XML_WORD, TEAM(policy), .words = policy_words},
	{.name = "@failback", .kind = XML_WORD, TEAM(failback), .words = failback_words},
	{.name = "@failbackDelayMs", .kind = XML_UINT, .flags = XML_ZERO_IS_MAX, TEAM(failback_ms)},
	{.name = "@minLinks", .kind = XML_UINT, TEAM(min_links)},
	{.name = "@guestLink",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		TEAM(guest_link_up),
		.words = guest_link_words},
	{.name = "@exclusive",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		NETWORK(exclusive),
		.words = yes_words},
	{.name = "vmmd:member",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(members, n_members, NET_MAX_UPLINKS),
		.rows = member_rows},
	{.name = "vmmd:detect", .kind = XML_ELEMENT, .rows = detect_rows},
	{.name = "vmmd:notify", .kind = XML_ELEMENT, .rows = notify_rows},
	{.name = "vmmd:lacp", .kind = XML_ELEMENT, .rows = lacp_rows},
	{.name = "vmmd:rebalance", .kind = XML_ELEMENT, .rows = rebalance_rows},
	{0},
};

/* <vmmd:switch> */

static const struct xml_word suppress_words[] = {
	{.word = "auto", .value = 0},
	{.word = "on", .value = 1},
	{.word = "off", .value = 2},
	{0},
};
static const struct xml_word igmp_words[] = {
	{.word = "receiver", .value = 0},
	{.word = "flood", .value = 1},
	{0},
};

static const char *check_peer(const char *name)
{
	const char *slash = strchr(name, '/');

	if (slash && slash != name && slash[1] && !strchr(slash + 1, '/') && !strpbrk(name, "\t\n"))
		return NULL;
	return "no interface of a domain; write its name, '/', and the interface's alias: vm1/net0";
}
static const struct xml_word direction_words[] = {
	{.word = "both", .value = 0},
	{.word = "in", .value = 1},
	{.word = "out", .value = 2},
	{0},
};
#define MIRROR(member) XML_FIELD(0, struct network_mirror, member)
static const struct xml_rule mirror_rows[] = {
	{.name = "@from",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		MIRROR(from),
		.check = check_peer},
	{.name = "@dir",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		MIRROR(direction),
		.words = direction_words},
	{.name = "@to", .kind = XML_STRING, .flags = XML_REQUIRED, MIRROR(to), .check = check_peer},
	{0},
};

const struct xml_rule network_switch_rows[] = {
	NETWORK_SWITCH_ROWS(struct network_config, port),
	{.name = "@arpSuppress",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		NETWORK(arp_suppress),
		.words = suppress_words},
	{.name = "@igmp",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		NETWORK(igmp),
		.words = igmp_words},
	{.name = "@pollUs", .kind = XML_UINT, NETWORK(net.poll_us)},
	{.name = "vmmd:mirror",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(mirrors, n_mirrors, NETWORK_MAX_MIRRORS),
		.rows = mirror_rows},
	REFUSE("vmmd:sflow", "sFlow is not there yet; remove it and use <vmmd:mirror>"),
	{0},
};

static const struct xml_word protocol_words[] = {
	{.word = "tcp", .value = 1},
	{.word = "udp", .value = 2},
	{0},
};
#define FORWARD(member) XML_FIELD(0, struct network_port_forward, member)
const struct xml_rule network_forward_rows[] = {
	{.name = "@proto",
		.kind = XML_WORD,
		.flags = XML_REQUIRED,
		FORWARD(protocol),
		.words = protocol_words},
	{.name = "@address", .kind = XML_IP, FORWARD(address)},
	{.name = "@port", .kind = XML_UINT, .flags = XML_REQUIRED, FORWARD(port)},
	{.name = "@to", .kind = XML_IP, .flags = XML_REQUIRED, FORWARD(to)},
	{.name = "@toPort", .kind = XML_UINT, FORWARD(to_port)},
	{0},
};
