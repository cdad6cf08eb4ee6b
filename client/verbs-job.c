/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Verbs about jobs: what vmmd is busy with, how far it is, waiting for it, and ending it.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <string.h>

#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

#define JOB_OPTION(which)                                                                          \
	{                                                                                          \
		.name = "job", .type = OPTION_DATA, .completion = (which), .required = true,       \
		.help = "number of the job"                                                        \
	}

const struct verb_option jobs_options[] = {
	FLAG("all", "those that are over, too"),
	{},
};

const struct verb_option job_options[] = {JOB_OPTION(COMPLETE_JOB), {}};

const struct verb_option job_wait_options[] = {
	JOB_OPTION(COMPLETE_ANY_JOB),
	NUMBER("timeout", "wait at most that many seconds"),
	{},
};

#define JOBS_RUNNING     1U
#define MAX_TIMEOUT_SEC  31536000
#define WAIT_AT_ONCE_SEC 20 /* one call of WaitJob, within the time that a call has */

/* libvirt's words where it has the operation. */
static const struct {
	const char *name, *words;
} operations[] = {
	{"start", "Start"},
	{"create", "Start"},
	{"destroy", "Destroy"},
	{"attach-device", "Attach device"},
	{"detach-device", "Detach device"},
	{"capture", "Capture"},
};

static const char *words_of(const char *operation)
{
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		if (streq(operations[i].name, operation))
			return operations[i].words;
	return operation;
}

/* "12.3 s", or "-" for what is not known. */
static void format_ms(struct json_object *o, const char *key, char ret[32])
{
	long long ms = json_number(o, key, -1);

	if (ms < 0)
		(void)snprintf(ret, 32, "-");
	else
		(void)snprintf(ret, 32, "%lld.%lld s", ms / 1000, ms % 1000 / 100);
}

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

/* A value and its unit as virsh has them: 1.500 GiB. */
static const char *capacity(int64_t bytes, double *ret_value)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;

	*ret_value = (double)bytes;
	while (*ret_value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		*ret_value /= 1024;
		unit++;
	}
	return units[unit];
}

/* In per cent, or, where nobody knows of how much, as much as it is. */
static void format_done(struct json_object *job, char ret[32])
{
	int64_t percent = json_number(job, "percent", -1), bytes = json_number(job, "bytes", -1);
	const char *unit;
	double value;

	(void)snprintf(ret, 32, "-");
	if (percent >= 0) {
		(void)snprintf(ret, 32, "%lld %%", (long long)percent);
	} else if (bytes >= 0) {
		unit = capacity(bytes, &value);
		(void)snprintf(ret, 32, "%.1f %s", value, unit);
	}
}

static int add_job(struct table *table, struct json_object *job)
{
	char id[24], done[32], elapsed[32], left[32];
	const char *cells[] = {id, json_string(job, "operation", ""),
		json_string(job, "domain", json_string(job, "network", "-")),
		json_string(job, "state", ""), or_dash(json_string(job, "stage", "")), done,
		elapsed, left};

	(void)snprintf(id, sizeof(id), "%lld", (long long)json_number(job, "job", 0));
	format_done(job, done);
	format_ms(job, "elapsed_ms", elapsed);
	format_ms(job, "left_ms", left);
	return table_add_row(table, cells);
}

static int print_jobs(struct ctl *ctl, struct json_object *jobs)
{
	static const char *const headers[] = {
		"Job", "Operation", "Of", "State", "Stage", "Done", "Time", "Left"};
	_cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));
	int r = table ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < json_object_array_length(jobs); i++)
		r = add_job(table, json_object_array_get_idx(jobs, i));
	if (r < 0)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

static int list(struct ctl *ctl, uint32_t flags, struct json_object **ret_jobs)
{
	int r = remote_call_one(ctl, "ListJobs", ret_jobs, "u", flags);

	return r < 0 ? ctl_report(ctl) : 0;
}

int verb_jobs(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *jobs = NULL;

	if (list(ctl, args_flag(args, "all") ? 0 : JOBS_RUNNING, &jobs) < 0)
		return -EINVAL;
	return ctl->json ? ctl_json(ctl, json_object_get(jobs)) : print_jobs(ctl, jobs);
}

static int job_option(struct ctl *ctl, const struct args *args, uint64_t *ret)
{
	return ctl_number_option(ctl, args, "job", INT64_MAX, 0, ret);
}

int verb_job_cancel(struct ctl *ctl, const struct args *args)
{
	struct json_object *o;
	uint64_t job;

	if (job_option(ctl, args, &job) < 0)
		return -EINVAL;
	if (remote_call(ctl, "CancelJob", CTL_CALL_TIMEOUT_USEC, NULL, "t", job) < 0)
		return ctl_fail(ctl, "Failed to cancel job %llu", (unsigned long long)job);
	if (!ctl->json) {
		ctl_extra(ctl, "Job %llu is being cancelled\n", (unsigned long long)job);
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(o, "job", json_object_new_uint64(job));
	(void)json_object_object_add(o, "action", json_object_new_string("cancelled"));
	return ctl_json(ctl, o);
}

/* Until it is over, or the time is: each call waits for a part of it. */
static int wait_for(
	struct ctl *ctl, uint64_t job, uint64_t timeout_sec, struct json_object **ret_info)
{
	uint64_t left = timeout_sec;

	for (;;) {
		uint64_t part =
			timeout_sec ? MIN(left, (uint64_t)WAIT_AT_ONCE_SEC) : WAIT_AT_ONCE_SEC;

		json_putp(ret_info);
		if (remote_call_one(ctl, "WaitJob", ret_info, "tu", job, (uint32_t)part * 1000) < 0)
			return ctl_fail(
				ctl, "Failed to wait for job %llu", (unsigned long long)job);
		left -= MIN(left, part);
		if (!streq(json_string(*ret_info, "state", ""), "running"))
			return 0;
		if (timeout_sec && left == 0) {
			(void)ctl_set_error(ctl, "Timeout",
				"Timed out during operation: job %llu is not over within %llu s",
				(unsigned long long)job, (unsigned long long)timeout_sec);
			return ctl_report(ctl);
		}
	}
}

int verb_job_wait(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *info = NULL;
	uint64_t job, timeout;
	const char *message;
	int r = 0;

	if (job_option(ctl, args, &job) < 0 ||
		ctl_number_option(ctl, args, "timeout", MAX_TIMEOUT_SEC, 0, &timeout) < 0 ||
		wait_for(ctl, job, timeout, &info) < 0)
		return -EINVAL;
	message = json_string(info, "message", "");
	if (*message)
		(void)ctl_set_error(ctl, json_string(info, "error", "Internal"), "%s", message);
	if (ctl->json) {
		ctl->has_document = true;
		r = ctl_json(ctl, json_object_get(info));
	} else if (!*message) {
		ctl_extra(ctl, "Job %llu is %s\n", (unsigned long long)job,
			json_string(info, "state", "over"));
	}
	return r < 0 || !*message ? r : ctl_report(ctl);
}

static void print_capacity(struct ctl *ctl, const char *label, int64_t bytes, const char *per)
{
	double value;
	const char *unit = capacity(bytes, &value);

	ctl_print(ctl, "%-17s %-.3f %s%s\n", label, value, unit, per);
}

static void print_info(struct ctl *ctl, struct json_object *job)
{
	int64_t left = json_number(job, "left_ms", -1), total = json_number(job, "bytes_total", 0);
	int64_t done = json_number(job, "bytes", -1);

	ctl_print(ctl, "%-17s %-12s\n", "Job type:", left >= 0 ? "Bounded" : "Unbounded");
	ctl_print(ctl, "%-17s %-12s\n",
		"Operation:", words_of(json_string(job, "operation", "Unknown")));
	ctl_print(ctl, "%-17s %-12lld ms\n",
		"Time elapsed:", (long long)json_number(job, "elapsed_ms", 0));
	if (left >= 0)
		ctl_print(ctl, "%-17s %-12lld ms\n", "Time remaining:", (long long)left);
	if (total) {
		print_capacity(ctl, "Memory processed:", done, "");
		print_capacity(ctl, "Memory remaining:", total - done, "");
		print_capacity(ctl, "Memory total:", total, "");
		print_capacity(ctl, "Memory bandwidth:", json_number(job, "bytes_per_s", 0), "/s");
	} else if (done >= 0) {
		print_capacity(ctl, "Data processed:", done, "");
		print_capacity(ctl, "Data bandwidth:", json_number(job, "bytes_per_s", 0), "/s");
	}
}

int verb_domjobinfo(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *jobs = NULL, *d = NULL;
	struct json_object *found = NULL;
	const char *name;

	if (ctl_domain_option(ctl, args, &name) < 0)
		return -EINVAL;
	if (remote_get_domain(ctl, name, &d) < 0)
		return ctl_report_domain(ctl, name);
	if (list(ctl, JOBS_RUNNING, &jobs) < 0)
		return -EINVAL;
	for (size_t i = 0; !found && i < json_object_array_length(jobs); i++) {
		struct json_object *job = json_object_array_get_idx(jobs, i);

		if (streq(json_string(job, "uuid", ""), json_string(d, "uuid", "-")))
			found = job;
	}
	if (ctl->json)
		return ctl_json(ctl, found ? json_object_get(found) : json_object_new_object());
	if (found)
		print_info(ctl, found);
	else
		ctl_print(ctl, "%-17s %-12s\n", "Job type:", "None");
	return 0;
}
