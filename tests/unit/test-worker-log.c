/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A worker's log: lines get a time and lose control characters, a flood is put off, the file turns, a new reader
 * takes over the pipe. */
#include "daemon/worker-log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "vmm-core/base/fdio.h"

struct fixture {
	char dir[64];
	int dir_fd, write_fd;
	sd_event *event;
	struct worker_log *log;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/test-worker-log-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(sd_event_new(&f->event) >= 0);
	assert_int_equal(
		worker_log_open(f->event, f->dir_fd, "vm", f->dir_fd, &f->log, &f->write_fd), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[96];

	worker_log_free(f->log);
	sd_event_unref(f->event);
	close(f->write_fd);
	close(f->dir_fd);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static char *content(struct fixture *f, const char *name)
{
	char *text = NULL;

	assert_int_equal(read_file(f->dir_fd, name, 4 << 20, &text, NULL), 0);
	return text;
}

static void run(struct fixture *f, unsigned turns)
{
	while (turns--)
		assert_true(sd_event_run(f->event, 1000) >= 0);
}

static void test_lines(void **state)
{
	struct fixture *f = *state;
	char *text;

	assert_int_equal(write_full(f->write_fd, "one\ntw", 6), 0);
	run(f, 3);
	assert_int_equal(write_full(f->write_fd, "o\n\033[31mred\n", 11), 0);
	run(f, 3);
	text = content(f, "vm.log");
	assert_non_null(strstr(text, "Z one\n"));
	assert_non_null(strstr(text, "Z two\n"));
	assert_non_null(strstr(text, "Z ?[31mred"));
	assert_null(strchr(text, '\033'));
	free(text);
}

/* More than the rate allows stays in the pipe, and its writer sees that it is full instead of waiting. */
static void test_flood(void **state)
{
	struct fixture *f = *state;
	char block[4096];
	struct stat st;
	size_t written = 0;

	memset(block, 'x', sizeof(block) - 1);
	block[sizeof(block) - 1] = '\n';
	for (unsigned i = 0; i < 500; i++) {
		ssize_t n = write(f->write_fd, block, sizeof(block));

		if (n > 0)
			written += (size_t)n;
		else
			assert_int_equal(errno, EAGAIN);
		run(f, 1);
	}
	assert_int_equal(fstatat(f->dir_fd, "vm.log", &st, 0), 0);
	/* At most two windows of the limit may have gone by, plus the times in front. */
	assert_true((size_t)st.st_size <= 2 * WORKER_LOG_BURST * (sizeof(block) + 40));
	assert_true(written < 500 * sizeof(block));
}

static void test_file_turns(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	char path[96];

	f->log = worker_log_free(f->log);
	snprintf(path, sizeof(path), "%s/vm.log", f->dir);
	assert_int_equal(truncate(path, WORKER_LOG_MAX_BYTES - 10), 0);
	assert_int_equal(worker_log_open(f->event, f->dir_fd, "vm", f->dir_fd, &f->log, NULL), 0);
	assert_int_equal(write_full(f->write_fd, "hello\n", 6), 0);
	run(f, 3);
	assert_int_equal(fstatat(f->dir_fd, "vm.log.old", &st, 0), 0);
	assert_int_equal(st.st_size, WORKER_LOG_MAX_BYTES - 10);
	assert_int_equal(fstatat(f->dir_fd, "vm.log", &st, 0), 0);
	assert_true(st.st_size < 100);
}

/* The daemon goes (EPIPE, no signal for those who ignore it), a new one opens the pipe, the writer goes on. */
static void test_new_reader(void **state)
{
	struct fixture *f = *state;
	char *text;

	f->log = worker_log_free(f->log);
	(void)signal(SIGPIPE, SIG_IGN);
	assert_int_equal(write_full(f->write_fd, "lost\n", 5), -EPIPE);
	assert_int_equal(worker_log_open(f->event, f->dir_fd, "vm", f->dir_fd, &f->log, NULL), 0);
	assert_int_equal(write_full(f->write_fd, "heard\n", 6), 0);
	run(f, 3);
	text = content(f, "vm.log");
	assert_non_null(strstr(text, "Z heard\n"));
	assert_null(strstr(text, "lost"));
	free(text);
}

/* What is in the pipe when the run ends is not lost; and a link in the file's place is not followed. */
static void test_last_words(void **state)
{
	struct fixture *f = *state;
	struct worker_log *other = NULL;
	char *text;

	assert_int_equal(write_full(f->write_fd, "last words\n", 11), 0);
	f->log = worker_log_free(f->log);
	text = content(f, "vm.log");
	assert_non_null(strstr(text, "Z last words\n"));
	free(text);
	assert_int_equal(symlinkat("/etc/passwd", f->dir_fd, "evil.log"), 0);
	assert_int_equal(
		worker_log_open(f->event, f->dir_fd, "evil", f->dir_fd, &other, NULL), -ELOOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_lines),
		T(test_flood),
		T(test_file_turns),
		T(test_new_reader),
		T(test_last_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
