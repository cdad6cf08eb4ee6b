/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of ARP, ND and DHCP: see snoop.h. */
#include "devices/net/snoop.h"

#include <string.h>

#include "vmm-core/base/macro.h"

#define ARP_REQUEST 1
#define ARP_REPLY   2

#define ND_ROUTER_SOLICIT   133
#define ND_ROUTER_ADVERT    134
#define ND_NEIGHBOUR_SOLIC  135
#define ND_NEIGHBOUR_ADVERT 136
#define ND_SOURCE_LLA       1
#define ND_TARGET_LLA       2

#define IPV4_ANY        0
#define DHCP_SERVER     67
#define DHCP_CLIENT     68
#define DHCP_MAX        1024 /* bytes that are looked at */
#define DHCP_OPTIONS    240  /* behind the magic cookie */
#define DHCP_COOKIE     0x63825363
#define DHCP_TYPE       53
#define DHCP_ACK        5
#define DHCP_OPTION_PAD 0
#define DHCP_OPTION_END 255

static void add(struct snoop_result *ret, enum snoop_source source, const uint8_t *mac,
	const uint8_t *ip, uint8_t family)
{
	static const uint8_t zero[16], v6_loopback[16] = {[15] = 1};
	struct snoop_address *a = &ret->addresses[ret->n];
	size_t size = family == 4 ? 4 : 16;

	if (mac[0] & 1 || !memcmp(mac, zero, NET_MAC_LEN) || !memcmp(ip, zero, size))
		return;
	if (family == 4 ? ip[0] >= 224 || ip[0] == 127 || ip[0] == IPV4_ANY
			: ip[0] == 0xff || !memcmp(ip, v6_loopback, 16))
		return;
	*a = (struct snoop_address){.source = (uint8_t)source,
		.ip = {.family = family, .prefix = family == 4 ? 32 : 128}};
	memcpy(a->mac, mac, NET_MAC_LEN);
	memcpy(a->ip.bytes, ip, size);
	ret->n++;
}

static void snoop_arp(const struct frame *f, struct snoop_result *ret)
{
	const uint8_t *arp = f->head + f->l3;
	uint16_t op = frame_be16(arp + 6);

	if (op != ARP_REQUEST && op != ARP_REPLY)
		return;
	add(ret, SNOOP_ARP, arp + 8, arp + 14, 4);
}

/* The link-layer address of option 'type' among the options from 'at' on; NULL: none that is whole and in the head. */
static const uint8_t *nd_option(const struct frame *f, uint32_t at, uint8_t type)
{
	uint32_t end = MIN(frame_ip_end(f), (uint32_t)f->head_len);

	for (uint32_t len; at + 8 <= end; at += len) {
		len = f->head[at + 1] * 8U;
		if (!len)
			return NULL;
		if (f->head[at] == type)
			return len == 8 ? f->head + at + 2 : NULL;
	}
	return NULL;
}

static void snoop_nd(const struct frame *f, struct snoop_result *ret)
{
	static const uint8_t zero[16];
	const uint8_t *icmp = f->head + f->l4, *src = f->head + f->l3 + 8, *mac;
	uint32_t end = MIN(frame_ip_end(f), (uint32_t)f->head_len);
	uint32_t options = f->l4 +
		(icmp[0] == ND_ROUTER_SOLICIT                 ? 8U
				: icmp[0] == ND_ROUTER_ADVERT ? 16U
							      : 24U);

	if (icmp[0] < ND_ROUTER_SOLICIT || icmp[0] > ND_NEIGHBOUR_ADVERT || options > end ||
		f->head[f->l3 + 7] != 255)
		return;
	if (icmp[0] == ND_NEIGHBOUR_ADVERT) {
		mac = nd_option(f, options, ND_TARGET_LLA);
		add(ret, SNOOP_ND, mac ? mac : frame_src(f), icmp + 8, 6);
	} else if (memcmp(src, zero, 16) != 0) {
		mac = nd_option(f, options, ND_SOURCE_LLA);
		if (mac)
			add(ret, SNOOP_ND, mac, src, 6);
	} else if (icmp[0] == ND_NEIGHBOUR_SOLIC) {
		add(ret, SNOOP_DAD, frame_src(f), icmp + 8, 6);
	}
}

/* Is there a message type among the options, and is it an acknowledgement? Overloaded options (RFC 2132, 9.3) need not be
 * looked into: servers put the type first. */
static bool is_dhcp_ack(const uint8_t *dhcp, size_t len)
{
	for (size_t at = DHCP_OPTIONS; at < len && dhcp[at] != DHCP_OPTION_END;) {
		if (dhcp[at] == DHCP_OPTION_PAD) {
			at++;
			continue;
		}
		if (at + 2 > len || at + 2 + dhcp[at + 1] > len)
			return false;
		if (dhcp[at] == DHCP_TYPE)
			return dhcp[at + 1] == 1 && dhcp[at + 2] == DHCP_ACK;
		at += 2U + dhcp[at + 1];
	}
	return false;
}

/* RFC 2131, 2: op, htype, hlen; yiaddr at 16, chaddr at 28. */
static void snoop_dhcp(const struct frame *f, struct snoop_result *ret)
{
	uint8_t dhcp[DHCP_MAX];
	uint32_t at = f->l4 + 8, end = frame_ip_end(f);
	size_t len;

	if (end < at + DHCP_OPTIONS)
		return;
	len = frame_copy(f, at, dhcp, MIN((size_t)(end - at), sizeof(dhcp)));
	if (len < DHCP_OPTIONS || dhcp[0] != 2 || dhcp[1] != 1 || dhcp[2] != NET_MAC_LEN ||
		frame_be32(dhcp + 236) != DHCP_COOKIE || !is_dhcp_ack(dhcp, len))
		return;
	add(ret, SNOOP_DHCP, dhcp + 28, dhcp + 16, 4);
}

bool snoop_address(const struct frame *frame, struct snoop_result *ret)
{
	struct snoop_result result;

	result.n = 0;
	if (frame->flags & FRAME_ARP)
		snoop_arp(frame, &result);
	else if (frame->flags & FRAME_FRAGMENT)
		return false;
	else if (frame->flags & FRAME_ICMP6)
		snoop_nd(frame, &result);
	else if (frame->flags & FRAME_UDP && frame->flags & FRAME_IPV4 &&
		frame_be16(frame->head + frame->l4) == DHCP_SERVER &&
		frame_be16(frame->head + frame->l4 + 2) == DHCP_CLIENT)
		snoop_dhcp(frame, &result);
	if (!result.n)
		return false;
	ret->n = result.n;
	memcpy(ret->addresses, result.addresses, result.n * sizeof(result.addresses[0]));
	return true;
}
