/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl by JSON-RPC: a server that answers by the book and one that does not, events between answers, a file descriptor, and ssh with its
 * bridge. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "client/bridge.h"
#include "client/remote-backend.h"
#include "client/remote-kept.h"
#include "client/remote.h"
#include "client/watch.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

/* What the server says to a method; %s is the request's id. */
static const struct {
	const char *method, *answer;
	bool with_fd;
} script[] = {
	{"Ping", "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n", false},
	{"GetHostname", "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"hostname\":\"h1\"}}\n",
		false},
	{"GetDomain",
		"{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":-32001,\"message\":\"Domain "
		"not found: x\","
		"\"data\":{\"class\":\"NoDomain\"}}}\n",
		false},
	/* An answer to somebody else, and events, come first. */
	{"TestTeam",
		"{\"jsonrpc\":\"2.0\",\"id\":999,\"result\":{\"a\":1}}\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"rpc.event\",\"params\":{\"subscription\":1,"
		"\"sequence\":5,"
		"\"event\":\"link\",\"network\":{\"name\":\"n1\",\"uuid\":\"v\"},\"detail\":"
		"\"Down\",\"domain\":\"u\"}}\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"rpc.event\",\"params\":{\"subscription\":1,"
		"\"sequence\":6,"
		"\"event\":\"job\",\"domain\":{\"name\":\"t1\",\"uuid\":\"u\"},\"detail\":"
		"\"Started\"}}\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"rpc.event\",\"params\":{\"subscription\":1,"
		"\"sequence\":7,"
		"\"event\":\"lifecycle\",\"domain\":{\"name\":\"t1\",\"uuid\":\"u\"},\"detail\":"
		"\"Started\","
		"\"reason\":\"Booted\"}}\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"rpc.event\",\"params\":{\"subscription\":1,"
		"\"sequence\":8,"
		"\"event\":\"lease\",\"network\":{\"name\":\"n1\",\"uuid\":\"v\"},\"detail\":\"\","
		"\"mac\":\"m\"}}\n"
		"{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"b\":\"x\",\"a\":2}}\n",
		false},
	{"OpenConsole", "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"console\":0}}\n", true},
	{"OpenCapture", "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"capture\":0}}\n", false},
	/* A vmmd that has no streams yet. */
	{"OpenNetworkCapture",
		"{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":-32602,\"message\":\"invalid "
		"argument: OpenNetworkCapture takes 4 arguments, not 5\"}}\n",
		false},
	{"rpc.subscribe",
		"{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"subscription\":1,\"sequence\":6,"
		"\"instance\":\"i\"}}\n",
		false},
	{"Busy",
		"{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":-32050,\"message\":\"too "
		"much\"}}\n",
		false},
	{"Garbage", "]%s[\n", false},
	{"Strange", "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":5}\n", false},
	{"Silence", "", false},
	{"Bye", NULL, false},
	{"Flood", "{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n", false},
	/* The answer, and why there will be no other. */
	{"Leave",
		"{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{}}\n"
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32050,\"message\":"
		"\"enough of you\"}}\n",
		false},
};

#define FLOOD 20000

static char path[64], address[96];
static pid_t server;

static void answer(int fd, const char *text, bool with_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char copy[2048];
	struct iovec iov = {copy, (size_t)snprintf(copy, sizeof(copy), "%s", text)};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (with_fd) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &null, sizeof(int));
	}
	(void)!sendmsg(fd, &m, MSG_NOSIGNAL);
}

/* Nothing is read before all of it is written. */
static void flood(int fd)
{
	for (unsigned i = 1; i <= FLOOD; i++)
		(void)dprintf(fd,
			"{\"jsonrpc\":\"2.0\",\"method\":\"rpc.event\",\"params\":{"
			"\"subscription\":1,\"sequence\":%u,\"event\":\"lifecycle\",\"domain\":{"
			"\"name\":\"t1\",\"uuid\":\"u\"},\"detail\":\"Started\",\"reason\":"
			"\"Booted\"}}\n",
			i);
}

static void serve(int fd)
{
	_cleanup_(fclosep) FILE *f = fdopen(fd, "r");
	static char line[2 * 1024 * 1024];
	char text[2048];

	while (fgets(line, sizeof(line), f)) {
		struct json_object *o = json_tokener_parse(line);
		const char *method = json_string(o, "method", ""), *id = "null";
		struct json_object *v;
		size_t i = 0;

		if (json_object_object_get_ex(o, "id", &v))
			id = json_object_get_string(v);
		while (i < ARRAY_SIZE(script) && !streq(script[i].method, method))
			i++;
		if (i < ARRAY_SIZE(script) && !script[i].answer)
			return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(text, sizeof(text),
			i < ARRAY_SIZE(script) ? script[i].answer
					       : "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{"
						 "\"code\":-32601,\"message\":\"no\"}}\n",
			id);
#pragma GCC diagnostic pop
		if (*text)
			answer(fd, text, i < ARRAY_SIZE(script) && script[i].with_fd);
		if (streq(method, "Flood"))
			flood(fd);
		if (streq(method, "Leave"))
			return;
		json_object_put(o);
	}
}

static int setup(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	strcpy(path, "/tmp/test-remote-XXXXXX");
	assert_non_null(mkdtemp(path));
	strcat(path, "/sock");
	snprintf(address, sizeof(address), "unix:%s", path);
	strcpy(a.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 5), 0);
	server = fork();
	if (server == 0) {
		for (;;)
			serve(accept(fd, NULL, NULL));
	}
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(path);
	*strrchr(path, '/') = 0;
	rmdir(path);
	return 0;
}

static void test_calls(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = address};
	_cleanup_(json_putp) struct json_object *name = NULL, *domain = NULL, *reply = NULL;

	(void)state;
	assert_int_equal(remote_connect(&ctl), 0);
	assert_string_equal(remote_uri(&ctl), address);
	assert_int_equal(remote_call_one(&ctl, "GetHostname", &name, ""), 0);
	assert_string_equal(json_object_get_string(name), "h1");
	assert_true(remote_get_domain(&ctl, "x", &domain) < 0);
	assert_string_equal(ctl.error_code, "NoDomain");
	assert_string_equal(ctl.error_message, "Domain not found: x");
	assert_true(remote_get_domain(&ctl, "\xff", &domain) < 0);
	assert_string_equal(ctl.error_code, "InvalidArgument");
	assert_true(remote_call(&ctl, "Unknown", CTL_CALL_TIMEOUT_USEC, NULL, "") < 0);
	assert_string_equal(ctl.error_code, "NotSupported");
	assert_true(remote_call(&ctl, "Busy", CTL_CALL_TIMEOUT_USEC, NULL, "") < 0);
	assert_string_equal(ctl.error_code, "ResourceBusy");
	/* Results are in the order of the answer's members, whatever came before it. */
	assert_int_equal(remote_call(&ctl, "TestTeam", CTL_CALL_TIMEOUT_USEC, &reply, ""), 0);
	assert_string_equal(json_object_to_json_string_ext(reply, 0), "[\"x\",2]");
}

/* One that the daemon would close the connection for is not sent. */
static void test_long_request(void **state)
{
	size_t size = 2 * 1024 * 1024;
	char *text = malloc(size + 1);
	_cleanup_(ctl_done) struct ctl ctl = {.connect = address};

	(void)state;
	assert_int_equal(remote_connect(&ctl), 0);
	memset(text, 'x', size);
	text[size] = 0;
	assert_true(remote_call(&ctl, "GetHostname", CTL_CALL_TIMEOUT_USEC, NULL, "s", text) < 0);
	assert_non_null(strstr(ctl.error_message, "JSON-RPC carries 2097152 at most"));
	assert_int_equal(remote_call(&ctl, "Ping", CTL_CALL_TIMEOUT_USEC, NULL, ""), 0);
	free(text);
}

static void test_fds(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = address};
	int fd = -EBADF;
	uint64_t job;

	(void)state;
	assert_int_equal(remote_connect(&ctl), 0);
	assert_int_equal(remote_open_console(&ctl, "t1", "", 0, &fd), 0);
	assert_true(fd >= 0);
	assert_null(remote_pump(&ctl));
	close(fd);
	fd = -EBADF;
	/* Something on the way has not passed it on. */
	assert_true(remote_open_capture(&ctl, "OpenCapture", "t1", "vnet0", 3, 64, &fd, &job) < 0);
	assert_string_equal(ctl.error_code, "NoSupport");
	assert_int_equal(fd, -EBADF);
	remote_resize_console(&ctl, "t1", "", 80, 25);
	assert_int_equal(remote_call(&ctl, "Ping", CTL_CALL_TIMEOUT_USEC, NULL, ""), 0);
}

/* One method, on a connection of its own, fails with this. */
static void expect_failure(const char *method, const char *code)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = address};

	assert_int_equal(remote_connect(&ctl), 0);
	assert_true(remote_call(&ctl, method, 300000, NULL, "") < 0);
	assert_string_equal(ctl.error_code, code);
}

static void test_bad_servers(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = "unix:/nonexistent/sock"};

	(void)state;
	expect_failure("Garbage", "Internal");
	expect_failure("Strange", "Internal");
	expect_failure("Silence", "Timeout");
	expect_failure("Bye", "Disconnected");
	assert_true(remote_connect(&ctl) < 0);
	assert_string_equal(ctl.error_code, "Connect");
}

static bool on_event(const struct watch_event *e, void *opaque)
{
	char *text = opaque;

	sprintf(text + strlen(text), "%s %s %s %s %s %lu;", e->event, e->name, e->detail, e->reason,
		e->fields ? json_object_to_json_string_ext(e->fields, 0) : "-",
		(unsigned long)e->sequence);
	return true;
}

/* Events that came with the answer to a call are not lost, and those of the other kind are not told. */
static void test_events(void **state)
{
	static const struct {
		enum watch_what what;
		const char *text;
	} rows[] = {
		{WATCH_DOMAINS, "lifecycle t1 Started Booted - 7;"},
		{WATCH_NETWORKS, "link n1 Down  {\"domain\":\"u\"} 5;"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(ctl_done) struct ctl ctl = {.connect = address};
		_cleanup_(watch_freep) struct watch *watch = NULL;
		char text[512] = "";
		enum watch_end end;

		assert_int_equal(remote_connect(&ctl), 0);
		assert_int_equal(watch_new(&ctl, rows[i].what, on_event, text, &watch), 0);
		assert_int_equal(remote_call(&ctl, "TestTeam", CTL_CALL_TIMEOUT_USEC, NULL, ""), 0);
		assert_int_equal(watch_run(watch, 5, &end), 0);
		assert_int_equal(end, WATCH_STOPPED);
		assert_string_equal(text, rows[i].text);
	}
}

/* A server that reads no more before it is rid of what it has to say: a long request goes all the same. Of its events as many are kept
 * as have room, and what is lost is told. */
static void test_flood(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = address};
	size_t size = 1536 * 1024;
	char *text = malloc(size + 1);
	struct json_object *m;
	unsigned n = 0;

	(void)state;
	memset(text, 'x', size);
	text[size] = 0;
	assert_int_equal(remote_connect(&ctl), 0);
	assert_int_equal(remote_call(&ctl, "Flood", CTL_CALL_TIMEOUT_USEC, NULL, ""), 0);
	if (remote_call(&ctl, "Ping", UINT64_C(20000000), NULL, "s", text) < 0)
		fail_msg("%s", ctl.error_message);
	while (remote_rpc_take_event(&ctl, &m) == 1 && json_object_object_get(m, "jsonrpc")) {
		n++;
		json_object_put(m);
	}
	assert_true(n > 0 && n <= KEPT_MAX);
	assert_string_equal(json_string(m, "method", ""), "rpc.gap");
	assert_int_equal(json_number(json_object_object_get(m, "params"), "from", 0), n + 1);
	assert_int_equal(json_number(json_object_object_get(m, "params"), "to", 0), FLOOD);
	json_object_put(m);
	/* There is room again. */
	assert_int_equal(remote_call(&ctl, "TestTeam", CTL_CALL_TIMEOUT_USEC, NULL, ""), 0);
	assert_int_equal(remote_rpc_take_event(&ctl, &m), 1);
	assert_int_equal(json_number(json_object_object_get(m, "params"), "sequence", 0), 5);
	json_object_put(m);
	free(text);
}

/* It has said why it closes the connection; a request that came too late is answered by that. */
static void test_last_word(void **state)
{
	_cleanup_(ctl_done) struct ctl ctl = {.connect = address};
	struct pollfd p = {.events = POLLRDHUP};

	(void)state;
	assert_int_equal(remote_connect(&ctl), 0);
	assert_int_equal(remote_call(&ctl, "Leave", CTL_CALL_TIMEOUT_USEC, NULL, ""), 0);
	p.fd = remote_rpc_fd(&ctl);
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_true(remote_call(&ctl, "Ping", CTL_CALL_TIMEOUT_USEC, NULL, "") < 0);
	assert_string_equal(ctl.error_code, "ResourceBusy");
	assert_non_null(strstr(ctl.error_message, "enough of you"));
}

#define ECHOES 16

/* Says everything so many times, and reads no more before it has said it. */
static void echo(int listener)
{
	int fd = accept(listener, NULL, NULL);
	char data[4096];
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0)
		for (unsigned i = 0; i < ECHOES; i++)
			(void)write_full(fd, data, (size_t)n);
	_exit(0);
}

#define LANES_BYTES ((size_t)1024 * 1024)

/* Both ways at once, with less room in between than there are bytes, and then the end of each. */
static void test_bridge_lanes(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2];
	size_t sent = 0, got = 0;
	char data[16384];
	pid_t server_pid, bridge_pid;
	int status;

	(void)state;
	assert_true(snprintf(a.sun_path, sizeof(a.sun_path), "%s2", path) > 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	server_pid = fork();
	if (server_pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		echo(listener);
	}
	bridge_pid = fork();
	if (bridge_pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)close(listener);
		(void)close(pair[0]);
		(void)dup2(pair[1], STDIN_FILENO);
		(void)dup2(pair[1], STDOUT_FILENO);
		(void)close(pair[1]);
		_exit(bridge_run(a.sun_path));
	}
	close(pair[1]);
	close(listener);
	memset(data, 'x', sizeof(data));
	while (got < ECHOES * LANES_BYTES) {
		bool out = sent < LANES_BYTES;
		struct pollfd p = {.fd = pair[0], .events = POLLIN | (out ? POLLOUT : 0)};
		ssize_t n;

		if (poll(&p, 1, 20000) != 1)
			fail_msg("stuck: %zu of %zu bytes sent, %zu came back", sent, LANES_BYTES,
				got);
		n = out ? send(pair[0], data, MIN(sizeof(data), LANES_BYTES - sent), MSG_DONTWAIT)
			: 0;
		sent += n > 0 ? (size_t)n : 0;
		if (out && sent == LANES_BYTES)
			assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
		n = recv(pair[0], data, sizeof(data), MSG_DONTWAIT);
		got += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(recv(pair[0], data, sizeof(data), 0), 0);
	close(pair[0]);
	assert_int_equal(waitpid(bridge_pid, &status, 0), bridge_pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
	assert_int_equal(waitpid(server_pid, NULL, 0), server_pid);
	unlink(a.sun_path);
}

/* A program in ssh's place: it notes its words, and is the bridge. */
static void test_ssh(void **state)
{
	static const struct {
		const char *uri, *words; /* NULL: refused */
	} rows[] = {
		{"ssh://host", "-xT -- host vmctl --stdio-bridge"},
		{"ssh://host/", "-xT -- host vmctl --stdio-bridge"},
		{"ssh://me@host:2222", "-xT -p 2222 -- me@host vmctl --stdio-bridge"},
		{"ssh://", NULL},
		{"ssh://-oProxyCommand=x", NULL},
		{"ssh://host:0", NULL},
		{"ssh://host:65536", NULL},
		{"ssh://host:x", NULL},
		{"ssh://host/path", NULL},
	};
	char dir[64], file[96], note[96], text[256], *old = strdup(getenv("PATH"));
	FILE *f;

	(void)state;
	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = 0;
	snprintf(file, sizeof(file), "%s/ssh", dir);
	snprintf(note, sizeof(note), "%s/note", dir);
	f = fopen(file, "we");
	fprintf(f, "#!/bin/sh\necho \"$*\" >%s\nexec %s --bridge %s\n", note, getenv("TEST_SELF"),
		path);
	fclose(f);
	assert_int_equal(chmod(file, 0700), 0);
	setenv("PATH", dir, 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_(ctl_done) struct ctl ctl = {.connect = rows[i].uri};
		_cleanup_(freep) char *words = NULL;
		_cleanup_(json_putp) struct json_object *name = NULL;
		int fd = -EBADF;
		uint64_t job;

		if (!rows[i].words) {
			assert_true(remote_connect(&ctl) < 0);
			assert_string_equal(ctl.error_code, "Connect");
			continue;
		}
		assert_int_equal(remote_connect(&ctl), 0);
		assert_int_equal(remote_call_one(&ctl, "GetHostname", &name, ""), 0);
		assert_true(remote_open_capture(
				    &ctl, "OpenNetworkCapture", "n1", "", 3, 64, &fd, &job) < 0);
		assert_string_equal(ctl.error_code, "NoSupport");
		/* A descriptor where a stream was asked for. */
		assert_true(remote_open_console(&ctl, "t1", "", 0, &fd) < 0);
		assert_string_equal(ctl.error_code, "Internal");
		assert_null(remote_pump(&ctl));
		assert_int_equal(read_file(AT_FDCWD, note, sizeof(text), &words, NULL), 0);
		words[strcspn(words, "\n")] = 0;
		assert_string_equal(words, rows[i].words);
	}
	setenv("PATH", old, 1);
	free(old);
	unlink(note);
	unlink(file);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_servers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_word, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bridge_lanes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ssh, setup, teardown),
	};
	char self[4096] = "";

	if (argc == 3 && streq(argv[1], "--bridge"))
		return bridge_run(argv[2]);
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	setenv("TEST_SELF", self, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
