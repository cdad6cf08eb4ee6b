/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs: the table, events, results. See job.h; what each kind is at is job-kind.c's. */
#include "daemon/job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/api.h"
#include "daemon/network.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define RESERVE 1024 /* numbers that are taken from the store at once */

struct job_wait {
	struct list link;
	struct job *job;
	sd_event_source *timer;
	void (*done)(void *userdata, const struct job *job);
	void *userdata;
};

struct jobs {
	struct manager *manager;
	struct list jobs; /* by when they began, or are over: the newest last */
	unsigned n_finished, n_running;
	uint64_t last_id, reserved_id;
	sd_event_source *tick;
	struct job_count *counts; /* by kind */
};

_Static_assert(JOB_OWNER_MAX >= API_CALLER_MAX, "callers fit");

static const char *const states[JOB_STATE_X_MAX] = {
	[JOB_RUNNING] = "running",
	[JOB_DONE] = "done",
	[JOB_FAILED] = "failed",
	[JOB_CANCELLED] = "cancelled",
};

/* In events. */
static const char *const details[JOB_STATE_X_MAX] = {
	[JOB_RUNNING] = "Progress",
	[JOB_DONE] = "Done",
	[JOB_FAILED] = "Failed",
	[JOB_CANCELLED] = "Cancelled",
};

const char *job_state_name(enum job_state state)
{
	return states[state];
}

const struct job_count *jobs_counts(const struct jobs *jobs)
{
	return jobs->counts;
}

static struct job_count *count_of(const struct job *job)
{
	return &job->jobs->counts[job->kind - job_kinds];
}

static uint64_t now_usec(const struct jobs *jobs)
{
	uint64_t now = 0;

	(void)sd_event_now(jobs->manager->event, CLOCK_MONOTONIC, &now);
	return now;
}

static int64_t wall_usec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void drop_wait(struct job_wait *w)
{
	list_del(&w->link);
	(void)sd_event_source_disable_unref(w->timer);
	free(w);
}

static void job_free(struct job *job)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &job->waits)
		drop_wait(list_entry(pos, struct job_wait, link));
	if (job->call)
		job->call->job = NULL;
	if (job->work && job->kind->drop)
		job->kind->drop(job);
	list_del(&job->link);
	(void)sd_event_source_disable_unref(job->deadline);
	json_object_put(job->result);
	free(job);
}

static void forget(struct job *job)
{
	job->jobs->n_finished--;
	job_free(job);
}

/* Those that are over, and old or too many. */
static void expire(struct jobs *jobs)
{
	uint64_t now = now_usec(jobs);
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &jobs->jobs) {
		struct job *job = list_entry(pos, struct job, link);

		if (job->state != JOB_RUNNING &&
			(now - job->finished_usec >= JOB_KEEP_USEC ||
				jobs->n_finished > JOB_MAX_FINISHED))
			forget(job);
	}
}

/* What it is at. */

void job_look(const struct job *job, struct job_progress *ret)
{
	*ret = (struct job_progress){.stage = "", .percent = -1, .left_ms = -1};
	if (job->state == JOB_DONE)
		ret->percent = 100;
	if (job->state != JOB_RUNNING || (!job->call && !job->work))
		return;
	job->kind->look(job, ret);
	if (ret->bytes_total) {
		ret->percent = (int)(ret->bytes * 100 / ret->bytes_total);
		if (job->speed)
			ret->left_ms =
				(int64_t)((ret->bytes_total - ret->bytes) * 1000 / job->speed);
	}
}

static void emit(const struct job *job, const char *detail, const struct job_progress *p)
{
	char id[24], uuid[UUID_STRING_LEN + 1], percent[16] = "";
	const struct event_field fields[] = {
		{"job", id},
		{"operation", job->kind->name},
		{job->of_network ? "network" : "domain", job->name},
		{"uuid", uuid},
		{"stage", p->stage},
		{"percent", percent},
		{"error", job->state == JOB_FAILED ? error_code_name(job->error.code) : ""},
	};

	(void)snprintf(id, sizeof(id), "%" PRIu64, job->id);
	uuid_format(job->uuid, uuid);
	if (p->percent >= 0)
		(void)snprintf(percent, sizeof(percent), "%d", p->percent);
	manager_emit_job(job->jobs->manager, job, detail, fields, ARRAY_SIZE(fields));
}

static bool same_progress(const struct job_progress *a, const struct job_progress *b)
{
	return streq(a->stage, b->stage) && a->percent == b->percent;
}

static void measure(struct job *job, const struct job_progress *p, uint64_t now)
{
	if (now > job->tick_usec && p->bytes >= job->tick_bytes)
		job->speed = (p->bytes - job->tick_bytes) * 1000000 / (now - job->tick_usec);
	job->tick_bytes = p->bytes;
	job->tick_usec = now;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct jobs *jobs = userdata;
	uint64_t now = now_usec(jobs);
	struct list *pos;

	(void)usec;
	list_for_each (pos, &jobs->jobs) {
		struct job *job = list_entry(pos, struct job, link);
		struct job_progress p;

		if (job->state != JOB_RUNNING || !job->id)
			continue;
		job_look(job, &p);
		measure(job, &p, now);
		if (!same_progress(&p, &job->told))
			emit(job, "Progress", &p);
		job->told = p;
	}
	if (jobs->n_running) {
		(void)sd_event_source_set_time_relative(source, JOB_TICK_USEC);
		(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	return 0;
}

static void start_ticking(struct jobs *jobs)
{
	if (!jobs->tick) {
		(void)sd_event_add_time_relative(jobs->manager->event, &jobs->tick, CLOCK_MONOTONIC,
			JOB_TICK_USEC, 0, on_tick, jobs);
		return;
	}
	(void)sd_event_source_set_time_relative(jobs->tick, JOB_TICK_USEC);
	(void)sd_event_source_set_enabled(jobs->tick, SD_EVENT_ONESHOT);
}

/* Life. */

/* It took too long. */
static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct job *job = userdata;
	struct error e = {0};

	(void)source;
	(void)usec;
	job->timed_out = true;
	if (job_cancel(job, &e) == 0)
		return 0;
	(void)error_set(&e, ERROR_TIMEOUT,
		"job %" PRIu64 " (%s of '%s') is not done yet; it cannot be cancelled, and goes on",
		job->id, job->kind->name, job->name);
	api_call_give_up(job->call, &e);
	return 0;
}

void job_about_domain(struct job *job, const struct domain *d)
{
	if (!job || !d)
		return;
	(void)str_copy(job->name, sizeof(job->name), d->name);
	memcpy(job->uuid, d->uuid, sizeof(job->uuid));
	job->domain_owner = d->owner;
}

void job_about_network(struct job *job, const struct network *n)
{
	if (!job || !n)
		return;
	(void)str_copy(job->name, sizeof(job->name), n->name);
	memcpy(job->uuid, n->uuid, sizeof(job->uuid));
}

void job_begin(struct api_call *call)
{
	const struct job_kind *kind = job_find_kind(call->method->name);
	struct jobs *jobs = call->manager->jobs;
	struct job *job;

	if (!kind || call->job)
		return;
	job = calloc(1, sizeof(*job));
	if (!job)
		return;
	job->jobs = jobs;
	job->kind = kind;
	job->call = call;
	job->of_network = kind->of_network;
	job->expected_ms = api_arg_uint(call, "ms");
	if (!job->expected_ms)
		job->expected_ms = NETWORK_TEST_MS;
	if (kind->part)
		(void)str_copy(job->part, sizeof(job->part), api_arg_string(call, kind->part));
	job->began_usec = job->tick_usec = now_usec(jobs);
	job->started_usec = wall_usec();
	list_init(&job->waits);
	api_call_caller(call, job->owner);
	if (kind->of_network)
		job_about_network(
			job, network_find(call->manager, api_arg_string(call, "network"), NULL));
	else
		job_about_domain(job, api_find_domain(call, api_arg_string(call, "domain"), NULL));
	list_add_tail(&jobs->jobs, &job->link);
	call->job = job;
}

static uint64_t take_id(struct jobs *jobs)
{
	if (jobs->last_id == jobs->reserved_id) {
		jobs->reserved_id += RESERVE;
		if (store_set_number(jobs->manager->store, STORE_NEXT_JOB, jobs->reserved_id) < 0)
			log_notice("cannot note the numbers of jobs: a new vmmd may begin with "
				   "numbers that were used before");
	}
	return ++jobs->last_id;
}

void job_publish(struct job *job)
{
	struct api_call *call = job->call;
	struct jobs *jobs = job->jobs;
	struct job_progress p;

	if (job->id)
		return;
	job->id = take_id(jobs);
	jobs->n_running++;
	count_of(job)->running++;
	start_ticking(jobs);
	if (call->timeout_ms) {
		job->deadline_usec = job->began_usec + call->timeout_ms * UINT64_C(1000);
		(void)sd_event_add_time(jobs->manager->event, &job->deadline, CLOCK_MONOTONIC,
			job->deadline_usec, 0, on_deadline, job);
	}
	job_look(job, &p);
	job->told = p;
	emit(job, "Started", &p);
}

static const struct error *verdict(
	const struct job *job, const struct error *error, struct error *buffer)
{
	if (!job || !error || !job->cancelling)
		return error;
	if (job->timed_out)
		(void)error_set(buffer, ERROR_TIMEOUT,
			"%s of '%s' was not done in %" PRIu64 " ms: it is "
			"cancelled",
			job->kind->name, job->name, (job->deadline_usec - job->began_usec) / 1000);
	else
		(void)error_set(buffer, ERROR_CANCELLED, "%s of '%s' was cancelled",
			job->kind->name, job->name);
	return buffer;
}

const struct error *job_verdict(
	const struct api_call *call, const struct error *error, struct error *buffer)
{
	return verdict(call->job, error, buffer);
}

static void keep_result(struct job *job, struct json_object *out)
{
	size_t len = 0;

	if (!out)
		return;
	(void)json_object_to_json_string_length(out, JSON_C_TO_STRING_PLAIN, &len);
	if (len <= JOB_MAX_RESULT)
		job->result = json_object_get(out);
}

static void count_ended(const struct job *job)
{
	struct job_count *count = count_of(job);

	job->jobs->n_running--;
	job->jobs->n_finished++;
	count->running--;
	count->ended[job->state]++;
	count->usec += job->finished_usec - job->began_usec;
}

static void finish(struct job *job, struct json_object *out, const struct error *error)
{
	struct job_progress p;

	job->call = NULL;
	job->work = NULL;
	job->deadline = sd_event_source_disable_unref(job->deadline);
	job->state = !error ? JOB_DONE : job->cancelling ? JOB_CANCELLED : JOB_FAILED;
	job->finished_usec = now_usec(job->jobs);
	job->ended_usec = wall_usec();
	if (error)
		job->error = *error;
	keep_result(job, out);
	count_ended(job);
	list_del(&job->link);
	list_add_tail(&job->jobs->jobs, &job->link);
	job_look(job, &p);
	emit(job, details[job->state], &p);
	while (!list_empty(&job->waits)) {
		struct job_wait *w = list_entry(job->waits.next, struct job_wait, link);

		w->done(w->userdata, job);
		drop_wait(w);
	}
	expire(job->jobs);
}

void job_finish(struct api_call *call, struct json_object *out, const struct error *error)
{
	struct job *job = TAKE_PTR(call->job);

	if (!job)
		return;
	if (job->id)
		finish(job, out, error);
	else
		job_free(job);
}

struct job *job_keep(struct api_call *call, void *work)
{
	struct job *job = call->job;

	if (!job)
		return NULL;
	job_publish(job);
	call->job = NULL;
	job->call = NULL;
	job->work = work;
	return job;
}

void job_end(struct job *job, struct json_object *out, const struct error *error)
{
	struct error buffer;

	finish(job, out, verdict(job, error, &buffer));
}

struct manager *job_manager(const struct job *job)
{
	return job->jobs->manager;
}

int job_cancel(struct job *job, struct error *error)
{
	int r;

	if (job->state != JOB_RUNNING)
		return error_set(error, ERROR_OPERATION_INVALID, "job %" PRIu64 " is over (%s)",
			job->id, states[job->state]);
	if (!job->kind->cancel)
		return error_set(error, ERROR_NOT_SUPPORTED,
			"job %" PRIu64 " (%s) cannot be cancelled", job->id, job->kind->name);
	if (job->cancelling)
		return 0;
	/* It may be over before this returns. */
	job->cancelling = true;
	r = job->kind->cancel(job, error);
	if (r < 0)
		job->cancelling = false;
	return r;
}

bool job_is_seen(const struct job *job, const struct api_call *call)
{
	char caller[API_CALLER_MAX];

	api_call_caller(call, caller);
	return !call->own_only || streq(caller, job->owner) ||
		(!job->of_network && !job->kind->secret &&
			owner_is(&job->domain_owner, &call->peer.user));
}

struct job *job_find(const struct api_call *call, uint64_t id, struct error *error)
{
	const struct manager *m = call->manager;
	struct list *pos;

	expire(m->jobs);
	list_for_each (pos, &m->jobs->jobs) {
		struct job *job = list_entry(pos, struct job, link);

		if (job->id == id && id && job_is_seen(job, call))
			return job;
	}
	(void)error_set(error, ERROR_NO_JOB, "no job with number %" PRIu64, id);
	return NULL;
}

bool job_reply(struct api_call *call, uint64_t id)
{
	struct json_object *out;

	if (!job_find(call, id, NULL))
		return false;
	out = json_object_new_object();
	json_object_object_add(out, "job", json_object_new_uint64(id));
	call->detach = false;
	api_call_reply(call, out);
	return true;
}

static int on_wait_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct job_wait *w = userdata;

	(void)source;
	(void)usec;
	w->done(w->userdata, w->job);
	drop_wait(w);
	return 0;
}

int job_wait(struct job *job, uint32_t ms, void (*done)(void *userdata, const struct job *job),
	void *userdata)
{
	struct job_wait *w;

	if (job->state != JOB_RUNNING) {
		done(userdata, job);
		return 0;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct job_wait){.job = job, .done = done, .userdata = userdata};
	list_add_tail(&job->waits, &w->link);
	if (ms &&
		sd_event_add_time_relative(job->jobs->manager->event, &w->timer, CLOCK_MONOTONIC,
			ms * UINT64_C(1000), 0, on_wait_over, w) < 0) {
		drop_wait(w);
		return -ENOMEM;
	}
	return 0;
}

int jobs_new(struct manager *m, struct jobs **ret_jobs)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));

	if (!jobs)
		return -ENOMEM;
	jobs->counts = calloc(n_job_kinds, sizeof(*jobs->counts));
	if (!jobs->counts) {
		free(jobs);
		return -ENOMEM;
	}
	jobs->manager = m;
	list_init(&jobs->jobs);
	(void)store_get_number(m->store, STORE_NEXT_JOB, INT64_MAX - RESERVE, &jobs->last_id);
	jobs->reserved_id = jobs->last_id;
	*ret_jobs = jobs;
	return 0;
}

struct jobs *jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return NULL;
	while (!list_empty(&jobs->jobs))
		job_free(list_entry(jobs->jobs.next, struct job, link));
	(void)sd_event_source_disable_unref(jobs->tick);
	free(jobs->counts);
	free(jobs);
	return NULL;
}

/* As JSON. */

static void add_string(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_number(struct json_object *o, const char *key, int64_t value)
{
	json_object_object_add(o, key, json_object_new_int64(value));
}

static void add_progress(const struct job *job, struct json_object *o)
{
	struct job_progress p;

	job_look(job, &p);
	add_string(o, "stage", p.stage);
	if (p.percent >= 0)
		add_number(o, "percent", p.percent);
	if (p.left_ms >= 0)
		add_number(o, "left_ms", p.left_ms);
	if (p.bytes_total)
		add_number(o, "bytes_total", (int64_t)p.bytes_total);
	if (p.bytes_total || p.counts) {
		add_number(o, "bytes", (int64_t)p.bytes);
		add_number(o, "bytes_per_s", (int64_t)job->speed);
	}
	if (p.counts) {
		add_number(o, "frames", (int64_t)p.frames);
		add_number(o, "lost", (int64_t)p.lost);
	}
}

struct json_object *job_to_json(const struct job *job)
{
	struct json_object *o = json_object_new_object();
	uint64_t now = now_usec(job->jobs);
	uint64_t end = job->state == JOB_RUNNING ? now : job->finished_usec;
	char uuid[UUID_STRING_LEN + 1];

	uuid_format(job->uuid, uuid);
	json_object_object_add(o, "job", json_object_new_uint64(job->id));
	add_string(o, "operation", job->kind->name);
	add_string(o, job->of_network ? "network" : "domain", job->name);
	if (*job->part)
		add_string(o, job->kind->part, job->part);
	add_string(o, "uuid", uuid);
	add_string(o, "owner", job->owner);
	add_string(o, "state", states[job->state]);
	json_object_object_add(o, "cancellable",
		json_object_new_boolean(job->state == JOB_RUNNING && job->kind->cancel != NULL));
	add_number(o, "started_us", job->started_usec);
	add_number(o, "elapsed_ms", (int64_t)(end - job->began_usec) / 1000);
	add_progress(job, o);
	if (job->state == JOB_RUNNING && job->deadline_usec)
		add_number(o, "deadline_ms",
			job->deadline_usec > now ? (int64_t)(job->deadline_usec - now) / 1000 : 0);
	if (job->state != JOB_RUNNING)
		add_number(o, "ended_us", job->ended_usec);
	if (job->result)
		json_object_object_add(o, "result", json_object_get(job->result));
	if (job->error.code != ERROR_NONE) {
		add_string(o, "error", error_code_name(job->error.code));
		add_string(o, "message", job->error.message);
	}
	return o;
}

struct json_object *jobs_to_json(const struct api_call *call, unsigned which)
{
	struct json_object *array = json_object_new_array();
	struct jobs *jobs = call->manager->jobs;
	struct list *pos;

	expire(jobs);
	for (unsigned kind = JOBS_RUNNING; kind <= JOBS_FINISHED; kind <<= 1)
		list_for_each (pos, &jobs->jobs) {
			const struct job *job = list_entry(pos, struct job, link);

			if (job->id && job_is_seen(job, call) &&
				which & kind &
					(job->state == JOB_RUNNING ? JOBS_RUNNING : JOBS_FINISHED))
				json_object_array_add(array, job_to_json(job));
		}
	return array;
}
