/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keyed hashes: of flows, so that no guest can aim at a member, and of beacons, so that nobody can forge one.
 *
 * Tested by tests/unit/test-team-policy.c.
 */
#include "devices/net/team-internal.h"

#include <endian.h>
#include <string.h>

#include "devices/net/keyed-hash.h"

uint64_t team_hash(const uint64_t seed[2], const void *data, size_t len)
{
	struct siphash s;

	siphash_init(&s, seed);
	for (size_t at = 0; at <= len; at += 8) {
		uint64_t word = 0;

		memcpy(&word, (const uint8_t *)data + at, MIN(len - at, (size_t)8));
		word = le64toh(word);
		if (len - at < 8)
			word |= (uint64_t)len << 56;
		siphash_add(&s, word);
	}
	return siphash_end(&s);
}

/* The same for both directions. Without l4 in fragments, of which only the first one has ports. */
struct flow_key {
	uint8_t low[16], high[16];
	uint16_t low_port, high_port;
	uint16_t ethertype;
	uint8_t proto, kind;
};

static void key_ip(struct flow_key *key, const struct frame *f, unsigned size, unsigned offset)
{
	const uint8_t *src = f->head + f->l3 + offset, *dst = src + size;
	uint16_t ports[2] = {0};
	int order = memcmp(src, dst, size);

	if (!(f->flags & FRAME_FRAGMENT)) {
		key->proto = f->ip_proto;
		if (f->flags & (FRAME_TCP | FRAME_UDP))
			memcpy(ports, f->head + f->l4, 4);
	}
	if (!order)
		order = memcmp(&ports[0], &ports[1], 2);
	memcpy(key->low, order <= 0 ? src : dst, size);
	memcpy(key->high, order <= 0 ? dst : src, size);
	key->low_port = ports[order > 0];
	key->high_port = ports[order <= 0];
}

uint64_t team_flow_hash(const uint64_t seed[2], const struct frame *f)
{
	struct flow_key key = {.ethertype = f->ethertype};

	if (f->flags & FRAME_IPV4) {
		key.kind = 4;
		key_ip(&key, f, 4, 12);
	} else if (f->flags & FRAME_IPV6) {
		key.kind = 6;
		key_ip(&key, f, 16, 8);
	} else {
		const uint8_t *src = frame_src(f), *dst = frame_dst(f);
		bool ordered = memcmp(src, dst, NET_MAC_LEN) <= 0;

		memcpy(key.low, ordered ? src : dst, NET_MAC_LEN);
		memcpy(key.high, ordered ? dst : src, NET_MAC_LEN);
	}
	return team_hash(seed, &key, sizeof(key));
}
