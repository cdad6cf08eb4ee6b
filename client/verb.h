/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verb table: one row per vmctl command. Parsing, `help`, the man page and completion all read these
 * rows; to add a verb is to add a row in verbs.c and a function, with its options above it, in a verbs-*.c.
 *
 * The rows are const and shared; any thread.
 */
#pragma once

#include "vmm-core/base/macro.h"

#define VERB_MAX_OPTIONS 32

struct ctl;
struct args;

enum option_type {
	OPTION_FLAG,   /* --all */
	OPTION_NUMBER, /* --timeout 5 */
	OPTION_STRING, /* --devname serial0 */
	OPTION_DATA,   /* what is usually given by position: <domain> */
	OPTION_LIST,   /* all further words; the last option of its verb */
};

enum option_completion {
	COMPLETE_NOTHING,
	COMPLETE_DOMAIN,
	COMPLETE_ACTIVE_DOMAIN,
	COMPLETE_INACTIVE_DOMAIN,
	COMPLETE_NETWORK,
	COMPLETE_ACTIVE_NETWORK,
	COMPLETE_INACTIVE_NETWORK,
	COMPLETE_FILE,
	COMPLETE_EVENT,
	COMPLETE_NETWORK_EVENT,
	COMPLETE_VERB,
	COMPLETE_JOB, /* numbers of those that run */
	COMPLETE_ANY_JOB,
};

struct verb_option {
	const char *name; /* NULL ends the array */
	enum option_type type;
	enum option_completion completion;
	bool required;
	bool named_only; /* never taken from a word without --name */
	char letter;     /* -w; 0: none */
	const char *help;
};

#define VERB_OFFLINE (1U << 0) /* needs no connection */
#define VERB_CHANGES (1U << 1) /* refused with --readonly */

struct verb {
	const char *name; /* NULL ends the table */
	const char *group;
	unsigned flags;
	const char *summary;               /* after "start - " */
	const char *description;           /* lines with '\n' between them; NULL: none */
	const struct verb_option *options; /* NULL: none. --json and --help are every verb's */
	int (*run)(
		struct ctl *ctl, const struct args *args); /* 0, or -errno with the error printed */
};

struct verb_group {
	const char *keyword; /* struct verb.group; NULL ends the table */
	const char *title;
};

extern const struct verb verbs[];
extern const struct verb_group verb_groups[];
/* --json and --help: accepted by every verb. */
extern const struct verb_option common_options[];

const struct verb *verb_find(const char *name);
const struct verb_group *verb_group_find(const char *keyword);
