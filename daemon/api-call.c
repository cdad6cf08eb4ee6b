/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way of a call through the method table: see api.h. Tested by tests/unit/test-dbus.c. */
#include "daemon/api.h"

#include <stdio.h>
#include <string.h>

#include "daemon/auth.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

struct api_call *api_call_new(const struct api_method *method, struct manager *manager,
	const struct api_call_ops *ops, void *transport)
{
	struct api_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->n_ref = 1;
	call->method = method;
	call->manager = manager;
	call->ops = ops;
	call->transport = transport;
	return call;
}

struct api_call *api_call_ref(struct api_call *call)
{
	call->n_ref++;
	return call;
}

struct api_call *api_call_unref(struct api_call *call)
{
	struct error e = {0};

	if (!call || --call->n_ref)
		return NULL;
	if (!call->answered) {
		(void)error_set(&e, ERROR_INTERNAL, "the call was dropped");
		api_call_fail(call, &e);
	}
	call->ops->release(call);
	json_object_put(call->in);
	free(call);
	return NULL;
}

static void run(struct api_call *call)
{
	struct error e = {0};
	int r;

	r = call->ops->read_args(call, &call->in, &e);
	if (r == 0)
		r = call->method->handler(call, &e);
	if (r < 0) {
		if (e.code == ERROR_NONE)
			(void)error_set_errno(&e, r, "%s failed", call->method->name);
		api_call_fail(call, &e);
	}
}

static void on_authorised(void *userdata, bool allowed, const char *why)
{
	_cleanup_(api_call_unrefp) struct api_call *call = userdata;
	struct error e = {0};

	if (allowed) {
		run(call);
		return;
	}
	(void)error_set(&e, ERROR_ACCESS_DENIED, "%s needs the role %s: %s", call->method->name,
		api_role_name(call->method->role), why);
	api_call_fail(call, &e);
}

void api_dispatch(struct api_call *call, struct auth *auth)
{
	auth_check(auth, &call->peer, call->method->role, on_authorised, call);
}

void api_call_reply(struct api_call *call, struct json_object *out)
{
	if (!call->answered) {
		call->answered = true;
		call->ops->reply(call, out, -EBADF);
	}
	json_object_put(out);
}

void api_call_reply_fd(struct api_call *call, int fd)
{
	if (!call->answered) {
		call->answered = true;
		call->ops->reply(call, NULL, fd);
	}
}

void api_call_fail(struct api_call *call, const struct error *error)
{
	if (!call->answered) {
		call->answered = true;
		log_debug("%s: %s", call->method->name, error->message);
		call->ops->fail(call, error);
	}
}

const char *api_arg_string(const struct api_call *call, const char *name)
{
	const char *s = json_object_get_string(json_object_object_get(call->in, name));

	return s ? s : "";
}

uint32_t api_arg_uint(const struct api_call *call, const char *name)
{
	return (uint32_t)json_object_get_int64(json_object_object_get(call->in, name));
}

bool api_arg_bool(const struct api_call *call, const char *name)
{
	return json_object_get_boolean(json_object_object_get(call->in, name));
}

struct domain *api_arg_domain(const struct api_call *call, struct error *error)
{
	return manager_find(call->manager, api_arg_string(call, "domain"), error);
}

int api_check_flags(const struct api_call *call, unsigned known, struct error *error)
{
	uint32_t flags = api_arg_uint(call, "flags");

	if (flags & ~known)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s: unsupported flags (0x%x)",
			call->method->name, flags & ~known);
	return 0;
}

void api_domain_path(const struct domain *domain, char ret[API_PATH_MAX])
{
	char uuid[UUID_STRING_LEN + 1];

	uuid_format(domain->uuid, uuid);
	for (char *p = uuid; *p; p++)
		if (*p == '-')
			*p = '_';
	(void)snprintf(ret, API_PATH_MAX, VMMD_DOMAIN_PATH "/%s", uuid);
}

void api_done(void *userdata, const struct error *error)
{
	_cleanup_(api_call_unrefp) struct api_call *call = userdata;

	if (error)
		api_call_fail(call, error);
	else
		api_call_reply(call, NULL);
}
