/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations of the daemon while system calls fail: the n-th one, for each n, or all from the n-th on; with no space, no fds, I/O errors, a
 * file system that has become read-only, no memory. Each time the operation either works or says that it did not, what memory and disk
 * hold agree, and are what was before or what was to be; the next daemon finds the same; and when the fault is over the same daemon
 * does what it is told again. No fd is lost.
 */
#include <errno.h>
#include <signal.h>

#include "operations-fixture.h"
#include "tests/fakes/faulty-calls.h"
#include "tests/unit/tally.h"

struct fault {
	const char *name;
	int error;
	unsigned flags;
};

static const struct fault kinds[] = {
	{"I/O errors", EIO, 0},
	{"a read-only file system", EROFS, 0},
	{"no memory in the kernel", ENOMEM, 0},
	{"a moment without space", ENOSPC, FAULTS_SPACE},
	{"no space", ENOSPC, FAULTS_SPACE | FAULTS_STICKY},
	{"a moment without fds", EMFILE, FAULTS_FILES},
	{"no fds", EMFILE, FAULTS_FILES | FAULTS_STICKY},
};

/* What no operation may even notice. */
static const struct fault storms[] = {
	{"one byte at a time", 0, FAULTS_IO | FAULTS_SHORT | FAULTS_STICKY},
	{"every call interrupted", EINTR, FAULTS_IO | FAULTS_EVERY},
};

static unsigned n_tries;

static void fail_try(const struct operation *op, const struct fault *kind, unsigned n,
	const char *what, const char *more)
{
	fail_msg("%s, %s, call %u (%s): %s %s", op->name, kind->name, n, faults.failed, what, more);
}

static bool settled(struct fixture *f)
{
	return (!the_domain(f) || the_domain(f)->phase != DOMAIN_STARTING) &&
		(!the_network(f) || !the_network(f)->worker ||
			worker_is_connected(the_network(f)->worker));
}

/* It says what went wrong, and why. */
static void check_error(
	struct fixture *f, const struct operation *op, const struct fault *kind, unsigned n)
{
	/* A mapping that is not to be had is memory that is not to be had, whatever number it fails with. */
	bool is_memory = kind->error == ENOMEM || streq(faults.failed, "mmap64");
	const char *why = is_memory ? "out of memory" : strerror(kind->error),
		   *text = f->error.message;

	if (!f->error.code || !*text)
		fail_try(op, kind, n, "has no error", "");
	/* Of a worker that could not be begun nothing but its end may be known. */
	if (!strstr(text, why) && !strstr(text, strerror(kind->error)) &&
		!strstr(text, "exit status 125"))
		fail_try(op, kind, n, "has an error that does not say why:", text);
}

/* A daemon after this one. */
static void next_daemon(struct fixture *f)
{
	list_del(&f->sink.link);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	RUN_UNTIL(f, settled(f));
}

/* All is taken back, by calls that work now. */
static void clean_up(struct fixture *f)
{
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	if (the_domain(f) && op_undefine(f) < 0)
		fail_msg("undefine: %s", f->error.message);
	if (the_network(f) && op_net_undefine(f) < 0)
		fail_msg("net-undefine: %s", f->error.message);
}

/* False: the operation has fewer calls than 'n'. */
static bool try_call(
	struct fixture *f, const struct operation *op, const struct fault *kind, unsigned n)
{
	enum found found;
	bool struck;
	int r;

	f->error = (struct error){0};
	if (op->prepare(f) < 0)
		fail_try(op, kind, n, "cannot be prepared:", f->error.message);
	f->error = (struct error){0};
	faults_arm(n, kind->error, kind->flags);
	r = op->run(f);
	struck = faults_disarm();
	found = op->look(f);
	if (found != (r < 0 ? FOUND_OLD : FOUND_NEW))
		fail_try(op, kind, n, r < 0 ? "failed, but is done:" : "is not done",
			f->error.message);
	if (r < 0)
		check_error(f, op, kind, n);
	/* What cannot be removed stays, and the next daemon sweeps it. */
	if (state_has_tmp(f->state) && !streq(faults.failed, "unlinkat"))
		fail_try(op, kind, n, "left a temporary file", "");
	next_daemon(f);
	assert_false(state_has_tmp(f->state));
	if (op->look(f) != found)
		fail_try(op, kind, n, "is not found as it was by the next daemon:",
			r < 0 ? f->error.message : "(it worked)");
	clean_up(f);
	n_tries += struck;
	return struck;
}

static void weather_storm(struct fixture *f, const struct operation *op, const struct fault *storm)
{
	int r;

	if (op->prepare(f) < 0)
		fail_try(op, storm, 0, "cannot be prepared:", f->error.message);
	faults_arm(1, storm->error, storm->flags);
	r = op->run(f);
	n_tries += faults_disarm();
	if (r < 0 || op->look(f) != FOUND_NEW)
		fail_try(op, storm, 0, "is not done:", f->error.message);
	next_daemon(f);
	if (op->look(f) != FOUND_NEW)
		fail_try(op, storm, 0, "is not found by the next daemon", "");
	clean_up(f);
}

static void test_operation(void **state)
{
	const struct operation *op = *state;
	struct fixture *f;
	void *fixture;

	alarm(250);
	fixture_setup(&fixture);
	f = fixture;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		unsigned n = 1;

		while (try_call(f, op, &kinds[i], n))
			n++;
		print_message("%s, %s: %u calls\n", op->name, kinds[i].name, n - 1);
	}
	for (size_t i = 0; i < ARRAY_SIZE(storms); i++)
		weather_storm(f, op, &storms[i]);
	fixture_teardown(&fixture);
}

/* A daemon that begins while calls fail. What ran, runs; the daemon after it finds it again. True: the fault struck. */
static bool try_restart(struct fixture *f, const struct fault *kind, unsigned n)
{
	static const struct operation op = {.name = "restart"};
	struct manager_options options = f->manager->options;
	pid_t domain_pid = worker_pid(the_domain(f)->worker);
	pid_t network_pid = worker_pid(the_network(f)->worker);
	bool struck;
	int r;

	options.state_dir = f->state;
	options.runtime_dir = f->runtime;
	options.worker_path = f->worker;
	list_del(&f->sink.link);
	f->manager = manager_free(f->manager);
	f->error = (struct error){0};
	faults_arm(n, kind->error, kind->flags);
	r = manager_new(f->event, &options, &f->manager, &f->error);
	if (r >= 0)
		r = manager_load(f->manager, &f->error);
	struck = faults_disarm();
	if (r < 0)
		check_error(f, &op, kind, n);
	/* Without space nothing is missing but what would have been written. */
	if (kind->flags & FAULTS_SPACE &&
		(r < 0 || is_running(f) != FOUND_NEW || net_is_running(f) != FOUND_NEW))
		fail_try(&op, kind, n, "loses what runs:", f->error.message);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	RUN_UNTIL(f, settled(f));
	if (is_running(f) != FOUND_NEW || worker_pid(the_domain(f)->worker) != domain_pid ||
		net_is_running(f) != FOUND_NEW || worker_pid(the_network(f)->worker) != network_pid)
		fail_try(&op, kind, n, "is survived by nothing", "");
	n_tries += struck;
	return struck;
}

static void test_restart(void **state)
{
	struct fixture *f;
	void *fixture;

	(void)state;
	alarm(250);
	fixture_setup(&fixture);
	f = fixture;
	if (op_define_and_start(f) < 0 || op_net_define_and_start(f) < 0)
		fail_msg("%s", f->error.message);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		unsigned n = 1;

		while (try_restart(f, &kinds[i], n))
			n++;
		print_message("restart, %s: %u calls\n", kinds[i].name, n - 1);
	}
	clean_up(f);
	fixture_teardown(&fixture);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(operations) + 1];
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		tests[i] = (struct CMUnitTest){.name = operations[i].name,
			.test_func = test_operation,
			.initial_state = (void *)(uintptr_t)&operations[i]};
	tests[ARRAY_SIZE(operations)] = (struct CMUnitTest)cmocka_unit_test(test_restart);
	log_init("test", LOG_CRIT, NULL);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	print_message("%u operations with a fault, %u faults injected\n", n_tries, faults.injected);
	/* Of a storm all are one. */
	tally(TALLY_FAULTS, n_tries);
	return r;
}
