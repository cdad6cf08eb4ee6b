/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Jobs: what the daemon is busy with for longer than a moment. A job comes with a call of a method that takes long (job_kinds[]): it
 * is there from the moment that the call has to wait until it is done, and its result for JOB_KEEP_USEC after that. The call's own
 * answer is not changed by that: who made it waits for it, or ('call->detach') has been answered by the job's id.
 *
 *	         the handler waits             the call is answered
 *	(none) ───────────────────► RUNNING ───────────────────────► DONE, FAILED, CANCELLED ──► forgotten
 *
 * A call that is answered at once leaves no job, unless it was detached. What a call has only begun goes on behind its answer, which has
 * the job's number (job_keep(); captures): RUNNING until somebody ends it.
 *
 * Progress is looked at, not told: a kind's function reads it from the state of the domain or network, whenever somebody asks, and each
 * JOB_TICK_USEC while jobs run, for their events ("job": Started, Progress when something has changed, Done, Failed, Cancelled). So
 * operations know nothing of jobs, and a look at a job, a state or statistics never waits for one.
 *
 * Cancelling is asked for: the operation ends as it can, and its answer says Cancelled. Only starts and captures can be cancelled; a domain
 * that ends, a guest that was asked to release a device, and a test of a team cannot be stopped half-way. A deadline ('call->timeout_ms')
 * cancels a job that can be cancelled; the call of one that cannot is answered by Timeout, and the job goes on.
 *
 * An administrator may cancel all jobs, others those of their own domains and those that they have begun. Captures are not of
 * their own domains' (readers see them, as all jobs).
 *
 * Numbers go up over restarts of the daemon, so that the number of a job that a daemon took with it never means another. Jobs themselves
 * end with the daemon (a domain that it was starting does not: the next one finds it).
 *
 * Ownership: a job belongs to the table; the call that it came with is borrowed while it waits. Domains and networks are found again
 * by their UUID. One thread, the daemon's. Tested by tests/unit/test-job.c.
 */
#pragma once

#include <json-c/json.h>
#include <systemd/sd-event.h>

#include "daemon/error.h"
#include "daemon/owner.h"
#include "vmm-core/base/list.h"

#define JOB_TICK_USEC    UINT64_C(500000)
#define JOB_KEEP_USEC    (600 * UINT64_C(1000000))
#define JOB_MAX_FINISHED 256
#define JOB_MAX_RESULT   (64U * 1024) /* bytes of JSON that are kept; a longer result is left out */
#define JOB_NAME_MAX     256
#define JOB_OWNER_MAX    300
#define JOB_STAGE_MAX    32
#define JOB_PART_MAX     64

struct api_call;
struct api_method;
struct domain;
struct jobs;
struct manager;
struct network;

enum job_state { JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED, JOB_STATE_X_MAX };

struct job_progress {
	const char *
		stage; /* what is waited for: "process", "machine", "guest" …; "": nothing in particular */
	uint64_t bytes, bytes_total; /* total 0: it is not a matter of bytes, or 'counts' */
	bool counts;                 /* bytes and frames so far, of nobody knows how many */
	uint64_t frames, lost;
	int percent;     /* -1: not known */
	int64_t left_ms; /* -1: not known */
};

struct job_kind;

struct job {
	struct list link;
	struct jobs *jobs;
	const struct job_kind *kind;
	struct api_call *call; /* NULL: answered */
	void *work;            /* the kind's: what goes on behind the answer */
	uint64_t id;           /* 0: nobody has seen it yet */
	enum job_state state;
	bool of_network, cancelling, timed_out;
	char name[JOB_NAME_MAX]; /* of its domain or network */
	char part[JOB_PART_MAX]; /* of that: kind->part */
	uint8_t uuid[16];
	struct domain_owner domain_owner;
	char owner[JOB_OWNER_MAX];          /* who began it, as api_call_caller() has it */
	uint32_t expected_ms;               /* 0: not known before */
	int64_t started_usec, ended_usec;   /* CLOCK_REALTIME */
	uint64_t began_usec, finished_usec; /* CLOCK_MONOTONIC */
	uint64_t deadline_usec;             /* the same; 0: none */
	sd_event_source *deadline;
	struct job_progress told; /* with the last event */
	/* For the speed: bytes at the last tick, and bytes a second since the one before. */
	uint64_t tick_bytes, tick_usec, speed;
	struct json_object *result; /* NULL: none, or not kept */
	struct error error;
	struct list waits; /* struct job_wait */
};

struct job_kind {
	const char *method, *name; /* "StartDomain", "start" */
	bool of_network;
	bool secret; /* not the domain's owner's, unless he has begun it */
	const char *
		part; /* the argument that names a part of the domain or network; NULL: all of it */
	/* What it is at; NULL: nothing is known. 'ret' is preset to unknown. */
	void (*look)(const struct job *job, struct job_progress *ret);
	/* Ask it to end. NULL: it cannot be cancelled. */
	int (*cancel)(struct job *job, struct error *error);
	/* The daemon ends: let go of job->work, which goes on. NULL: there is never any. */
	void (*drop)(struct job *job);
};
extern const struct job_kind job_kinds[];
extern const size_t n_job_kinds;
/* The kind of a method; NULL: it does not take long. */
const struct job_kind *job_find_kind(const char *method);
bool job_takes_long(const struct api_method *method);

/* Of the jobs of one kind that were seen, since the daemon started. */
struct job_count {
	uint64_t running;                /* now */
	uint64_t ended[JOB_STATE_X_MAX]; /* by how: DONE, FAILED, CANCELLED */
	uint64_t usec;                   /* that those which are over took, added up */
};
/* n_job_kinds of them, in job_kinds' order. */
const struct job_count *jobs_counts(const struct jobs *jobs);

int jobs_new(struct manager *manager, struct jobs **ret_jobs);
struct jobs *jobs_free(struct jobs *jobs);

/* For api.c. A call is about to be handled: its job, if it may take long; 'call->job'. */
void job_begin(struct api_call *call);
/* The handler waits, or was detached: the job is seen from now on. */
void job_publish(struct job *job);
/* What the call is to be answered by: 'error' (NULL: it worked), or in its place, in 'buffer', that it was cancelled or took too long. */
const struct error *job_verdict(
	const struct api_call *call, const struct error *error, struct error *buffer);
/* The call is about to be answered, and what it began goes on as 'work': its job, for job_end(), and its number for the answer. NULL: it
 * has none. */
struct job *job_keep(struct api_call *call, void *work);
/* That is over. 'out' stays the caller's, and is kept whatever 'error' (NULL: it worked) says; one that was cancelled says so itself. */
void job_end(struct job *job, struct json_object *out, const struct error *error);
struct manager *job_manager(const struct job *job);
/* The call is answered. */
void job_finish(struct api_call *call, struct json_object *out, const struct error *error);

/* Answer a detached call by the number of a job that is there already. False: it is not. */
bool job_reply(struct api_call *call, uint64_t id);

/* For handlers that learn only then what they are about. 'job' may be NULL. */
void job_about_domain(struct job *job, const struct domain *domain);
void job_about_network(struct job *job, const struct network *network);

/* NULL with 'error' set (NoJob). One that the caller may not see is as if it were not there. */
struct job *job_find(const struct api_call *call, uint64_t id, struct error *error);
/* 0: it has been asked to end; or a negative errno with 'error' set: it is over, or cannot be cancelled. */
int job_cancel(struct job *job, struct error *error);
/* What it is at now. */
void job_look(const struct job *job, struct job_progress *ret);
/* "running", … */
const char *job_state_name(enum job_state state);
struct json_object *job_to_json(const struct job *job);
/* May the caller see it (and end it): all, or what is his or was begun by him. */
bool job_is_seen(const struct job *job, const struct api_call *call);
/* An array of those that run (1) and then those that are over (2), each the oldest first. */
struct json_object *jobs_to_json(const struct api_call *call, unsigned which);
#define JOBS_RUNNING  (1U << 0)
#define JOBS_FINISHED (1U << 1)

/* 'done' is called once when the job is over, or (ms, 0: no limit) after that time; at once if it is over. 'job' is valid then,
 * and not later. 0 or -ENOMEM. */
int job_wait(struct job *job, uint32_t ms, void (*done)(void *userdata, const struct job *job),
	void *userdata);
