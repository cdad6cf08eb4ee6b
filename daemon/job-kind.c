/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which methods take long, how far such an operation is, and how it is cancelled: see job.h.
 *
 * Tested by tests/unit/test-job.c.
 */
#include <errno.h>

#include "daemon/api.h"
#include "daemon/capture.h"
#include "daemon/job.h"
#include "daemon/network.h"
#include "daemon/process.h"
#include "vmm-core/base/strutil.h"

static struct domain *domain_of(const struct job *job)
{
	return manager_find_uuid(job_manager(job), job->uuid);
}

static struct network *network_of(const struct job *job)
{
	return network_find_uuid(job_manager(job), job->uuid);
}

static int64_t left_ms(const struct job *job, sd_event_source *timer)
{
	uint64_t now, then;

	if (!timer || sd_event_now(job_manager(job)->event, CLOCK_MONOTONIC, &now) < 0 ||
		sd_event_source_get_time(timer, &then) < 0)
		return -1;
	return then > now ? (int64_t)((then - now) / 1000) : 0;
}

/* The fds are held until START is sent. Of what the worker does then, the locking and allocation of memory is what takes time. */
static void look_at_start(const struct job *job, struct job_progress *ret)
{
	const struct domain *d = domain_of(job);
	struct process_usage usage;

	if (!d || d->phase != DOMAIN_STARTING)
		return;
	if (!d->worker) {
		ret->stage = "files";
		return;
	}
	ret->stage = d->run->resources.n > 0 ? "process" : "machine";
	if (d->run->resources.n > 0 ||
		(!d->live->vm.memory_locked &&
			d->live->vm.memory_allocation != VM_ALLOCATION_IMMEDIATE))
		return;
	ret->bytes_total = KIB(d->live->vm.memory_kib);
	if (process_usage(worker_pid(d->worker), &usage) == 0)
		ret->bytes = MIN(usage.resident_bytes, ret->bytes_total);
}

static int cancel_start(struct job *job, struct error *error)
{
	struct domain *d = domain_of(job);

	if (!d)
		return error_set(error, ERROR_OPERATION_INVALID, "the domain is gone");
	return domain_destroy(d, 0, NULL, NULL, error);
}

static void look_at_destroy(const struct job *job, struct job_progress *ret)
{
	const struct domain *d = domain_of(job);

	ret->stage = "process";
	if (d)
		ret->left_ms = left_ms(job, d->kill_timer);
}

static uint64_t elapsed_ms(const struct job *job)
{
	uint64_t now = job->began_usec;

	(void)sd_event_now(job_manager(job)->event, CLOCK_MONOTONIC, &now);
	return (now - job->began_usec) / 1000;
}

static void look_at_attach(const struct job *job, struct job_progress *ret)
{
	(void)job;
	ret->stage = "process";
}

static void look_at_detach(const struct job *job, struct job_progress *ret)
{
	uint64_t ms = elapsed_ms(job), limit = DOMAIN_DETACH_USEC / 1000;

	ret->stage = "guest";
	ret->left_ms = ms < limit ? (int64_t)(limit - ms) : 0;
}

static void look_at_net_update(const struct job *job, struct job_progress *ret)
{
	(void)job;
	ret->stage = "gateway";
}

static void look_at_net_start(const struct job *job, struct job_progress *ret)
{
	const struct network *n = network_of(job);

	if (n)
		ret->stage = n->worker ? "process" : "gateway";
}

static int cancel_net_start(struct job *job, struct error *error)
{
	struct network *n = network_of(job);

	if (!n)
		return error_set(error, ERROR_OPERATION_INVALID, "the network is gone");
	return network_destroy(n, NULL, NULL, error);
}

static void look_at_net_destroy(const struct job *job, struct job_progress *ret)
{
	const struct network *n = network_of(job);

	ret->stage = "process";
	if (n)
		ret->left_ms = left_ms(job, n->kill_timer);
}

/* Its length is known; when the member is back in use is not. */
static void look_at_test(const struct job *job, struct job_progress *ret)
{
	uint64_t ms = elapsed_ms(job), all = job->expected_ms;

	ret->stage = ms < all ? "out" : "returning";
	ret->percent = ms < all ? (int)(ms * 100 / all) : 99;
	if (ms < all)
		ret->left_ms = (int64_t)(all - ms);
}

/* How long it will be nobody knows; before it has begun it is a matter of its worker's answer. */
static void look_at_capture(const struct job *job, struct job_progress *ret)
{
	struct capture_totals totals;

	ret->stage = job->call ? "process" : "";
	if (!job->work)
		return;
	capture_look(job->work, &totals);
	ret->counts = true;
	ret->bytes = totals.bytes;
	ret->frames = totals.frames;
	ret->lost = totals.lost;
}

static int cancel_capture(struct job *job, struct error *error)
{
	(void)error;
	if (job->work)
		capture_stop(job->work);
	return 0;
}

static void drop_capture(struct job *job)
{
	job->work = capture_free(job->work);
}

const struct job_kind job_kinds[] = {
	{"StartDomain", "start", .look = look_at_start, .cancel = cancel_start},
	{"CreateDomain", "create", .look = look_at_start, .cancel = cancel_start},
	{"DestroyDomain", "destroy", .look = look_at_destroy},
	{"AttachDevice", "attach-device", .look = look_at_attach},
	{"DetachDevice", "detach-device", .look = look_at_detach},
	{"ApplyDefinitions", "apply", .look = look_at_attach},
	{"StartNetwork", "net-start", true, .look = look_at_net_start, .cancel = cancel_net_start},
	{"CreateNetwork", "net-create", true, .look = look_at_net_start,
		.cancel = cancel_net_start},
	{"DestroyNetwork", "net-destroy", true, .look = look_at_net_destroy},
	{"UpdateNetwork", "net-update", true, .look = look_at_net_update},
	{"TestTeam", "team-test", true, .look = look_at_test},
	{"OpenCapture", "capture", .secret = true, .part = "interface", .look = look_at_capture,
		.cancel = cancel_capture, .drop = drop_capture},
	{"OpenNetworkCapture", "net-capture", true, .secret = true, .part = "uplink",
		.look = look_at_capture, .cancel = cancel_capture, .drop = drop_capture},
};
const size_t n_job_kinds = ARRAY_SIZE(job_kinds);

const struct job_kind *job_find_kind(const char *method)
{
	const struct job_kind *kind;

	FOREACH_ELEMENT (kind, job_kinds)
		if (streq(kind->method, method))
			return kind;
	return NULL;
}

bool job_takes_long(const struct api_method *method)
{
	return job_find_kind(method->name);
}
