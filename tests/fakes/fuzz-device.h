/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every device model has to stand, for unit tests of models (after tests/fakes/fake-machine.h): random
 * register accesses from a fixed seed, and state that was saved, truncated or corrupted.
 *
 * Functions assert by cmocka; include <cmocka.h> first.
 */
#pragma once

#include <string.h>

#include "tests/fakes/fake-machine.h"

#define FUZZ_ROUNDS 200000

struct fuzz_region {
	unsigned region;
	uint64_t len;
};

/* xorshift64*: the same numbers on every machine. */
static inline uint64_t fuzz_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * UINT64_C(2685821657736338717);
}

/* The payload of the device's section; the caller frees it. */
static inline uint8_t *device_payload(const struct device *dev, size_t *ret_len)
{
	struct state_writer w;
	struct state_reader r;
	size_t offset = 0;
	uint8_t *copy;

	state_writer_init(&w);
	assert_int_equal(device_save(dev, &w), 0);
	assert_int_equal(state_next(w.data, w.len, &offset, &r), 1);
	copy = malloc(r.len + 1);
	assert_non_null(copy);
	memcpy(copy, r.data, r.len);
	*ret_len = r.len;
	state_writer_done(&w);
	return copy;
}

static inline int device_load_payload(struct device *dev, const uint8_t *data, size_t len)
{
	struct state_reader r = {
		.data = data,
		.len = len,
		.version = dev->class->state_version,
		.instance = dev->instance,
	};

	(void)strcpy(r.name, dev->class->name);
	return device_load(dev, &r);
}

static inline void assert_same_state(const struct device *a, const struct device *b)
{
	size_t len_a, len_b;
	uint8_t *pa = device_payload(a, &len_a), *pb = device_payload(b, &len_b);

	assert_int_equal(len_a, len_b);
	assert_memory_equal(pa, pb, len_a);
	free(pa);
	free(pb);
}

/* Save 'dev', load it into 'fresh': afterwards both are in the same state. */
static inline void assert_save_load(const struct device *dev, struct device *fresh)
{
	assert_int_equal(fake_save_load(dev, fresh), 0);
	assert_same_state(dev, fresh);
}

/* Refused state leaves the device as it was: too short, too long, and with random bytes changed. What is accepted
 * has to be usable; a few accesses try. */
static inline void assert_survives_corruption(
	struct device *dev, const struct fuzz_region *regions, unsigned n_regions)
{
	size_t len, len_before, len_after;
	uint8_t *good = device_payload(dev, &len), *bad = malloc(len + 1);
	uint64_t seed = 88172645463325252;

	assert_non_null(bad);
	for (unsigned round = 0; round < 4000; round++) {
		uint8_t *before = device_payload(dev, &len_before), *after;
		int r;

		memcpy(bad, good, len);
		for (unsigned i = 0; i <= round % 3 && len; i++)
			bad[fuzz_random(&seed) % len] = (uint8_t)fuzz_random(&seed);
		bad[len] = 0;
		r = device_load_payload(dev, bad, round % 7 ? len : len + 1);
		assert_true(r == 0 || r == -EBADMSG);
		if (round % 7 == 0)
			assert_int_equal(r, -EBADMSG);
		after = device_payload(dev, &len_after);
		if (r < 0)
			assert_memory_equal(before, after, len_before);
		free(before);
		free(after);
		for (unsigned i = 0; i < 8 && n_regions; i++) {
			const struct fuzz_region *g = &regions[fuzz_random(&seed) % n_regions];
			uint64_t offset = fuzz_random(&seed) % g->len;

			(void)device_read(dev, g->region, offset, 1);
			device_write(dev, g->region, offset, 1, fuzz_random(&seed) & 0xff);
			loop_fake_advance(dev->machine->loop, fuzz_random(&seed) % 100000);
		}
	}
	assert_int_equal(device_load_payload(dev, good, len), 0);
	free(good);
	free(bad);
}

/* Random reads and writes of every size and place, time that goes on, lines that change, a reset now and then; every
 * 4096 rounds the state goes to 'fresh' and has to be the same there. */
static inline void fuzz_device(struct device *dev, struct device *fresh,
	const struct fuzz_region *regions, unsigned n_regions)
{
	uint64_t seed = 0x9e3779b97f4a7c15;

	for (unsigned round = 1; round <= FUZZ_ROUNDS; round++) {
		uint64_t dice = fuzz_random(&seed), value = fuzz_random(&seed);
		const struct fuzz_region *g = &regions[dice % n_regions];
		unsigned size = 1U << (dice >> 8 & 3);
		uint64_t offset = (dice >> 16) % g->len;

		while (!range_fits(offset, size, g->len))
			size /= 2;
		value &= UINT64_MAX >> (64 - 8 * size);
		if (dice >> 40 & 1)
			(void)device_read(dev, g->region, offset, size);
		else
			device_write(dev, g->region, offset, size, value);
		if ((dice >> 41 & 15) == 0)
			loop_fake_advance(dev->machine->loop, value % (10 * NSEC_PER_MSEC));
		if ((dice >> 45 & 15) == 0)
			irq_set_line(dev->machine->irq, (unsigned)(value >> 8) % 24, 31, value & 1);
		if ((dice >> 49 & 4095) == 0)
			device_reset(dev);
		if (fresh && round % 4096 == 0)
			assert_save_load(dev, fresh);
	}
}
