/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* frame_hash(): SipHash-2-4 over the words that name a flow. Tested by tests/unit/test-frame.c. */
#include "devices/net/frame.h"

#include <string.h>

#include "devices/net/keyed-hash.h"

#define MAX_WORDS 5

/* A last block of the length is not needed: the last word tells how many there are. */
static uint64_t hash_words(const uint64_t seed[2], const uint64_t *words, unsigned n)
{
	struct siphash s;

	siphash_init(&s, seed);
	for (unsigned i = 0; i < n; i++)
		siphash_add(&s, words[i]);
	return siphash_end(&s);
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
	hash = hash_words(seed, words, flow_words(f, words));
	f->hash = (uint32_t)(hash ^ hash >> 32);
	if (!f->hash)
		f->hash = 1;
	return f->hash;
}
