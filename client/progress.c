/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A progress bar: see progress.h. */
#include "client/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/remote.h"
#include "vmm-core/base/strutil.h"

#define BAR_MAX 40
#define BAR_MIN 8

/* Text of vmmd's, fit for a terminal. */
static void copy_plain(char *dst, size_t size, const char *src)
{
	size_t i = 0;

	for (; i + 1 < size && src[i]; i++)
		dst[i] = src[i] >= ' ' && src[i] < 0x7f ? src[i] : '?';
	dst[i] = 0;
}

static void format_tail(struct json_object *job, char ret[64])
{
	int64_t left = json_number(job, "left_ms", -1), rate = json_number(job, "bytes_per_s", 0);
	int n = 0;

	ret[0] = 0;
	if (rate > 0)
		n = snprintf(ret, 64, ", %lld MiB/s", (long long)(rate >> 20));
	if (left >= 0)
		(void)snprintf(
			ret + n, 64 - (size_t)n, ", %lld s left", (long long)(left + 999) / 1000);
}

void progress_format(struct json_object *job, unsigned columns, char ret[PROGRESS_LINE_MAX])
{
	char name[64], operation[32], stage[32], head[160], tail[64], bar[BAR_MAX + 1], text[320];
	int64_t percent = json_number(job, "percent", -1);
	size_t used, width;

	copy_plain(name, sizeof(name), json_string(job, "domain", ""));
	copy_plain(operation, sizeof(operation), json_string(job, "operation", ""));
	copy_plain(stage, sizeof(stage), json_string(job, "stage", ""));
	format_tail(job, tail);
	(void)snprintf(head, sizeof(head), "%s: %s%s%s%s", name, operation, *stage ? " (" : "",
		stage, *stage ? ")" : "");
	columns = MIN(columns, PROGRESS_LINE_MAX - 1U);
	used = strlen(head) + strlen(tail) + strlen(" []  100 %");
	width = columns > used ? MIN(columns - used, (size_t)BAR_MAX) : 0;
	if (percent < 0 || percent > 100) {
		(void)snprintf(text, sizeof(text), "%s%s", head, tail);
	} else if (width < BAR_MIN) {
		(void)snprintf(text, sizeof(text), "%s %3d %%%s", head, (int)percent, tail);
	} else {
		memset(bar, ' ', width);
		memset(bar, '=', width * (size_t)percent / 100);
		bar[width] = 0;
		(void)snprintf(
			text, sizeof(text), "%s [%s] %3d %%%s", head, bar, (int)percent, tail);
	}
	text[columns] = 0;
	memcpy(ret, text, columns + 1);
}

static unsigned terminal_columns(void)
{
	struct winsize size;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col - 1U
										: 79;
}

static void draw(struct ctl *ctl, const char *uuid)
{
	_cleanup_(json_putp) struct json_object *jobs = NULL;
	char line[PROGRESS_LINE_MAX];

	if (remote_call_one(ctl, "ListJobs", &jobs, "u", 1) < 0)
		return;
	for (size_t i = 0; i < json_object_array_length(jobs); i++) {
		struct json_object *job = json_object_array_get_idx(jobs, i);

		if (!streq(json_string(job, "uuid", ""), uuid))
			continue;
		progress_format(job, terminal_columns(), line);
		(void)fprintf(stderr, "\r\033[K%s", line);
	}
}

/* The end of the pipe is the end of the call, or of who made it. */
static bool is_over(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) != 0;
}

static _Noreturn void run(const struct ctl *parent, const char *uuid, int fd)
{
	struct ctl ctl = {.connect = parent->connect, .quiet = true};

	(void)signal(SIGINT, SIG_DFL);
	if (is_over(fd, PROGRESS_DELAY_MS) || remote_connect(&ctl) < 0)
		_exit(0);
	do
		draw(&ctl, uuid);
	while (!is_over(fd, PROGRESS_EACH_MS));
	(void)fprintf(stderr, "\r\033[K");
	_exit(0);
}

void progress_start(struct ctl *ctl, const char *uuid, struct progress *ret)
{
	int fds[2];
	pid_t pid;

	*ret = (struct progress){.stop_fd = -EBADF};
	if (ctl->quiet || ctl->json || !isatty(STDERR_FILENO) ||
		strncmp(remote_uri(ctl), "ssh:", 4) == 0 || pipe2(fds, O_CLOEXEC) < 0)
		return;
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		(void)close(fds[1]);
		run(ctl, uuid, fds[0]);
	}
	(void)close(fds[0]);
	if (pid < 0) {
		(void)close(fds[1]);
		return;
	}
	*ret = (struct progress){pid, fds[1]};
}

void progress_stop(struct progress *progress)
{
	progress->stop_fd = safe_close(progress->stop_fd);
	while (progress->pid > 0 && waitpid(progress->pid, NULL, 0) < 0 && errno == EINTR)
		;
	progress->pid = 0;
}
