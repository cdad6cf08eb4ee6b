/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The metrics endpoint: what is answered to whom, readers that are rude, slow or many, and addresses of TCP. */
#include "daemon/metrics-server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon-fixture.h"
#include "daemon/rpc.h"

#define GET "GET /metrics HTTP/1.1\r\nHost: x\r\n"

static struct metrics_server *server;
static char path[128], answer[1 << 20];

static int setup(void **state)
{
	struct fixture *f;
	int fd;

	fixture_setup(state);
	f = *state;
	assert_int_equal(metrics_server_new(f->event,
				 &(struct metrics_source){.manager = f->manager}, &server),
		0);
	snprintf(path, sizeof(path), "%s/" METRICS_SOCKET, f->runtime);
	fd = rpc_open_socket(path, 0600, 0);
	assert_true(fd >= 0);
	assert_int_equal(metrics_server_listen(server, fd), 0);
	return 0;
}

static int teardown(void **state)
{
	server = metrics_server_free(server);
	return fixture_teardown(state);
}

static int connect_reader(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static bool read_more(int fd, size_t *len)
{
	ssize_t n = recv(fd, answer + *len, sizeof(answer) - 1 - *len, 0);

	if (n > 0)
		*len += (size_t)n;
	answer[*len] = 0;
	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* One request on a connection of its own, read to its end. */
static const char *ask(struct fixture *f, const char *request)
{
	int fd = connect_reader();
	size_t len = 0;

	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	RUN_UNTIL(f, read_more(fd, &len));
	close(fd);
	return answer;
}

static bool says(const char *text, const char *part)
{
	return strstr(text, part);
}

static void test_formats(void **state)
{
	struct fixture *f = *state;
	const char *a = ask(f, GET "Connection: close\r\n\r\n");

	assert_int_equal(strncmp(a, "HTTP/1.1 200 ", 13), 0);
	assert_true(says(
		a, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
	assert_true(says(a, "\n# UNIT vmmd_daemon_cpu_seconds seconds\n"));
	assert_string_equal(a + strlen(a) - 6, "# EOF\n");
	a = ask(f,
		GET
		"Accept: text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\nConnection: close\r\n\r\n");
	assert_true(says(a, "Content-Type: text/plain; version=0.0.4; charset=utf-8"));
	assert_false(says(a, "# UNIT"));
	/* Prometheus itself. */
	a = ask(f,
		GET "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n"
		    "Connection: close\r\n\r\n");
	assert_true(says(a, "application/openmetrics-text"));
	a = ask(f, "HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_int_equal(strncmp(a, "HTTP/1.1 200 ", 13), 0);
	assert_false(says(a, "# EOF"));
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	const char *a = ask(f, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

	assert_int_equal(strncmp(a, "HTTP/1.1 404 ", 13), 0);
	assert_true(says(a, "There is only /metrics here."));
	a = ask(f,
		"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: "
		"close\r\n\r\nabc");
	assert_int_equal(strncmp(a, "HTTP/1.1 405 ", 13), 0);
	assert_true(says(a, "Allow: GET, HEAD"));
	a = ask(f, "no such thing\r\n\r\n");
	assert_false(says(a, "200"));
}

/* Several requests on one connection; the text of a moment is given again. */
static void test_kept(void **state)
{
	struct fixture *f = *state;
	int fd = connect_reader();
	char first[1 << 16];
	size_t len = 0;

	assert_true(send(fd, GET "\r\n", sizeof(GET) + 1, MSG_NOSIGNAL) > 0);
	RUN_UNTIL(f, (read_more(fd, &len), says(answer, "# EOF\n")));
	assert_true(len < sizeof(first));
	memcpy(first, answer, len + 1);
	f->manager->loop.turns = 12345;
	len = 0;
	assert_true(send(fd, GET "\r\n", sizeof(GET) + 1, MSG_NOSIGNAL) > 0);
	RUN_UNTIL(f, (read_more(fd, &len), says(answer, "# EOF\n")));
	assert_string_equal(strstr(answer, "# TYPE"), strstr(first, "# TYPE"));
	assert_int_equal(usleep(METRICS_KEEP_USEC + 100000), 0);
	len = 0;
	assert_true(send(fd, GET "\r\n", sizeof(GET) + 1, MSG_NOSIGNAL) > 0);
	RUN_UNTIL(f, (read_more(fd, &len), says(answer, "# EOF\n")));
	assert_true(says(answer, "\nvmmd_daemon_loop_turns_total 12345\n"));
	close(fd);
}

/* A head without an end, and as many readers as there may be: the others wait, and have their turn. */
static void test_rude(void **state)
{
	struct fixture *f = *state;
	int fds[METRICS_MAX_CONNECTIONS];
	char *long_head = malloc(4 * METRICS_CONNECTION_SIZE);
	size_t len = 0;
	const char *a;
	int waiting;

	memset(long_head, 'a', 4 * METRICS_CONNECTION_SIZE - 1);
	long_head[4 * METRICS_CONNECTION_SIZE - 1] = 0;
	memcpy(long_head, GET "X: ", sizeof(GET) + 2);
	waiting = connect_reader();
	(void)send(waiting, long_head, strlen(long_head), MSG_NOSIGNAL);
	RUN_UNTIL(f, read_more(waiting, &len));
	assert_false(says(answer, "200"));
	close(waiting);
	free(long_head);
	for (unsigned i = 0; i < METRICS_MAX_CONNECTIONS; i++) {
		fds[i] = connect_reader();
		assert_int_equal(send(fds[i], "GET ", 4, MSG_NOSIGNAL), 4);
	}
	for (unsigned i = 0; i < 20; i++)
		assert_true(sd_event_run(f->event, 1000) >= 0);
	waiting = connect_reader();
	assert_true(
		send(waiting, GET "Connection: close\r\n\r\n", sizeof(GET) + 20, MSG_NOSIGNAL) > 0);
	for (unsigned i = 0; i < METRICS_MAX_CONNECTIONS; i++)
		close(fds[i]);
	len = 0;
	RUN_UNTIL(f, read_more(waiting, &len));
	assert_true(says(answer, "# EOF\n"));
	close(waiting);
	a = ask(f, GET "Connection: close\r\n\r\n");
	assert_true(says(a, "# EOF\n"));
}

static void test_tcp(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t in_len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), reader;
	static const char *const bad[] = {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0",
		"127.0.0.1:65536", "localhost:9177", "::1:9177", "[::1:9177", "[]:9177",
		"[::1]9177"};
	const char *const *b;
	char address[64];
	size_t len = 0;

	FOREACH_ELEMENT (b, bad)
		assert_int_equal(metrics_open_tcp(*b), -EINVAL);
	assert_int_equal(metrics_open_tcp("0.0.0.0:9177"), -EACCES);
	assert_int_equal(metrics_open_tcp("192.0.2.1:9177"), -EACCES);
	assert_int_equal(metrics_open_tcp("[::]:9177"), -EACCES);
	/* A port that is free now. */
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &in_len), 0);
	close(fd);
	snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(in.sin_port));
	fd = metrics_open_tcp(address);
	assert_true(fd >= 0);
	assert_int_equal(metrics_open_tcp(address), -EADDRINUSE);
	assert_int_equal(metrics_server_listen(server, fd), 0);
	reader = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(reader, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(fcntl(reader, F_SETFL, O_NONBLOCK), 0);
	assert_true(
		send(reader, GET "Connection: close\r\n\r\n", sizeof(GET) + 20, MSG_NOSIGNAL) > 0);
	RUN_UNTIL(f, read_more(reader, &len));
	assert_true(says(answer, "# EOF\n"));
	close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_formats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rude, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tcp, setup, teardown),
	};

	log_init("test", LOG_EMERG, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
