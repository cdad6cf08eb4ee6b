/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line up to the verb, and how a run ends: see vmctl.h. */
#include "client/vmctl.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "build-config.h"
#include "client/bridge.h"
#include "client/console.h"
#include "client/ctl.h"
#include "client/help.h"
#include "client/remote-backend.h"
#include "client/remote.h"
#include "client/suggest.h"
#include "client/verbs.h"
#include "vmm-core/base/strutil.h"

#define DEFAULT_ESCAPE 0x1d /* ^] */

enum { OPT_SYSTEM = 256, OPT_SESSION, OPT_JSON, OPT_MAN_PAGE, OPT_COMPLETE, OPT_BRIDGE };

static const struct option long_options[] = {
	{"connect", required_argument, NULL, 'c'},
	{"system", no_argument, NULL, OPT_SYSTEM},
	{"session", no_argument, NULL, OPT_SESSION},
	{"escape", required_argument, NULL, 'e'},
	{"help", no_argument, NULL, 'h'},
	{"json", no_argument, NULL, OPT_JSON},
	{"quiet", no_argument, NULL, 'q'},
	{"readonly", no_argument, NULL, 'r'},
	{"timing", no_argument, NULL, 't'},
	{"version", no_argument, NULL, 'v'},
	/* Not for people: the build, the shell and another vmctl call these. */
	{"man-page", no_argument, NULL, OPT_MAN_PAGE},
	{"complete", required_argument, NULL, OPT_COMPLETE},
	{"stdio-bridge", no_argument, NULL, OPT_BRIDGE},
	{},
};

#define GO_ON (-1)

/* --complete INDEX -- words… */
static int run_complete(struct ctl *ctl, const char *index_text, int argc, char **argv)
{
	uint64_t index;

	if (parse_u64(index_text, 4096, &index) < 0)
		return EXIT_FAILURE;
	if (optind < argc && streq(argv[optind], "--"))
		optind++;
	return complete(
		ctl, (const char *const *)argv + optind, (size_t)(argc - optind), (size_t)index);
}

static int bad_option(struct ctl *ctl, char **argv, int c)
{
	const char *word = argv[optind - 1];

	if (c == ':')
		(void)ctl_error(ctl, "option '%s' requires an argument", word);
	else if (optopt && optopt < 256)
		(void)ctl_error(ctl, "unsupported option '-%c'. See --help.", optopt);
	else
		(void)ctl_error(ctl, "unsupported option '%s'. See --help.", word);
	return EXIT_FAILURE;
}

static int set_option(struct ctl *ctl, int c, int argc, char **argv)
{
	switch (c) {
	case 'c':
		ctl->connect = optarg;
		return GO_ON;
	case OPT_SYSTEM:
		ctl->connect = "system";
		return GO_ON;
	case OPT_SESSION:
		ctl->connect = "session";
		return GO_ON;
	case 'e':
		if (console_parse_escape(optarg, &ctl->escape) == 0)
			return GO_ON;
		(void)ctl_error(ctl, "Invalid string '%s' for escape sequence", optarg);
		return EXIT_FAILURE;
	case OPT_JSON:
		ctl->json = true;
		return GO_ON;
	case 'q':
		ctl->quiet = true;
		return GO_ON;
	case 'r':
		ctl->readonly = true;
		return GO_ON;
	case 't':
		ctl->timing = true;
		return GO_ON;
	case 'h':
		help_usage();
		return EXIT_SUCCESS;
	case 'v':
		(void)printf("%s\n", VMMD_VERSION);
		return EXIT_SUCCESS;
	case OPT_MAN_PAGE:
		help_man_page();
		return EXIT_SUCCESS;
	case OPT_BRIDGE:
		return bridge_run(ctl->connect && strncmp(ctl->connect, "unix:/", 6) == 0
				? strchr(ctl->connect, ':') + 1
				: NULL);
	case OPT_COMPLETE:
		return run_complete(ctl, optarg, argc, argv);
	default:
		return bad_option(ctl, argv, c);
	}
}

/* Options before the verb. Returns GO_ON with optind at the verb, or the exit status. */
static int parse_options(struct ctl *ctl, int argc, char **argv)
{
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:c:e:hqrtv", long_options, NULL)) >= 0) {
		int status = set_option(ctl, c, argc, argv);

		if (status != GO_ON)
			return status;
	}
	return GO_ON;
}

static int unknown_verb(struct ctl *ctl, const char *name)
{
	struct suggestion near = {.word = name};

	for (const struct verb *v = verbs; v->name; v++)
		suggestion_try(&near, v->name);
	(void)ctl_error(ctl, "unknown command: '%s'", name);
	if (near.best)
		ctl_note(ctl, "hint: did you mean '%s'?", near.best);
	return -EINVAL;
}

static int parse_verb(struct ctl *ctl, char **words, size_t n, struct args *ret_args)
{
	const struct verb *verb = verb_find(words[0]);
	char error[ARGS_ERROR_MAX];
	const char *near;
	int r;

	/* Before anything can go wrong, since errors have a JSON form too. */
	for (size_t i = 1; i < n && !streq(words[i], "--"); i++)
		ctl->json |= streq(words[i], "--json");
	if (!verb)
		return unknown_verb(ctl, words[0]);
	r = args_parse(verb, (const char *const *)words + 1, n - 1, ret_args, error, &near);
	if (r >= 0)
		return 0;
	(void)ctl_error(ctl, "%s", error);
	if (near)
		ctl_note(ctl, "hint: did you mean '--%s'?", near);
	return r;
}

void vmctl_print_json_error(struct ctl *ctl)
{
	struct json_object *o = json_object_new_object(), *e = json_object_new_object();

	(void)json_object_object_add(
		e, "code", json_object_new_string(ctl->error_code ?: "InvalidArgument"));
	(void)json_object_object_add(e, "message",
		json_object_new_string(ctl->said ?: ctl->error_message ?: "unknown error"));
	(void)json_object_object_add(o, "error", e);
	(void)ctl_json(ctl, o);
}

static int connect_for(struct ctl *ctl, const struct verb *verb)
{
	if (ctl->readonly && verb->flags & VERB_CHANGES) {
		(void)ctl_set_error(ctl, "AccessDenied",
			"operation forbidden: read only access prevents %s", verb->name);
		return ctl_report(ctl);
	}
	if (verb->flags & VERB_OFFLINE || ctl->remote || remote_connect(ctl) >= 0)
		return 0;
	return ctl_fail(ctl, "failed to connect to the hypervisor");
}

/* virsh ends each command with an empty line, or with the time it took. */
static void print_end(struct ctl *ctl, const struct timespec *before)
{
	struct timespec now;

	if (ctl->json || ctl->bare_output)
		return;
	if (!ctl->timing) {
		ctl_extra(ctl, "\n");
		return;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	ctl_print(ctl, "\n(Time: %.3f ms)\n\n",
		(double)(now.tv_sec - before->tv_sec) * 1e3 +
			(double)(now.tv_nsec - before->tv_nsec) / 1e6);
}

int vmctl_run(struct ctl *ctl, char **words, size_t n)
{
	struct timespec before;
	struct args args;
	int r;

	r = parse_verb(ctl, words, n, &args);
	if (r < 0)
		return r;
	(void)clock_gettime(CLOCK_MONOTONIC, &before);
	if (args.help) {
		help_verb(args.verb);
	} else {
		r = connect_for(ctl, args.verb);
		if (r < 0)
			return r;
		r = args.verb->run(ctl, &args);
	}
	print_end(ctl, &before);
	return r;
}

int vmctl_main(int argc, char **argv)
{
	_cleanup_(ctl_done) struct ctl ctl = {
		.escape = DEFAULT_ESCAPE, .connect = getenv("VMMD_URI")};
	int status, r;

	/* Names are UTF-8; where the locale cannot show that, C.UTF-8 can. */
	(void)setlocale(LC_CTYPE, "");
	if (MB_CUR_MAX == 1)
		(void)setlocale(LC_CTYPE, "C.UTF-8");
	status = parse_options(&ctl, argc, argv);
	if (status != GO_ON)
		return status;
	if (optind == argc) {
		help_usage();
		return EXIT_SUCCESS;
	}
	r = vmctl_run(&ctl, argv + optind, (size_t)(argc - optind));
	if (r < 0 && ctl.json && !ctl.has_document)
		vmctl_print_json_error(&ctl);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		(void)fprintf(stderr, "error: cannot write the output: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	return r < 0 ? EXIT_FAILURE : ctl.status;
}
