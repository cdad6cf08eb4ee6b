/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is wrong with the store of an instance: when it is tried again, and how it is told.
 *
 * Threads: the daemon's one. Tested by tests/unit/test-manager-store.c.
 */
#pragma once

#include "daemon/manager.h"
#include "vmm-core/base/strutil.h"

/* What has failed (store_retry()) is tried again after so long, and after twice as long each time until nothing fails. */
#define MANAGER_STORE_RETRY_USEC     (5 * UINT64_C(1000000))
#define MANAGER_STORE_RETRY_MAX_USEC (320 * UINT64_C(1000000))

/* What has begun to fail, and what does not fail any more, goes to the log; each thing once. */
void manager_tell_stuck(struct manager *manager);

/* One that is stuck, for people: 'text' is a sentence without its end. A definition that has no name any more has its UUID. */
struct stuck_text {
	char name[VM_NAME_MAX], uuid[UUID_STRING_LEN + 1];
	char file[4096], text[1024];
};
void manager_stuck_text(
	const struct manager *manager, const struct store_stuck *stuck, struct stuck_text *ret);
