/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SipHash-1-3 (Aumasson, Bernstein) of one 64-bit word, for hash tables whose keys others choose: without the seed,
 * which is random and secret, nobody can aim at a bucket. The word is the whole message and always as long, so the
 * block with the length is left out.
 */
#pragma once

#include <stdint.h>

static inline uint64_t keyed_hash_rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline void keyed_hash_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = keyed_hash_rotl(v[1], 13) ^ v[0];
	v[0] = keyed_hash_rotl(v[0], 32);
	v[2] += v[3];
	v[3] = keyed_hash_rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = keyed_hash_rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = keyed_hash_rotl(v[1], 17) ^ v[2];
	v[2] = keyed_hash_rotl(v[2], 32);
}

static inline uint64_t keyed_hash(const uint64_t seed[2], uint64_t word)
{
	uint64_t v[4] = {seed[0] ^ UINT64_C(0x736f6d6570736575),
		seed[1] ^ UINT64_C(0x646f72616e646f6d), seed[0] ^ UINT64_C(0x6c7967656e657261),
		seed[1] ^ UINT64_C(0x7465646279746573)};

	v[3] ^= word;
	keyed_hash_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (unsigned i = 0; i < 3; i++)
		keyed_hash_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
