/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Audit records: for each call that changes something or opens a way into a guest, one record when it is answered, allowed or
 * denied: who, from where, what, and what became of it (docs/journal.md has the fields).
 *
 * What was done or has failed is always recorded. Denials cost whoever causes them nothing, so they are limited: AUDIT_DENIED_BURST
 * of one caller in AUDIT_DENIED_USEC; then the next record says how many were left out.
 *
 * Tested by tests/unit/test-api-audit.c.
 */
#pragma once

#include <json-c/json.h>
#include <sys/types.h>

#include "daemon/owner.h"

#define AUDIT_DENIED_BURST 20
#define AUDIT_DENIED_USEC  (10 * UINT64_C(1000000))
#define AUDIT_MAX_CALLERS  64 /* whose denials are counted at a time */

struct api_call;
struct error;

struct audit_caller {
	uid_t uid;                              /* (uid_t)-1: not known */
	char certificate[CERTIFICATE_NAME_MAX]; /* "": none */
	uint64_t since_usec;
	unsigned n_denied; /* since then; 0: free */
};

struct audit {
	struct audit_caller callers[AUDIT_MAX_CALLERS];
};

/* The arguments have been read: note what the call is about, while it is there. */
void api_audit_begin(struct api_call *call);
/* It is answered with 'out' (may be NULL), or with 'error'. Does nothing for methods that leave no record. */
void api_audit_end(struct api_call *call, struct json_object *out, const struct error *error);
