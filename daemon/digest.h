/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FNV-1a of 128 bits: tells texts apart, and damage. Not for secrets: who makes two texts collide deceives only himself. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DIGEST_TEXT_SIZE 33 /* in hexadecimal, with the NUL */

struct digest {
	uint64_t high, low;
};

/* Of what 'digest' is of, and then of bytes[size]. */
static inline struct digest digest_more(struct digest digest, const char *bytes, size_t size)
{
	unsigned __int128 hash = (unsigned __int128)digest.high << 64 | digest.low;
	const unsigned __int128 prime = (unsigned __int128)1 << 88 | 0x13b;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * prime;
	return (struct digest){(uint64_t)(hash >> 64), (uint64_t)hash};
}

static inline struct digest digest_of(const char *bytes, size_t size)
{
	const struct digest nothing = {0x6c62272e07bb0142, 0x62b821756295c58d};

	return digest_more(nothing, bytes, size);
}

static inline void digest_format(struct digest digest, char ret[DIGEST_TEXT_SIZE])
{
	(void)snprintf(ret, DIGEST_TEXT_SIZE, "%016llx%016llx", (unsigned long long)digest.high,
		(unsigned long long)digest.low);
}
