/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers around definitions, and the contract report as JSON. Tested by tests/unit/test-dbus.c. */
#include <string.h>

#include "daemon/api.h"
#include "daemon/job.h"

#define FLAG_PAUSED (1U << 1)

struct json_object *api_report_to_json(const struct contract_report *report)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; report && i < report->n_entries; i++) {
		const struct contract_entry *e = &report->entries[i];
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "verdict",
			json_object_new_string(contract_verdict_to_string(e->verdict)));
		json_object_object_add(o, "path", json_object_new_string(e->path));
		json_object_object_add(o, "line", json_object_new_int64(e->line));
		json_object_object_add(o, "why", json_object_new_string(e->why ? e->why : ""));
		json_object_array_add(array, o);
	}
	return array;
}

struct json_object *api_named_report(const char *name, const struct contract_report *report)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, "name", json_object_new_string(name));
	json_object_object_add(out, "report", api_report_to_json(report));
	return out;
}

unsigned api_define_flags(const struct api_call *call)
{
	return api_arg_uint(call, "flags") & API_FLAG_STRICT ? MANAGER_DEFINE_STRICT : 0;
}

int api_check_domain(struct api_call *call, struct error *error)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	struct json_object *out;
	int r;

	if (api_check_flags(call, API_FLAG_STRICT, error) < 0)
		return -EINVAL;
	r = manager_check(api_arg_string(call, "xml"), api_arg_string(call, "source"),
		api_define_flags(call), &report, error);
	if (r == -ENOMEM)
		return r;
	out = json_object_new_object();
	json_object_object_add(out, "accepted", json_object_new_boolean(r == 0));
	json_object_object_add(out, "error", json_object_new_string(r < 0 ? error->message : ""));
	json_object_object_add(out, "report", api_report_to_json(report));
	api_call_reply(call, out);
	return 0;
}

int api_undefine_domain(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d || api_check_flags(call, 0, error) < 0)
		return -EINVAL;
	r = manager_undefine(call->manager, d, error);
	if (r == 0)
		api_call_reply(call, NULL);
	return r;
}

/* It waits for its worker, or the disk, with the report to answer. */
struct api_create {
	struct api_call *call;
	struct json_object *out;
};

struct api_create *api_create_new(struct api_call *call, struct error *error)
{
	struct api_create *create = calloc(1, sizeof(*create));

	if (!create) {
		(void)error_set(error, ERROR_NO_MEMORY, "call");
		return NULL;
	}
	create->call = call;
	return create;
}

int api_create_started(
	struct api_create *create, int r, const char *name, const struct contract_report *report)
{
	if (r < 0) {
		free(create);
		return r;
	}
	(void)api_call_ref(create->call);
	create->out = api_named_report(name, report);
	return 0;
}

void api_create_done(void *userdata, const struct error *error)
{
	struct api_create *create = userdata;

	if (error)
		api_call_fail(create->call, error);
	else
		api_call_reply(create->call, json_object_get(create->out));
	json_object_put(create->out);
	(void)api_call_unref(create->call);
	free(create);
}

/* With a key, the state is compared with the intent that was written just before: nothing comes between (once.h). */
static int define_now(struct api_call *call, struct error *error)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	struct domain *d;
	int r = manager_define(call->manager, api_arg_string(call, "xml"),
		api_arg_string(call, "source"), api_define_flags(call), &d, &report, error);

	if (r < 0)
		return r;
	api_call_reply(call, api_named_report(d->name, report));
	return 0;
}

int api_define_domain(struct api_call *call, struct error *error)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	struct api_create *create;
	const char *name = "";
	int r;

	if (api_check_flags(call, API_FLAG_STRICT, error) < 0)
		return -EINVAL;
	if (call->key)
		return define_now(call, error);
	create = api_create_new(call, error);
	if (!create)
		return -ENOMEM;
	r = manager_define_soon(call->manager, api_arg_string(call, "xml"),
		api_arg_string(call, "source"), api_define_flags(call), api_create_done, create,
		&name, &report, error);
	return api_create_started(create, r, name, report);
}

int api_create_domain(struct api_call *call, struct error *error)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	struct api_create *create;
	struct domain *d = NULL;
	int r;

	if (api_check_flags(call, API_FLAG_STRICT | FLAG_PAUSED, error) < 0)
		return -EINVAL;
	create = api_create_new(call, error);
	if (!create)
		return -ENOMEM;
	r = manager_create(call->manager, api_arg_string(call, "xml"),
		api_arg_string(call, "source"), api_define_flags(call),
		api_arg_uint(call, "flags") & FLAG_PAUSED ? DOMAIN_START_PAUSED : 0,
		api_create_done, create, &d, &report, error);
	job_about_domain(call->job, d);
	return api_create_started(create, r, d ? d->name : "", report);
}

int api_set_autostart(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d)
		return -ENOENT;
	r = manager_set_autostart(call->manager, d, api_arg_bool(call, "on"), error);
	if (r == 0)
		api_call_reply(call, NULL);
	return r;
}
