/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What fuzzers share: an input that is taken byte by byte and is zero behind its end, and a promise that aborts when it is broken. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t len;
};

static inline void expect(bool condition)
{
	if (!condition)
		abort();
}

/* The next 'n' bytes (at most 8), the lowest first. */
static inline uint64_t take(struct input *in, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n && in->len; i++) {
		v |= (uint64_t)*in->data++ << (8 * i);
		in->len--;
	}
	return v;
}
