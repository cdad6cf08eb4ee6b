/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract report: what became of each element and attribute of a document, and why. The mapper
 * (xml-rule.c) writes it while it parses; domain-xml.c hands it to the caller.
 *
 * A kept or refused element has one entry for all that is below it.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#pragma once

#include <stddef.h>

#include "vmm-core/base/cleanup.h"

enum contract_verdict {
	CONTRACT_HONOURED,
	CONTRACT_ADAPTED, /* served in another way: 'why' says how */
	CONTRACT_IGNORED, /* accepted, without effect */
	CONTRACT_REFUSED, /* the definition fails: 'why' says what to write instead */
	CONTRACT_UNKNOWN, /* kept for the round trip */
	CONTRACT_VERDICT_X_MAX
};
const char *contract_verdict_to_string(enum contract_verdict verdict);

struct contract_entry {
	enum contract_verdict verdict;
	unsigned line;
	char *path; /* "devices/disk[1]/driver/@cache"; items and repeated elements are numbered */
	char *why;  /* NULL for honoured */
};

struct contract_report {
	struct contract_entry *entries;
	size_t n_entries;
	unsigned counts[CONTRACT_VERDICT_X_MAX];
};

struct contract_report *contract_report_new(void);
struct contract_report *contract_report_free(struct contract_report *report);
DEFINE_CLEANUP(struct contract_report *, contract_report_free);

/* Append an entry; path and why (may be NULL) are copied. Returns its index or -ENOMEM. */
long contract_add(struct contract_report *report, enum contract_verdict verdict, unsigned line,
	const char *path, const char *why);

/* Change the verdict of entries[index]. Returns 0 or -ENOMEM. */
int contract_set(struct contract_report *report, size_t index, enum contract_verdict verdict,
	const char *why);

/* The entry of exactly this path, or of the nearest element around it; -1: none. */
long contract_find(const struct contract_report *report, const char *path);
