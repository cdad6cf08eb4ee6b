/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a port may say: see guard.h. */
#include "devices/net/guard.h"

#include <string.h>

#include "devices/net/snoop.h"
#include "vmm-core/base/macro.h"

#define TYPE_802_3_MAX   1535 /* below 0x600: a length */
#define TYPE_IPV4        0x0800
#define TYPE_ARP         0x0806
#define TYPE_RARP        0x8035
#define TYPE_VLAN        0x8100
#define TYPE_IPV6        0x86dd
#define TYPE_MAC_CONTROL 0x8808
#define TYPE_SLOW        0x8809
#define TYPE_SVLAN       0x88a8
#define LLC_SNAP         0xaa

#define PROTO_ICMP  1
#define PROTO_UDP   17
#define PROTO_ICMP6 58

#define ICMP_REDIRECT      5
#define ICMP_ROUTER_ADVERT 9

#define MLD_V1_REPORT       131
#define MLD_DONE            132
#define ND_ROUTER_SOLICIT   133
#define ND_ROUTER_ADVERT    134
#define ND_NEIGHBOUR_SOLIC  135
#define ND_NEIGHBOUR_ADVERT 136
#define ND_REDIRECT         137
#define MLD_V2_REPORT       143
#define ND_SOURCE_LLA       1
#define ND_TARGET_LLA       2

#define BOOTP_SERVER 67
#define BOOTP_CLIENT 68
#define DHCP6_CLIENT 546
#define DHCP6_SERVER 547
#define GUARDS       (NET_PORT_GUARD_ARP | NET_PORT_GUARD_IP | NET_PORT_GUARD_DHCP | NET_PORT_GUARD_RA)

static const uint8_t zero[16];

/* What is being checked. */
struct check {
	const struct net_port_config *config;
	const struct guard_learned *learned;
	const struct frame *f;
};

static bool ip_matches(const struct net_ip *ip, uint8_t family, const uint8_t *bytes)
{
	unsigned max = family == 4 ? 32 : 128, prefix = MIN((unsigned)ip->prefix, max);
	unsigned whole = prefix / 8, rest = prefix % 8;

	if (ip->family != family || memcmp(ip->bytes, bytes, whole) != 0)
		return false;
	return !rest || !((ip->bytes[whole] ^ bytes[whole]) >> (8 - rest));
}

/* RFC 4291, 2.5.6 and appendix A: fe80::/64 and the MAC address with ff:fe in the middle and a bit turned. */
static bool is_own_link_local(const uint8_t *mac, const uint8_t *ip)
{
	const uint8_t own[16] = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff,
		0xfe, mac[3], mac[4], mac[5]};

	return !memcmp(own, ip, sizeof(own));
}

static bool is_own(const struct check *c, uint8_t family, const uint8_t *ip)
{
	if (family == 6 && is_own_link_local(frame_src(c->f), ip))
		return true;
	for (unsigned i = 0; i < MIN(c->config->n_ips, (uint32_t)NET_MAX_PORT_IPS); i++)
		if (ip_matches(&c->config->ips[i], family, ip))
			return true;
	if (!c->learned || !(c->config->flags & NET_PORT_LEARN_IPS))
		return false;
	for (unsigned i = 0; i < c->learned->n; i++)
		if (ip_matches(&c->learned->ips[i], family, ip))
			return true;
	return false;
}

static bool is_source_mac(const struct check *c, const uint8_t *mac)
{
	return !memcmp(mac, frame_src(c->f), NET_MAC_LEN);
}

static bool is_reserved(const struct frame *f)
{
	uint32_t top = frame_be32(f->head), low = frame_be16(f->head + 4);

	return f->flags & FRAME_RESERVED || f->ethertype == TYPE_MAC_CONTROL ||
		f->ethertype == TYPE_SLOW ||
		(top == 0x01000ccc && (low == 0xcccc || low == 0xcccd));
}

static bool is_own_mac(const struct check *c)
{
	const uint8_t *src = frame_src(c->f);

	if (src[0] & 1 || !memcmp(src, zero, NET_MAC_LEN))
		return false;
	return c->config->flags & NET_PORT_ALLOW_FORGED ||
		!memcmp(src, c->config->mac, NET_MAC_LEN);
}

/* Can the checks below tell what the frame is? */
static bool is_readable(const struct frame *f)
{
	switch (f->ethertype) {
	case TYPE_IPV4:
		/* A first fragment has all of the header that they look at. */
		return f->flags & FRAME_IPV4 &&
			(!f->l4 || f->ip_proto != PROTO_UDP || f->flags & FRAME_UDP);
	case TYPE_ARP:
		return f->flags & FRAME_ARP;
	case TYPE_VLAN:
	case TYPE_SVLAN:
		return false;
	case TYPE_IPV6:
		if (!(f->flags & FRAME_IPV6))
			return false;
		break;
	default:
		return f->ethertype > TYPE_802_3_MAX || f->l3 >= f->head_len ||
			(f->head[f->l3] & 0xfe) != LLC_SNAP;
	}
	if (f->l4)
		return (f->ip_proto != PROTO_UDP || f->flags & FRAME_UDP) &&
			(f->ip_proto != PROTO_ICMP6 || f->flags & FRAME_ICMP6);
	/* Later fragments say nothing; the first one decided. */
	return f->flags & FRAME_LATER;
}

/* The counter for what cannot be read. */
static enum net_drop unreadable(const struct check *c)
{
	uint32_t flags = c->config->flags;

	if (c->f->ethertype == TYPE_ARP && flags & NET_PORT_GUARD_ARP)
		return NET_DROP_SPOOF_ARP;
	return flags & NET_PORT_GUARD_IP      ? NET_DROP_SPOOF_IP
		: flags & NET_PORT_GUARD_ARP  ? NET_DROP_SPOOF_ARP
		: flags & NET_PORT_GUARD_DHCP ? NET_DROP_DHCP_GUARD
					      : NET_DROP_RA_GUARD;
}

/* RFC 826; RFC 5227, 1.1: a probe has no sender address. */
static bool is_arp_honest(const struct check *c)
{
	const uint8_t *arp = c->f->head + c->f->l3;
	uint16_t op = frame_be16(arp + 6);

	if (!is_source_mac(c, arp + 8) || (op != 1 && op != 2))
		return false;
	return is_own(c, 4, arp + 14) || (op == 1 && !memcmp(arp + 14, zero, 4));
}

/* RFC 903, as announcements after a move use it: a request about itself, without addresses of IP. */
static bool is_rarp_honest(const struct check *c)
{
	static const uint8_t start[8] = {0, 1, 8, 0, 6, 4, 0, 3};
	const uint8_t *arp = c->f->head + c->f->l3;

	return c->f->l3 + 28 <= c->f->head_len && !memcmp(arp, start, sizeof(start)) &&
		is_source_mac(c, arp + 8) && is_source_mac(c, arp + 18);
}

/* All options of type 'type' are whole and name the sender. */
static bool nd_options_honest(const struct check *c, uint32_t at, uint8_t type)
{
	const struct frame *f = c->f;
	uint32_t end = frame_ip_end(f);

	if (at > end || end > f->head_len)
		return false;
	for (uint32_t len; at < end; at += len) {
		len = at + 2 <= end ? f->head[at + 1] * 8U : 0;
		if (!len || at + len > end)
			return false;
		if (f->head[at] == type && (len != 8 || !is_source_mac(c, f->head + at + 2)))
			return false;
	}
	return true;
}

/* RFC 4861, 4; RFC 6980: never in fragments. */
static bool is_nd_honest(const struct check *c)
{
	const struct frame *f = c->f;
	const uint8_t *icmp = f->head + f->l4, *src = f->head + f->l3 + 8;
	bool no_source = !memcmp(src, zero, 16);
	uint8_t type = icmp[0];

	if (type < ND_ROUTER_SOLICIT || type > ND_REDIRECT)
		return true;
	if (f->flags & FRAME_FRAGMENT || !(is_own(c, 6, src) || no_source))
		return false;
	switch (type) {
	case ND_ROUTER_SOLICIT:
		return nd_options_honest(c, f->l4 + 8U, ND_SOURCE_LLA);
	case ND_ROUTER_ADVERT:
		/* Long with many prefixes: what is in the head counts. */
		return !no_source;
	case ND_NEIGHBOUR_SOLIC:
		return nd_options_honest(c, f->l4 + 24U, ND_SOURCE_LLA) &&
			(!no_source || is_own(c, 6, icmp + 8));
	case ND_NEIGHBOUR_ADVERT:
		return !no_source && nd_options_honest(c, f->l4 + 24U, ND_TARGET_LLA) &&
			is_own(c, 6, icmp + 8);
	default:
		return !no_source;
	}
}

static bool is_neighbour_honest(const struct check *c)
{
	if (c->f->flags & FRAME_ARP)
		return is_arp_honest(c);
	if (c->f->ethertype == TYPE_RARP)
		return is_rarp_honest(c);
	return !(c->f->flags & FRAME_ICMP6) || is_nd_honest(c);
}

/* Who may speak without an address: RFC 2131, 4.1; RFC 3376, 4.2.13. */
static bool ipv4_needs_none(const struct frame *f)
{
	const uint8_t *l4 = f->head + f->l4;

	if (f->flags & FRAME_FRAGMENT)
		return false;
	if (f->flags & FRAME_UDP)
		return frame_be16(l4) == BOOTP_CLIENT && frame_be16(l4 + 2) == BOOTP_SERVER;
	return f->flags & FRAME_IGMP;
}

/* RFC 4861, 4.1 and 4.3; RFC 3590. */
static bool ipv6_needs_none(const struct frame *f)
{
	uint8_t type = f->head[f->l4];

	if (!(f->flags & FRAME_ICMP6) || f->flags & FRAME_FRAGMENT)
		return false;
	return type == ND_ROUTER_SOLICIT || type == ND_NEIGHBOUR_SOLIC || type == MLD_V1_REPORT ||
		type == MLD_DONE || type == MLD_V2_REPORT;
}

static bool is_ip_honest(const struct check *c)
{
	const struct frame *f = c->f;
	const uint8_t *ip = f->head + f->l3;

	if (f->flags & FRAME_IPV4)
		return is_own(c, 4, ip + 12) || (!memcmp(ip + 12, zero, 4) && ipv4_needs_none(f));
	if (f->flags & FRAME_IPV6)
		return is_own(c, 6, ip + 8) || (!memcmp(ip + 8, zero, 16) && ipv6_needs_none(f));
	return true;
}

/* Clients take answers by their own port alone, so both ends count. */
static bool is_dhcp_answer(const struct frame *f)
{
	uint16_t from, to;

	if (!(f->flags & FRAME_UDP))
		return false;
	from = frame_be16(f->head + f->l4);
	to = frame_be16(f->head + f->l4 + 2);
	if (f->flags & FRAME_IPV4)
		return from == BOOTP_SERVER || to == BOOTP_CLIENT;
	return from == DHCP6_SERVER || to == DHCP6_CLIENT;
}

static bool is_router_message(const struct frame *f)
{
	uint8_t type = f->head[f->l4];

	if (f->flags & FRAME_ICMP6)
		return type == ND_ROUTER_ADVERT || type == ND_REDIRECT;
	if (!(f->flags & FRAME_IPV4) || !f->l4 || f->ip_proto != PROTO_ICMP)
		return false;
	return frame_ip_end(f) > f->l4 && (type == ICMP_REDIRECT || type == ICMP_ROUTER_ADVERT);
}

enum net_drop guard_check(const struct net_port_config *config, const struct guard_learned *learned,
	const struct frame *frame)
{
	const struct check c = {config, learned, frame};

	if (!(config->flags & NET_PORT_ALLOW_BPDU) && is_reserved(frame))
		return NET_DROP_RESERVED;
	if (!is_own_mac(&c))
		return NET_DROP_SPOOF_MAC;
	if (!(config->flags & GUARDS))
		return NET_DROP_NONE;
	if (!is_readable(frame))
		return unreadable(&c);
	if (config->flags & NET_PORT_GUARD_ARP && !is_neighbour_honest(&c))
		return NET_DROP_SPOOF_ARP;
	if (config->flags & NET_PORT_GUARD_IP && !is_ip_honest(&c))
		return NET_DROP_SPOOF_IP;
	if (config->flags & NET_PORT_GUARD_DHCP && is_dhcp_answer(frame))
		return NET_DROP_DHCP_GUARD;
	if (config->flags & NET_PORT_GUARD_RA && is_router_message(frame))
		return NET_DROP_RA_GUARD;
	return NET_DROP_NONE;
}

static bool is_configured(const struct net_port_config *config, uint8_t family)
{
	for (unsigned i = 0; i < MIN(config->n_ips, (uint32_t)NET_MAX_PORT_IPS); i++)
		if (config->ips[i].family == family)
			return true;
	return false;
}

static unsigned count_learned(const struct guard_learned *learned, uint8_t family)
{
	unsigned n = 0;

	for (unsigned i = 0; i < learned->n; i++)
		n += learned->ips[i].family == family;
	return n;
}

static bool learn(struct guard_learned *learned, const struct net_ip *ip)
{
	/* One place is kept for IPv4, which DHCP may bring late. */
	unsigned max =
		ip->family == 4 ? GUARD_LEARNED_IPV4 : GUARD_MAX_LEARNED - GUARD_LEARNED_IPV4;

	if (count_learned(learned, ip->family) >= max)
		return false;
	for (unsigned i = 0; i < learned->n; i++)
		if (!memcmp(&learned->ips[i], ip, sizeof(*ip)))
			return false;
	learned->ips[learned->n++] = *ip;
	return true;
}

bool guard_learn(struct guard_learned *learned, const struct net_port_config *config,
	const struct frame *frame)
{
	const struct check c = {config, learned, frame};
	struct snoop_result seen;
	bool any = false;

	if (!(config->flags & NET_PORT_LEARN_IPS) || !(frame->flags & (FRAME_ARP | FRAME_ICMP6)) ||
		!is_own_mac(&c) || !snoop_address(frame, &seen))
		return false;
	for (unsigned i = 0; i < seen.n; i++) {
		const struct snoop_address *a = &seen.addresses[i];

		if (is_source_mac(&c, a->mac) && !is_configured(config, a->ip.family) &&
			!is_own(&c, a->ip.family, a->ip.bytes))
			any |= learn(learned, &a->ip);
	}
	return any;
}

bool guard_learn_dhcp(struct guard_learned *learned, const struct net_port_config *config,
	const struct frame *frame)
{
	struct snoop_result seen;
	const struct snoop_address *a = &seen.addresses[0];
	uint32_t n = 0;

	if (!(config->flags & NET_PORT_LEARN_IPS) || is_configured(config, 4) ||
		!snoop_address(frame, &seen) || a->source != SNOOP_DHCP ||
		memcmp(a->mac, config->mac, NET_MAC_LEN) != 0)
		return false;
	for (uint32_t i = 0; i < learned->n; i++) {
		if (learned->ips[i].family != 4)
			learned->ips[n++] = learned->ips[i];
		else if (learned->dhcp && !memcmp(&learned->ips[i], &a->ip, sizeof(a->ip)))
			return false;
	}
	learned->n = n;
	learned->dhcp = true;
	return learn(learned, &a->ip);
}
