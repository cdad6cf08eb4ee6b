/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A column of an answer: an array of strings (s) or integers (i) in one piece of memory. An answer of thousands of JSON values
 * costs the daemon more than all else that it does for it, since each is an allocation of its own, looked at twice.
 *
 * To JSON it is an array: its text is what an array of the values would have (json_object_to_json_string()). Whoever looks at its elements
 * sees none of them: api_column_of() is for that, which D-Bus uses (dbus-json.c). So it is for results, and for nothing that the daemon reads itself.
 *
 * Threads: the daemon's one. Tested by tests/unit/test-dbus-json.c and tests/unit/test-api-roles.c.
 */
#pragma once

#include <json-c/json.h>

#include "vmm-core/base/macro.h"

struct api_column;

/* An empty one, 's' or 'i', as a member of 'out', which owns it. NULL: no memory. */
struct api_column *api_column_add(struct json_object *out, const char *name, char type);

/* One more. 'value' is UTF-8. 0 or -ENOMEM. */
int api_column_put_string(struct api_column *column, const char *value);
int api_column_put_int(struct api_column *column, int32_t value);

/* The column of an array that is one; NULL: it is an ordinary one, or no array. */
const struct api_column *api_column_of(struct json_object *array);
char api_column_type(const struct api_column *column);
/* Strings one behind the other, each with its NUL; or int32_t. */
const void *api_column_data(const struct api_column *column, size_t *ret_size);
