/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The n-th allocation fails, of the daemon and of all libraries below it: of definitions, starts, ends, and calls of JSON-RPC. Each time
 * the daemon ends, with a word in the log and by no signal (daemon/malloc.c, which is part of this program); what was answered before
 * is whole, and what the next daemon finds is what was before or what was to be.
 *
 * VMMD_TEST_STRIDE: each which allocation is tried, instead of STRIDE. With 1 it is all of them, which takes a minute or two.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "rpc-fixture.h"

#include "operations-fixture.h"
#include "tests/unit/tally.h"

#define STRIDE 5
#define MAX_N  20000 /* of one operation */

static unsigned n_allocations, fail_at;

static bool strikes(void)
{
	return fail_at && ++n_allocations == fail_at;
}

/* Called by daemon/malloc.c in the place of glibc's: the linker's --wrap. */
/* clang-format off */
#define WRAP(name, params, args)                                                                   \
	void *__real_##name params;                                                                \
	void *__wrap_##name params;                                                                \
	void *__wrap_##name params                                                                 \
	{                                                                                          \
		return strikes() ? NULL : __real_##name args;                                      \
	}
/* clang-format on */
WRAP(__libc_malloc, (size_t size), (size))
WRAP(__libc_calloc, (size_t n, size_t size), (n, size))
WRAP(__libc_realloc, (void *p, size_t size), (p, size))

/* How a child ends that does not by its failure of an allocation, EXIT_FAILURE. */
enum verdict { NOT_REACHED = 10, NO_FAILURE, BAD_ANSWER, NO_LOOP };

static unsigned n_failures;
static int log_fd;

/* Calls, and what each is answered before anything fails. */
static const char *const calls[] = {
	REQUEST("1", "ListDomains", "[0]"),
	REQUEST("2", "GetDomain", "[\"a\"]"),
	REQUEST("3", "GetDomain", "{\"domain\":\"b\"}"),
	"[" REQUEST("4", "Ping", "[]") "," REQUEST("5", "ListNetworks", "[0]") "]",
	REQUEST("6", "rpc.subscribe", "{}"),
	REQUEST("7", "Nothing", "[]"),
	"{\"jsonrpc\"",
};
static char answers[ARRAY_SIZE(calls)][4096];

static void talk(struct fixture *f, char (*ret)[4096])
{
	static struct client c;
	struct rpc *server;

	if (rpc_new(f->manager, &(struct rpc_options){0}, &server) < 0)
		_exit(BAD_ANSWER);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		char *own;

		if (connect_client(&c, server) < 0 ||
			str_copy(ret[i], sizeof(ret[i]), ask(f, &c, calls[i])) < 0)
			_exit(BAD_ANSWER);
		/* Each server has a name of its own. */
		own = strstr(ret[i], "\"instance\"");
		if (own)
			memset(own, 0, strlen(own));
		client_done(&c);
	}
	server = rpc_free(server);
}

static int op_call(struct fixture *f)
{
	static char now[ARRAY_SIZE(calls)][4096];

	talk(f, now);
	return memcmp(now, answers, sizeof(now)) == 0 ? 0 : -EBADMSG;
}

static const struct operation calling = {"calls", op_define, op_call, is_there};

static _noreturn_ void child(struct fixture *f, const struct operation *op, unsigned n)
{
	int r;

	(void)alarm(60);
	(void)setenv("CMOCKA_TEST_ABORT", "1", 1);
	if (sd_event_new(&f->event) < 0 || dup2(log_fd, 2) < 0)
		_exit(NO_LOOP);
	fixture_open_manager(f);
	if (op->run == op_call)
		talk(f, answers);
	fail_at = n;
	r = op->run(f);
	_exit(n_allocations < n && r == 0 ? NOT_REACHED : NO_FAILURE);
}

static void next_daemon(struct fixture *f)
{
	fixture_open_manager(f);
	RUN_UNTIL(f,
		(!the_domain(f) || the_domain(f)->phase != DOMAIN_STARTING) &&
			(!the_network(f) || !the_network(f)->worker ||
				worker_is_connected(the_network(f)->worker)));
}

static void close_daemon(struct fixture *f)
{
	list_del(&f->sink.link);
	f->manager = manager_free(f->manager);
}

static void clean_up(struct fixture *f)
{
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	if (the_domain(f) && op_undefine(f) < 0)
		fail_msg("undefine: %s", f->error.message);
	if (the_network(f) && op_net_undefine(f) < 0)
		fail_msg("net-undefine: %s", f->error.message);
	/* What the child has left. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* It says why it has ended. */
static bool is_logged(void)
{
	char text[4096];
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

	text[MAX(n, 0)] = 0;
	return strstr(text, "out of memory: vmmd ends") && ftruncate(log_fd, 0) == 0 &&
		lseek(log_fd, 0, SEEK_SET) == 0;
}

/* False: the operation makes fewer allocations. */
static bool try_allocation(struct fixture *f, const struct operation *op, unsigned n)
{
	int status, end;
	pid_t pid;

	if (op->prepare(f) < 0)
		fail_msg("%s: %s", op->name, f->error.message);
	close_daemon(f);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(f, op, n);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	end = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
	next_daemon(f);
	if (end != NOT_REACHED && (end != EXIT_FAILURE || !is_logged()))
		fail_msg("%s, allocation %u: the daemon ends by %d, or says nothing", op->name, n,
			end);
	if (op->look(f) == FOUND_TORN || state_has_tmp(f->state))
		fail_msg("%s, allocation %u: the next daemon finds half of it", op->name, n);
	if (end == NOT_REACHED && op->look(f) != FOUND_NEW)
		fail_msg("%s: the next daemon does not find what is done", op->name);
	clean_up(f);
	n_failures += end == EXIT_FAILURE;
	return end == EXIT_FAILURE;
}

static unsigned stride(void)
{
	const char *text = getenv("VMMD_TEST_STRIDE");
	int n = text ? atoi(text) : STRIDE;

	return n > 0 ? (unsigned)n : 1;
}

static void test_operation(void **state)
{
	const struct operation *op = *state;
	struct fixture *f;
	unsigned n = 1;
	void *fixture;

	fixture_setup(&fixture);
	f = fixture;
	while (n < MAX_N && try_allocation(f, op, n))
		n += stride();
	print_message("%s: at most %u allocations\n", op->name, n - 1);
	fixture_teardown(&fixture);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(operations) + 1];
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		const struct operation *op = i < ARRAY_SIZE(operations) ? &operations[i] : &calling;

		tests[i] = (struct CMUnitTest){.name = op->name,
			.test_func = test_operation,
			.initial_state = (void *)(uintptr_t)op};
	}
	log_init("test", LOG_ERR, false);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	print_message("each %u. allocation: %u daemons ended\n", stride(), n_failures);
	tally(TALLY_FAULTS, n_failures);
	return r;
}
