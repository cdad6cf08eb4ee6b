/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between once.c (the table, answers), once-file.c (records on disk) and once-settle.c (what came of a call that was cut short). */
#pragma once

#include "config/net-config.h"
#include "config/vm-config.h"
#include "daemon/api.h"
#include "daemon/digest.h"
#include "daemon/once.h"
#include "vmm-core/base/list.h"

#define ONCE_NAME_MAX 256 /* of a domain or a network */

/* All zero: no text. */
struct digest once_digest(const char *text);
static inline bool once_digest_equal(struct digest a, struct digest b)
{
	return a.high == b.high && a.low == b.low;
}

enum once_kind {
	ONCE_NO_OBJECT,
	ONCE_DOMAIN,
	ONCE_NETWORK,
	ONCE_HOST, /* of a rule only: it has no object, and settle() is asked all the same */
	ONCE_KIND_X_MAX
};

/* What counts of the state of the object that a call is about. */
struct once_object {
	enum once_kind kind; /* ONCE_NO_OBJECT: the call names none, or its XML cannot be read */
	bool exists;
	char name[ONCE_NAME_MAX];
	uint8_t uuid[16];                  /* if it exists */
	struct digest definition, running; /* of the XML */
	int64_t run;                       /* a domain's id; of a network 1; 0: inactive */
	int state, reason;                 /* a domain's: enum domain_state and its reasons */
};

enum once_state {
	ONCE_BEGUN,
	ONCE_DONE,
	ONCE_HAPPENED,
	ONCE_SAME_RUN,
	ONCE_UNKNOWN,
	ONCE_NOTHING, /* never in the table */
	ONCE_STATE_X_MAX
};

_Static_assert(ONCE_NAME_MAX >= VM_NAME_MAX && ONCE_NAME_MAX >= NET_NAME_MAX, "names fit");

struct once_entry {
	struct list link;
	struct once *once;
	uint64_t number; /* the file's name, and the order */
	char caller[API_CALLER_MAX], key[ONCE_KEY_MAX + 1];
	const struct once_rule *rule;
	struct digest arguments;
	uint64_t at_s; /* CLOCK_BOOTTIME: begun, or done */
	struct once_object before;
	bool had_status; /* the object had a run, or traces of one, when this daemon came */
	enum once_state state;
	char *answer;         /* of ONCE_DONE: JSON; NULL: an error, or no results */
	enum error_code code; /* ERROR_NONE: it worked */
	char *message;
	uint64_t job;      /* of this daemon; 0: none */
	struct list waits; /* struct once_wait: calls that get the same answer */
};

/* Where a daemon may be killed, for tests. */
enum once_step {
	ONCE_STEP_BEGIN,   /* before the intent is written */
	ONCE_STEP_INTENT,  /* it is; the handler comes next */
	ONCE_STEP_HANDLED, /* the handler has answered */
	ONCE_STEP_OUTCOME, /* that is written; the caller does not have it yet */
	ONCE_STEP_X_MAX
};

struct once {
	struct manager *manager;
	void (*step)(enum once_step step); /* NULL: no test */
	int dir_fd;
	struct list entries; /* the oldest first */
	unsigned n_entries;
	size_t bytes;
	uint64_t last_number;
};

struct once_rule {
	const char *method;
	enum once_kind kind;
	/* What came of a call that was cut short; 'before' and 'now' are of the same object. */
	enum once_state (*settle)(
		const struct once_object *before, const struct once_object *now, bool had_status);
	/* Its answer, by its arguments; NULL: it has no results. */
	struct json_object *(*rebuild)(const struct api_call *call, const char *name);
	bool waits; /* 'now' counts when the domain's worker has spoken to this daemon */
	/* Of what is not known: has it come about since? NULL: that would not show. */
	bool (*is_seen)(const struct once_object *before, const struct once_object *now);
	const char *remedy; /* when it is not known; NULL: what there is for all */
};
const struct once_rule *once_find_rule(const char *method);

/* The object that the call is about, as it is. */
void once_look(const struct once_rule *rule, const struct api_call *call, struct once_object *ret);
/* What it is now. */
void once_look_again(
	struct manager *manager, const struct once_object *before, struct once_object *ret);
/* There is a status of its run in the runtime folder. */
bool once_has_status(struct manager *manager, const struct once_object *object);

/* Records on disk. save: 0 or -errno; nothing has changed then. */
int once_file_save(const struct once_entry *entry);
/* The outcome cannot be written: make the intent a lost answer. */
void once_file_lose(const struct once_entry *entry);
void once_file_remove(const struct once_entry *entry);
/* Read all of them into the table, the oldest first. */
int once_file_load(struct once *once);

/* A record for the table; once_entry_free() takes it out again, and leaves its file. */
struct once_entry *once_entry_new(struct once *once, uint64_t number);
struct once_entry *once_entry_free(struct once_entry *entry);
uint64_t once_now_s(void);
