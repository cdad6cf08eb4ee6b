/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's memory, node by node: how much there is, how much is free, and how many huge pages. Read anew at each call, below 'sysfs'
 * ("/sys"; tests have a folder of their own). A kernel without NUMA has node 0.
 *
 * Tested by tests/unit/test-host-numa.c.
 */
#pragma once

#include "daemon/error.h"
#include "vmm-core/base/cpuset.h"

#define HOST_MAX_NODES      128
#define HOST_MAX_PAGE_SIZES 4 /* of huge pages; x86 has two */

struct host_pages {
	uint32_t size_kib;
	uint64_t total, free; /* free: also those that are reserved */
};

struct host_node {
	unsigned id;
	uint64_t memory_kib, free_kib;
	unsigned n_pages;
	struct host_pages pages[HOST_MAX_PAGE_SIZES]; /* ascending */
};

struct host_nodes {
	unsigned n;
	struct host_node nodes[HOST_MAX_NODES];
	uint64_t set[CPUSET_WORDS]; /* their ids */
};

/* The nodes that have memory. What cannot be read is 0; there is at least one node. */
void host_numa_read(const char *sysfs, struct host_nodes *ret);

/* NULL: there is no such node. */
const struct host_node *host_numa_find(const struct host_nodes *nodes, unsigned id);
/* Huge pages of a size on a node; NULL: the host has none of this size. */
const struct host_pages *host_numa_pages(const struct host_node *node, uint32_t size_kib);

/* Free huge pages of a size on all nodes together that nobody has reserved. */
uint64_t host_numa_unreserved(const char *sysfs, uint32_t size_kib);
