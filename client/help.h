/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the verb table says about itself: help, the manual page, completion. Prints to standard output.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#pragma once

#include "client/verb.h"

/* `vmctl help`: groups and their verbs. */
void help_all(void);
/* `vmctl --help`: the global options, then the groups. */
void help_usage(void);
void help_verb(const struct verb *verb);
void help_group(const struct verb_group *group);

/* vmctl.1 in man(7) macros. */
void help_man_page(void);

struct ctl;

/* For the shells: candidates for words[index], one per line; words[0] is the command itself. Returns
 * COMPLETE_AS_FILE when file names are wanted, else 0. Never prints errors. */
#define COMPLETE_AS_FILE 3
int complete(struct ctl *ctl, const char *const *words, size_t n_words, size_t index);

/* The global options, for help and completion. */
struct global_option {
	char letter; /* 0: none */
	const char *name;
	const char *argument; /* NULL: takes none */
	const char *help;
};
extern const struct global_option global_options[]; /* ends with name NULL */
