/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers of documents that are compared with what is there, and applied together. Tested by tests/unit/test-apply.c. */
#include <stdio.h>

#include "daemon/api.h"
#include "daemon/apply.h"

#define FLAGS (PLAN_STRICT | PLAN_PRUNE)

/* What names document 'i'. */
static const char *source_of(struct json_object *sources, size_t i)
{
	const char *source = i < json_object_array_length(sources)
		? json_object_get_string(json_object_array_get_idx(sources, i))
		: "";

	return source && *source ? source : "document";
}

static int make_plan(const struct api_call *call, struct plan **ret, struct error *error)
{
	struct json_object *array = json_object_object_get(call->in, "documents");
	struct json_object *sources = json_object_object_get(call->in, "sources");
	_cleanup_(freep) struct plan_document *documents = NULL;
	size_t n = json_object_array_length(array);

	if (api_check_flags(call, FLAGS, error) < 0)
		return -EINVAL;
	documents = calloc(n + 1, sizeof(*documents));
	if (!documents)
		return error_set(error, ERROR_NO_MEMORY, "plan");
	for (size_t i = 0; i < n; i++)
		documents[i] = (struct plan_document){
			.xml = json_object_get_string(json_object_array_get_idx(array, i)),
			.source = source_of(sources, i),
		};
	return plan_new(call->manager, documents, n, api_arg_uint(call, "flags"), ret, error);
}

int api_plan_definitions(struct api_call *call, struct error *error)
{
	_cleanup_(plan_freep) struct plan *plan = NULL;
	char digest[DIGEST_TEXT_SIZE];
	struct json_object *out;
	int r = make_plan(call, &plan, error);

	if (r < 0)
		return r;
	plan_digest(plan, digest);
	out = json_object_new_object();
	json_object_object_add(out, "changes", plan_to_json(plan));
	json_object_object_add(out, "digest", json_object_new_string(digest));
	api_call_reply(call, out);
	return 0;
}

static void reply(struct api_call *call, const struct plan *plan)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, "changes", plan_to_json(plan));
	api_call_reply(call, out);
}

static void on_applied(void *userdata, struct plan *plan)
{
	struct api_call *call = userdata;

	reply(call, plan);
	(void)plan_free(plan);
	(void)api_call_unref(call);
}

int api_apply_definitions(struct api_call *call, struct error *error)
{
	_cleanup_(plan_freep) struct plan *plan = NULL;
	const char *expected = api_arg_string(call, "digest");
	char digest[DIGEST_TEXT_SIZE];
	int r = make_plan(call, &plan, error);

	if (r < 0)
		return r;
	(void)snprintf(
		call->audit.object, sizeof(call->audit.object), "%zu definitions", plan->n_items);
	call->audit.is_plain = true;
	plan_digest(plan, digest);
	/* A retry of one that was cut short behind the moment when all definitions change: they are as the documents say, and what runs may yet
	 * have to follow. */
	if (*expected && !streq(expected, digest) && !(call->key && !plan_writes(plan)))
		return error_set(error, ERROR_OPERATION_INVALID,
			"nothing has changed: it is another plan now; look at it again");
	r = apply_plan(call->manager, plan, on_applied, api_call_ref(call), error);
	if (r == 0) {
		(void)TAKE_PTR(plan);
		return 0;
	}
	if (r > 0)
		reply(call, plan);
	(void)api_call_unref(call);
	return MIN(r, 0);
}
