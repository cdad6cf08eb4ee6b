/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers of jobs. Tested by tests/unit/test-job.c. */
#include "daemon/api.h"
#include "daemon/job.h"

static struct job *arg_job(const struct api_call *call, struct error *error)
{
	return job_find(call, api_arg_uint64(call, "job"), error);
}

static void reply(struct api_call *call, const char *name, struct json_object *value)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, name, value);
	api_call_reply(call, out);
}

int api_list_jobs(struct api_call *call, struct error *error)
{
	uint32_t which = api_arg_uint(call, "flags");

	if (api_check_flags(call, JOBS_RUNNING | JOBS_FINISHED, error) < 0)
		return -EINVAL;
	reply(call, "jobs", jobs_to_json(call, which ? which : JOBS_RUNNING | JOBS_FINISHED));
	return 0;
}

int api_get_job(struct api_call *call, struct error *error)
{
	const struct job *job = arg_job(call, error);

	if (!job)
		return -ENOENT;
	reply(call, "info", job_to_json(job));
	return 0;
}

int api_cancel_job(struct api_call *call, struct error *error)
{
	struct job *job = arg_job(call, error);
	int r = job ? job_cancel(job, error) : -ENOENT;

	if (r == 0)
		api_call_reply(call, NULL);
	return r;
}

static void on_waited(void *userdata, const struct job *job)
{
	_cleanup_(api_call_unrefp) struct api_call *call = userdata;

	reply(call, "info", job_to_json(job));
}

int api_wait_job(struct api_call *call, struct error *error)
{
	struct job *job = arg_job(call, error);
	int r;

	if (!job)
		return -ENOENT;
	r = job_wait(job, api_arg_uint(call, "ms"), on_waited, api_call_ref(call));
	if (r < 0)
		(void)api_call_unref(call);
	return r;
}
