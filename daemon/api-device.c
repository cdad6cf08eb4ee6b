/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers of devices that come and go while their domain is defined or runs. Tested by tests/unit/test-domain-plug.c. */
#include "daemon/api.h"

#define FLAGS (DOMAIN_AFFECT_LIVE | DOMAIN_AFFECT_CONFIG)

/* An attach that waits for the worker, with the report to answer. */
struct attach {
	struct api_call *call;
	struct contract_report *report;
};

static void reply_report(struct api_call *call, const struct contract_report *report)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, "report", api_report_to_json(report));
	api_call_reply(call, out);
}

static void on_attached(void *userdata, const struct error *error)
{
	struct attach *attach = userdata;

	if (error)
		api_call_fail(attach->call, error);
	else
		reply_report(attach->call, attach->report);
	(void)contract_report_free(attach->report);
	(void)api_call_unref(attach->call);
	free(attach);
}

int api_attach_device(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	struct attach *attach;
	int r;

	if (!d || api_check_flags(call, FLAGS, error) < 0)
		return -EINVAL;
	attach = calloc(1, sizeof(*attach));
	if (!attach)
		return error_set(error, ERROR_NO_MEMORY, "call");
	attach->call = api_call_ref(call);
	r = domain_attach_device(d, api_arg_string(call, "xml"), api_arg_string(call, "source"),
		api_arg_uint(call, "flags"), on_attached, attach, &attach->report, error);
	if (r > 0) {
		on_attached(attach, NULL);
	} else if (r < 0) {
		(void)contract_report_free(attach->report);
		(void)api_call_unref(call);
		free(attach);
	}
	return MIN(r, 0);
}

static void reply_gone(struct api_call *call, bool gone)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, "gone", json_object_new_boolean(gone));
	api_call_reply(call, out);
}

static void on_detached(void *userdata, bool gone, const struct error *error)
{
	_cleanup_(api_call_unrefp) struct api_call *call = userdata;

	if (error)
		api_call_fail(call, error);
	else
		reply_gone(call, gone);
}

int api_detach_device(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d || api_check_flags(call, FLAGS, error) < 0)
		return -EINVAL;
	r = domain_detach_device(d, api_arg_string(call, "xml"), api_arg_string(call, "source"),
		api_arg_uint(call, "flags"), on_detached, api_call_ref(call), error);
	if (r > 0)
		on_detached(call, true, NULL);
	else if (r < 0)
		(void)api_call_unref(call);
	return MIN(r, 0);
}

static int update(struct api_call *call, const struct domain_memory_wish *wish, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d || api_check_flags(call, FLAGS, error) < 0)
		return -EINVAL;
	r = domain_update_memory(
		d, wish, api_arg_uint(call, "flags"), api_done, api_call_ref(call), error);
	if (r > 0)
		api_call_reply(call, NULL);
	if (r != 0)
		(void)api_call_unref(call);
	return MIN(r, 0);
}

int api_update_device(struct api_call *call, struct error *error)
{
	const char *source = api_arg_string(call, "source");
	const struct domain_memory_wish wish = {
		.xml = api_arg_string(call, "xml"), .source = *source ? source : "device.xml"};

	return update(call, &wish, error);
}

int api_update_memory_device(struct api_call *call, struct error *error)
{
	uint32_t node = api_arg_uint(call, "node");
	const struct domain_memory_wish wish = {.alias = api_arg_string(call, "alias"),
		.node = node > INT32_MAX ? -1 : (int)node,
		.kib = api_arg_uint64(call, "kib")};

	return update(call, &wish, error);
}
