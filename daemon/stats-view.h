/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's view of a worker's statistics page (vmm-core/stats.h): mapped read-only, sealed, so that it can neither
 * shrink (SIGBUS) nor be anything but numbers. Every number may be a lie.
 *
 * Tested by tests/unit/test-resources.c and tests/unit/test-dbus.c.
 */
#pragma once

#include <sys/types.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/stats.h"

struct stats_view;

enum stats_kind { STATS_VM, STATS_NETWORK, STATS_KIND_X_MAX };

/* A new page: a memory file of the right size, sealed. Returns the fd or -errno. */
int stats_view_create(enum stats_kind kind);

/* Map 'fd' (stays the caller's). -EPERM when it is not sealed as it must be, -EINVAL on another size. */
int stats_view_map(enum stats_kind kind, int fd, struct stats_view **ret_view);

/* Find the page of a process again, by the name of its memory file among the fds (or mappings) of 'pid'. Needs the
 * right to look (CAP_SYS_PTRACE, or the same user). Returns 0, -ENOENT, -EACCES … */
int stats_view_find(enum stats_kind kind, pid_t pid, struct stats_view **ret_view);

struct stats_view *stats_view_free(struct stats_view *view);
DEFINE_CLEANUP(struct stats_view *, stats_view_free);

/* Why a vCPU comes out of the guest: the names that statistics and metrics have for it, and its counter in struct vm_stats_vcpu. */
#define STATS_EXIT_CAUSES 6
struct stats_exit {
	const char *cause;
	size_t offset;
};
extern const struct stats_exit stats_exits[STATS_EXIT_CAUSES];

/* The page, of the kind that was asked for. */
const struct vm_stats_page *stats_view_page(const struct stats_view *view);
const struct net_stats_page *stats_view_network(const struct stats_view *view);

/* The loop thread's accounts (enum vm_ledger), of which it ran 'loop_ns': ret_ns[VM_LEDGER_X_MAX] add up to at most that; answers
 * what is left. Whatever the page says, nothing overflows. */
uint64_t ledger_shares(const stat_counter *accounts, uint64_t loop_ns, uint64_t *ret_ns);

static inline uint64_t stat_read(const stat_counter *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}
