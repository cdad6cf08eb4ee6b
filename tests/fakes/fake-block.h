/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block backend in memory that holds operations until the test lets them finish, checks alignment as O_DIRECT
 * would, transfers less than asked, and fails on demand.
 */
#pragma once

#include "devices/block/backend.h"

struct fake_block {
	struct block_backend backend;
	uint8_t *image;
	uint64_t size;
	uint32_t align; /* -EINVAL for what is not aligned to it */
	struct list queued, committed;
	unsigned n_queued, n_committed;
	unsigned depth;     /* -EAGAIN beyond */
	bool hold;          /* finish nothing in commit(): fake_block_finish() does */
	uint64_t max_bytes; /* of a transfer; 0: no limit */

	/* The next 'fail_count' operations of this kind answer 'fail_error'. */
	enum block_io_op fail_op;
	unsigned fail_count;
	int fail_error;
	/* fallocate modes it does not know */
	int unsupported_modes;

	/* What was done. */
	unsigned n_ops[BLOCK_IO_OP_X_MAX], n_dsync;
	int last_mode;
};

/* The backend is freed with the block that takes it over; 'image' is the test's. */
struct fake_block *fake_block_new(uint8_t *image, uint64_t size, uint32_t align);

/* Let up to 'n' committed operations finish, beginning with the 'first'th. */
void fake_block_finish(struct fake_block *f, unsigned first, unsigned n);
