/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What calls that wait for the disk may keep in memory: DefineDomain until its definition is durable, and the others that came behind one
 * (manager_wait()). Transports bound their number; this bounds their bytes, in total and of one caller (a uid, or a certificate; without
 * both a connection to the bus). What a call keeps is counted by its arguments.
 *
 * A call that finds too much waiting is refused with ResourceBusy before it does anything: it can be tried again. One call alone is
 * never too much: how long a message may be the transport says.
 *
 * Threads: the daemon's one. Tested by tests/unit/test-api-park.c.
 */
#pragma once

#include "daemon/api.h"

#define API_PARK_MAX_BYTES        (64U * 1024 * 1024) /* of all */
#define API_PARK_MAX_CALLER_BYTES (16U * 1024 * 1024) /* of one of them */

/* The call waits from now on, and is counted until api_unpark(). Returns 0, or -EBUSY with 'error' set. */
int api_park(struct api_call *call, struct error *error);
/* It waits no more; also of one that does not. */
void api_unpark(struct api_call *call);
