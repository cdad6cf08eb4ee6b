/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A daemon that has no fds for more callers: who is served is served on, each of the others is told why he is not, which the log says once
 * a second at most, and when some have gone the next are served. With each limit from one fd to enough for all; the callers are another
 * process.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "rpc-fixture.h"

#define N_CALLERS 12
#define REFUSED   "vmmd has no file descriptor left"
#define LOGGED    "a caller is sent away"

/* How a child ends that does not say how many were served. */
enum trouble { TROUBLE_LIMIT = 100, TROUBLE_CONNECT, TROUBLE_SILENCE, TROUBLE_ANSWER };

static int call(const char *path)
{
	static const char request[] = REQUEST("1", "ListDomains", "[0]") "\n";
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || str_copy(address.sun_path, sizeof(address.sun_path), path) < 0 ||
		connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		_exit(TROUBLE_CONNECT);
	/* It may have been sent away by now. */
	(void)send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
	return fd;
}

/* 1: he is served, 0: he is told that he is not. */
static int answer(int fd)
{
	char text[4096];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		_exit(TROUBLE_SILENCE);
	text[n] = 0;
	if (strstr(text, REFUSED))
		return 0;
	if (!strstr(text, "\"result\""))
		_exit(TROUBLE_ANSWER);
	return 1;
}

/* In a child: all call, and stay until each has heard. Ends with the number of those that were served. */
static _noreturn_ void callers(const char *path)
{
	struct rlimit limit;
	int fds[N_CALLERS], n = 0;

	alarm(60);
	/* It is the daemon that has too few. */
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(TROUBLE_LIMIT);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		_exit(TROUBLE_LIMIT);
	for (unsigned i = 0; i < N_CALLERS; i++)
		fds[i] = call(path);
	for (unsigned i = 0; i < N_CALLERS; i++)
		n += answer(fds[i]);
	_exit(n);
}

static bool has_ended(pid_t pid, int *status)
{
	return waitpid(pid, status, WNOHANG) == pid;
}

/* The number of those that were served. */
static int serve_callers(struct fixture *f, struct rpc *server, const char *path)
{
	unsigned n_before = rpc_n_connections(server);
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		callers(path);
	RUN_UNTIL(f, has_ended(pid, &status));
	assert_true(WIFEXITED(status));
	RUN_UNTIL(f, rpc_n_connections(server) == n_before);
	return WEXITSTATUS(status);
}

static void set_limit(rlim_t n)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static int first_free_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

/* What the log has got: see main(). */
static unsigned count_logged(const char *what)
{
	static char text[65536];
	ssize_t len = pread(2, text, sizeof(text) - 1, 0);
	unsigned n = 0;

	assert_in_range(len, 0, sizeof(text) - 2);
	text[len] = 0;
	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static uint64_t now_sec(void)
{
	struct timespec ts;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	return (uint64_t)ts.tv_sec;
}

/* From a limit that leaves nobody anything on. Returns how many limits there are. */
static unsigned raise_limit(
	struct fixture *f, struct rpc *server, const char *path, struct client *old)
{
	rlim_t limit = (rlim_t)first_free_fd();
	unsigned n_limits = 0;
	int n = 0, last = 0;

	while (n < N_CALLERS) {
		set_limit(limit++);
		n = serve_callers(f, server, path);
		assert_in_range(n, last, N_CALLERS);
		assert_true(n > 0 || n_limits == 0);
		last = n;
		assert_string_equal(ask(f, old, REQUEST("1", "ListDomains", "[0]")),
			RESULT("1", "{\"domains\":[]}"));
		n_limits++;
	}
	return n_limits;
}

static void test_limits(void **state)
{
	static struct client old;
	struct fixture *f = *state;
	uint64_t begin = now_sec();
	struct rlimit before;
	unsigned n_limits, n_lines;
	struct rpc *server;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/rpc.sock", f->runtime);
	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &server), 0);
	fd = rpc_open_socket(path, 0600, 0);
	assert_true(fd >= 0);
	assert_int_equal(rpc_listen(server, fd), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	set_limit((rlim_t)first_free_fd());
	/* Not even the first caller's time limits need a file descriptor. */
	assert_int_equal(serve_callers(f, server, path), 0);
	set_limit(before.rlim_cur);
	assert_int_equal(connect_client(&old, server), 0);
	n_limits = raise_limit(f, server, path, &old);
	set_limit(before.rlim_cur);
	n_lines = count_logged(LOGGED);
	print_message(
		"%u limits, %d callers each, %u lines in the log\n", n_limits, N_CALLERS, n_lines);
	assert_true(n_limits > N_CALLERS / 2);
	assert_in_range(n_lines, 1, now_sec() - begin + 2);
	client_done(&old);
	(void)rpc_free(server);
	(void)unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_limits, fixture_setup, fixture_teardown),
	};
	int log_fd = memfd_create("log", 0), err_fd = fcntl(2, F_DUPFD_CLOEXEC, 100), r;
	char text[4096];
	ssize_t n;

	log_init("test", LOG_WARNING, false);
	/* The log goes to where it can be counted, and then to where it belongs. */
	if (err_fd < 0 || dup2(log_fd, 2) < 0 || safe_close(log_fd) != -EBADF)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	for (off_t at = 0; (n = pread(2, text, sizeof(text), at)) > 0; at += n)
		(void)write_full(err_fd, text, (size_t)n);
	return r;
}
