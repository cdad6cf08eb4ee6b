/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events that wait to be taken: see remote-kept.h. */
#include "client/remote-kept.h"

#include "client/remote.h"
#include "vmm-core/base/macro.h"

void kept_done(struct kept *kept)
{
	(void)json_object_put(kept->events);
	*kept = (struct kept){0};
}

/* A gap that came itself is part of it. */
static void note_lost(struct kept *kept, struct json_object *message)
{
	struct json_object *params = json_object_object_get(message, "params");
	uint64_t sequence = (uint64_t)json_number(params, "sequence", 0);
	uint64_t from = (uint64_t)json_number(params, "from", (int64_t)sequence);

	if (!kept->to)
		kept->from = from;
	kept->subscription = (uint64_t)json_number(params, "subscription", 0);
	kept->to = MAX(kept->to, (uint64_t)json_number(params, "to", (int64_t)sequence));
}

void kept_add(struct kept *kept, struct json_object *message)
{
	if (!kept->events)
		kept->events = json_object_new_array();
	if (!kept->to && json_object_array_length(kept->events) < KEPT_MAX)
		json_object_array_add(kept->events, json_object_get(message));
	else
		note_lost(kept, message);
}

static struct json_object *take_gap(struct kept *kept)
{
	struct json_object *params = json_object_new_object(), *o = json_object_new_object();

	json_object_object_add(params, "subscription", json_object_new_uint64(kept->subscription));
	json_object_object_add(params, "from", json_object_new_uint64(kept->from));
	json_object_object_add(params, "to", json_object_new_uint64(kept->to));
	json_object_object_add(o, "method", json_object_new_string("rpc.gap"));
	json_object_object_add(o, "params", params);
	kept->to = 0;
	return o;
}

struct json_object *kept_take(struct kept *kept)
{
	if (kept->events && kept->n_taken < json_object_array_length(kept->events))
		return json_object_get(json_object_array_get_idx(kept->events, kept->n_taken++));
	/* All are taken: there is room again. */
	(void)json_object_put(kept->events);
	kept->events = NULL;
	kept->n_taken = 0;
	return kept->to ? take_gap(kept) : NULL;
}
