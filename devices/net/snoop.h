/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What frames tell about addresses: which IP address is whose (ARP, IPv6 neighbour discovery, answers of DHCPv4), and
 * who wants which multicast group (IGMP, MLD). Only reading: tables, limits and ages are the caller's.
 *
 * All of it is the claim of the frame's sender; guard.h says what a port may claim. What lies behind the frame's head is
 * copied once (frame_copy()) and judged on the copy: a sender that changes its memory meanwhile has told us something
 * else than the others, which is its own affair.
 *
 * Threads: none of its own.
 */
#pragma once

#include "devices/net/frame.h"

#define SNOOP_MAX_ADDRESSES 2  /* of one frame */
#define SNOOP_MAX_GROUPS    64 /* of one report */

enum snoop_source {
	SNOOP_ARP,
	SNOOP_ND,
	SNOOP_DAD, /* the sender asks whether anybody has it, and takes it if not (RFC 4862, 5.4) */
	SNOOP_DHCP, /* a server gives it to 'mac', to whom the frame goes */
};

struct snoop_address {
	uint8_t mac[NET_MAC_LEN];
	uint8_t source; /* enum snoop_source */
	struct net_ip ip;
};

struct snoop_result {
	unsigned n;
	struct snoop_address addresses[SNOOP_MAX_ADDRESSES];
};

/* Who has which address, by this frame. False, and nothing written, when it tells nothing. ARP: the sender (RFC 826), but
 * for probes (RFC 5227). ND (RFC 4861): source of solicitations and of router
 * advertisements with a link-layer option, target of advertisements. DHCP (RFC 2131): the acknowledged address. Multicast,
 * loopback and all-zero addresses, and group MAC addresses, are never told. */
bool snoop_address(const struct frame *frame, struct snoop_result *ret);

enum snoop_group_kind { SNOOP_GROUP_REPORT, SNOOP_GROUP_QUERY };

struct snoop_group {
	bool join; /* of a query: false */
	struct net_ip ip;
	uint8_t mac[NET_MAC_LEN]; /* where frames of the group go (RFC 1112, 6.4; RFC 2464, 7) */
};

struct snoop_groups {
	enum snoop_group_kind kind;
	/* A report names more than fits, or than the frame has: whoever counts on all of it must assume that the sender
	 * wants any group. */
	bool truncated;
	/* Of a query: within this time members answer. A general query names no group. */
	uint32_t response_ms;
	unsigned n;
	struct snoop_group groups[SNOOP_MAX_GROUPS];
};

/* What an IGMP or MLD message says: IGMPv1 (RFC 1112), v2 (RFC 2236), v3 (RFC 3376), MLDv1 (RFC 2710), v2 (RFC 3810).
 * Sources are not told apart: who wants any is in, who wants none has left; what changes neither is not listed. MLD must
 * come from the link (hop limit 1, a link-local source or, for reports, none). False when the frame is no such
 * message or is malformed: then '*ret' says nothing. Checksums are not verified. */
bool snoop_group(const struct frame *frame, struct snoop_groups *ret);
