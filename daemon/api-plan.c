/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers of documents that are compared with what is there, and applied together. Tested by tests/unit/test-apply.c. */
#include <stdio.h>

#include "daemon/api.h"
#include "daemon/apply.h"
#include "daemon/plan-soon.h"

#define FLAGS (PLAN_STRICT | PLAN_PRUNE)

/* What names document 'i'. */
static const char *source_of(struct json_object *sources, size_t i)
{
	const char *source = i < json_object_array_length(sources)
		? json_object_get_string(json_object_array_get_idx(sources, i))
		: "";

	return source && *source ? source : "document";
}

static int make_plan(struct api_call *call, plan_done_fn done, struct error *error)
{
	struct json_object *array = json_object_object_get(call->in, "documents");
	struct json_object *sources = json_object_object_get(call->in, "sources");
	size_t n = json_object_array_length(array);
	struct plan_document *documents;
	int r;

	if (api_check_flags(call, FLAGS, error) < 0)
		return -EINVAL;
	documents = calloc(n + 1, sizeof(*documents));
	if (!documents)
		return error_set(error, ERROR_NO_MEMORY, "plan");
	/* The texts are the call's. */
	for (size_t i = 0; i < n; i++)
		documents[i] = (struct plan_document){
			.xml = json_object_get_string(json_object_array_get_idx(array, i)),
			.source = source_of(sources, i),
		};
	r = plan_soon(call->manager, documents, n, api_arg_uint(call, "flags"), done,
		api_call_ref(call), error);
	if (r < 0)
		(void)api_call_unref(call);
	return r;
}

static void on_planned(void *userdata, struct plan *plan, const struct error *error)
{
	struct api_call *call = userdata;
	char digest[DIGEST_TEXT_SIZE];
	struct json_object *out;

	if (plan) {
		plan_digest(plan, digest);
		out = json_object_new_object();
		json_object_object_add(out, "changes", plan_to_json(plan));
		json_object_object_add(out, "digest", json_object_new_string(digest));
		api_call_reply(call, out);
	} else {
		api_call_fail(call, error);
	}
	(void)plan_free(plan);
	(void)api_call_unref(call);
}

int api_plan_definitions(struct api_call *call, struct error *error)
{
	return make_plan(call, on_planned, error);
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

/* Takes 'plan' if it returns 0: then the call is answered later. 1: it is answered. */
static int apply(struct api_call *call, struct plan *plan, struct error *error)
{
	const char *expected = api_arg_string(call, "digest");
	char digest[DIGEST_TEXT_SIZE];
	int r;

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
	if (r == 0)
		return 0;
	if (r > 0)
		reply(call, plan);
	(void)api_call_unref(call);
	return r;
}

/* In the same turn: it is what is there. */
static void on_plan_to_apply(void *userdata, struct plan *plan, const struct error *error)
{
	struct api_call *call = userdata;
	struct error e = {0};
	int r = plan ? apply(call, plan, &e) : 1;

	if (!plan)
		api_call_fail(call, error);
	if (r < 0)
		api_call_fail(call, &e);
	if (r != 0)
		(void)plan_free(plan);
	(void)api_call_unref(call);
}

int api_apply_definitions(struct api_call *call, struct error *error)
{
	return make_plan(call, on_plan_to_apply, error);
}
