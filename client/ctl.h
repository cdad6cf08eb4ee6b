/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What one run of vmctl carries: the global options, the connection, the last error. And how verbs speak:
 *
 *	ctl_print()	the answer itself: standard output, also with -q
 *	ctl_extra()	a sentence for humans: standard output, not with -q
 *	ctl_error()	"error: …" on standard error, after what standard output holds already
 *	ctl_json()	with --json: the one JSON document of this run
 *
 * With --json a verb prints nothing by the first two; when it fails, main prints the error as a document
 * {"error": {"code": …, "message": …}} besides the lines on standard error.
 *
 * One thread.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#pragma once

#include <json-c/json.h>
#include <stdarg.h>
#include <systemd/sd-bus.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/macro.h"

#define CTL_CALL_TIMEOUT_USEC  (UINT64_C(30) * 1000 * 1000)
#define CTL_START_TIMEOUT_USEC (UINT64_C(120) * 1000 * 1000)

struct remote_ops;
struct rpc_link;

struct ctl {
	const char *connect; /* -c, --session, --system or VMMD_URI; NULL: by who we are */
	bool quiet, json, readonly, timing;
	bool has_document; /* --json: the document is out already, though the verb fails */
	int status;        /* to exit with when the verb has worked: 0 */
	bool bare_output;  /* the guest's bytes go to standard output: no empty line after them */
	unsigned char escape;            /* leaves the console */
	const struct remote_ops *remote; /* the way to vmmd; NULL until remote_connect() */
	sd_bus *bus;                     /* by D-Bus */
	bool peer;                       /* by D-Bus, to vmmd itself, without a bus between */
	struct rpc_link *rpc;            /* by JSON-RPC */
	char *error_code;                /* of the last failed call: "NoDomain", …; NULL: none */
	char *error_message;
	char *said; /* the last line given to ctl_error() */
};

/* Frees what the members own. */
void ctl_done(struct ctl *ctl);

static inline void json_putp(struct json_object **p)
{
	(void)json_object_put(*p); /* takes NULL */
	*p = NULL;
}

void ctl_print(struct ctl *ctl, const char *format, ...) _printf_(2, 3);
void ctl_extra(struct ctl *ctl, const char *format, ...) _printf_(2, 3);
/* Answers -EINVAL, so that a verb can return it. */
int ctl_error(struct ctl *ctl, const char *format, ...) _printf_(2, 3);
int ctl_verror(struct ctl *ctl, const char *format, va_list ap) _printf_(2, 0);
/* A line on standard error that is no error, e.g. a hint; not with -q. */
void ctl_note(struct ctl *ctl, const char *format, ...) _printf_(2, 3);

/* Print 'document' (taken over; NULL is out of memory) and a newline. Answers 0 or -ENOMEM. */
int ctl_json(struct ctl *ctl, struct json_object *document);

/* How most verbs that change a domain end: the sentence, or {"domain": domain, "action": action}. */
int ctl_changed(struct ctl *ctl, const char *domain, const char *action, const char *format, ...)
	_printf_(4, 5);

/* Remember an error that did not come from vmmd. 'code' as in D-Bus errors of vmmd. */
int ctl_set_error(struct ctl *ctl, const char *code, const char *format, ...) _printf_(3, 4);

/* "error: <the last call's message>", after a line of context or without. They answer -EINVAL. */
int ctl_fail(struct ctl *ctl, const char *format, ...) _printf_(2, 3);
int ctl_report(struct ctl *ctl);

/* Members of an object; a missing or mistyped one answers the fallback. */
const char *json_string(struct json_object *object, const char *key, const char *fallback);
int64_t json_number(struct json_object *object, const char *key, int64_t fallback);
bool json_flag(struct json_object *object, const char *key);

/* "--timeout 5": 0 with the number (or 'fallback' when it was not given) in '*ret', or -EINVAL, printed. */
struct args;
int ctl_number_option(struct ctl *ctl, const struct args *args, const char *name, uint64_t max,
	uint64_t fallback, uint64_t *ret);

/* The value of a <domain>: 0, or -EINVAL (printed) when it is empty. */
int ctl_domain_option(struct ctl *ctl, const struct args *args, const char **ret);

/* Of several options at most one may be given: 0 or -EINVAL (printed). */
int ctl_exclusive(struct ctl *ctl, const struct args *args, const char *a, const char *b);
