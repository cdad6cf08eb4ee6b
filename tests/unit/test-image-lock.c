/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images: what is refused, who may share, who is named, that a lock outlives the process that took it, and that QEMU's
 * tools see it as theirs (where they are installed). */
#include "daemon/image-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

#define SIZE KIB(64)

struct fixture {
	char dir[64], path[96];
	struct image_info info;
	char *error;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fd;

	strcpy(f->dir, "/tmp/vmmd-image-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/image", f->dir);
	fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	(void)close(fd);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	(void)unlink(f->path);
	(void)rmdir(f->dir);
	free(f->error);
	free(f);
	return 0;
}

/* The fd or -errno, with f->error of this call. */
static int try_open(struct fixture *f, const char *path, unsigned flags)
{
	int fd, r;

	free(f->error);
	f->error = NULL;
	r = image_open(path, flags, &fd, &f->info, &f->error);
	if (r < 0) {
		assert_non_null(f->error);
		assert_non_null(strstr(f->error, path));
	}
	return r < 0 ? r : fd;
}

static void expect_error(const struct fixture *f, const char *part)
{
	if (!strstr(f->error, part))
		fail_msg("'%s' is not in '%s'", part, f->error);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	char path[128];

	assert_int_equal(try_open(f, "/nonexistent/image", 0), -ENOENT);
	expect_error(f, "No such file");
	assert_int_equal(try_open(f, "/tmp", 0), -EMEDIUMTYPE);
	expect_error(f, "a folder");
	assert_int_equal(try_open(f, "/dev/null", 0), -EMEDIUMTYPE);
	expect_error(f, "a character device");
	/* Nobody writes to this pipe: it must not be waited for. */
	(void)snprintf(path, sizeof(path), "%s/pipe", f->dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(try_open(f, path, IMAGE_READONLY), -EMEDIUMTYPE);
	expect_error(f, "a pipe");
	(void)unlink(path);
	assert_int_equal(truncate(f->path, 511), 0);
	assert_int_equal(try_open(f, f->path, 0), -EINVAL);
	expect_error(f, "511 bytes");
	/* A refusal leaves no lock behind. */
	assert_int_equal(truncate(f->path, 512), 0);
	{
		_cleanup_(closep) int fd = try_open(f, f->path, 0);

		assert_true(fd >= 0);
	}
}

static void test_info(void **state)
{
	struct fixture *f = *state;
	char path[128];
	int fd;

	assert_int_equal(truncate(f->path, 5000), 0);
	(void)snprintf(path, sizeof(path), "%s/link", f->dir);
	assert_int_equal(symlink("image", path), 0);
	fd = try_open(f, path, 0);
	assert_true(fd >= 0);
	assert_int_equal(f->info.size, 4608);
	assert_int_equal(f->info.cut_off, 5000 - 4608);
	assert_true(f->info.is_locked);
	assert_false(f->info.is_block_device);
	assert_null(f->info.looks_like);
	assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(pwrite(fd, "QFI\xfb", 4, 0), 4);
	(void)close(fd);
	fd = try_open(f, path, IMAGE_READONLY);
	assert_true(fd >= 0);
	assert_string_equal(f->info.looks_like, "qcow2");
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	(void)close(fd);
	(void)unlink(path);
}

/* Every pair of ways to open. */
static void test_pairs(void **state)
{
	static const struct {
		unsigned first, second;
		bool allowed;
	} rows[] = {
		{0, 0, false},
		{0, IMAGE_READONLY, false},
		{0, IMAGE_SHARED, false},
		{0, IMAGE_SHARED | IMAGE_READONLY, true},
		{IMAGE_READONLY, 0, false},
		{IMAGE_READONLY, IMAGE_READONLY, true},
		{IMAGE_READONLY, IMAGE_SHARED, false},
		{IMAGE_READONLY, IMAGE_SHARED | IMAGE_READONLY, true},
		{IMAGE_SHARED, 0, false},
		{IMAGE_SHARED, IMAGE_READONLY, false},
		{IMAGE_SHARED, IMAGE_SHARED, true},
		{IMAGE_SHARED, IMAGE_SHARED | IMAGE_READONLY, true},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(closep) int first = try_open(f, f->path, rows[i].first);
		_cleanup_(closep) int second = -EBADF;

		assert_true(first >= 0);
		second = try_open(f, f->path, rows[i].second);
		if (rows[i].allowed != (second >= 0))
			fail_msg("row %zu: %d %s", i, second, f->error ? f->error : "");
		if (!rows[i].allowed)
			assert_int_equal(second, -EBUSY);
	}
}

static const char *domain_of_pid(void *opaque, pid_t pid)
{
	return pid == *(pid_t *)opaque ? "web1" : NULL;
}

/* Wait until the child says so on the pipe. */
static void wait_byte(int fd)
{
	char c;

	assert_int_equal(read(fd, &c, 1), 1);
}

/* A "daemon" opens the image, starts a "worker" with the fd, and dies. The lock is the worker's as long as it lives. */
static void test_outlives_opener(void **state)
{
	struct fixture *f = *state;
	int to_parent[2], to_worker[2], fd, status;
	char expected[64];
	pid_t daemon_pid, worker;

	assert_int_equal(pipe(to_parent), 0);
	assert_int_equal(pipe(to_worker), 0);
	daemon_pid = fork();
	if (daemon_pid == 0) {
		struct image_info info;
		char *error;
		pid_t pid;

		if (image_open(f->path, 0, &fd, &info, &error) < 0)
			_exit(1);
		pid = fork();
		if (pid == 0) {
			char c;

			(void)close(to_worker[1]);
			(void)!read(to_worker[0], &c, 1); /* until the test lets go */
			_exit(0);
		}
		(void)!write(to_parent[1], &pid, sizeof(pid));
		_exit(0);
	}
	assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(to_parent[0], &worker, sizeof(worker)), sizeof(worker));

	assert_int_equal(try_open(f, f->path, 0), -EBUSY);
	(void)snprintf(
		expected, sizeof(expected), "in use for writing by process %d (", (int)worker);
	expect_error(f, expected);
	{
		struct image_names names = {.domain_of_pid = domain_of_pid, .opaque = &worker};

		free(f->error);
		assert_int_equal(
			image_open_named(f->path, IMAGE_READONLY, &names, &fd, &f->info, &f->error),
			-EBUSY);
		expect_error(f, "in use for writing by domain 'web1'");
	}
	(void)close(to_parent[1]);
	(void)close(to_worker[1]);
	/* The worker holds the other end of this pipe: its end is the worker's end. */
	assert_int_equal(read(to_parent[0], &status, 1), 0);
	fd = try_open(f, f->path, 0);
	assert_true(fd >= 0);
	(void)close(fd);
	(void)close(to_parent[0]);
	(void)close(to_worker[0]);
}

/* Somebody with a plain POSIX lock over the whole file. */
static void test_foreign_lock(void **state)
{
	struct fixture *f = *state;
	int to_parent[2], status;
	char expected[32];
	pid_t pid;

	assert_int_equal(pipe(to_parent), 0);
	pid = fork();
	if (pid == 0) {
		struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		int fd = open(f->path, O_RDWR | O_CLOEXEC);

		if (fcntl(fd, F_SETLK, &fl) < 0)
			_exit(1);
		(void)!write(to_parent[1], "x", 1);
		(void)pause();
		_exit(0);
	}
	wait_byte(to_parent[0]);
	assert_int_equal(try_open(f, f->path, 0), -EBUSY);
	(void)snprintf(expected, sizeof(expected), "process %d (", (int)pid);
	expect_error(f, expected);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(to_parent[0]);
	(void)close(to_parent[1]);
}

static const char qemu_img[] = "/usr/bin/qemu-img";

/* Start qemu-img writing 'count' blocks, quietly. */
static pid_t start_qemu_img(const struct fixture *f, const char *count)
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
		(void)execl(qemu_img, qemu_img, "bench", "-w", "-f", "raw", "-c", count, "-d", "1",
			"-s", "512", f->path, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static int run_qemu_img(const struct fixture *f)
{
	int status;
	pid_t pid = start_qemu_img(f, "1");

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_qemu_respects_ours(void **state)
{
	static const unsigned flags[] = {0, IMAGE_READONLY};
	struct fixture *f = *state;

	if (access(qemu_img, X_OK) < 0) {
		print_message("qemu-img is not installed\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		int fd = try_open(f, f->path, flags[i]);

		assert_true(fd >= 0);
		assert_int_equal(run_qemu_img(f), 1);
		(void)close(fd);
		assert_int_equal(run_qemu_img(f), 0);
	}
}

static void test_we_respect_qemu(void **state)
{
	struct fixture *f = *state;
	char expected[64];
	int r = 0, status;
	pid_t pid;

	if (access(qemu_img, X_OK) < 0) {
		print_message("qemu-img is not installed\n");
		skip();
	}
	pid = start_qemu_img(f, "2000000000");
	/* Until it has opened the image: a reader of ours who forbids writing meets it then. */
	for (unsigned tries = 0; tries < 500 && r != -EBUSY; tries++) {
		r = try_open(f, f->path, IMAGE_SHARED | IMAGE_READONLY);
		if (r >= 0) {
			(void)close(r);
			r = try_open(f, f->path, IMAGE_READONLY);
		}
		if (r >= 0)
			(void)close(r);
		(void)usleep(10000);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(r, -EBUSY);
	(void)snprintf(expected, sizeof(expected), "in use for writing by process %d (qemu-img)",
		(int)pid);
	expect_error(f, expected);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(test_refused),
		ROW(test_info),
		ROW(test_pairs),
		ROW(test_outlives_opener),
		ROW(test_foreign_lock),
		ROW(test_qemu_respects_ours),
		ROW(test_we_respect_qemu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
