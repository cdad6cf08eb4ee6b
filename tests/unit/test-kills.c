/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon killed (SIGKILL) before the first system call of an operation, and after each of them, one by one, until the operation
 * comes to its end: each time the next daemon finds what was before or what was to be, whole; no half-written file, no worker without a
 * domain or network, no fd is left.
 *
 * The operation runs in a child that is traced from its beginning on; every other stop of PTRACE_SYSCALL, when a call begins or
 * else has ended, is a place to die: nothing that others see happens between them. Orphaned workers become ours, so that none is missed.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "daemon/apply.h"
#include "operations-fixture.h"
#include "tests/unit/tally.h"

static unsigned n_kills;

static int two_domains(struct fixture *f)
{
	int r = op_define(f);

	(void)fixture_define(f, "c", "", "");
	return r;
}

static void on_applied(void *userdata, struct plan *plan)
{
	(void)userdata;
	(void)plan_free(plan);
	_exit(3); /* nothing runs that could be waited for */
}

/* 'a' becomes another, 'b' and a network are new, 'c' goes; until the files have followed. */
static int apply(struct fixture *f)
{
	char *a = strdup(fixture_xml(f, "a", "", "<title>second</title>"));
	char *b = strdup(fixture_xml(f, "b", "", ""));
	const struct plan_document documents[] = {
		{a, "a"}, {b, "b"}, {"<network><name>red</name></network>", "red"}};
	struct plan *plan;

	assert_int_equal(plan_new(f->manager, documents, 3, PLAN_PRUNE, &plan, &f->error), 0);
	assert_int_equal(apply_plan(f->manager, plan, on_applied, f, &f->error), 1);
	plan_free(plan);
	RUN_UNTIL(f, !f->manager->store->unsettled);
	free(a);
	free(b);
	return 0;
}

/* Files of definitions: all that the daemon lists has one, and nothing else is there. */
static unsigned count_definitions(struct fixture *f, const char *folder)
{
	char path[256];
	struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", f->state, folder);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		n += e->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static enum found has_applied(struct fixture *f)
{
	bool b = manager_find_name(f->manager, "b"), c = manager_find_name(f->manager, "c");
	const char *title =
		the_domain(f) && the_domain(f)->definition ? the_domain(f)->definition->title : "?";

	if (f->manager->store->left_out || f->manager->n_domains != 2 ||
		count_definitions(f, "domains") != 2 ||
		count_definitions(f, "networks") != f->manager->n_networks)
		return FOUND_TORN;
	if (!*title && !b && c && !the_network(f))
		return FOUND_OLD;
	return streq(title, "second") && b && !c && the_network(f) ? FOUND_NEW : FOUND_TORN;
}

static const struct operation applying = {"apply", two_domains, apply, has_applied};

/* In the child: the operation is what follows its stop. */
static void child(struct fixture *f, const struct operation *op)
{
	if (sd_event_new(&f->event) < 0)
		_exit(2);
	fixture_open_manager(f);
	if (op->prepare(f) < 0)
		_exit(2);
	(void)raise(SIGSTOP);
	_exit(op->run(f) < 0 ? 1 : 0);
}

/* Let the child go on to its stop number 'n' of the operation, and kill it there. True: it came to its end before. */
static bool kill_at(pid_t pid, unsigned n)
{
	int status;

	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	assert_int_equal(
		ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL), 0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	for (unsigned i = 0; i < n;) {
		int signal = 0;

		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			return true;
		}
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			i++;
		else if (status >> 16 == 0)
			signal = WSTOPSIG(status);
		if (i < n)
			assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, (long)signal), 0);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	do
		assert_int_equal(waitpid(pid, &status, 0), pid);
	while (WIFSTOPPED(status));
	n_kills++;
	return false;
}

/* The runtime folders of domains that do not run. */
static unsigned count_folders(struct fixture *f)
{
	char path[256];
	struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/domains", f->runtime);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		n += *e->d_name != '.';
	if (dir)
		closedir(dir);
	return n - (the_domain(f) && domain_is_active(the_domain(f)));
}

/* A domain or network that was on its way up is up, or down, in the end. */
static bool settled(struct fixture *f)
{
	return (!the_domain(f) || the_domain(f)->phase != DOMAIN_STARTING) &&
		(!the_network(f) || !the_network(f)->worker ||
			worker_is_connected(the_network(f)->worker));
}

/* One life: killed at stop 'n', and looked at by the next daemon. False: the operation was through. */
static bool try_stop(const struct operation *op, unsigned n)
{
	struct fixture *f;
	enum found found;
	bool through;
	void *state;
	pid_t pid;

	fixture_setup(&state);
	f = state;
	f->manager = manager_free(f->manager);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(f, op);
	through = kill_at(pid, n);
	fixture_open_manager(f);
	RUN_UNTIL(f, settled(f));
	found = op->look(f);
	if (found == FOUND_TORN || (through && found != FOUND_NEW))
		fail_msg("%s, killed at stop %u: found %s", op->name, n,
			found == FOUND_TORN ? "half of it" : "nothing");
	assert_false(state_has_tmp(f->state));
	assert_int_equal(count_folders(f), 0);
	fixture_teardown(&state);
	/* Every worker that it began is found, and ended with its domain; orphans are our children. */
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_int_equal(errno, ECHILD);
	return !through;
}

static void test_operation(void **state)
{
	const struct operation *op = *state;
	unsigned n = 1;

	alarm(250);
	while (try_stop(op, n))
		n += 2;
	print_message("%s: %u places\n", op->name, n / 2);
	assert_true(n > 4);
}

/* A worker that hangs before it says anything, and its daemon is killed at that moment: it cannot be told, it can only be ended. */
static void test_unborn(void **unused)
{
	struct fixture *f;
	void *state;
	pid_t pid;

	(void)unused;
	alarm(60);
	fixture_setup(&state);
	f = state;
	(void)fixture_define(f, "hang-unborn", "", "");
	f->manager = manager_free(f->manager);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct domain *d;
		siginfo_t si;

		if (sd_event_new(&f->event) < 0)
			_exit(2);
		fixture_open_manager(f);
		d = manager_find_name(f->manager, "hang-unborn");
		assert_int_equal(domain_start(d, 0, fixture_done, f, &f->error), 0);
		assert_int_equal(waitid(P_PID, (id_t)worker_pid(d->worker), &si, WSTOPPED), 0);
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	n_kills++;
	/* The worker, which has become our child. */
	assert_true(waitpid(-1, NULL, 0) > 0);
	fixture_open_manager(f);
	assert_false(domain_is_active(manager_find_name(f->manager, "hang-unborn")));
	assert_int_equal(count_folders(f), 0);
	fixture_teardown(&state);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(operations) + 2];
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(operations); i++)
		tests[i] = (struct CMUnitTest){.name = operations[i].name,
			.test_func = test_operation,
			.initial_state = (void *)(uintptr_t)&operations[i]};
	tests[ARRAY_SIZE(operations)] =
		(struct CMUnitTest){.name = "unborn", .test_func = test_unborn};
	tests[ARRAY_SIZE(operations) + 1] = (struct CMUnitTest){.name = applying.name,
		.test_func = test_operation,
		.initial_state = (void *)(uintptr_t)&applying};
	log_init("test", LOG_CRIT, NULL);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	print_message("%u kills\n", n_kills);
	tally(TALLY_FAULTS, n_kills);
	return r;
}
