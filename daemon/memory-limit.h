/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What domains may come to use of the host's memory, and how much of it they may have in all (vmmd --memory-limit): so that too many
 * domains are refused one by one when they are started, and not killed one by one when their guests need what they were promised.
 *
 *	a domain	its guest's memory, what is requested of its memory devices, and cgroup_memory_extra() for its worker; <memtune><hard_limit> if that is less. A balloon
 *			makes it no less: the guest can take its memory back at any time. Of a guest on huge pages only the worker
 *			counts: those pages were set aside before, and are counted by the kernel
 *	the sum		of all domains that are active, also of those that are being started or were found by this daemon. It is
 *			added up from their live configurations whenever it is asked for: so it cannot be wrong
 *
 * With a limit or without: domains with <locked/> or <allocation mode='immediate'/> are refused when those together
 * would need more than the host has. Only starts are refused: a hard limit that is raised, or a lower
 * --memory-limit after a restart, may leave a sum that is over the limit; what runs goes on.
 *
 * Tested by tests/unit/test-memory-limit.c.
 */
#pragma once

#include "config/domain-config.h"
#include "daemon/error.h"

#define MEMORY_LIMIT_MAX_PERCENT 10000

struct manager;

struct memory_use {
	uint64_t used_kib;   /* the sum */
	uint64_t locked_kib; /* of it, what is there from the start on: locked or allocated */
};

/* "48G", "65536M" (K, M, G, T: powers of 1024), "90%" of 'host_kib', or "none" (0). Returns 0 or -EINVAL. */
int memory_limit_parse(const char *text, uint64_t host_kib, uint64_t *ret_kib);

/* What the guest may have: its memory, and of each memory device what is requested, or what it was granted before and may still have. */
uint64_t memory_granted_kib(const struct domain_config *config);
/* The same, in ordinary pages. */
uint64_t memory_ordinary_kib(const struct domain_config *config);
uint64_t memory_need_kib(const struct domain_config *config);
void memory_use_read(const struct manager *manager, struct memory_use *ret);

/* May a domain of this configuration be started now? 0; or, with 'error' set, -EBUSY. */
/* May this one, which runs, have 'more_kib' more? As above. */
int memory_limit_check_more(const struct manager *manager, const struct domain_config *config,
	uint64_t more_kib, struct error *error);
int memory_limit_check(
	const struct manager *manager, const struct domain_config *config, struct error *error);
