/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The validators of struct net_port_config and struct net_config, and their words: see net-config.h. */
#include "config/net-config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "config/net-addr.h"
#include "config/vm-check.h"
#include "vmm-core/base/strutil.h"

#define ELEMENT_MAX 64
#define DAY_MS      UINT32_C(86400000)

static const char *const policies[NET_TEAM_POLICY_X_MAX] = {
	[NET_TEAM_PORT_ID] = "port-id",
	[NET_TEAM_EXPLICIT] = "active-backup",
	[NET_TEAM_SRC_MAC] = "src-mac",
	[NET_TEAM_IP_HASH] = "ip-hash",
	[NET_TEAM_LOAD] = "load",
	[NET_TEAM_LACP] = "lacp",
};
static const char *const roles[NET_ROLE_X_MAX] = {
	[NET_ROLE_ACTIVE] = "active",
	[NET_ROLE_STANDBY] = "standby",
	[NET_ROLE_UNUSED] = "unused",
};
static const char *const failbacks[NET_FAILBACK_X_MAX] = {
	[NET_FAILBACK_YES] = "yes",
	[NET_FAILBACK_NO] = "no",
};
static const struct {
	const char *const *words;
	unsigned n;
} enums[NET_ENUM_X_MAX] = {
	[NET_ENUM_TEAM_POLICY] = {policies, NET_TEAM_POLICY_X_MAX},
	[NET_ENUM_ROLE] = {roles, NET_ROLE_X_MAX},
	[NET_ENUM_FAILBACK] = {failbacks, NET_FAILBACK_X_MAX},
};

const char *net_enum_to_string(enum net_enum kind, unsigned value)
{
	if ((unsigned)kind >= NET_ENUM_X_MAX || value >= enums[kind].n)
		return NULL;
	return enums[kind].words[value];
}

int net_enum_from_string(enum net_enum kind, const char *s)
{
	if ((unsigned)kind >= NET_ENUM_X_MAX || !s)
		return -EINVAL;
	for (unsigned i = 0; i < enums[kind].n; i++)
		if (enums[kind].words[i] && streq(enums[kind].words[i], s))
			return (int)i;
	return -EINVAL;
}

const char *net_drop_to_string(enum net_drop reason)
{
	static const char *const words[NET_DROP_X_MAX] = {
		[NET_DROP_NONE] = "none",
		[NET_DROP_MALFORMED] = "malformed",
		[NET_DROP_LINK_DOWN] = "link-down",
		[NET_DROP_FULL] = "full",
		[NET_DROP_VLAN] = "vlan",
		[NET_DROP_SPOOF_MAC] = "spoofed-mac",
		[NET_DROP_SPOOF_ARP] = "spoofed-arp",
		[NET_DROP_SPOOF_IP] = "spoofed-ip",
		[NET_DROP_DHCP_GUARD] = "dhcp-guard",
		[NET_DROP_RA_GUARD] = "ra-guard",
		[NET_DROP_RESERVED] = "reserved-address",
		[NET_DROP_ISOLATED] = "isolated",
		[NET_DROP_STORM] = "storm",
		[NET_DROP_RATE] = "rate",
		[NET_DROP_MTU] = "mtu",
		[NET_DROP_UNKNOWN] = "unknown-address",
		[NET_DROP_SELF] = "self",
		[NET_DROP_REFLECTED] = "reflected",
		[NET_DROP_DUPLICATE] = "duplicate",
		[NET_DROP_NO_UPLINK] = "no-uplink",
		[NET_DROP_PEER] = "peer",
	};

	return (unsigned)reason < NET_DROP_X_MAX && words[reason] ? words[reason] : "unknown";
}

void net_config_init(struct net_config *config)
{
	memset(config, 0, sizeof(*config));
	config->magic = NET_CONFIG_MAGIC;
	config->version = NET_CONFIG_VERSION;
}

/* Ports. */

static int check_mac(const struct vm_check *c, const char *name, const uint8_t mac[NET_MAC_LEN])
{
	char text[NET_MAC_STRING_SIZE];

	if (!net_mac_is_group(mac))
		return 0;
	net_mac_format(mac, text);
	return vm_check_fail(c,
		"%s: %s is a group's address; write one whose first byte is even, for example "
		"52:54:00:12:34:56",
		name, text);
}

static int check_mtu(const struct vm_check *c, uint16_t mtu)
{
	if (mtu && mtu < NET_MTU_MIN)
		return vm_check_fail(
			c, "mtu/@size: %u; write %u to %u", mtu, NET_MTU_MIN, NET_MTU_MAX);
	return 0;
}

static int check_tags(const struct vm_check *c, const struct net_vlan *vlan)
{
	bool has_native = !vlan->native;

	for (uint32_t i = 0; i < vlan->n_tags; i++) {
		if (!vlan->tags[i] || vlan->tags[i] > NET_VID_MAX)
			return vm_check_fail(c, "vlan/tag[%u]/@id: %u; write 1 to %u", i + 1,
				vlan->tags[i], NET_VID_MAX);
		for (uint32_t j = 0; j < i; j++)
			if (vlan->tags[j] == vlan->tags[i])
				return vm_check_fail(c,
					"vlan/tag[%u]/@id: %u is given twice; remove one", i + 1,
					vlan->tags[i]);
		has_native |= vlan->tags[i] == vlan->native;
	}
	if (!has_native)
		return vm_check_fail(c,
			"vlan/tag/@nativeMode: VLAN %u is not in the list; add a <tag id='%u'>",
			vlan->native, vlan->native);
	return 0;
}

static int check_vlan(const struct vm_check *c, const struct net_vlan *vlan)
{
	if (vlan->mode >= NET_VLAN_X_MAX || vlan->native_tagged > 1)
		return vm_check_fail(c, "vlan: unknown mode %u", vlan->mode);
	if (vlan->n_tags > NET_MAX_VLANS)
		return vm_check_fail(
			c, "vlan/tag: %u tags; write at most %u", vlan->n_tags, NET_MAX_VLANS);
	if (vlan->mode == NET_VLAN_ANY && vlan->n_tags)
		return vm_check_fail(c, "vlan: tags without a mode; write none");
	if (vlan->mode == NET_VLAN_ACCESS && vlan->n_tags != 1)
		return vm_check_fail(c, "vlan: %u tags; write one, or trunk='yes'", vlan->n_tags);
	if (vlan->mode == NET_VLAN_TRUNK && !vlan->n_tags)
		return vm_check_fail(c, "vlan/tag: missing; add <tag id='…'/>");
	if (vlan->mode != NET_VLAN_TRUNK && vlan->native)
		return vm_check_fail(
			c, "vlan/tag/@nativeMode: only a trunk has one; write trunk='yes'");
	if (vlan->native_tagged && !vlan->native)
		return vm_check_fail(c, "vlan/tag/@nativeMode: of no VLAN");
	return check_tags(c, vlan);
}

static int check_ip(const struct vm_check *c, const char *name, const struct net_ip *ip)
{
	unsigned bits = net_ip_bits(ip->family);

	if (!bits || ip->pad[0] || ip->pad[1])
		return vm_check_fail(c, "%s: malformed; write an IPv4 or IPv6 address", name);
	if (!ip->prefix || ip->prefix > bits)
		return vm_check_fail(c, "%s: prefix %u; write 1 to %u", name, ip->prefix, bits);
	if (net_ip_is_group(ip) || net_ip_is_unspecified(ip))
		return vm_check_fail(
			c, "%s: not the address of one host; write such an address", name);
	return 0;
}

static int check_rate(const struct vm_check *c, const char *name, const struct net_rate *rate)
{
	if (rate->average > UINT32_MAX || rate->peak > UINT32_MAX || rate->burst > UINT32_MAX ||
		rate->floor > UINT32_MAX)
		return vm_check_fail(
			c, "bandwidth/%s: too much; write at most %u", name, UINT32_MAX);
	if ((rate->peak || rate->burst) && !rate->average)
		return vm_check_fail(
			c, "bandwidth/%s/@average: missing; peak and burst need one", name);
	if (rate->peak && rate->peak < rate->average)
		return vm_check_fail(c,
			"bandwidth/%s/@peak: less than the average; write at least %llu", name,
			(unsigned long long)rate->average);
	if (rate->average && rate->floor > rate->average)
		return vm_check_fail(c,
			"bandwidth/%s/@floor: more than the average; write at most %llu", name,
			(unsigned long long)rate->average);
	return 0;
}

static int check_bandwidth(const struct vm_check *c, const struct net_bandwidth *bandwidth)
{
	int r = check_rate(c, "inbound", &bandwidth->in);

	if (r == 0)
		r = check_rate(c, "outbound", &bandwidth->out);
	if (r == 0 && bandwidth->out.floor)
		return vm_check_fail(
			c, "bandwidth/outbound/@floor: only inbound has a floor; write it there");
	return r;
}

static int check_port(const struct vm_check *c, const struct net_port_config *port)
{
	int r = check_mac(c, "mac/@address", port->mac);

	if (r == 0)
		r = check_mtu(c, port->mtu);
	if (r == 0 && port->flags & ~NET_PORT_FLAGS)
		return vm_check_fail(c, "port: unknown flags 0x%x", port->flags & ~NET_PORT_FLAGS);
	if (r == 0)
		r = check_vlan(c, &port->vlan);
	if (r == 0 && port->n_ips > NET_MAX_PORT_IPS)
		return vm_check_fail(c, "filterref/parameter: %u addresses; write at most %u",
			port->n_ips, NET_MAX_PORT_IPS);
	for (uint32_t i = 0; r == 0 && i < port->n_ips; i++)
		r = check_ip(c, "filterref/parameter/@value", &port->ips[i]);
	if (r == 0)
		r = check_bandwidth(c, &port->bandwidth);
	if (r == 0 && port->learn_limit > NET_LEARN_MAX)
		return vm_check_fail(c, "vmmd:switch/@learnLimit: %u; write at most %u",
			port->learn_limit, NET_LEARN_MAX);
	return r;
}

int net_port_config_validate(
	const struct net_port_config *port, char *ret_reason, size_t reason_size)
{
	const struct vm_check c = {.reason = ret_reason, .size = reason_size};

	return check_port(&c, port);
}

/* Networks. */

static bool is_ifname(const char *s)
{
	if (!*s || streq(s, ".") || streq(s, ".."))
		return false;
	for (; *s; s++)
		if (!isgraph((unsigned char)*s) || strchr("/:%'\"&<>", *s))
			return false;
	return true;
}

bool net_ifname_is_valid(const char *s)
{
	return strnlen(s, NET_IFNAME_MAX) < NET_IFNAME_MAX && is_ifname(s);
}

static int check_uplink(const struct vm_check *c, const struct net_config *config, uint32_t i)
{
	const struct net_uplink *uplink = &config->uplinks[i];
	char element[ELEMENT_MAX];
	int r;

	(void)snprintf(element, sizeof(element), "forward/interface[%u]", i + 1);
	if (!net_ifname_is_valid(uplink->ifname))
		return vm_check_fail(
			c, "%s/@dev: no name of an interface; write for example eth1", element);
	for (uint32_t j = 0; j < i; j++)
		if (streq(config->uplinks[j].ifname, uplink->ifname))
			return vm_check_fail(c, "%s/@dev: '%s' is used twice; remove one", element,
				uplink->ifname);
	r = check_mac(c, element, uplink->mac);
	if (r < 0)
		return r;
	if (uplink->kind >= NET_UPLINK_X_MAX || uplink->role >= NET_ROLE_X_MAX ||
		uplink->exclusive > 1)
		return vm_check_fail(c, "%s: malformed", element);
	if (config->team.policy == NET_TEAM_IP_HASH && uplink->role == NET_ROLE_STANDBY)
		return vm_check_fail(c,
			"%s: the switch of an ip-hash team sends to every member, also one that "
			"stands by; write role='active' or 'unused'",
			element);
	return 0;
}

static int check_uplinks(const struct vm_check *c, const struct net_config *config)
{
	uint32_t n_used = 0;

	if (config->n_uplinks > NET_MAX_UPLINKS)
		return vm_check_fail(c, "forward/interface: %u interfaces; write at most %u",
			config->n_uplinks, NET_MAX_UPLINKS);
	for (uint32_t i = 0; i < config->n_uplinks; i++) {
		int r = check_uplink(c, config, i);

		if (r < 0)
			return r;
		n_used += config->uplinks[i].role != NET_ROLE_UNUSED;
	}
	if (config->n_uplinks && !n_used)
		return vm_check_fail(c,
			"vmmd:team/vmmd:member/@role: every member is unused; write role='active'");
	if (config->n_uplinks && config->team.min_links > n_used)
		return vm_check_fail(c, "vmmd:team/@minLinks: %u of %u members; write at most %u",
			config->team.min_links, n_used, n_used);
	return 0;
}

/* Numbers of a team: 0 is the default, UINT32_MAX none where 'none' says so. */
struct team_number {
	const char *name;
	size_t offset;
	uint32_t min, max;
	bool none;
};
#define NUMBER(field, xml, least, most, has_none)                                                  \
	{                                                                                          \
		.name = (xml), .offset = offsetof(struct net_team_config, field), .min = (least),  \
		.max = (most), .none = (has_none)                                                  \
	}
static const struct team_number team_numbers[] = {
	NUMBER(failback_ms, "@failbackDelayMs", 1, DAY_MS, true),
	NUMBER(poll_ms, "vmmd:detect/@pollMs", 10, 60000, false),
	NUMBER(up_delay_ms, "vmmd:detect/@upDelayMs", 1, DAY_MS, true),
	NUMBER(down_delay_ms, "vmmd:detect/@downDelayMs", 1, DAY_MS, true),
	NUMBER(min_links, "@minLinks", 1, NET_MAX_UPLINKS, false),
	NUMBER(beacon_ms, "vmmd:detect/vmmd:beacon/@intervalMs", 10, 60000, false),
	NUMBER(beacon_missed, "vmmd:detect/vmmd:beacon/@missed", 1, 100, false),
	NUMBER(probe_ms, "vmmd:detect/@probeMs", 10, 60000, false),
	NUMBER(probe_missed, "vmmd:detect/@probeMissed", 1, 100, false),
	NUMBER(rebalance_ms, "vmmd:rebalance/@intervalMs", 1000, DAY_MS, true),
	NUMBER(rebalance_gain, "vmmd:rebalance/@minGain", 1, 100, false),
};

static const struct vm_field team_fields[] = {
	VM_ENUM(struct net_team_config, policy, "@policy", NET_TEAM_POLICY_X_MAX),
	VM_ENUM(struct net_team_config, failback, "@failback", NET_FAILBACK_X_MAX),
	VM_FLAG(struct net_team_config, guest_link_up, "@guestLink"),
	VM_FLAG(struct net_team_config, no_damping, "vmmd:detect/@damping"),
	VM_FLAG(struct net_team_config, probe_all, "vmmd:detect/@probe"),
	VM_FLAG(struct net_team_config, no_notify, "vmmd:notify/@enable"),
	VM_FLAG(struct net_team_config, lacp_passive, "vmmd:lacp/@mode"),
	VM_FLAG(struct net_team_config, lacp_slow, "vmmd:lacp/@rate"),
	VM_ENUM(struct net_team_config, lacp_fallback, "vmmd:lacp/@fallback",
		NET_LACP_FALLBACK_X_MAX),
};

static int check_targets(const struct vm_check *c, const struct net_team_config *team)
{
	if (team->n_targets > NET_MAX_TARGETS)
		return vm_check_fail(c, "vmmd:team/vmmd:detect: %u targets; write at most %u",
			team->n_targets, NET_MAX_TARGETS);
	for (uint32_t i = 0; i < team->n_targets; i++) {
		int r = check_ip(c, "vmmd:team/vmmd:detect/@target", &team->targets[i].ip);

		if (r < 0)
			return r;
		if (team->targets[i].ip.prefix != net_ip_bits(team->targets[i].ip.family))
			return vm_check_fail(
				c, "vmmd:team/vmmd:detect/@target: a network; write one address");
		if (team->targets[i].vid > NET_VID_MAX)
			return vm_check_fail(c,
				"vmmd:team/vmmd:detect/@vlan: %u; write 1 to %u, or none",
				team->targets[i].vid, NET_VID_MAX);
	}
	return 0;
}

static int check_team(const struct vm_check *c, const struct net_config *config)
{
	const struct net_team_config *team = &config->team;
	int r = vm_check_fields(c, "vmmd:team/", team, team_fields, ARRAY_SIZE(team_fields));

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(team_numbers); i++) {
		const struct team_number *number = &team_numbers[i];
		uint32_t value =
			*(const uint32_t *)(const void *)((const char *)team + number->offset);

		if (!value || (number->none && value == UINT32_MAX))
			continue;
		if (value < number->min || value > number->max)
			return vm_check_fail(c, "vmmd:team/%s: %u; write %u to %u", number->name,
				value, number->min, number->max);
	}
	return r == 0 ? check_targets(c, team) : r;
}

static int check_host_port(const struct vm_check *c, const struct net_config *config)
{
	if (config->has_host_port > 1)
		return vm_check_fail(c, "bridge: flag is %u; write 0 or 1", config->has_host_port);
	return check_port(c, &config->host_port);
}

static int check_header(const struct vm_check *c, const struct net_config *config)
{
	const char *problem;

	if (config->magic != NET_CONFIG_MAGIC)
		return vm_check_fail(c, "network: no configuration of a network (bad magic)");
	if (config->version != NET_CONFIG_VERSION)
		return vm_check_fail(c, "network: configuration version %u, this program reads %u",
			config->version, NET_CONFIG_VERSION);
	if (!memchr(config->name, 0, sizeof(config->name)))
		return vm_check_fail(c, "name: too long; write at most 127 bytes");
	problem = *config->name ? vm_name_check(config->name) : NULL;
	if (problem)
		return vm_check_fail(c, "name: %s", problem);
	if (config->poll_us > NET_POLL_US_MAX)
		return vm_check_fail(c, "vmmd:switch/@pollUs: %u microseconds; write at most %u",
			config->poll_us, NET_POLL_US_MAX);
	return check_mtu(c, config->mtu);
}

static int check_sum(const struct vm_check *c, const struct net_config *config)
{
	return check_bandwidth(c, &config->bandwidth);
}

int net_config_validate(const struct net_config *config, char *ret_reason, size_t reason_size)
{
	static int (*const checks[])(const struct vm_check *, const struct net_config *) = {
		check_header, check_host_port, check_sum, check_team, check_uplinks};
	const struct vm_check c = {.reason = ret_reason, .size = reason_size};

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		int r = checks[i](&c, config);

		if (r < 0)
			return r;
	}
	return 0;
}
