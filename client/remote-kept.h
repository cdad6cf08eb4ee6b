/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events that came while something else was waited for, until they are taken: KEPT_MAX at most. From the first on that finds no room
 * none is kept until all that are here have been taken, and the gap with them: rpc.gap, as vmmd says it (docs/rpc.md).
 *
 * Tested by tests/unit/test-remote-rpc.c.
 */
#pragma once

#include <json-c/json.h>
#include <stdint.h>

#define KEPT_MAX 4096 /* as many as vmmd keeps */

/* Zero is empty. */
struct kept {
	struct json_object *events;      /* rpc.event and rpc.gap */
	size_t n_taken;                  /* of them */
	uint64_t subscription, from, to; /* those that are lost; 'to' 0: none */
};

void kept_done(struct kept *kept);
/* 'message' stays the caller's. */
void kept_add(struct kept *kept, struct json_object *message);
/* The next, which the caller puts; NULL: there is none. */
struct json_object *kept_take(struct kept *kept);
