/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Help from the verb table, in virsh's layout: see help.h. */
#include "client/help.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/suggest.h"
#include "client/verb-option.h"
#include "client/verbs.h"
#include "vmm-core/base/strutil.h"

const struct verb_option help_options[] = {
	{.name = "command",
		.type = OPTION_STRING,
		.completion = COMPLETE_VERB,
		.help = "Prints global help, command specific help, or help for a group of related "
			"commands"},
	{},
};

const struct global_option global_options[] = {
	{'c', "connect", "URI",
		"system, session, unix:/PATH (JSON-RPC), ssh://HOST, tls://HOST, or the address of "
		"a bus"},
	{0, "system", NULL, "connect to the system's vmmd (default for root)"},
	{0, "session", NULL, "connect to the user's own vmmd (default for others)"},
	{'e', "escape", "CHAR", "set escape sequence for console"},
	{'h', "help", NULL, "this help"},
	{0, "json", NULL, "print one JSON document instead of text"},
	{'q', "quiet", NULL, "quiet mode"},
	{'r', "readonly", NULL, "refuse verbs that change something"},
	{'t', "timing", NULL, "print timing information"},
	{'v', "version", NULL, "print the version of vmctl"},
	{},
};

static void print_group(const struct verb_group *group)
{
	(void)printf(" %s (help keyword '%s'):\n", group->title, group->keyword);
	for (const struct verb *v = verbs; v->name; v++)
		if (streq(v->group, group->keyword))
			(void)printf("    %-30s %s\n", v->name, v->summary);
}

void help_all(void)
{
	(void)printf("Grouped commands:\n\n");
	for (const struct verb_group *g = verb_groups; g->keyword; g++) {
		print_group(g);
		(void)printf("\n");
	}
}

void help_group(const struct verb_group *group)
{
	print_group(group);
}

void help_usage(void)
{
	(void)printf("\nvmctl [options]... <command> [args...]\n\n  options:\n");
	for (const struct global_option *o = global_options; o->name; o++) {
		char letter[8] = "    ", name[64];

		if (o->letter)
			(void)snprintf(letter, sizeof(letter), "-%c |", o->letter);
		(void)snprintf(name, sizeof(name), "--%s%s%s", o->name, o->argument ? "=" : "",
			o->argument ?: "");
		(void)printf("    %s %-18s %s\n", letter, name, o->help);
	}
	(void)printf("  commands:\n\n");
	for (const struct verb_group *g = verb_groups; g->keyword; g++) {
		print_group(g);
		(void)printf("\n");
	}
	(void)printf("  (specify help <group> for details about the commands in the group)\n"
		     "  (specify help <command> for details about the command)\n\n");
}

/* "[--all]", "<domain>", "[--devname <string>]" */
static void format_synopsis(const struct verb_option *o, char *ret, size_t size)
{
	switch (o->type) {
	case OPTION_FLAG:
		(void)snprintf(ret, size, "[--%s]", o->name);
		break;
	case OPTION_NUMBER:
		(void)snprintf(ret, size, o->required ? "<%s>" : "[--%s <number>]", o->name);
		break;
	case OPTION_STRING:
		(void)snprintf(ret, size, "[--%s <string>]", o->name);
		break;
	case OPTION_DATA:
		(void)snprintf(ret, size, o->required ? "<%s>" : "[<%s>]", o->name);
		break;
	case OPTION_LIST:
		(void)snprintf(ret, size, o->required ? "<%s>..." : "[<%s>]...", o->name);
		break;
	}
}

/* "--all", "[--domain] <string>" */
static void format_option(const struct verb_option *o, char *ret, size_t size)
{
	switch (o->type) {
	case OPTION_FLAG:
		(void)snprintf(ret, size, "--%s", o->name);
		break;
	case OPTION_NUMBER:
		(void)snprintf(ret, size, "--%s <number>", o->name);
		break;
	case OPTION_STRING:
		(void)snprintf(ret, size, "--%s <string>", o->name);
		break;
	case OPTION_DATA:
		(void)snprintf(ret, size, "[--%s] <string>", o->name);
		break;
	case OPTION_LIST:
		(void)snprintf(ret, size, "<%s>", o->name);
		break;
	}
}

static void print_option(const struct verb_option *o)
{
	char text[96];

	format_option(o, text, sizeof(text));
	(void)printf("    %-15s  %s\n", text, o->help);
}

static void print_indented(const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		(void)printf("    %.*s\n", (int)len, text);
		text += len;
		if (*text)
			text++;
	}
}

void help_verb(const struct verb *verb)
{
	char text[96];

	(void)printf(
		"  NAME\n    %s - %s\n\n  SYNOPSIS\n    %s", verb->name, verb->summary, verb->name);
	for (const struct verb_option *o = verb->options; o && o->name; o++) {
		format_synopsis(o, text, sizeof(text));
		(void)printf(" %s", text);
	}
	(void)printf("\n");
	if (verb->description) {
		(void)printf("\n  DESCRIPTION\n");
		print_indented(verb->description);
	}
	(void)printf("\n  OPTIONS\n");
	for (const struct verb_option *o = verb->options; o && o->name; o++)
		print_option(o);
	print_option(&common_options[0]);
	(void)printf("\n");
}

static int unknown_topic(struct ctl *ctl, const char *topic)
{
	struct suggestion near = {.word = topic};

	for (const struct verb *v = verbs; v->name; v++)
		suggestion_try(&near, v->name);
	for (const struct verb_group *g = verb_groups; g->keyword; g++)
		suggestion_try(&near, g->keyword);
	(void)ctl_error(ctl, "command or command group '%s' doesn't exist", topic);
	if (near.best)
		ctl_note(ctl, "hint: did you mean '%s'?", near.best);
	return -EINVAL;
}

static struct json_object *verb_json(const struct verb *verb)
{
	struct json_object *o = json_object_new_object(), *options = json_object_new_array();

	(void)json_object_object_add(o, "name", json_object_new_string(verb->name));
	(void)json_object_object_add(o, "group", json_object_new_string(verb->group));
	(void)json_object_object_add(o, "summary", json_object_new_string(verb->summary));
	for (const struct verb_option *v = verb->options; v && v->name; v++) {
		struct json_object *option = json_object_new_object();

		(void)json_object_object_add(option, "name", json_object_new_string(v->name));
		(void)json_object_object_add(
			option, "required", json_object_new_boolean(v->required));
		(void)json_object_object_add(
			option, "takes_value", json_object_new_boolean(v->type != OPTION_FLAG));
		(void)json_object_object_add(option, "help", json_object_new_string(v->help));
		(void)json_object_array_add(options, option);
	}
	(void)json_object_object_add(o, "options", options);
	return o;
}

static int help_json(struct ctl *ctl, const char *topic)
{
	struct json_object *array = json_object_new_array();

	for (const struct verb *v = verbs; v->name; v++)
		if (!topic || streq(v->name, topic) || streq(v->group, topic))
			(void)json_object_array_add(array, verb_json(v));
	return ctl_json(ctl, array);
}

int verb_help(struct ctl *ctl, const struct args *args)
{
	const char *topic = args_string(args, "command");
	const struct verb *verb = topic ? verb_find(topic) : NULL;
	const struct verb_group *group = topic ? verb_group_find(topic) : NULL;

	if (topic && !verb && !group)
		return unknown_topic(ctl, topic);
	if (ctl->json)
		return help_json(ctl, topic);
	if (verb)
		help_verb(verb);
	else if (group)
		help_group(group);
	else
		help_all();
	return 0;
}
