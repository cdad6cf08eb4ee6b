/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words into options: see args.h. */
#include "client/args.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "client/suggest.h"
#include "vmm-core/base/strutil.h"

struct parser {
	const char *const *words;
	size_t n, next;
	struct args *args;
	char *error;
	const char **ret_near;
};

const struct verb_option *verb_option_find(const struct verb *verb, const char *name)
{
	const struct verb_option *o;

	for (o = verb->options; o && o->name; o++)
		if (streq(o->name, name))
			return o;
	for (o = common_options; o->name; o++)
		if (streq(o->name, name))
			return o;
	return NULL;
}

static const struct verb_option *find_letter(const struct verb *verb, char letter)
{
	for (const struct verb_option *o = verb->options; o && o->name; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

const struct verb_option *args_next_by_position(const struct verb *verb, const struct args *args)
{
	for (const struct verb_option *o = verb->options; o && o->name; o++) {
		if (o->type == OPTION_LIST)
			return o;
		if (o->type != OPTION_FLAG && !o->named_only && !args->values[o - verb->options])
			return o;
	}
	return NULL;
}

static int store(struct parser *p, const struct verb_option *o, const char *value)
{
	const struct verb *verb = p->args->verb;

	if (o == &common_options[0]) {
		p->args->json = true;
		return 0;
	}
	if (o == &common_options[1]) {
		p->args->help = true;
		return 0;
	}
	if (o->type == OPTION_LIST) {
		if (p->args->n_list == ARGS_MAX_LIST) {
			(void)snprintf(p->error, ARGS_ERROR_MAX, "too many words: at most %d",
				ARGS_MAX_LIST);
			return -EINVAL;
		}
		p->args->list[p->args->n_list++] = value;
		return 0;
	}
	if (p->args->values[o - verb->options]) {
		(void)snprintf(p->error, ARGS_ERROR_MAX, "option --%s already seen", o->name);
		return -EINVAL;
	}
	p->args->values[o - verb->options] = value;
	return 0;
}

static int unknown_option(struct parser *p, const char *name)
{
	const struct verb *verb = p->args->verb;
	struct suggestion near = {.word = name};

	for (const struct verb_option *o = verb->options; o && o->name; o++)
		suggestion_try(&near, o->name);
	for (const struct verb_option *o = common_options; o->name; o++)
		suggestion_try(&near, o->name);
	*p->ret_near = near.best;
	(void)snprintf(p->error, ARGS_ERROR_MAX, "command '%s' doesn't support option --%s",
		verb->name, name);
	return -EINVAL;
}

/* "--name", "--name=value", "--name value" */
static int parse_named(struct parser *p, const char *word)
{
	const struct verb_option *o;
	const char *value;
	char name[64];
	size_t len = strcspn(word, "=");

	value = word[len] == '=' ? word + len + 1 : NULL;
	if (len >= sizeof(name))
		return unknown_option(p, word);
	memcpy(name, word, len);
	name[len] = 0;
	o = verb_option_find(p->args->verb, name);
	if (!o)
		return unknown_option(p, name);
	if (o->type == OPTION_FLAG) {
		if (value) {
			(void)snprintf(
				p->error, ARGS_ERROR_MAX, "invalid '=' after option --%s", o->name);
			return -EINVAL;
		}
		return store(p, o, "");
	}
	if (!value) {
		if (p->next == p->n) {
			(void)snprintf(p->error, ARGS_ERROR_MAX, "expected syntax: --%s <%s>",
				o->name, o->type == OPTION_NUMBER ? "number" : "string");
			return -EINVAL;
		}
		value = p->words[p->next++];
	}
	return store(p, o, value);
}

static int parse_word(struct parser *p, const char *word, bool only_data)
{
	const struct verb_option *o;

	if (!only_data && word[0] == '-' && word[1] == '-' && isalnum((unsigned char)word[2]))
		return parse_named(p, word + 2);
	if (!only_data && word[0] == '-' && word[1] && !word[2]) {
		o = find_letter(p->args->verb, word[1]);
		if (o)
			return o->type == OPTION_FLAG ? store(p, o, "") : parse_named(p, o->name);
	}
	o = args_next_by_position(p->args->verb, p->args);
	if (!o) {
		(void)snprintf(p->error, ARGS_ERROR_MAX, "unexpected data '%s'", word);
		return -EINVAL;
	}
	return store(p, o, word);
}

static int check_required(struct parser *p)
{
	const struct verb *verb = p->args->verb;

	for (const struct verb_option *o = verb->options; o && o->name; o++) {
		const char *value = p->args->values[o - verb->options];
		bool given = o->type == OPTION_LIST ? p->args->n_list > 0 : value != NULL;

		if (!o->required || given)
			continue;
		(void)snprintf(p->error, ARGS_ERROR_MAX,
			o->type == OPTION_DATA || o->type == OPTION_LIST
				? "command '%s' requires <%s> option"
				: "command '%s' requires --%s option",
			verb->name, o->name);
		return -EINVAL;
	}
	return 0;
}

int args_parse(const struct verb *verb, const char *const *words, size_t n, struct args *ret_args,
	char ret_error[ARGS_ERROR_MAX], const char **ret_near)
{
	struct parser p = {
		.words = words, .n = n, .args = ret_args, .error = ret_error, .ret_near = ret_near};
	bool only_data = false;
	int r;

	*ret_args = (struct args){.verb = verb};
	*ret_near = NULL;
	while (p.next < p.n) {
		const char *word = words[p.next++];

		if (!only_data && streq(word, "--")) {
			only_data = true;
			continue;
		}
		r = parse_word(&p, word, only_data);
		if (r < 0)
			return r;
	}
	if (ret_args->help)
		return 0;
	return check_required(&p);
}

static size_t option_index(const struct args *args, const char *name)
{
	size_t i = 0;

	assert(args->verb->options);
	while (args->verb->options[i].name && !streq(args->verb->options[i].name, name))
		i++;
	assert(args->verb->options[i].name);
	return i;
}

bool args_flag(const struct args *args, const char *name)
{
	return args->values[option_index(args, name)] != NULL;
}

const char *args_string(const struct args *args, const char *name)
{
	return args->values[option_index(args, name)];
}
