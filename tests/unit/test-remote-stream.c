/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl's consoles and captures over a connection that passes no descriptors: the client, a program in ssh's place, the bridge, the
 * JSON-RPC server and the fake worker, each as it is; and a server that does not keep to the rules. */
#include "rpc-fixture.h"

#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "client/bridge.h"
#include "client/capture-filter.h"
#include "client/capture.h"
#include "client/console.h"
#include "client/remote-stream.h"
#include "client/remote.h"

#define TOTAL    (1024U * 1024)
#define GREETING "fake console\r\n"
#define ESCAPE   0x1d
#define URI      "ssh://host"

static char dir[64], socket_path[96], note[96];
static pid_t daemon_pid;
static int stop_fd = -EBADF;

/* The daemon, until nobody holds the other end of 'stop'. */
static _noreturn_ void run_daemon(int ready, int stop)
{
	struct pollfd p = {.fd = stop, .events = POLLIN};
	struct rpc *server;
	struct fixture *f;
	void *state;

	log_init("test", LOG_ERR, NULL);
	fixture_setup(&state);
	f = state;
	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &server), 0);
	assert_int_equal(rpc_listen(server, rpc_open_socket(socket_path, 0600, 0)), 0);
	fixture_define(f, "a", "", "");
	assert_int_equal(write(ready, "r", 1), 1);
	while (poll(&p, 1, 0) == 0)
		assert_true(sd_event_run(f->event, 100000) >= 0);
	server = rpc_free(server);
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	fixture_teardown(&state);
	exit(0);
}

static void write_ssh(void)
{
	char file[96];
	FILE *f;

	snprintf(file, sizeof(file), "%s/ssh", dir);
	f = fopen(file, "we");
	/* Its process becomes the bridge. */
	fprintf(f, "#!/bin/sh\necho $$ >%s\nexec %s --bridge %s\n", note, getenv("TEST_SELF"),
		socket_path);
	fclose(f);
	assert_int_equal(chmod(file, 0700), 0);
	setenv("PATH", dir, 1);
}

static int group_setup(void **state)
{
	int ready[2], stop[2];
	char c;

	(void)state;
	strcpy(dir, "/tmp/test-remote-stream-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(socket_path, sizeof(socket_path), "%s/rpc.sock", dir);
	snprintf(note, sizeof(note), "%s/note", dir);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
	/* Who waits for what does not come any more is no success either. */
	(void)alarm(120);
	daemon_pid = fork();
	if (daemon_pid == 0) {
		close(stop[1]);
		run_daemon(ready[1], stop[0]);
	}
	close(ready[1]);
	close(stop[0]);
	stop_fd = stop[1];
	write_ssh();
	return read(ready[0], &c, 1) == 1 && close(ready[0]) == 0 ? 0 : -1;
}

/* The daemon has as many descriptors as before, or says which are left. */
static int group_teardown(void **state)
{
	char command[96];
	int status;

	(void)state;
	stop_fd = safe_close(stop_fd);
	assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
	snprintf(command, sizeof(command), "/bin/rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	return status == 0 ? 0 : -1;
}

/* Whatever became of it in the test before. */
static void start_domain(struct ctl *ctl)
{
	for (unsigned i = 0; i < 1000; i++) {
		if (remote_call(ctl, "StartDomain", CTL_START_TIMEOUT_USEC, NULL, "su", "a", 0) ==
			0)
			return;
		if (strstr(ctl->error_message, "already"))
			(void)remote_call(
				ctl, "DestroyDomain", CTL_CALL_TIMEOUT_USEC, NULL, "su", "a", 0);
	}
	fail_msg("%s", ctl->error_message);
}

static int file_of(const char *data, size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, data, size), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* A MiB to the guest and back, through all windows; the last line is the guest's end. */
static void test_console(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = URI};
	struct console_options options = {0};
	char *sent = malloc(TOTAL + 8), *got = malloc(TOTAL + 64);
	enum console_end end;
	int fd = -EBADF;
	size_t size;

	(void)state;
	for (size_t i = 0; i < TOTAL; i++)
		sent[i] = i % 61 == 60 ? '\n' : (char)('A' + (i * 7 + i / 61) % 57);
	size = TOTAL + (size_t)sprintf(sent + TOTAL, "\nexit\n");
	assert_int_equal(remote_connect(&ctl), 0);
	start_domain(&ctl);
	if (remote_open_console(&ctl, "a", "", 0, &fd) < 0)
		fail_msg("%s", ctl.error_message);
	options.in_fd = file_of(sent, size);
	options.out_fd = file_of("", 0);
	options.pump = remote_pump(&ctl);
	assert_non_null(options.pump);
	assert_int_equal(console_run(fd, &options, &end), 0);
	assert_int_equal(end, CONSOLE_PEER);
	assert_int_equal(remote_close(&ctl, fd), 0);
	assert_null(remote_pump(&ctl));
	assert_int_equal(lseek(options.out_fd, 0, SEEK_CUR), strlen(GREETING) + size);
	assert_int_equal(pread(options.out_fd, got, TOTAL + 64, 0), strlen(GREETING) + size);
	assert_memory_equal(got, GREETING, strlen(GREETING));
	assert_memory_equal(got + strlen(GREETING), sent, size);
	/* The connection goes on. */
	assert_int_equal(remote_call(&ctl, "Ping", CTL_CALL_TIMEOUT_USEC, NULL, ""), 0);
	close(options.in_fd);
	close(options.out_fd);
	free(sent);
	free(got);
}

static void on_resized(void *opaque, unsigned cols, unsigned rows)
{
	remote_resize_console(opaque, "a", "", cols, rows);
}

/* A session at a terminal, as a process: its exit status is how it ended, 100: not as it should. */
static pid_t run_at_terminal(const char *uri, int slave)
{
	struct ctl ctl = {.connect = uri, .escape = ESCAPE};
	struct console_options options = {.in_fd = slave,
		.out_fd = slave,
		.escape = ESCAPE,
		.resized = on_resized,
		.opaque = &ctl};
	enum console_end end = CONSOLE_SILENT;
	pid_t pid = fork();
	int fd, r;

	if (pid != 0)
		return pid;
	if (remote_connect(&ctl) < 0 || remote_open_console(&ctl, "a", "", 0, &fd) < 0)
		_exit(101);
	options.pump = remote_pump(&ctl);
	r = console_run(fd, &options, &end);
	if (remote_close(&ctl, fd) < 0)
		_exit(streq(ctl.error_code, "Disconnected") ? 100 : 102);
	ctl_done(&ctl);
	_exit(r < 0 ? 103 : 10 + (int)end);
}

/* Read until this has come. */
static void see(int master, const char *text)
{
	char got[4096];
	size_t n = 0;

	do {
		ssize_t k = read(master, got + n, sizeof(got) - 1 - n);

		assert_true(k > 0);
		n += (size_t)k;
		got[n] = 0;
	} while (!strstr(got, text));
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Size, keys, the escape character: the same with descriptors and without. Who left is not attached any more. */
static void test_terminal(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = URI};
	char unix_uri[128];
	const char *const uris[] = {URI, unix_uri};

	(void)state;
	snprintf(unix_uri, sizeof(unix_uri), "unix:%s", socket_path);
	assert_int_equal(remote_connect(&ctl), 0);
	start_domain(&ctl);
	for (size_t i = 0; i < ARRAY_SIZE(uris); i++) {
		struct winsize size = {.ws_col = 132, .ws_row = 43};
		int master, slave;
		pid_t pid;

		assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
		pid = run_at_terminal(uris[i], slave);
		see(master, " is 132x43\r\n");
		assert_int_equal(write(master, "hello", 5), 5);
		see(master, "hello");
		assert_int_equal(write(master, "\x1d", 1), 1);
		assert_int_equal(status_of(pid), 10 + CONSOLE_ESCAPE);
		close(master);
		close(slave);
	}
}

/* Another session by force, and a connection that breaks. */
static void test_taken_away(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = URI};
	_cleanup_(freep) char *text = NULL;
	int master, slave, fd = -EBADF;
	pid_t pid;

	(void)state;
	assert_int_equal(remote_connect(&ctl), 0);
	start_domain(&ctl);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	pid = run_at_terminal(URI, slave);
	see(master, GREETING);
	assert_true(remote_open_console(&ctl, "a", "", 0, &fd) < 0);
	assert_string_equal(ctl.error_code, "OperationFailed");
	assert_int_equal(remote_open_console(&ctl, "a", "", 1, &fd), 0);
	assert_int_equal(status_of(pid), 10 + CONSOLE_PEER);
	assert_int_equal(remote_close(&ctl, fd), 0);
	pid = run_at_terminal(URI, slave);
	see(master, GREETING);
	assert_int_equal(read_file(AT_FDCWD, note, 64, &text, NULL), 0);
	assert_int_equal(kill((pid_t)atoi(text), SIGKILL), 0);
	assert_int_equal(status_of(pid), 100);
	close(master);
	close(slave);
}

static const struct pcapng_interface interface = {
	.name = "net-capture", .description = "", .filter = "", .snaplen = 65535};

static struct capture_session capture(struct ctl *ctl, const char *expression)
{
	static struct capture_filter filter;
	struct capture_session session = {.fd = -EBADF, .out = fopen("/dev/null", "we")};
	char error[CAPTURE_FILTER_ERROR_MAX];
	uint64_t job = 0;

	assert_int_equal(capture_filter_compile(expression, 65535, &filter, error), 0);
	if (remote_open_capture(
		    ctl, "OpenNetworkCapture", "net-capture", "", 3, 65535, &session.fd, &job) < 0)
		fail_msg("%s", ctl->error_message);
	assert_true(job > 0);
	assert_int_equal(capture_filter_attach(session.fd, &filter), 0);
	session.pump = remote_pump(ctl);
	session.epoch_ns = remote_epoch_ns(ctl);
	assert_int_equal(capture_run(&session, &interface), 0);
	assert_int_equal(remote_close(ctl, session.fd), 0);
	fclose(session.out);
	return session;
}

/* Packets stay packets, through windows that are smaller than all of them; the filter holds; times have a beginning. */
static void test_capture(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = URI};
	struct capture_session session;
	struct timespec now;
	uint64_t job;

	(void)state;
	assert_int_equal(remote_connect(&ctl), 0);
	assert_int_equal(remote_call(&ctl, "CreateNetwork", CTL_CALL_TIMEOUT_USEC, NULL, "ssu",
				 "<network><name>net-capture</name></network>", "x", 0),
		0);
	session = capture(&ctl, "");
	assert_int_equal(session.end, CAPTURE_END_SOURCE);
	assert_int_equal(session.n_frames, 300);
	assert_int_equal(session.n_bytes, 300 * 8000);
	assert_int_equal(session.n_lost, 0);
	clock_gettime(CLOCK_REALTIME, &now);
	assert_true(session.epoch_ns > 0 && session.epoch_ns < (uint64_t)now.tv_sec * NSEC_PER_SEC);
	session = capture(&ctl, "ether[0] = 2");
	assert_int_equal(session.n_frames, 100);
	/* One that ends before its source does. */
	session = (struct capture_session){0};
	assert_int_equal(remote_open_capture(&ctl, "OpenNetworkCapture", "net-capture", "", 3,
				 65535, &session.fd, &job),
		0);
	assert_int_equal(remote_close(&ctl, session.fd), 0);
	assert_int_equal(remote_call(&ctl, "Ping", CTL_CALL_TIMEOUT_USEC, NULL, ""), 0);
	assert_int_equal(remote_call(&ctl, "DestroyNetwork", CTL_CALL_TIMEOUT_USEC, NULL, "s",
				 "net-capture"),
		0);
}

static struct remote_stream *new_stream(const char *result, uint32_t window, int *ret_fd)
{
	struct json_object *o = json_tokener_parse(result);
	struct remote_stream *s = NULL;
	int r = remote_stream_new(NULL, o, window, &s, ret_fd);

	json_object_put(o);
	assert_int_equal(r, s ? 0 : -EBADMSG);
	return s;
}

/* What vmmd does not send. The session sees an end, and hears why. */
static void test_broken_rules(void **state)
{
	static const char *const answers[] = {"{}", "{\"stream\":0,\"window\":1}",
		"{\"stream\":-1,\"window\":1}", "{\"stream\":1}", "{\"stream\":1,\"window\":-1}",
		"{\"stream\":4294967296,\"window\":1}", "{\"stream\":\"1\",\"window\":1}", "[]"};
	static const struct {
		const char *first, *second;
		int error;
	} rows[] = {
		{"{\"stream\":1,\"data\":\"YWJj\"}", "{\"stream\":1,\"data\":\"YQ==\"}", -EPROTO},
		{"{\"stream\":1,\"data\":\"YQ==\"}", "{\"stream\":1,\"data\":\"Y===\"}", -EPROTO},
		{"{\"stream\":1,\"data\":\"YQ==\"}", "{\"stream\":1,\"taken\":1}", -EPROTO},
		{"{\"stream\":1,\"data\":\"YQ==\"}", "{\"stream\":1,\"end\":true,\"error\":\"x\"}",
			-EREMOTEIO},
		{"{\"stream\":1,\"data\":\"YQ==\"}", "{\"stream\":1,\"end\":true}", 0},
	};
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		assert_null(new_stream(answers[i], 1, &fd));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct remote_stream *s =
			new_stream("{\"stream\":1,\"window\":65536}", i ? 65536 : 3, &fd);
		struct json_object *a = json_tokener_parse(rows[i].first),
				   *b = json_tokener_parse(rows[i].second),
				   *other = json_tokener_parse("{\"stream\":2,\"end\":true}");
		struct pollfd fds[PUMP_FDS];
		const char *why;
		char text[8];

		remote_stream_take(s, other);
		remote_stream_take(s, a);
		remote_stream_take(s, b);
		remote_stream_take(s, a);
		pump_run(remote_stream_pump(s), fds);
		assert_true(fds[0].fd == -1 && fds[1].fd == -1);
		assert_int_equal(read(fd, text, sizeof(text)), i ? 1 : 3);
		assert_int_equal(read(fd, text, sizeof(text)), 0);
		assert_int_equal(remote_stream_finish(s, &why), rows[i].error);
		assert_int_equal(*why != 0, rows[i].error != 0);
		remote_stream_free(s);
		close(fd);
		json_object_put(a);
		json_object_put(b);
		json_object_put(other);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_taken_away),
		cmocka_unit_test(test_capture),
		cmocka_unit_test(test_broken_rules),
	};
	char self[4096] = "";

	if (argc == 3 && streq(argv[1], "--bridge"))
		return bridge_run(argv[2]);
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	setenv("TEST_SELF", self, 1);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
