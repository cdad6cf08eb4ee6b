/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A plan carried out. All definitions change in one moment (store_change()), or none does; then, what runs is changed, one thing
 * after the other: what fails there is told in the plan, and the definitions stay.
 *
 *	plan refuses something ──► an error, nothing has changed
 *	store_change()         ──► the moment: a daemon that dies before it leaves all old, after it all new
 *	memory follows             in the same turn of the loop; nothing in it can fail
 *	files follow               manager_tend_store(), a few in each turn
 *	what runs follows          interfaces go, come, change; networks
 *
 * Threads: the daemon's one. Tested by tests/unit/test-apply.c and tests/unit/test-kills.c.
 */
#pragma once

#include "daemon/plan.h"

/* All is done; the plan says what came of it, and is the receiver's. Called once, from the event loop. */
typedef void (*apply_done_fn)(void *userdata, struct plan *plan);

/* Takes 'plan' unless it fails, and then nothing has changed. Returns 0; 1 when all is done already: 'done' is never called,
 * and 'plan' is the caller's as before; or a negative errno with 'error' set. */
int apply_plan(struct manager *manager, struct plan *plan, apply_done_fn done, void *userdata,
	struct error *error);
