/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl batch: many verbs over one connection. Tested by tests/unit/test-batch.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/batch.h"
#include "client/verb-option.h"
#include "client/verb.h"
#include "client/verbs.h"
#include "client/vmctl.h"
#include "vmm-core/base/strutil.h"

const struct verb_option batch_options[] = {
	{.name = "file",
		.type = OPTION_DATA,
		.completion = COMPLETE_FILE,
		.help = "file of commands (-: standard input)"},
	FLAG("keep-going", "go on after a command that failed"),
	{},
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The word at *p, written over itself at 'to'. NULL: a quote is not closed. */
static char *take_word(char **p, char *to)
{
	char *from = *p;
	char quote = 0;

	for (; *from && (quote || !is_blank(*from)); from++) {
		if (*from == '\\' && quote != '\'' && from[1])
			*to++ = *++from;
		else if (quote ? *from == quote : *from == '"' || *from == '\'')
			quote = quote ? 0 : *from;
		else
			*to++ = *from;
	}
	if (quote)
		return NULL;
	*p = *from ? from + 1 : from;
	*to = 0;
	return to;
}

int batch_split(char *line, char *words[BATCH_MAX_WORDS], size_t *ret_n)
{
	char *p = line;
	size_t n = 0;

	for (;;) {
		char *word;

		while (is_blank(*p))
			p++;
		if (!*p || *p == '#')
			break;
		if (n == BATCH_MAX_WORDS)
			return -E2BIG;
		word = p;
		if (!take_word(&p, word))
			return -EINVAL;
		words[n++] = word;
	}
	*ret_n = n;
	return 0;
}

/* What a verb leaves in 'ctl' is its own. */
static void forget(struct ctl *ctl, bool json)
{
	free(ctl->error_code);
	free(ctl->error_message);
	free(ctl->said);
	ctl->error_code = ctl->error_message = ctl->said = NULL;
	ctl->has_document = ctl->bare_output = false;
	ctl->status = 0;
	ctl->json = json;
}

static int run_line(struct ctl *ctl, char *line)
{
	char *words[BATCH_MAX_WORDS];
	size_t n;
	int r = batch_split(line, words, &n);

	if (r < 0)
		return ctl_error(ctl, "%s",
			r == -E2BIG ? "a command has too many words" : "a quote is not closed");
	if (n == 0)
		return 0;
	if (streq(words[0], "batch"))
		return ctl_error(ctl, "a batch cannot run another one");
	return vmctl_run(ctl, words, n);
}

static int run_file(struct ctl *ctl, FILE *f, const char *name, bool keep_going)
{
	_cleanup_(freep) char *line = NULL;
	bool json = ctl->json;
	unsigned number = 0, n_failed = 0;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, f)) >= 0) {
		number++;
		if (len && line[len - 1] == '\n')
			line[len - 1] = 0;
		forget(ctl, json);
		if (run_line(ctl, line) >= 0)
			continue;
		n_failed++;
		if (ctl->json && !ctl->has_document)
			vmctl_print_json_error(ctl);
		ctl_note(ctl, "%s:%u: this command failed", name, number);
		if (!keep_going)
			break;
	}
	forget(ctl, json);
	/* Each command has printed its document. */
	ctl->has_document = true;
	ctl->bare_output = true;
	if (ferror(f))
		return ctl_error(ctl, "cannot read '%s': %s", name, strerror(errno));
	return n_failed ? -EREMOTEIO : 0;
}

int verb_batch(struct ctl *ctl, const struct args *args)
{
	const char *name = args_string(args, "file");
	_cleanup_(fclosep) FILE *f = NULL;

	if (!name || streq(name, "-"))
		return run_file(ctl, stdin, "standard input", args_flag(args, "keep-going"));
	f = fopen(name, "re");
	if (!f)
		return ctl_error(ctl, "cannot open '%s': %s", name, strerror(errno));
	return run_file(ctl, f, name, args_flag(args, "keep-going"));
}
