/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* plan and apply: a set of documents, compared with what is there, and brought there. Tested by tests/unit/test-verbs.c. */
#include "client/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/documents.h"
#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

#define FLAG_STRICT 1U
#define FLAG_PRUNE  2U

#define STATUS_DIFFERENT 2

#define DOCUMENT_OPTIONS                                                                           \
	FLAG("validate", "refuse elements that vmmd does not know"),                               \
		FLAG("prune",                                                                      \
			"forget inactive definitions that are in no file, of the kinds that the "  \
			"files "                                                                   \
			"have"),                                                                   \
		FLAG("verbose", "also show what is the same, and what waits for its next boot"),   \
	{                                                                                          \
		.name = "file", .type = OPTION_LIST, .completion = COMPLETE_FILE,                  \
		.required = true,                                                                  \
		.help = "XML files, or directories of them; - for standard input"                  \
	}

const struct verb_option plan_options[] = {
	FLAG("detailed-exitcode", "exit with 2 when there are differences"),
	DOCUMENT_OPTIONS,
	{},
};

const struct verb_option apply_options[] = {
	FLAG("yes", "with --prune: do not ask"),
	DOCUMENT_OPTIONS,
	{},
};

/* How many objects each action is of. */
static const struct action {
	const char *name, mark;
	const char *planned, *done;
} actions[] = {
	{"create", '+', "to create", "created"},
	{"change", '~', "to change", "changed"},
	{"delete", '-', "to delete", "deleted"},
	{"same", ' ', "the same", "the same"},
	{"keep", ' ', "kept", "kept"},
	{"refuse", '!', "refused", "refused"},
};

struct printer {
	struct ctl *ctl;
	bool verbose, is_done;
	unsigned counts[ARRAY_SIZE(actions)];
	unsigned n_failed;
	char *last; /* the object of the row before */
};

static size_t action_of(struct json_object *row)
{
	const char *name = json_string(row, "action", "");

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (streq(actions[i].name, name))
			return i;
	return ARRAY_SIZE(actions) - 1;
}

/* Foreign text on one line; the caller frees it. */
static char *shown(struct json_object *row, const char *key)
{
	return text_printable(json_string(row, key, ""), NULL);
}

/* "~ domain 'db': change" */
static void print_object(struct printer *p, struct json_object *row, const struct action *action)
{
	_cleanup_(freep) char *name = shown(row, "name"), *source = shown(row, "source");
	_cleanup_(freep) char *reason = shown(row, "reason");
	const char *object = json_string(row, "object", "");

	if (streq(action->name, "refuse"))
		ctl_print(p->ctl, "! %s: refused: %s\n", source ?: "", reason ?: "");
	else
		ctl_print(p->ctl, "%c %s '%s': %s%s%s\n", action->mark, object, name ?: "",
			p->is_done && action->mark != ' ' ? action->done : action->name,
			reason && *reason && !*json_string(row, "path", "") ? ", " : "",
			reason && !*json_string(row, "path", "") ? reason : "");
}

static void print_change(struct printer *p, struct json_object *row)
{
	_cleanup_(freep) char *path = shown(row, "path"), *old = shown(row, "old");
	_cleanup_(freep) char *new = shown(row, "new"), *reason = shown(row, "reason");
	const char *when = json_string(row, "when", ""), *outcome = json_string(row, "outcome", "");

	if (streq(outcome, "failed"))
		when = "failed";
	else if (streq(outcome, "asked"))
		when = "the guest has not released it yet";
	if (json_flag(row, "added"))
		ctl_print(p->ctl, "    %s: added: %s (%s)\n", path ?: "", new ?: "", when);
	else if (json_flag(row, "removed"))
		ctl_print(p->ctl, "    %s: removed (%s)\n", path ?: "", when);
	else
		ctl_print(
			p->ctl, "    %s: %s -> %s (%s)\n", path ?: "", old ?: "", new ?: "", when);
	if (streq(outcome, "failed")) {
		p->n_failed++;
		ctl_print(p->ctl, "        %s\n", reason ?: "");
	}
}

static void print_row(struct printer *p, struct json_object *row)
{
	size_t i = action_of(row);
	bool quiet = actions[i].mark == ' ' && !streq(actions[i].name, "keep");
	_cleanup_(freep) char *object = NULL;
	bool is_new;

	if (asprintf(&object, "%s %s %s", json_string(row, "object", ""),
		    json_string(row, "source", ""), json_string(row, "name", "")) < 0)
		object = NULL;
	is_new = !p->last || !object || !streq(p->last, object) || streq(actions[i].name, "refuse");
	if (is_new)
		p->counts[i]++;
	if (is_new && (!quiet || p->verbose))
		print_object(p, row, &actions[i]);
	if (*json_string(row, "path", "") &&
		(p->verbose || !streq(json_string(row, "when", ""), "pending")))
		print_change(p, row);
	free(p->last);
	p->last = TAKE_PTR(object);
}

/* "1 to create, 2 to change, 4 the same" */
static void print_sums(struct printer *p)
{
	const char *comma = "";

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (p->counts[i] == 0)
			continue;
		ctl_extra(p->ctl, "%s%u %s", comma, p->counts[i],
			p->is_done ? actions[i].done : actions[i].planned);
		comma = ", ";
	}
	ctl_extra(p->ctl, *comma ? "\n" : "no documents\n");
}

static void print_rows(struct printer *p, struct json_object *changes)
{
	size_t n = json_object_is_type(changes, json_type_array) ? json_object_array_length(changes)
								 : 0;

	for (size_t i = 0; i < n; i++)
		print_row(p, json_object_array_get_idx(changes, i));
	print_sums(p);
	free(p->last);
	p->last = NULL;
}

static unsigned count(struct json_object *changes, const char *action)
{
	size_t n = json_object_is_type(changes, json_type_array) ? json_object_array_length(changes)
								 : 0;
	unsigned found = 0;

	for (size_t i = 0; i < n; i++)
		if (streq(json_string(json_object_array_get_idx(changes, i), "action", ""), action))
			found++;
	return found;
}

static bool differs(struct json_object *changes)
{
	return count(changes, "create") || count(changes, "change") || count(changes, "delete");
}

/* The files, as arguments that both methods begin with. */
static int read_arguments(
	struct ctl *ctl, const struct args *args, bool prune, struct json_object **ret)
{
	struct json_object *documents, *sources, *array;
	int r;

	r = documents_read(ctl, args->list, args->n_list, &documents, &sources);
	if (r < 0)
		return r;
	array = json_object_new_array();
	json_object_array_add(array, documents);
	json_object_array_add(array, sources);
	json_object_array_add(array,
		json_object_new_int64((args_flag(args, "validate") ? FLAG_STRICT : 0) |
			(prune ? FLAG_PRUNE : 0)));
	*ret = array;
	return 0;
}

int verb_plan(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *arguments = NULL, *reply = NULL;
	struct printer p = {.ctl = ctl, .verbose = args_flag(args, "verbose")};
	struct json_object *changes;
	int r = read_arguments(ctl, args, args_flag(args, "prune"), &arguments);

	if (r < 0)
		return r;
	r = remote_call_args(
		ctl, "PlanDefinitions", CTL_START_TIMEOUT_USEC, &reply, "asasu", arguments);
	if (r < 0)
		return ctl_fail(ctl, "Failed to plan");
	changes = json_object_array_get_idx(reply, 0);
	if (ctl->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "different", json_object_new_boolean(differs(changes)));
		json_object_object_add(o, "changes", json_object_get(changes));
		(void)ctl_json(ctl, o);
		ctl->has_document = true;
	} else {
		print_rows(&p, changes);
	}
	if (count(changes, "refuse"))
		return ctl_error(
			ctl, "apply would refuse %u of the documents", count(changes, "refuse"));
	if (args_flag(args, "detailed-exitcode") && differs(changes))
		ctl->status = STATUS_DIFFERENT;
	return 0;
}

static int ask(struct ctl *ctl, unsigned n)
{
	char line[16] = "";

	if (ctl->json || !isatty(STDIN_FILENO))
		return ctl_error(ctl,
			"definitions would be deleted (%u): give --yes, or look at "
			"them with plan --prune",
			n);
	(void)printf("Delete %u definition%s? [y/N] ", n, n == 1 ? "" : "s");
	(void)fflush(stdout);
	if (!fgets(line, sizeof(line), stdin) || (line[0] != 'y' && line[0] != 'Y'))
		return ctl_error(ctl, "nothing has changed");
	return 0;
}

/* What was looked at is what is applied: '*ret_digest' goes with it. */
static int confirm(
	struct ctl *ctl, const struct args *args, struct json_object *arguments, char **ret_digest)
{
	_cleanup_(json_putp) struct json_object *reply = NULL;
	struct printer p = {.ctl = ctl, .verbose = args_flag(args, "verbose")};
	struct json_object *changes;
	unsigned n;
	int r = remote_call_args(
		ctl, "PlanDefinitions", CTL_START_TIMEOUT_USEC, &reply, "asasu", arguments);

	if (r < 0)
		return ctl_fail(ctl, "Failed to plan");
	changes = json_object_array_get_idx(reply, 0);
	n = count(changes, "delete");
	if (n == 0 || count(changes, "refuse"))
		return 0;
	if (!ctl->json)
		print_rows(&p, changes);
	*ret_digest = strdup(json_object_get_string(json_object_array_get_idx(reply, 1)) ?: "");
	if (!*ret_digest)
		return ctl_error(ctl, "out of memory");
	return ask(ctl, n);
}

static int finish(struct ctl *ctl, const struct args *args, struct json_object *changes)
{
	struct printer p = {.ctl = ctl, .verbose = args_flag(args, "verbose"), .is_done = true};
	size_t n = json_object_is_type(changes, json_type_array) ? json_object_array_length(changes)
								 : 0;

	if (ctl->json) {
		struct json_object *o = json_object_new_object();

		for (size_t i = 0; i < n; i++)
			p.n_failed += streq(
				json_string(json_object_array_get_idx(changes, i), "outcome", ""),
				"failed");
		json_object_object_add(o, "changes", json_object_get(changes));
		(void)ctl_json(ctl, o);
		ctl->has_document = true;
	} else {
		print_rows(&p, changes);
	}
	if (p.n_failed)
		return ctl_error(ctl,
			"the definitions are new, but what runs did not follow: %u of the "
			"changes failed",
			p.n_failed);
	return 0;
}

int verb_apply(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *arguments = NULL, *reply = NULL;
	bool prune = args_flag(args, "prune");
	_cleanup_(freep) char *digest = NULL;
	int r = read_arguments(ctl, args, prune, &arguments);

	if (r == 0 && prune && !args_flag(args, "yes"))
		r = confirm(ctl, args, arguments, &digest);
	if (r < 0)
		return r;
	json_object_array_add(arguments, json_object_new_string(digest ?: ""));
	r = remote_call_args(
		ctl, "ApplyDefinitions", CTL_START_TIMEOUT_USEC, &reply, "asasus", arguments);
	if (r < 0)
		return ctl_fail(ctl, "Failed to apply");
	return finish(ctl, args, json_object_array_get_idx(reply, 0));
}
