/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many huge pages the host keeps: the pools of the whole host, or of single nodes of its memory, made larger or smaller. The kernel may look
 * for memory in one piece for seconds, and moves what is in the way: a child waits for it, the daemon goes on. One at a time.
 *
 * What the kernel found stays, also when it was less than was asked for: then the caller is told how many there are now.
 *
 * Threads: the daemon's one.
 *
 * Tested by tests/unit/test-huge-pages.c.
 */
#pragma once

#include "daemon/domain.h"
#include "vmm-core/base/cpuset.h"

#define HUGE_PAGES_USEC (120 * UINT64_C(1000000)) /* then the kernel is told to stop */

struct manager;

struct huge_pages_wish {
	uint32_t size_kib;
	uint64_t count;               /* that each pool is to have, or */
	bool add;                     /* that it is to have more than now */
	uint64_t nodes[CPUSET_WORDS]; /* a pool of each; none: that of the whole host */
};

/* Returns 0: 'done' will be called, once, also when the manager goes; or a negative errno with 'error' set: a node or a size that the host has
 * not (-EINVAL), more than there is memory (-EINVAL), or another wish is being done (-EBUSY). */
int huge_pages_set(struct manager *manager, const struct huge_pages_wish *wish, domain_done_fn done,
	void *userdata, struct error *error);

/* The manager's own: what is under way ends. */
void huge_pages_end(struct manager *manager);
