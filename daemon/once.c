/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that happen once: the table of keys, and who gets which answer. See once.h. */
#include "daemon/once.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/domain-internal.h"
#include "daemon/job.h"
#include "daemon/once-internal.h"
#include "daemon/worker.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define REUSED "give every call a key of its own"

/* A call with the key of one that is under way. */
struct once_wait {
	struct list link;
	struct api_call *call;
};

static void step(struct once *once, enum once_step step)
{
	if (once->step)
		once->step(step);
}

uint64_t once_now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec;
}

bool once_takes_key(const struct api_method *method)
{
	return once_find_rule(method->name);
}

struct once_entry *once_entry_new(struct once *once, uint64_t number)
{
	struct once_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->once = once;
	e->number = number;
	list_init(&e->waits);
	list_add_tail(&once->entries, &e->link);
	once->n_entries++;
	once->last_number = MAX(once->last_number, number);
	return e;
}

static size_t bytes_of(const struct once_entry *e)
{
	return (e->answer ? strlen(e->answer) : 0) + (e->message ? strlen(e->message) : 0);
}

struct once_entry *once_entry_free(struct once_entry *e)
{
	struct list *pos, *tmp;

	if (!e)
		return NULL;
	list_for_each_safe (pos, tmp, &e->waits) {
		struct once_wait *w = list_entry(pos, struct once_wait, link);

		list_del(&w->link);
		(void)api_call_unref(w->call);
		free(w);
	}
	list_del(&e->link);
	e->once->n_entries--;
	e->once->bytes -= bytes_of(e);
	free(e->answer);
	free(e->message);
	free(e);
	return NULL;
}

static void forget(struct once_entry *e)
{
	once_file_remove(e);
	(void)once_entry_free(e);
}

static void expire(struct once *once)
{
	uint64_t now = once_now_s();
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &once->entries) {
		struct once_entry *e = list_entry(pos, struct once_entry, link);

		if (e->state != ONCE_BEGUN && now - e->at_s >= ONCE_KEEP_S)
			forget(e);
	}
}

/* The oldest that is done: of 'caller', or of all (NULL). False: there is none. */
static bool forget_oldest(struct once *once, const char *caller)
{
	struct list *pos;

	list_for_each (pos, &once->entries) {
		struct once_entry *e = list_entry(pos, struct once_entry, link);

		if (e->state == ONCE_BEGUN || (caller && !streq(e->caller, caller)))
			continue;
		forget(e);
		return true;
	}
	return false;
}

static int make_room(struct once *once, const char *caller, struct error *error)
{
	unsigned n = 0;
	struct list *pos;

	list_for_each (pos, &once->entries)
		n += streq(list_entry(pos, struct once_entry, link)->caller, caller);
	if ((n >= ONCE_MAX_OF_CALLER && !forget_oldest(once, caller)) ||
		(once->n_entries >= ONCE_MAX_ENTRIES && !forget_oldest(once, NULL)))
		return error_set(error, ERROR_RESOURCE_BUSY,
			"too many calls with idempotency keys are being worked on");
	return 0;
}

static struct once_entry *find(struct once *once, const char *caller, const char *key)
{
	struct list *pos;

	list_for_each (pos, &once->entries) {
		struct once_entry *e = list_entry(pos, struct once_entry, link);

		if (streq(e->key, key) && streq(e->caller, caller))
			return e;
	}
	return NULL;
}

static struct digest digest_arguments(const struct api_call *call)
{
	return once_digest(json_object_to_json_string_ext(call->in, JSON_C_TO_STRING_PLAIN));
}

static void answer(const struct once_entry *e, struct api_call *call)
{
	struct error error = {.code = e->code};

	if (e->code == ERROR_NONE) {
		api_call_reply(call, e->answer ? json_tokener_parse(e->answer) : NULL);
		return;
	}
	(void)str_copy(error.message, sizeof(error.message), e->message);
	api_call_fail(call, &error);
}

/* The outcome, in memory. */
static void take_outcome(struct once_entry *e, struct json_object *out, const struct error *error)
{
	struct error lost = {0};

	e->state = ONCE_DONE;
	e->at_s = once_now_s();
	if (!error && out) {
		const char *text = json_object_to_json_string_ext(out, JSON_C_TO_STRING_PLAIN);

		if (text && strlen(text) <= ONCE_MAX_ANSWER)
			e->answer = strdup(text);
		if (!e->answer) {
			(void)error_set(&lost, ERROR_INTERRUPTED,
				"%s was done, but its answer is too long to be kept",
				e->rule->method);
			error = &lost;
		}
	}
	if (error) {
		e->message = strdup(error->message);
		e->code = e->message ? error->code : ERROR_NO_MEMORY;
	}
	e->once->bytes += bytes_of(e);
}

static void settled(struct once_entry *e)
{
	/* One of them may come with another call at once. */
	while (!list_empty(&e->waits)) {
		struct once_wait *w = list_entry(e->waits.next, struct once_wait, link);

		list_del(&w->link);
		answer(e, w->call);
		(void)api_call_unref(w->call);
		free(w);
	}
}

static void finish(struct once_entry *e, struct json_object *out, const struct error *error)
{
	struct once *once = e->once;
	int r;

	take_outcome(e, out, error);
	r = once_file_save(e);
	if (r < 0) {
		(void)log_warning_errno(
			r, "the answer of %s with a key cannot be kept: %m", e->rule->method);
		once_file_lose(e);
	}
	/* The newest that are done are at the end. */
	list_del(&e->link);
	list_add_tail(&once->entries, &e->link);
	step(once, ONCE_STEP_OUTCOME);
	settled(e);
	while (once->bytes > ONCE_MAX_BYTES && forget_oldest(once, NULL))
		;
}

void once_note_job(struct api_call *call)
{
	if (call->once)
		call->once->job = call->job->id;
}

void once_finish(struct api_call *call, struct json_object *out, const struct error *error)
{
	struct once_entry *e = TAKE_PTR(call->once);

	if (!e)
		return;
	step(e->once, ONCE_STEP_HANDLED);
	finish(e, out, error);
}

static int wait_for(struct once_entry *e, struct api_call *call, struct error *error)
{
	struct once_wait *w = malloc(sizeof(*w));

	if (!w)
		return error_set(error, ERROR_NO_MEMORY, "call");
	w->call = api_call_ref(call);
	list_add_tail(&e->waits, &w->link);
	return 1;
}

static struct json_object *rebuild(const struct once_entry *e, const struct api_call *call)
{
	return e->rule->rebuild ? e->rule->rebuild(call, e->before.name) : NULL;
}

/* What came of a call that was cut short. */
static void note(struct once_entry *e, enum once_state state)
{
	e->state = state;
	e->at_s = once_now_s();
	if (once_file_save(e) < 0)
		once_file_lose(e);
}

/* It was cut short, and has happened all the same. */
static int answer_happened(struct once_entry *e, struct api_call *call)
{
	struct json_object *out = rebuild(e, call);

	finish(e, out, NULL);
	json_object_put(out);
	answer(e, call);
	return 1;
}

/* A domain that was to be destroyed. Another run of it is not the one that was meant. */
static int destroy_again(struct once_entry *e, struct api_call *call)
{
	struct once_object now;

	once_look_again(e->once->manager, &e->before, &now);
	if (now.run != e->before.run)
		return answer_happened(e, call);
	e->state = ONCE_BEGUN;
	call->once = e;
	call->repeated = false;
	return 0;
}

/* Detached, and the job that the first call made is still there. */
static bool reply_same_job(const struct once_entry *e, struct api_call *call)
{
	return call->detach && e->job && job_reply(call, e->job);
}

static int say_unknown(const char *method, struct error *error)
{
	return error_set(error, ERROR_INTERRUPTED,
		"vmmd ended while it worked on %s, and whether it happened is not known", method);
}

/* What was not known has come about since. */
static bool is_seen(const struct once_entry *e)
{
	struct once_object now;

	if (!e->rule->is_seen)
		return false;
	once_look_again(e->once->manager, &e->before, &now);
	return e->rule->is_seen(&e->before, &now);
}

static int again(struct once_entry *e, struct api_call *call, struct error *error)
{
	if (!streq(e->rule->method, call->method->name) ||
		!once_digest_equal(e->arguments, digest_arguments(call)))
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"%s: the idempotency key '%s' was given to %s%s before; " REUSED,
			call->method->name, e->key, e->rule->method,
			streq(e->rule->method, call->method->name) ? " with other arguments" : "");
	call->repeated = true;
	if (reply_same_job(e, call))
		return 1;
	switch (e->state) {
	case ONCE_BEGUN:
		return wait_for(e, call, error);
	case ONCE_DONE:
		answer(e, call);
		return 1;
	case ONCE_HAPPENED:
		return answer_happened(e, call);
	case ONCE_SAME_RUN:
		return destroy_again(e, call);
	default:
		return is_seen(e) ? answer_happened(e, call)
				  : say_unknown(call->method->name, error);
	}
}

static int check_key(const struct api_call *call, struct error *error)
{
	size_t n = strlen(call->key);

	if (!once_takes_key(call->method))
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s takes no idempotency key",
			call->method->name);
	if (n < 1 || n > ONCE_KEY_MAX || !str_is_clean_utf8(call->key) ||
		strpbrk(call->key, "\t\n"))
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"%s: an idempotency key is 1 to %d bytes of UTF-8, without control "
			"characters",
			call->method->name, ONCE_KEY_MAX);
	return 0;
}

int once_begin(struct once *once, struct api_call *call, struct error *error)
{
	char caller[API_CALLER_MAX];
	struct once_entry *e;
	int r = check_key(call, error);

	if (r < 0)
		return r;
	expire(once);
	api_call_caller(call, caller);
	e = find(once, caller, call->key);
	if (e)
		return again(e, call, error);
	r = make_room(once, caller, error);
	if (r < 0)
		return r;
	e = once_entry_new(once, once->last_number + 1);
	if (!e)
		return error_set(error, ERROR_NO_MEMORY, "call");
	e->rule = once_find_rule(call->method->name);
	e->arguments = digest_arguments(call);
	e->at_s = once_now_s();
	(void)str_copy(e->caller, sizeof(e->caller), caller);
	(void)str_copy(e->key, sizeof(e->key), call->key);
	once_look(e->rule, call, &e->before);
	step(once, ONCE_STEP_BEGIN);
	r = once_file_save(e);
	if (r < 0) {
		(void)once_entry_free(e);
		return error_set_errno(
			error, r, "cannot note the idempotency key of %s", call->method->name);
	}
	call->once = e;
	step(once, ONCE_STEP_INTENT);
	return 0;
}

/* The worker that an earlier daemon started has said what became of it, or (an error) has ended without a word, or does not speak: a
 * daemon that was quicker would have found it dead. */
static void on_started(void *userdata, const struct error *error)
{
	struct error unknown = {0};
	struct once_entry *e = userdata;
	struct json_object *out;

	if (list_empty(&e->waits)) {
		note(e, error ? ONCE_UNKNOWN : ONCE_HAPPENED);
		return;
	}
	/* Any of those who wait has the arguments. */
	out = error ? NULL : rebuild(e, list_entry(e->waits.next, struct once_wait, link)->call);
	if (error)
		(void)say_unknown(e->rule->method, &unknown);
	finish(e, out, error ? &unknown : NULL);
	json_object_put(out);
}

/* True: it is settled when its worker speaks. */
static bool settles_later(struct once_entry *e, const struct once_object *now)
{
	struct domain *d = e->before.kind == ONCE_DOMAIN && now->exists
		? manager_find_uuid(e->once->manager, now->uuid)
		: NULL;

	return d && d->state == DOMAIN_STATE_PAUSED && d->reason == DOMAIN_PAUSED_STARTING_UP &&
		domain_add_wait(&d->start_waits, on_started, e) == 0;
}

static enum once_state come_of(const struct once_entry *e, const struct once_object *now)
{
	enum once_state state = e->rule->settle(&e->before, now, e->had_status);

	return state == ONCE_UNKNOWN && e->rule->is_seen && e->rule->is_seen(&e->before, now)
		? ONCE_HAPPENED
		: state;
}

static void log_state(const struct once_entry *e, enum once_state state)
{
	log_notice("%s with a key was cut short: %s", e->rule->method,
		state == ONCE_NOTHING            ? "nothing had happened"
			: state == ONCE_HAPPENED ? "it has happened"
						 : "whether it has happened is not known");
}

/* Those who wait begin once more, and find what there is then. */
static void conclude(struct once_entry *e, enum once_state state)
{
	struct list waits;

	list_init(&waits);
	while (!list_empty(&e->waits)) {
		struct list *first = e->waits.next;

		list_del(first);
		list_add_tail(&waits, first);
	}
	log_state(e, state);
	if (state == ONCE_NOTHING)
		forget(e);
	else
		note(e, state);
	while (!list_empty(&waits)) {
		struct once_wait *w = list_entry(waits.next, struct once_wait, link);

		list_del(&w->link);
		w->call->repeated = false;
		api_call_again(w->call);
		free(w);
	}
}

/* Its worker has spoken, or (an error) does not, or has ended. */
static void on_spoken(void *userdata, const struct error *error)
{
	struct once_entry *e = userdata;
	struct once_object now;

	once_look_again(e->once->manager, &e->before, &now);
	conclude(e, error ? ONCE_UNKNOWN : come_of(e, &now));
}

/* True: the run is there, and it is settled when its worker has spoken. */
static bool waits_for_worker(struct once_entry *e, const struct once_object *now)
{
	struct domain *d = e->rule->waits && now->run && now->run == e->before.run
		? manager_find_uuid(e->once->manager, now->uuid)
		: NULL;

	return d && d->worker && !worker_is_connected(d->worker) &&
		domain_add_wait(&d->start_waits, on_spoken, e) == 0;
}

static void settle(struct once_entry *e)
{
	struct once_object now;
	enum once_state state;

	once_look_again(e->once->manager, &e->before, &now);
	if (waits_for_worker(e, &now))
		return;
	state = e->before.kind == ONCE_NO_OBJECT && e->rule->kind != ONCE_HOST ? ONCE_NOTHING
									       : come_of(e, &now);
	if (state == ONCE_HAPPENED && settles_later(e, &now))
		return;
	conclude(e, state);
}

void once_settle(struct once *once)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &once->entries) {
		struct once_entry *e = list_entry(pos, struct once_entry, link);

		if (e->state == ONCE_BEGUN)
			settle(e);
	}
}

int once_new(struct manager *manager, struct once **ret_once)
{
	_cleanup_(once_freep) struct once *once = calloc(1, sizeof(*once));
	struct list *pos;
	int r;

	if (!once)
		return -ENOMEM;
	list_init(&once->entries);
	once->manager = manager;
	once->dir_fd = -EBADF;
	r = once_file_load(once);
	if (r < 0)
		return r;
	expire(once);
	list_for_each (pos, &once->entries) {
		struct once_entry *e = list_entry(pos, struct once_entry, link);

		if (e->state == ONCE_BEGUN)
			e->had_status = once_has_status(manager, &e->before);
	}
	*ret_once = TAKE_PTR(once);
	return 0;
}

struct once *once_free(struct once *once)
{
	if (!once)
		return NULL;
	while (!list_empty(&once->entries))
		(void)once_entry_free(list_entry(once->entries.next, struct once_entry, link));
	(void)safe_close(once->dir_fd);
	free(once);
	return NULL;
}
