/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A plan that is made while the loop goes on: a document takes a millisecond or two, and there may be thousands. PLAN_AT_ONCE of them
 * are read in a turn; then, as many in a turn, those again whose domain or network has changed since. The plan is of the moment in which
 * it is given away: in the first turn that finds fewer than that, and reads them. So whoever applies it in that turn applies what it says. Where
 * things change faster than that, it is given up.
 *
 * PLANS_AT_ONCE are made at a time, each holds its caller's documents.
 *
 * One thread, the daemon's. Tested by tests/unit/test-apply.c.
 */
#pragma once

#include "daemon/plan.h"

#define PLAN_AT_ONCE  4
#define PLANS_AT_ONCE 16

/* 'plan' is the receiver's; NULL with an error. Called once, from the loop, never within plan_soon(); also when the manager goes. */
typedef void (*plan_done_fn)(void *userdata, struct plan *plan, const struct error *error);

/* 'documents' are taken over, also on failure, but not their texts, which must stay until 'done'. */
int plan_soon(struct manager *manager, struct plan_document *documents, size_t n, unsigned flags,
	plan_done_fn done, void *userdata, struct error *error);
/* The manager goes: those that are not made fail. */
void plans_end(struct manager *manager);
