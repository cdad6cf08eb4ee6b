/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The jobs of the canned vmmd (fake-vmmd.h): one of each kind, which never change; that of the domain which does not answer is
 * there as soon as that is. */
#include "tests/fakes/fake-vmmd-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/names.h"

#define MUTE "mute"

static const struct job {
	uint64_t id;
	const char *operation, *kind, *name, *state, *stage;
	int64_t percent, elapsed_ms, left_ms, bytes, bytes_total; /* -1: none */
	const char *error, *message;
} jobs[] = {
	{3, "start", "domain", "t1", "running", "machine", 25, 1500, 4500, 512 << 20,
		INT64_C(2) << 30, NULL, NULL},
	{4, "detach-device", "domain", "t2", "running", "guest", -1, 90, 4910, -1, -1, NULL, NULL},
	{6, "start", "domain", MUTE, "running", "machine", 25, 1500, 4500, 512 << 20,
		INT64_C(2) << 30, NULL, NULL},
	{5, "net-create", "network", "default", "running", "process", -1, 30, -1, -1, -1, NULL,
		NULL},
	{7, "net-capture", "network", "default", "running", "", -1, 61000, -1, 5 << 19, -1, NULL,
		NULL},
	{8, "net-capture", "network", "default", "cancelled", "", -1, 61000, -1, -1, -1,
		"Cancelled", "cancelled: net-capture of 'default' was cancelled"},
	{10, "capture", "domain", "t1", "cancelled", "", -1, 61000, -1, -1, -1, "Timeout",
		"Timed out during operation: capture of 't1' was not done in 61000 ms: it is "
		"cancelled"},
	{1, "start", "domain", "t2", "done", "", 100, 80, -1, -1, -1, NULL, NULL},
	{2, "start", "domain", "t3", "failed", "", -1, 40, -1, -1, -1, "OperationFailed",
		"operation failed: cannot open '/no/such/disk'"},
};

static void add_number(sd_bus_message *m, const char *key, int64_t value)
{
	if (value >= 0)
		(void)sd_bus_message_append(m, "{sv}", key, "x", value);
}

static void append_job(sd_bus_message *m, struct fake *f, const struct job *job)
{
	struct fake_domain *d;

	(void)sd_bus_message_open_container(m, 'a', "{sv}");
	(void)sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}", "job", "t", job->id, "operation",
		"s", job->operation, job->kind, "s", job->name, "state", "s", job->state, "stage",
		"s", job->stage);
	FOREACH_ELEMENT (d, f->domains)
		if (d->used && streq(d->name, job->name))
			(void)sd_bus_message_append(m, "{sv}", "uuid", "s", d->uuid);
	add_number(m, "elapsed_ms", job->elapsed_ms);
	add_number(m, "percent", job->percent);
	add_number(m, "left_ms", job->left_ms);
	add_number(m, "bytes", job->bytes);
	add_number(m, "bytes_total", job->bytes_total);
	if (job->bytes_total > 0)
		add_number(m, "bytes_per_s", 358 << 20);
	if (job->error)
		(void)sd_bus_message_append(
			m, "{sv}{sv}", "error", "s", job->error, "message", "s", job->message);
	(void)sd_bus_message_close_container(m);
}

static bool is_there(const struct fake *f, const struct job *job)
{
	const struct fake_domain *d;

	if (!streq(job->name, MUTE))
		return true;
	FOREACH_ELEMENT (d, f->domains)
		if (d->used && streq(d->name, MUTE))
			return true;
	return false;
}

int fake_on_list_jobs(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	const struct job *job;
	uint32_t flags;

	(void)error;
	(void)sd_bus_message_read(m, "u", &flags);
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	FOREACH_ELEMENT (job, jobs)
		if (is_there(opaque, job) &&
			(flags == 0 || flags & (streq(job->state, "running") ? 1U : 2U)))
			append_job(reply, opaque, job);
	(void)sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

static const struct job *read_job(sd_bus_message *m, sd_bus_error *error)
{
	const struct job *job;
	uint64_t id = 0;

	(void)sd_bus_message_read(m, "t", &id);
	FOREACH_ELEMENT (job, jobs)
		if (job->id == id)
			return job;
	(void)sd_bus_error_setf(error, VMMD_ERROR_PREFIX "NoJob",
		"job not found: no job with number %llu", (unsigned long long)id);
	return NULL;
}

int fake_on_job(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	const struct job *job = read_job(m, error);

	if (!job)
		return -ENOENT;
	(void)sd_bus_message_new_method_return(m, &reply);
	append_job(reply, opaque, job);
	return sd_bus_send(NULL, reply, NULL);
}

int fake_on_cancel_job(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const struct job *job = read_job(m, error);

	(void)opaque;
	if (!job)
		return -ENOENT;
	if (job->id == 4)
		return sd_bus_error_set(error, VMMD_ERROR_PREFIX "NotSupported",
			"Operation not supported: job 4 (detach-device) cannot be cancelled");
	return sd_bus_reply_method_return(m, "");
}
