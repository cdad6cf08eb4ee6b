/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Candidates for the shell (help.h, complete): verbs and options from the table, domains from vmmd. The
 * shells' scripts only pass the words on, so a new verb completes without touching it.
 */
#include "client/help.h"

#include <stdio.h>
#include <string.h>

#include "client/remote.h"
#include "client/verbs.h"
#include "vmm-core/base/strutil.h"

struct completer {
	struct ctl *ctl;
	const char *const *words;
	size_t index; /* of the word being completed */
	const char *prefix;
	const char *before; /* printed before each candidate */
};

static void offer(const struct completer *c, const char *candidate)
{
	if (strncmp(candidate, c->prefix, strlen(c->prefix)) == 0)
		(void)printf("%s%s\n", c->before, candidate);
}

static void offer_option(const struct completer *c, const char *name)
{
	char text[96];

	(void)snprintf(text, sizeof(text), "--%s", name);
	offer(c, text);
}

static void offer_domains(const struct completer *c, uint32_t flags)
{
	_cleanup_(json_putp) struct json_object *list = NULL;

	if (remote_connect(c->ctl) < 0 || remote_list_domain_names(c->ctl, flags, &list) < 0)
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++)
		offer(c, json_string(json_object_array_get_idx(list, i), "name", ""));
}

static void offer_networks(const struct completer *c, bool active, bool inactive)
{
	_cleanup_(json_putp) struct json_object *list = NULL;

	if (remote_connect(c->ctl) < 0 || remote_call_one(c->ctl, "ListNetworks", &list, "") < 0)
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *n = json_object_array_get_idx(list, i);

		if (json_flag(n, "active") ? active : inactive)
			offer(c, json_string(n, "name", ""));
	}
}

static void offer_jobs(const struct completer *c, uint32_t flags)
{
	_cleanup_(json_putp) struct json_object *list = NULL;
	char text[24];

	if (remote_connect(c->ctl) < 0 ||
		remote_call_one(c->ctl, "ListJobs", &list, "u", flags) < 0)
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		(void)snprintf(text, sizeof(text), "%lld",
			(long long)json_number(json_object_array_get_idx(list, i), "job", 0));
		offer(c, text);
	}
}

static int offer_values(const struct completer *c, enum option_completion completion)
{
	switch (completion) {
	case COMPLETE_NOTHING:
		break;
	case COMPLETE_DOMAIN:
		offer_domains(c, 0);
		break;
	case COMPLETE_ACTIVE_DOMAIN:
		offer_domains(c, REMOTE_LIST_ACTIVE);
		break;
	case COMPLETE_INACTIVE_DOMAIN:
		offer_domains(c, REMOTE_LIST_INACTIVE);
		break;
	case COMPLETE_NETWORK:
		offer_networks(c, true, true);
		break;
	case COMPLETE_ACTIVE_NETWORK:
		offer_networks(c, true, false);
		break;
	case COMPLETE_INACTIVE_NETWORK:
		offer_networks(c, false, true);
		break;
	case COMPLETE_FILE:
		return COMPLETE_AS_FILE;
	case COMPLETE_EVENT:
		for (size_t i = 0; event_names[i]; i++)
			offer(c, event_names[i]);
		break;
	case COMPLETE_NETWORK_EVENT:
		for (size_t i = 0; net_event_names[i]; i++)
			offer(c, net_event_names[i]);
		break;
	case COMPLETE_VERB:
		for (const struct verb *v = verbs; v->name; v++)
			offer(c, v->name);
		break;
	case COMPLETE_JOB:
		offer_jobs(c, 1);
		break;
	case COMPLETE_ANY_JOB:
		offer_jobs(c, 0);
		break;
	}
	return 0;
}

static const struct global_option *find_global(const char *word)
{
	for (const struct global_option *o = global_options; o->name; o++) {
		if (word[0] == '-' && word[1] == '-' && streq(word + 2, o->name))
			return o;
		if (word[0] == '-' && word[1] && !word[2] && o->letter == word[1])
			return o;
	}
	return NULL;
}

/* What stands before the verb: options, of which we heed those that say where to connect. Returns the index
 * of the verb, or of the word being completed. */
static size_t skip_globals(struct completer *c)
{
	size_t i = 1;

	while (i < c->index && c->words[i][0] == '-') {
		const struct global_option *o = find_global(c->words[i]);

		if (strncmp(c->words[i], "--connect=", strlen("--connect=")) == 0)
			c->ctl->connect = c->words[i] + strlen("--connect=");
		else if (o && (streq(o->name, "session") || streq(o->name, "system")))
			c->ctl->connect = o->name;
		else if (o && o->argument && i + 1 < c->index) {
			i++;
			if (streq(o->name, "connect"))
				c->ctl->connect = c->words[i];
		}
		i++;
	}
	return i;
}

static int complete_global(struct completer *c)
{
	const struct global_option *o = find_global(c->words[c->index - 1]);

	if (o && o->argument) {
		if (streq(o->name, "connect")) {
			offer(c, "system");
			offer(c, "session");
		}
		return 0;
	}
	if (c->prefix[0] == '-') {
		for (o = global_options; o->name; o++)
			offer_option(c, o->name);
		return 0;
	}
	return offer_values(c, COMPLETE_VERB);
}

static void offer_options(const struct completer *c, const struct args *args)
{
	const struct verb *verb = args->verb;

	for (const struct verb_option *o = verb->options; o && o->name; o++)
		if (o->type == OPTION_LIST || !args->values[o - verb->options])
			offer_option(c, o->name);
	for (const struct verb_option *o = common_options; o->name; o++)
		offer_option(c, o->name);
}

static int complete_verb(struct completer *c, const struct verb *verb, size_t first)
{
	const struct verb_option *o = NULL;
	const char *last = c->words[c->index - 1], *equals, *near;
	char error[ARGS_ERROR_MAX], name[64];
	struct args args;

	/* Whatever it says: options seen so far are in 'args'. */
	(void)args_parse(verb, c->words + first, c->index - first, &args, error, &near);
	if (c->index > first && strncmp(last, "--", 2) == 0)
		o = verb_option_find(verb, last + 2);
	if (o && o->type != OPTION_FLAG)
		return offer_values(c, o->completion);
	equals = strchr(c->prefix, '=');
	if (strncmp(c->prefix, "--", 2) == 0 && equals &&
		(size_t)(equals - c->prefix - 2) < sizeof(name)) {
		memcpy(name, c->prefix + 2, (size_t)(equals - c->prefix - 2));
		name[equals - c->prefix - 2] = 0;
		o = verb_option_find(verb, name);
		c->prefix = equals + 1; /* what stands before it stays */
		return o ? offer_values(c, o->completion) : 0;
	}
	if (c->prefix[0] == '-') {
		offer_options(c, &args);
		return 0;
	}
	o = args_next_by_position(verb, &args);
	return o ? offer_values(c, o->completion) : 0;
}

int complete(struct ctl *ctl, const char *const *words, size_t n_words, size_t index)
{
	struct completer c = {.ctl = ctl, .words = words, .index = index, .before = ""};
	const struct verb *verb;
	size_t i;

	if (index == 0 || index > n_words)
		return 0;
	c.prefix = index < n_words ? words[index] : "";
	i = skip_globals(&c);
	if (i >= index)
		return complete_global(&c);
	verb = verb_find(words[i]);
	return verb ? complete_verb(&c, verb, i + 1) : 0;
}
