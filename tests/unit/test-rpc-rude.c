/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Callers that send a byte at a time, go in the middle of an answer, send without end or without pause, ask for very much in one batch, or come in thousands: each is
 * dropped or served as rpc.h says, and another caller is answered meanwhile, within a number of the loop's turns that does
 * not depend on how much they send. Counted, and printed. Callers that do not read, and half-closed ones: test-rpc.c,
 * subscribers that do not: test-rpc-subscribe.c.
 */
#include "daemon/rpc-message.h"
#include "rpc-fixture.h"
#include "tests/unit/tally.h"

#include <sys/resource.h>

#define MAX_TURNS  16 /* of the loop, that a caller waits beside one that floods */
#define N_GOERS    50
#define N_FLOOD    100000
#define N_COMERS   5000
#define AT_ONCE    32 /* requests of one caller in one turn */
#define N_LARGE    400
#define FLOOD_SIZE (100U * 1024 * 1024)

static struct rpc *server;
static struct client rude = {.fd = -EBADF, .got_fd = -EBADF}, polite;

static int open_server(struct fixture *f, const struct rpc_options *options)
{
	assert_int_equal(rpc_new(f->manager, options, &server), 0);
	assert_int_equal(connect_client(&polite, server), 0);
	return 0;
}

static int setup(void **state)
{
	fixture_setup(state);
	return open_server(*state, &(struct rpc_options){0});
}

static int teardown(void **state)
{
	client_done(&rude);
	client_done(&polite);
	server = rpc_free(server);
	return fixture_teardown(state);
}

static void check_polite(struct fixture *f)
{
	assert_string_equal(ask(f, &polite, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
}

/* The greatest size so far, in KiB. Sanitizers keep what was freed: no number then. */
static long rss_kib(void)
{
	struct rusage usage;

#if defined(__SANITIZE_ADDRESS__)
	return 0;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
	return 0;
#endif
#endif
	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_maxrss;
}

/* A byte in each turn is not quiet, but no message either. */
static void test_trickle(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	client_done(&polite);
	server = rpc_free(server);
	open_server(f, &(struct rpc_options){.stall_usec = 200000});
	assert_int_equal(connect_client(&rude, server), 0);
	while (!client_ended(&rude)) {
		n += send(rude.fd, "{", 1, MSG_NOSIGNAL) == 1;
		check_polite(f);
	}
	assert_true(n > 1);
	assert_int_equal(server->n_connections, 1);
	print_message("%u bytes, one at a time\n", n);
}

/* They go when the first byte of a long answer has come, in different ways. */
static void test_goers(void **state)
{
	struct fixture *f = *state;
	unsigned n_fds = fixture_count_fds();

	for (unsigned i = 0; i < N_GOERS; i++) {
		char byte;

		assert_int_equal(connect_client(&rude, server), 0);
		for (unsigned k = 0; k < 8; k++)
			say(&rude, REQUEST("1", "rpc.discover", "{}") "\n");
		RUN_UNTIL(f, recv(rude.fd, &byte, 1, 0) == 1);
		if (i % 3 == 1)
			assert_int_equal(shutdown(rude.fd, SHUT_RD), 0);
		if (i % 3 == 2)
			assert_int_equal(shutdown(rude.fd, SHUT_RDWR), 0);
		client_done(&rude);
		RUN_UNTIL(f, server->n_connections == 1);
		check_polite(f);
	}
	assert_int_equal(fixture_count_fds(), n_fds);
	print_message("%u callers that went in the middle of an answer\n", N_GOERS);
	tally(TALLY_MALFORMED, N_GOERS);
}

/* 100 MiB without a newline, and a length that promises as much: the end comes long before, and nothing is kept. */
static void test_endless(void **state)
{
	static const char length[] = {6, 64, 0, 0};
	struct fixture *f = *state;
	static char block[65536];
	long before = rss_kib();

	for (unsigned i = 0; i < 2; i++) {
		size_t sent = 0;

		assert_int_equal(connect_client(&rude, server), 0);
		memset(block, ' ', sizeof(block));
		memcpy(block, i ? length : "{", i ? 4 : 1);
		while (!client_ended(&rude) && sent < FLOOD_SIZE) {
			ssize_t n = send(rude.fd, block, sizeof(block), MSG_NOSIGNAL);

			sent += n > 0 ? (size_t)n : 0;
			memset(block, ' ', sizeof(block));
			check_polite(f);
		}
		assert_true(sent < 2 * RPC_MAX_MESSAGE + MIB(1));
		client_done(&rude);
		RUN_UNTIL(f, server->n_connections == 1);
	}
	assert_true(rss_kib() - before < 64 * 1024);
}

/* Requests without a pause, by one who reads all answers: another caller's are answered within MAX_TURNS turns of the loop, each. */
static void test_fair(void **state)
{
	static const char line[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"Ping\"}\n";
	static char blanks[60000];
	const size_t len = sizeof(line) - 1;
	struct fixture *f = *state;
	unsigned n_sent = 0, n_polite = 0, worst = 0;
	size_t n_bytes = 0, offset = 0;
	long before = rss_kib();

	assert_int_equal(connect_client(&rude, server), 0);
	/* After a long message the connection reads as much at once. */
	memset(blanks, ' ', sizeof(blanks) - 1);
	say(&rude, blanks);
	(void)ask(f, &rude, line);
	while (n_sent < N_FLOOD) {
		unsigned turns = 0;

		say(&polite, REQUEST("1", "Ping", "{}") "\n");
		while (!has_line(&polite)) {
			ssize_t n;

			while (n_sent < N_FLOOD &&
				(n = send(rude.fd, line + offset, len - offset, MSG_NOSIGNAL)) >
					0) {
				offset = (offset + (size_t)n) % len;
				n_sent += offset == 0;
			}
			assert_true(sd_event_run(f->event, 100000) >= 0);
			take_bytes(&rude);
			n_bytes += rude.len;
			rude.len = 0;
			turns++;
		}
		(void)hear(f, &polite);
		worst = MAX(worst, turns);
		n_polite++;
	}
	assert_true(worst <= MAX_TURNS);
	/* All of them are answered. */
	while (n_bytes < N_FLOOD * (sizeof(RESULT("1", "{}")) - 1 + 1)) {
		assert_true(sd_event_run(f->event, 100000) >= 0);
		take_bytes(&rude);
		n_bytes += rude.len;
		rude.len = 0;
	}
	assert_true(rss_kib() - before < 64 * 1024);
	print_message("%u requests without a pause; beside them %u, each answered within %u turns "
		      "of the loop\n",
		N_FLOOD, n_polite, worst);
}

/* "[REQUEST,…]" of 'n' such, and a newline; the caller frees it. */
static char *make_batch(const char *request, unsigned n)
{
	size_t len = strlen(request);
	char *text = malloc(n * (len + 1) + 3), *p = text;

	assert_non_null(text);
	for (unsigned i = 0; i < n; i++) {
		*p++ = i ? ',' : '[';
		memcpy(p, request, len);
		p += len;
	}
	memcpy(p, "]\n", 3);
	return text;
}

static uint64_t count_pings(const struct fixture *f)
{
	const struct api_method *m = api_find_method("Ping");

	return f->manager->api_counts
		? f->manager->api_counts[(size_t)(m - api_methods) * ERROR_CODE_X_MAX]
		: 0;
}

/* A batch takes turns as requests do that come one by one. */
static void test_batch_is_fair(void **state)
{
	char *text = make_batch(REQUEST("1", "Ping", "{}"), RPC_MAX_BATCH);
	struct fixture *f = *state;
	unsigned turns = 0;

	assert_int_equal(connect_client(&rude, server), 0);
	say(&rude, text);
	free(text);
	while (!has_line(&rude)) {
		uint64_t before = count_pings(f);

		assert_true(sd_event_run(f->event, 100000) >= 0);
		assert_in_range(count_pings(f) - before, 0, AT_ONCE);
		if (++turns == 4)
			say(&polite, REQUEST("2", "Ping", "{}") "\n");
		if (turns == 4 + MAX_TURNS)
			assert_true(has_line(&polite));
	}
	assert_int_equal(count_pings(f), RPC_MAX_BATCH + 1);
	assert_true(turns >= RPC_MAX_BATCH / AT_ONCE);
}

/* What is asked for in one message is not more than is kept: the rest of it hears so, and the connection stays. */
static void test_large_batch(void **state)
{
	char *text = make_batch(REQUEST("1", "rpc.discover", "{}"), N_LARGE);
	size_t n_bytes = 0, n_refused = 0;
	struct fixture *f = *state;
	long before = rss_kib();
	bool whole = false;

	assert_int_equal(connect_client(&rude, server), 0);
	say(&rude, text);
	free(text);
	while (!whole) {
		assert_true(sd_event_run(f->event, 100000) >= 0);
		take_bytes(&rude);
		assert_false(rude.ended);
		for (char *p = rude.buffer; (p = strstr(p, "{\"code\":-32050")); p++)
			n_refused++;
		n_bytes += rude.len;
		whole = rude.len && rude.buffer[rude.len - 1] == '\n';
		rude.len = 0;
		rude.buffer[0] = 0;
	}
	assert_in_range(n_bytes, RPC_BATCH_ANSWERS, RPC_BATCH_ANSWERS + MIB(1));
	assert_in_range(n_refused, N_LARGE / 4, N_LARGE);
	assert_string_equal(ask(f, &rude, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	assert_true(rss_kib() - before < 128 * 1024);
	check_polite(f);
}

/* More than there may be: each of those beyond hears why, and those that are there are served. */
static void test_comers(void **state)
{
	struct rlimit limit, all;
	struct fixture *f = *state;
	unsigned n = 1, refused = 0, max;
	int fds[RPC_MAX_CONNECTIONS];

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	all = (struct rlimit){limit.rlim_max, limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	max = limit.rlim_max < 2 * RPC_MAX_CONNECTIONS + 256 ? (unsigned)limit.rlim_max / 4
							     : RPC_MAX_CONNECTIONS;
	client_done(&polite);
	server = rpc_free(server);
	open_server(f, &(struct rpc_options){.max_connections = max});
	for (unsigned i = 0; i < N_COMERS; i++) {
		int r = connect_client(&rude, server);

		assert_int_equal(r, n < max ? 0 : -EBUSY);
		if (r == 0) {
			fds[n++] = rude.fd;
			continue;
		}
		RUN_UNTIL(f, has_line(&rude));
		assert_non_null(strstr(rude.buffer, "-32050"));
		client_done(&rude);
		refused++;
	}
	check_polite(f);
	while (n > 1)
		close(fds[--n]);
	RUN_UNTIL(f, server->n_connections == 1);
	check_polite(f);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	print_message("%u connections, %u of them refused\n", N_COMERS, refused);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_trickle),
		T(test_goers),
		T(test_endless),
		T(test_fair),
		T(test_batch_is_fair),
		T(test_large_batch),
		T(test_comers),
	};

	log_init("test", LOG_CRIT, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
