/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the last start of a domain spent its time: moments that the daemon notes, and those that the worker leaves in the statistics
 * page it shares (vm_stats_page.boot_ns), put in one row. Both clocks are CLOCK_MONOTONIC, which is one for all
 * processes of a host.
 *
 * The worker's moments may be lies: one that is not between its neighbours, or in the future, counts as not known. What is not
 * known (no page; a start by an earlier daemon, whose own moments are lost; a domain started paused) has no row, and its time
 * counts to the next one that is.
 *
 * Threads: the daemon's one. Tested by tests/unit/test-boot-report.c.
 */
#pragma once

#include <json-c/json.h>

#include "vmm-core/stats.h"

/* Ends of the daemon's stages; the first is where it all begins. */
enum boot_moment {
	BOOT_BEGUN,
	BOOT_NETWORKS,  /* ports and their configuration */
	BOOT_RESOURCES, /* images, kernel, memory, KVM: opened, checked, locked */
	BOOT_TAPS,      /* what interfaces have outside */
	BOOT_SPAWNED,   /* jail, control group, the worker's process */
	BOOT_SENT,      /* it has said HELLO, START is on its way */
	BOOT_ANSWERED,  /* it runs */
	BOOT_X_MAX
};

struct boot_moments {
	uint64_t ns[BOOT_X_MAX]; /* 0: not reached */
};

/* Now. Forgets all later moments. */
void boot_note(struct boot_moments *moments, enum boot_moment moment);

/* {stages: [{stage, about, took_us, at_us}], total_us}: at_us is from the first moment that is known to the stage's end, total_us until
 * the guest's first instruction (or what is known last). 'page' may be NULL; 'now_ns': CLOCK_MONOTONIC. The caller frees it. */
struct json_object *boot_report(
	const struct boot_moments *moments, const struct vm_stats_page *page, uint64_t now_ns);
