/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files that a server or another process must answer for (mounts.h) are touched by a child before the daemon opens them: it may
 * wait for ever, the daemon goes on, and after REACH_USEC says to the caller who does not answer. What has just answered is then
 * opened as any other file.
 *
 * A child that was killed and does not die, because the kernel does not let it go, stays a child until it does; there are
 * at most REACH_MAX.
 *
 * Threads: the daemon's one.
 */
#pragma once

#include "config/domain-config.h"
#include "daemon/domain.h"

#define REACH_USEC (10 * UINT64_C(1000000))
#define REACH_MAX  64

struct manager;

/* What a start of this domain opens. Returns 0: none of it is far, and 'done' is not called; 1: 'done' will be called, once, also
 * when the manager goes; or a negative errno with 'error' set (-EBUSY: REACH_MAX). */
int reach_domain(struct manager *manager, const struct domain_config *config, domain_done_fn done,
	void *userdata, struct error *error);

/* The manager's own: what is under way ends. */
void reach_end(struct manager *manager);
