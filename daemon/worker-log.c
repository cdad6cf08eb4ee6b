/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A worker's standard error, bounded: see worker-log.h. */
#include "daemon/worker-log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "config/vm-config.h"
#include "vmm-core/base/fdio.h"

#define PIPE_NAME "log"

struct worker_log {
	sd_event_source *source;
	int pipe_fd, dir_fd, file_fd;
	uint64_t file_bytes;
	bool line_started;
	char file_name[VM_NAME_MAX + 16];
};

static int open_file(struct worker_log *log)
{
	struct stat st;

	log->file_fd = safe_close(log->file_fd);
	log->file_fd = openat(log->dir_fd, log->file_name,
		O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (log->file_fd < 0)
		return -errno;
	log->file_bytes = fstat(log->file_fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

static void turn_file(struct worker_log *log)
{
	char old[sizeof(log->file_name) + 8];

	(void)snprintf(old, sizeof(old), "%s.old", log->file_name);
	(void)renameat(log->dir_fd, log->file_name, log->dir_fd, old);
	(void)open_file(log);
}

static void put(struct worker_log *log, const char *text, size_t len)
{
	if (log->file_bytes + len > WORKER_LOG_MAX_BYTES)
		turn_file(log);
	if (log->file_fd >= 0 && write_full(log->file_fd, text, len) == 0)
		log->file_bytes += len;
}

/* Each line gets the time in front; control characters are taken out. */
static void put_lines(struct worker_log *log, char *text, size_t len)
{
	char stamp[40];
	time_t now = time(NULL);
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	(void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ ", &tm);
	while (len) {
		char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) + 1 : len;

		for (size_t i = 0; i + (end != NULL) < n; i++)
			if ((unsigned char)text[i] < ' ' && text[i] != '\t')
				text[i] = '?';
		if (!log->line_started)
			put(log, stamp, strlen(stamp));
		put(log, text, n);
		log->line_started = !end;
		text += n;
		len -= n;
	}
}

static int on_pipe(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct worker_log *log = userdata;
	char text[4096];
	ssize_t n = read(fd, text, sizeof(text));

	(void)source;
	(void)revents;
	if (n > 0)
		put_lines(log, text, (size_t)n);
	return 0;
}

static int open_pipe(struct worker_log *log, int run_fd, int *ret_write_fd)
{
	int fd;

	if (ret_write_fd && mkfifoat(run_fd, PIPE_NAME, 0600) < 0 && errno != EEXIST)
		return -errno;
	/* Reading and writing: never an end of file while the daemon itself holds it. */
	log->pipe_fd = openat(run_fd, PIPE_NAME, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (log->pipe_fd < 0)
		return -errno;
	if (!ret_write_fd)
		return 0;
	fd = openat(run_fd, PIPE_NAME, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_write_fd = fd;
	return 0;
}

int worker_log_open(sd_event *event, int log_dir_fd, const char *name, int dir_fd,
	struct worker_log **ret_log, int *ret_write_fd)
{
	struct worker_log *log = calloc(1, sizeof(*log));
	_cleanup_(closep) int write_fd = -EBADF;
	int r;

	if (!log)
		return -ENOMEM;
	log->pipe_fd = log->file_fd = -EBADF;
	(void)snprintf(log->file_name, sizeof(log->file_name), "%s.log", name);
	log->dir_fd = log_dir_fd;
	r = open_file(log);
	if (r == 0)
		r = open_pipe(log, dir_fd, ret_write_fd ? &write_fd : NULL);
	if (r == 0)
		r = sd_event_add_io(event, &log->source, log->pipe_fd, EPOLLIN, on_pipe, log);
	if (r >= 0)
		r = sd_event_source_set_ratelimit(
			log->source, WORKER_LOG_INTERVAL_USEC, WORKER_LOG_BURST);
	if (r < 0) {
		(void)worker_log_free(log);
		return r;
	}
	if (ret_write_fd)
		*ret_write_fd = TAKE_FD(write_fd);
	*ret_log = log;
	return 0;
}

struct worker_log *worker_log_free(struct worker_log *log)
{
	if (!log)
		return NULL;
	/* Last words; a pipe holds 64 KiB at most. */
	for (unsigned i = 0; log->source && i < 16; i++) {
		char text[4096];
		ssize_t n = read(log->pipe_fd, text, sizeof(text));

		if (n <= 0)
			break;
		put_lines(log, text, (size_t)n);
	}
	(void)sd_event_source_disable_unref(log->source);
	(void)safe_close(log->pipe_fd);
	(void)safe_close(log->file_fd);
	free(log);
	return NULL;
}
