/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SipHash (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): whoever does not know the seed, which is random and secret,
 * cannot choose what collides.
 *
 *	siphash_*()	SipHash-2-4, a word at a time, for flows and beacons. The caller sees to it that inputs of different lengths
 *			end in different words, as the paper's last word does by the length in its highest byte.
 *	keyed_hash()	SipHash-1-3 of one word, for hash tables whose keys others choose: nobody can aim at a bucket
 *
 * Pure functions. Tested by tests/unit/test-team-policy.c and tests/unit/test-fdb.c.
 */
#pragma once

#include <stdint.h>

struct siphash {
	uint64_t v[4];
};

static inline uint64_t siphash_rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void siphash_rounds(struct siphash *s, unsigned n)
{
	uint64_t *v = s->v;

	while (n--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = siphash_rotate(v[1], 13) ^ v[0];
		v[3] = siphash_rotate(v[3], 16) ^ v[2];
		v[0] = siphash_rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = siphash_rotate(v[1], 17) ^ v[2];
		v[3] = siphash_rotate(v[3], 21) ^ v[0];
		v[2] = siphash_rotate(v[2], 32);
	}
}

static inline void siphash_init(struct siphash *s, const uint64_t seed[2])
{
	*s = (struct siphash){{seed[0] ^ UINT64_C(0x736f6d6570736575),
		seed[1] ^ UINT64_C(0x646f72616e646f6d), seed[0] ^ UINT64_C(0x6c7967656e657261),
		seed[1] ^ UINT64_C(0x7465646279746573)}};
}

static inline void siphash_add(struct siphash *s, uint64_t word)
{
	s->v[3] ^= word;
	siphash_rounds(s, 2);
	s->v[0] ^= word;
}

static inline uint64_t siphash_end(struct siphash *s)
{
	s->v[2] ^= 0xff;
	siphash_rounds(s, 4);
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

/* The word is the whole message and always as long, so the block with the length is left out. */
static inline uint64_t keyed_hash(const uint64_t seed[2], uint64_t word)
{
	struct siphash s;

	siphash_init(&s, seed);
	s.v[3] ^= word;
	siphash_rounds(&s, 1);
	s.v[0] ^= word;
	s.v[2] ^= 0xff;
	siphash_rounds(&s, 3);
	return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}
