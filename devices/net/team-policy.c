/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policies: how a frame gets its slot. A new one is a row. */
#include "devices/net/team-internal.h"

#include <string.h>

/* A port's slot is the first free one from its cookie on. Of a cookie without one: where it would begin. */
unsigned team_port_slot(const struct team *t, uint32_t cookie)
{
	for (unsigned i = 0; i < TEAM_SLOTS; i++) {
		unsigned at = (cookie + i) % TEAM_SLOTS;

		if (t->slots[at].used && t->slots[at].cookie == cookie)
			return at;
		if (!t->slots[at].was_used)
			break;
	}
	return cookie % TEAM_SLOTS;
}

static unsigned slot_port(const struct team *t, const struct frame *f, uint32_t cookie)
{
	(void)f;
	return team_port_slot(t, cookie);
}

static unsigned address_port(
	const struct team *t, const uint8_t mac[NET_MAC_LEN], uint16_t vid, uint32_t cookie)
{
	(void)mac;
	(void)vid;
	return team_port_slot(t, cookie);
}

static unsigned address_mac(
	const struct team *t, const uint8_t mac[NET_MAC_LEN], uint16_t vid, uint32_t cookie)
{
	uint8_t key[NET_MAC_LEN + 2];

	(void)cookie;
	memcpy(key, mac, NET_MAC_LEN);
	memcpy(key + NET_MAC_LEN, &vid, 2);
	return (unsigned)(team_hash(t->seed, key, sizeof(key)) % TEAM_SLOTS);
}

static unsigned slot_mac(const struct team *t, const struct frame *f, uint32_t cookie)
{
	return address_mac(t, frame_src(f), f->vid, cookie);
}

static unsigned slot_flow(const struct team *t, const struct frame *f, uint32_t cookie)
{
	(void)cookie;
	return (unsigned)(team_flow_hash(t->seed, f) % TEAM_SLOTS);
}

const struct team_policy_ops team_policies[NET_TEAM_POLICY_X_MAX] = {
	[NET_TEAM_DEFAULT] = {.independent = true,
		.by_port = true,
		.slot = slot_port,
		.address_slot = address_port},
	[NET_TEAM_PORT_ID] = {.independent = true,
		.by_port = true,
		.slot = slot_port,
		.address_slot = address_port},
	[NET_TEAM_EXPLICIT] = {.independent = true,
		.single = true,
		.by_port = true,
		.slot = slot_port,
		.address_slot = address_port},
	[NET_TEAM_SRC_MAC] = {.independent = true, .slot = slot_mac, .address_slot = address_mac},
	[NET_TEAM_IP_HASH] = {.slot = slot_flow},
	[NET_TEAM_LOAD] = {.independent = true,
		.by_port = true,
		.balances = true,
		.slot = slot_port,
		.address_slot = address_port},
	[NET_TEAM_LACP] = {.negotiates = true, .slot = slot_flow},
};
