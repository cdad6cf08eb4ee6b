/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* frame_hash(): SipHash-2-4 over the words that name a flow. Tested by tests/unit/test-frame.c. */
#include "devices/net/frame.h"

#include <endian.h>
#include <string.h>

#define MAX_WORDS 5

static uint64_t rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void round_once(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

/* SipHash-2-4 of 'words'. Its last block, of the length, is not needed: the last word tells how many there are. */
static uint64_t siphash(const uint64_t seed[2], const uint64_t *words, unsigned n)
{
	uint64_t v[4] = {seed[0] ^ UINT64_C(0x736f6d6570736575),
		seed[1] ^ UINT64_C(0x646f72616e646f6d), seed[0] ^ UINT64_C(0x6c7967656e657261),
		seed[1] ^ UINT64_C(0x7465646279746573)};

	for (unsigned i = 0; i < n; i++) {
		v[3] ^= words[i];
		round_once(v);
		round_once(v);
		v[0] ^= words[i];
	}
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 4; i++)
		round_once(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The last word tells the kinds apart, so the number of words too: 4, 6 or 0; and what belongs to the flow beside the addresses. */
static unsigned flow_words(const struct frame *f, uint64_t words[MAX_WORDS])
{
	const uint8_t *l3 = f->head + f->l3;
	uint64_t rest = 0;
	unsigned n;

	if (f->flags & FRAME_IPV4) {
		memcpy(words, l3 + 12, 8);
		n = 1;
		rest = 4;
	} else if (f->flags & FRAME_IPV6) {
		memcpy(words, l3 + 8, 32);
		n = 4;
		rest = 6;
	} else {
		words[0] = words[1] = 0;
		memcpy(words, f->head, 6);
		memcpy(words + 1, f->head + 6, 6);
		words[2] = (uint64_t)f->ethertype << 8;
		return 3;
	}
	/* Later fragments know neither the ports nor, in IPv6, the protocol. */
	if (!(f->flags & FRAME_FRAGMENT))
		rest |= (uint64_t)f->ip_proto << 8;
	if (!(f->flags & FRAME_FRAGMENT) && f->flags & (FRAME_TCP | FRAME_UDP))
		rest |= (uint64_t)frame_be32(f->head + f->l4) << 32;
	words[n] = rest;
	return n + 1;
}

uint32_t frame_hash(struct frame *f, const uint64_t seed[2])
{
	uint64_t words[MAX_WORDS], hash;

	if (f->hash)
		return f->hash;
	hash = siphash(seed, words, flow_words(f, words));
	f->hash = (uint32_t)(hash ^ hash >> 32);
	if (!f->hash)
		f->hash = 1;
	return f->hash;
}
