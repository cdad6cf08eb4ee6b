/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Start a harness' worker in the jail that the daemon makes (daemon/jail.h): for the sandbox proofs and the benchmarks.
 * Needs root. */
#pragma once

#include "daemon/jail.h"
#include "tests/guest/harness.h"

struct jailed {
	struct jail_plan plan;
	int exe_fd;
	char mount_dir[64];
};

/* 'slot' gives the uid. Returns 0 or -errno. */
int jailed_init(struct jailed *j, const char *worker, unsigned slot, uint64_t memory_bytes);
void jailed_done(struct jailed *j);
/* In place of harness_spawn(). */
int jailed_spawn(struct jailed *j, struct harness *h);
