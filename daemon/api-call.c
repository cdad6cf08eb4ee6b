/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way of a call through the method table: see api.h. Tested by tests/unit/test-dbus.c. */
#include "daemon/api.h"

#include <stdio.h>
#include <string.h>

#include "daemon/api-audit.h"
#include "daemon/api-park.h"
#include "daemon/auth.h"
#include "daemon/job.h"
#include "daemon/once.h"
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
	if (!call->done) {
		(void)error_set(&e, ERROR_INTERNAL, "the call was dropped");
		api_call_fail(call, &e);
	}
	api_unpark(call);
	call->ops->release(call);
	json_object_put(call->in);
	free(call->key);
	free(call);
	return NULL;
}

/* Detached: the number of the job, which is there now at the latest. */
static void reply_job(struct api_call *call)
{
	struct json_object *out = json_object_new_object();

	job_publish(call->job);
	json_object_object_add(out, "job", json_object_new_uint64(call->job->id));
	call->answered = true;
	call->ops->reply(call, out, -EBADF);
	json_object_put(out);
}

/* The handler waits. */
static void wait_for_job(struct api_call *call)
{
	job_publish(call->job);
	once_note_job(call);
	if (call->detach)
		reply_job(call);
}

static void fail(struct api_call *call, int r, struct error *error)
{
	if (error->code == ERROR_NONE)
		(void)error_set_errno(error, r, "%s failed", call->method->name);
	api_call_fail(call, error);
}

static void run_now(struct api_call *call)
{
	struct error e = {0};
	int r = 0;

	if (call->key)
		r = once_begin(call->manager->once, call, &e);
	if (r == 0) {
		api_audit_begin(call);
		job_begin(call);
		r = call->method->handler(call, &e);
	}
	if (r < 0)
		fail(call, r, &e);
	else if (call->job && !call->done)
		wait_for_job(call);
}

void api_call_again(struct api_call *call)
{
	run_now(call);
	(void)api_call_unref(call);
}

/* It waits for the disk itself. */
static bool defines_soon(const struct api_call *call)
{
	return !call->key && call->method->handler == api_define_domain;
}

static void run_after(void *userdata, bool is_end)
{
	_cleanup_(api_call_unrefp) struct api_call *call = userdata;

	if (!defines_soon(call))
		api_unpark(call);
	if (!is_end)
		run_now(call);
}

/* A transport's own methods look at no definition, and what they are about may be gone when they have waited. */
static bool is_of_transport(const struct api_method *method)
{
	return method < api_methods || method >= api_methods + n_api_methods;
}

/* What was defined before is there for every other call: these wait until it is durable, in their order. */
static bool has_to_wait(const struct api_call *call)
{
	if (is_of_transport(call->method))
		return false;
	if (!defines_soon(call))
		return manager_is_defining(call->manager);
	return manager_has_waiters(call->manager);
}

static void run(struct api_call *call)
{
	struct error e = {0};
	int r = call->in ? 0 : call->ops->read_args(call, &call->in, &e);

	if (r == 0 && (has_to_wait(call) || defines_soon(call)))
		r = api_park(call, &e);
	if (r == 0 && has_to_wait(call)) {
		r = manager_wait(call->manager, run_after, api_call_ref(call));
		if (r == 0)
			return;
		(void)api_call_unref(call);
	}
	if (r < 0)
		fail(call, r, &e);
	else
		run_now(call);
}

static void on_authorised(void *userdata, bool allowed, const char *why)
{
	_cleanup_(api_call_unrefp) struct api_call *call = userdata;
	struct error e = {0};

	call->own_only = !allowed;
	if (allowed || call->method->owner == API_OWNER_LIST) {
		run(call);
		return;
	}
	/* An owner: what he may not see is not there. Of changes he hears that he may not, whether it is there or not. */
	if (call->in && call->method->role == API_ROLE_READER) {
		if (api_arg_domain(call, &e)) {
			run(call);
			return;
		}
	} else {
		(void)error_set(&e, ERROR_ACCESS_DENIED, "%s needs the role %s%s: %s",
			call->method->name, api_role_name(call->method->role),
			call->in ? ", or a domain of the caller's" : "", why);
		call->denied = true;
		if (call->in)
			api_audit_begin(call);
	}
	api_call_fail(call, &e);
}

static bool owns_any(const struct api_call *call)
{
	struct list *pos;

	list_for_each (pos, &call->manager->domains)
		if (owner_is(&list_entry(pos, struct domain, link)->owner, &call->peer.user))
			return true;
	return false;
}

/* The arguments of who owns some domain: is it the one that is meant? Then, or when they are wrong, the call is done. */
static bool run_as_owner(struct api_call *call)
{
	struct error e = {0};

	if (call->ops->read_args(call, &call->in, &e) < 0) {
		api_call_fail(call, &e);
		return true;
	}
	call->own_only = true;
	if (!api_arg_domain(call, &e))
		return false;
	run(call);
	return true;
}

void api_dispatch(struct api_call *call, struct auth *auth)
{
	const struct api_method *m = call->method;

	/* Nobody is asked for a password to use what is his. */
	if (m->owner == API_OWNER_DOMAIN && !auth_has(auth, &call->peer, m->role) &&
		owns_any(call) && run_as_owner(call)) {
		(void)api_call_unref(call);
		return;
	}
	auth_check(auth, &call->peer, m->role, on_authorised, call);
}

/* Of the table's methods only: a transport's own are not for everybody. */
static void count(const struct api_call *call, enum error_code code)
{
	struct manager *m = call->manager;

	if (!m->api_counts)
		m->api_counts = calloc(n_api_methods * ERROR_CODE_X_MAX, sizeof(*m->api_counts));
	for (size_t i = 0; m->api_counts && i < n_api_methods; i++)
		if (call->method == &api_methods[i])
			m->api_counts[i * ERROR_CODE_X_MAX + code]++;
}

static void reply(struct api_call *call, struct json_object *out, int fd)
{
	if (call->done)
		return;
	call->done = true;
	api_unpark(call);
	/* A retry of one that is done: a job for its result. */
	if (call->detach && !call->job)
		job_begin(call);
	if (call->detach && call->job && !call->answered)
		reply_job(call);
	once_finish(call, out, NULL);
	job_finish(call, out, NULL);
	count(call, ERROR_NONE);
	api_audit_end(call, out, NULL);
	if (!call->answered) {
		call->answered = true;
		call->ops->reply(call, out, fd);
	}
}

void api_call_reply(struct api_call *call, struct json_object *out)
{
	reply(call, out, -EBADF);
	json_object_put(out);
}

void api_call_reply_fd(struct api_call *call, struct json_object *out, int fd)
{
	reply(call, out, fd);
	json_object_put(out);
}

void api_call_give_up(struct api_call *call, const struct error *error)
{
	if (!call->answered) {
		call->answered = true;
		call->ops->fail(call, error);
	}
}

void api_call_fail(struct api_call *call, const struct error *error)
{
	struct error buffer;

	if (call->done)
		return;
	call->done = true;
	api_unpark(call);
	error = job_verdict(call, error, &buffer);
	once_finish(call, NULL, error);
	job_finish(call, NULL, error);
	count(call, error->code);
	api_audit_end(call, NULL, error);
	log_debug("%s: %s", call->method->name, error->message);
	api_call_give_up(call, error);
}

void api_peer_text(const struct api_peer *peer, char ret[API_CALLER_MAX])
{
	const struct user *user = &peer->user;

	if (user->uid_known)
		(void)snprintf(ret, API_CALLER_MAX, "uid %u", user->uid);
	else if (*peer->certificate)
		(void)snprintf(ret, API_CALLER_MAX, "certificate %s", peer->certificate);
	else
		(void)snprintf(ret, API_CALLER_MAX, "%s%s", *user->name ? "user " : "",
			*user->name ? user->name : peer->sender);
}

void api_call_caller(const struct api_call *call, char ret[API_CALLER_MAX])
{
	api_peer_text(&call->peer, ret);
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

uint64_t api_arg_uint64(const struct api_call *call, const char *name)
{
	return json_object_get_uint64(json_object_object_get(call->in, name));
}

bool api_arg_bool(const struct api_call *call, const char *name)
{
	return json_object_get_boolean(json_object_object_get(call->in, name));
}

struct domain *api_arg_domain(const struct api_call *call, struct error *error)
{
	return api_find_domain(call, api_arg_string(call, "domain"), error);
}

struct domain *api_find_domain(const struct api_call *call, const char *key, struct error *error)
{
	return manager_find_seen(
		call->manager, key, call->own_only ? &call->peer.user : NULL, error);
}

bool api_sees(const struct api_call *call, const struct domain *d)
{
	return !call->own_only || owner_is(&d->owner, &call->peer.user);
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
