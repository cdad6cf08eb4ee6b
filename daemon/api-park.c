/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that wait for the disk, by their bytes: see api-park.h. */
#include "daemon/api-park.h"

#include <string.h>

#include "vmm-core/base/strutil.h"

/* What the allocator and the library need for each value. */
#define BYTES_OF_VALUE 64

static size_t bytes_of(struct json_object *o)
{
	size_t n = BYTES_OF_VALUE;

	if (json_object_is_type(o, json_type_string))
		n += (size_t)json_object_get_string_len(o);
	if (json_object_is_type(o, json_type_array))
		for (size_t i = 0; i < json_object_array_length(o); i++)
			n += bytes_of(json_object_array_get_idx(o, i));
	if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value) n += strlen(key) + bytes_of(value);
	}
	return n;
}

static bool is_same_caller(const struct api_peer *a, const struct api_peer *b)
{
	if (a->user.uid_known || b->user.uid_known)
		return a->user.uid_known && b->user.uid_known && a->user.uid == b->user.uid;
	return streq(a->certificate, b->certificate) && streq(a->user.name, b->user.name) &&
		(*a->certificate || *a->user.name || streq(a->sender, b->sender));
}

static size_t bytes_of_caller(const struct api_call *call)
{
	struct list *pos;
	size_t n = 0;

	list_for_each (pos, &call->manager->parked) {
		const struct api_call *other = list_entry(pos, struct api_call, parked);

		if (is_same_caller(&call->peer, &other->peer))
			n += other->parked_bytes;
	}
	return n;
}

int api_park(struct api_call *call, struct error *error)
{
	struct manager *m = call->manager;
	const size_t bytes = bytes_of(call->in), own = bytes_of_caller(call);

	if (own && own + bytes > API_PARK_MAX_CALLER_BYTES)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"%zu bytes of this caller's calls wait for definitions to become durable "
			"(limit: %u): try again when some have been answered",
			own, API_PARK_MAX_CALLER_BYTES);
	if (m->parked_bytes && m->parked_bytes + bytes > API_PARK_MAX_BYTES)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"%zu bytes of calls wait for definitions to become durable (limit: %u): "
			"try "
			"again in a moment",
			m->parked_bytes, API_PARK_MAX_BYTES);
	call->parked_bytes = bytes;
	m->parked_bytes += bytes;
	list_add_tail(&m->parked, &call->parked);
	return 0;
}

void api_unpark(struct api_call *call)
{
	if (!call->parked_bytes)
		return;
	call->manager->parked_bytes -= call->parked_bytes;
	call->parked_bytes = 0;
	list_del(&call->parked);
}
