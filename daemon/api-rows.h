/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rows of an answer: an array of objects, of thousands of domains perhaps. Where the answer is to be JSON text
 * (api_call_ops.is_text), each row becomes its text as it comes, and goes: a tree of all of them is megabytes, which are made, looked
 * through twice and given back for each call. Where it is to be D-Bus, it is an ordinary array.
 *
 * As text it is an array to json_object_to_json_string() alone: whoever looks at its elements sees none. So it is for results.
 *
 * Threads: the daemon's one. Tested by tests/unit/test-dbus-json.c.
 */
#pragma once

#include "daemon/api.h"

/* An empty one, as a member of 'out', which owns it; or NULL: no memory. */
struct json_object *api_rows_add(
	const struct api_call *call, struct json_object *out, const char *name);
/* One more. 'row' is taken over, also on failure; NULL is one. 0 or -ENOMEM. */
int api_rows_put(struct json_object *rows, struct json_object *row);
