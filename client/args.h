/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A command line, matched against the options of its verb, with virsh's rules: `--name value`,
 * `--name=value`, or by position in the order of the table; `--` ends the options; the messages are virsh's.
 *
 * Values are borrowed from argv. Asking for an option that the verb does not have is a bug (assert).
 */
#pragma once

#include "client/verb.h"

#define ARGS_MAX_LIST  1024
#define ARGS_ERROR_MAX 512

struct args {
	const struct verb *verb;
	const char *values[VERB_MAX_OPTIONS]; /* by index in verb->options; NULL: not given */
	const char *list[ARGS_MAX_LIST];      /* words of the OPTION_LIST */
	size_t n_list;
	bool json;
	bool help; /* the rest is not checked then */
};

/* Match words[n] (the verb itself not among them). Returns 0, or -EINVAL with one line without newline in
 * ret_error and, if a known option is near the mistyped one, its name in '*ret_near' (else NULL). */
int args_parse(const struct verb *verb, const char *const *words, size_t n, struct args *ret_args,
	char ret_error[ARGS_ERROR_MAX], const char **ret_near);

bool args_flag(const struct args *args, const char *name);

/* NULL when it was not given. */
const char *args_string(const struct args *args, const char *name);

/* The option that takes the next word without a name, given which ones have their value already; NULL when
 * none does. For the parser and for completion. */
const struct verb_option *args_next_by_position(const struct verb *verb, const struct args *args);

const struct verb_option *verb_option_find(const struct verb *verb, const char *name);
