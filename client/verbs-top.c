/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl top: what domains use, again and again, in a terminal or line by line. Tested by tests/unit/test-verbs.c, test-top.c
 * and test-terminal.c. */
#include "client/verbs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "client/remote.h"
#include "client/top.h"
#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

const struct verb_option top_options[] = {
	{.name = "batch", .letter = 'b', .help = "print tables one after the other"},
	{.name = "number",
		.type = OPTION_NUMBER,
		.named_only = true,
		.letter = 'n',
		.help = "how many samples to show"},
	{.name = "delay",
		.type = OPTION_NUMBER,
		.named_only = true,
		.letter = 'd',
		.help = "seconds between two of them: 3"},
	{.name = "sort",
		.type = OPTION_STRING,
		.named_only = true,
		.help = "by cpu, memory, disk, net or name"},
	{},
};

#define DELAY_DEFAULT_S 3
#define DELAY_MAX_S     3600
#define CLEAR           "\033[H\033[J"

struct top {
	struct ctl *ctl;
	enum top_key key;
	uint64_t delay_s, left; /* 0: without end */
	bool live, raw;
	struct termios old;
	struct sigaction old_actions[3];
	struct json_object *before, *now;
	uint64_t before_ns, now_ns;
};

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int take_sample(struct top *t)
{
	json_putp(&t->before);
	t->before = TAKE_PTR(t->now);
	t->before_ns = t->now_ns;
	if (remote_get_stats(t->ctl, NULL, 0, TOP_GROUPS, &t->now) < 0)
		return ctl_report(t->ctl);
	t->now_ns = clock_ns();
	return 0;
}

static void format_time(char *ret, size_t size)
{
	time_t now = time(NULL);
	struct tm tm;

	(void)localtime_r(&now, &tm);
	(void)strftime(ret, size, "%H:%M:%S", &tm);
}

/* No more lines than the terminal has, each no longer than it is wide: otherwise it would scroll. */
static void print_cut(const char *text)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	unsigned rows;

	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	rows = size.ws_row > 3 ? size.ws_row - 3U : 1;
	for (; *text && rows--; text += strcspn(text, "\n"), text += *text == '\n')
		(void)printf("%.*s\n", (int)MIN(strcspn(text, "\n"), (size_t)size.ws_col), text);
}

static int show_live(const struct top *t, const struct top_row *rows, size_t n)
{
	char *text = NULL, now[16];
	double cpu = 0;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int r;

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		cpu += rows[i].cpu_percent;
	r = top_print(rows, n, out, true);
	(void)fclose(out);
	format_time(now, sizeof(now));
	(void)printf(CLEAR "%s  %zu active domains, %.1f %% CPU, by %s\n", now, n, cpu,
		top_key_name(t->key));
	print_cut(text);
	(void)printf("q: quit; by c: CPU, m: memory, d: disk, n: net, a: name");
	(void)fflush(stdout);
	free(text);
	return r;
}

static int show_json(const struct top_row *rows, size_t n)
{
	struct json_object *o = json_object_new_object();

	(void)json_object_object_add(o, "time", json_object_new_int64(time(NULL)));
	(void)json_object_object_add(o, "domains", top_to_json(rows, n));
	(void)printf("%s\n",
		json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
	(void)fflush(stdout);
	(void)json_object_put(o);
	return 0;
}

static int show(const struct top *t)
{
	_cleanup_(freep) struct top_row *rows = NULL;
	size_t n;
	int r;

	r = top_rows(
		t->before, t->now, MAX(t->now_ns - t->before_ns, UINT64_C(1)), t->key, &rows, &n);
	if (r == 0 && t->ctl->json)
		r = show_json(rows, n);
	else if (r == 0 && t->live)
		r = show_live(t, rows, n);
	else if (r == 0) {
		r = top_print(rows, n, stdout, !t->ctl->quiet);
		ctl_extra(t->ctl, "\n");
		(void)fflush(stdout);
	}
	return r < 0 ? ctl_error(t->ctl, "out of memory") : 0;
}

/* 1: the user wants to leave. 2: shown otherwise from now on. */
static int take_key(struct top *t)
{
	static const char keys[] = "cmdna"; /* enum top_key */
	const char *p;
	char c;

	if (read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 3)
		return 1;
	p = strchr(keys, c);
	if (!c || !p)
		return 0;
	t->key = (enum top_key)(p - keys);
	return 2;
}

/* Until the next sample is due. 1: leave. */
static int pause_until(struct top *t, uint64_t deadline_ns)
{
	struct pollfd fd = {.fd = t->live ? STDIN_FILENO : -1, .events = POLLIN};
	int r = 0;

	while (!interrupted && r != 1) {
		uint64_t now = clock_ns();

		if (now >= deadline_ns)
			return 0;
		if (poll(&fd, 1, (int)((deadline_ns - now) / NSEC_PER_MSEC) + 1) <= 0)
			continue;
		r = take_key(t);
		if (r == 2 && t->before && show(t) < 0)
			return -EINVAL;
	}
	return 1;
}

static int run(struct top *t)
{
	bool counted = t->left;
	int r = take_sample(t);

	while (r == 0 && (!counted || t->left--)) {
		r = pause_until(t, t->now_ns + t->delay_s * NSEC_PER_SEC);
		if (r == 0)
			r = take_sample(t);
		if (r == 0)
			r = show(t);
	}
	return MIN(r, 0);
}

/* Keys come one by one and are not shown; whatever ends us gives the terminal back. */
static void open_terminal(struct top *t)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct termios raw;

	interrupted = 0;
	static_assert(ARRAY_SIZE(signals) == ARRAY_SIZE(t->old_actions), "one each");
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaction(signals[i], &action, &t->old_actions[i]);
	if (!t->live || tcgetattr(STDIN_FILENO, &t->old) < 0)
		return;
	raw = t->old;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	t->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

static void close_terminal(struct top *t)
{
	if (t->raw)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &t->old);
	if (t->live)
		(void)printf("\n");
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaction(signals[i], &t->old_actions[i], NULL);
}

int verb_top(struct ctl *ctl, const struct args *args)
{
	struct top t = {.ctl = ctl};
	const char *sort = args_string(args, "sort");
	int r;

	if (sort && top_key_from_name(sort, &t.key) < 0)
		return ctl_error(
			ctl, "unknown sort key '%s': write cpu, memory, disk, net or name", sort);
	if (ctl_number_option(ctl, args, "delay", DELAY_MAX_S, DELAY_DEFAULT_S, &t.delay_s) < 0 ||
		ctl_number_option(ctl, args, "number", UINT32_MAX, ctl->json, &t.left) < 0)
		return -EINVAL;
	if (!t.delay_s)
		return ctl_error(ctl, "--delay 0: give at least 1 second");
	t.live = !ctl->json && !args_flag(args, "batch") && isatty(STDIN_FILENO) &&
		isatty(STDOUT_FILENO);
	open_terminal(&t);
	r = run(&t);
	close_terminal(&t);
	json_putp(&t.before);
	json_putp(&t.now);
	return r;
}
