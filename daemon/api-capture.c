/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handlers that open captures. The call is answered by the client's end and the number of a job, which is there for as long as the capture
 * is (job.h). Tested by tests/unit/test-dbus.c and tests/unit/test-job-capture.c.
 */
#include <stdio.h>

#include "daemon/api.h"
#include "daemon/capture.h"
#include "daemon/job.h"
#include "daemon/network.h"

static void add_number(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void on_begun(void *userdata, struct capture *capture, int fd, const struct error *error)
{
	_cleanup_(api_call_unrefp) struct api_call *call = userdata;
	struct json_object *out;
	struct job *job;

	if (error) {
		if (call->job)
			call->job->work = NULL;
		api_call_fail(call, error);
		return;
	}
	job = job_keep(call, capture);
	capture_set_userdata(capture, job);
	out = json_object_new_object();
	add_number(out, "job", job ? job->id : 0);
	api_call_reply_fd(call, out, fd);
	(void)safe_close(fd);
}

static void on_ended(void *userdata, struct capture *capture, enum capture_why why)
{
	static const char *const words[] = {
		[CAPTURE_WHY_READER] = "reader",
		[CAPTURE_WHY_SOURCE] = "source",
		[CAPTURE_WHY_STOPPED] = "cancelled",
	};
	struct job *job = userdata;
	struct json_object *out = json_object_new_object();
	struct capture_totals totals;
	struct error e = {0};

	capture_look(capture, &totals);
	add_number(out, "frames", totals.frames);
	add_number(out, "bytes", totals.bytes);
	add_number(out, "lost", totals.lost);
	json_object_object_add(out, "ended", json_object_new_string(words[why]));
	if (why != CAPTURE_WHY_READER)
		(void)error_set(&e, ERROR_OPERATION_FAILED,
			"the capture of %s ended: what was captured is gone, or its worker is",
			capture_whose(capture));
	if (job)
		job_end(job, out, why == CAPTURE_WHY_READER ? NULL : &e);
	json_object_put(out);
}

static const struct capture_ops capture_ops = {.begun = on_begun, .ended = on_ended};

static int open_capture(struct api_call *call, struct worker *worker, const char *kind,
	const char *name, uint32_t index, struct error *error)
{
	const struct proto_capture what = {.index = index,
		.direction = api_arg_uint(call, "direction"),
		.snaplen = api_arg_uint(call, "snaplen")};
	char whose[VM_NAME_MAX + 16];
	struct capture *capture;
	int r;

	(void)snprintf(whose, sizeof(whose), "%s '%s'", kind, name);
	r = capture_open(worker, whose, &what, &capture_ops, api_call_ref(call), &capture, error);
	if (r < 0)
		(void)api_call_unref(call);
	else if (call->job)
		call->job->work = capture;
	return r;
}

int api_open_capture(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int i;

	if (!d)
		return -ENOENT;
	if (!d->worker)
		return error_set(error, ERROR_OPERATION_INVALID, "domain is not running");
	i = api_find_interface(d, api_arg_string(call, "interface"), error);
	if (i < 0)
		return i;
	return open_capture(call, d->worker, "domain", d->name, d->live->nics[i].number, error);
}

/* An empty name: none, and '*ret' stays. */
static int find_uplink(
	const struct network *n, const char *name, uint32_t *ret, struct error *error)
{
	int r;

	if (!*name)
		return 0;
	r = network_team_member(n, name, error);
	if (r < 0)
		return r;
	*ret = (uint32_t)r;
	return 0;
}

int api_open_network_capture(struct api_call *call, struct error *error)
{
	struct network *n = network_find(call->manager, api_arg_string(call, "network"), error);
	uint32_t index = PROTO_CAPTURE_SWITCH;
	int r;

	if (!n)
		return -ENOENT;
	if (n->phase != NETWORK_ACTIVE)
		return error_set(
			error, ERROR_OPERATION_INVALID, "network '%s' is not active", n->name);
	r = find_uplink(n, api_arg_string(call, "uplink"), &index, error);
	return r < 0 ? r : open_capture(call, n->worker, "network", n->name, index, error);
}
