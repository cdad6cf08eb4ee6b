/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that happen once. A caller gives a call a key of his own ("idempotency key"); when he sends the same call with the same key
 * again, because the connection broke or the daemon ended before he had the answer, nothing is done again: he gets the answer of
 * the first one, or waits for it. What a key stands for is a record:
 *
 *	         once_begin                  once_finish
 *	(none) ───────────► BEGUN (intent) ──────────────► DONE (answer or error) ──► forgotten after ONCE_KEEP_S
 *
 * Records are files of RUNTIME/once, so that they outlive the daemon (they do not outlive a boot; neither does what they started). The
 * intent is written before the handler runs, the outcome when it has answered and before the caller hears of it. So whatever moment
 * the daemon is killed at, the next one finds one of three things:
 *
 *	no record	the handler has not run: the call is a new one
 *	DONE		the answer
 *	BEGUN		the handler has run, or was about to. The intent holds what the state was just before it: of the one domain or network
 *			that the call is about, its definition and its run (every start of a domain has an id of its own). once_settle()
 *			compares that with what the new daemon has found, before any caller can change it:
 *
 *			NOTHING		it is as it was, and the call cannot have had an effect that would not show: the record goes, a
 *					retry does the work
 *			HAPPENED	the state is what the call makes of it: a retry is told so. What a call answers beyond that (a name, the
 *					report of its XML) is a function of its arguments, which come with the retry
 *			SAME_RUN	the domain that was to be destroyed is still the one with that id: a retry destroys it, or finds
 *					it gone; another run is not touched
 *			UNKNOWN		anything else: a reset leaves no trace. A retry is refused (Interrupted), and the
 *					caller has to look (once_remedy()). It is never done again on a guess. What a pressed power
 *					button is for may show later: a retry that finds the run over, or another one, is told so
 *
 * Whether a domain is paused (SuspendDomain, ResumeDomain) its worker says, so these settle when that has spoken to the new daemon, and
 * when a pause that was under way has come to its end; retries wait for that.
 *
 * A domain's start whose worker has not said what became of it settles when it does (domain.start_waits): retries wait for that, too.
 *
 * Why comparing is enough: handlers of definitions do their work in one turn of the loop, between intent and outcome, so nobody else can
 * have changed the object in between. A start saves its status (which a new daemon finds, even when the worker is dead by then)
 * before START is sent; an attach changes the live configuration before it asks the worker. If an outcome cannot be written
 * (the folder is full), the intent is renamed to be a record of a lost answer, which needs no space: it would be compared with
 * a state that is much younger otherwise.
 *
 * Every outcome counts, also an error of the handler: who wants to try again takes another key. What is refused before (rights,
 * arguments, too many calls) leaves no record.
 *
 * Which methods take a key is a table, once_rules[]. Keys are a caller's own: two callers' never meet (api_call_caller()). Limits:
 * ONCE_MAX_ENTRIES records and ONCE_MAX_BYTES of answers, ONCE_MAX_OF_CALLER of one caller; the oldest that are done go.
 *
 * One thread, the daemon's. Tested by tests/unit/test-once.c.
 */
#pragma once

#include <json-c/json.h>

#include "daemon/error.h"
#include "vmm-core/base/cleanup.h"

#define ONCE_KEY_MAX       128 /* bytes of a key; at least one */
#define ONCE_MAX_ENTRIES   1024
#define ONCE_MAX_OF_CALLER 256
#define ONCE_MAX_ANSWER                                                                            \
	(1024U * 1024) /* a longer one is not kept: a retry is told that it happened */
#define ONCE_MAX_BYTES (16U * 1024 * 1024)
#define ONCE_KEEP_S    3600
#define ONCE_FOLDER    "once" /* in the folder of what runs */

/* What a caller can do when nobody knows whether this method's call has happened; NULL: nothing in particular. */
const char *once_remedy(const char *method);

struct api_call;
struct api_method;
struct manager;
struct once;
struct once_entry;

/* The method takes a key. */
bool once_takes_key(const struct api_method *method);

/* Read what an earlier daemon has left; before domains and networks are found again. A record that cannot be read counts
 * as none, and is removed: 0 or -ENOMEM, -errno of the folder. */
int once_new(struct manager *manager, struct once **ret_once);
/* After they have been found. */
void once_settle(struct once *once);
/* Calls under way stay BEGUN in their files. */
struct once *once_free(struct once *once);
DEFINE_CLEANUP(struct once *, once_free);

/* 'call' has a key ('call->key') and its arguments, and is about to be handled. 0: go on, and once_finish() when it is answered.
 * 1: it is answered, or will be: nothing is to be done. Or a negative errno with 'error' set: a key that is none, or that
 * was another call's (InvalidArgument), too many at once, a record that cannot be written; nothing is to be done. */
int once_begin(struct once *once, struct api_call *call, struct error *error);

/* The call has a job now: retries that are detached get its number. */
void once_note_job(struct api_call *call);

/* The handler's answer: 'out' (NULL: no results) if 'error' is NULL. Recorded, and given to all who wait for it. */
void once_finish(struct api_call *call, struct json_object *out, const struct error *error);
