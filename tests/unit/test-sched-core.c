/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Core scheduling with a kernel of the test's own: who gets a cookie, when, and who is refused. */
#include "daemon/sched-core.h"

#include <sys/mman.h>

#include "daemon-fixture.h"
#include "daemon/jail.h"

/* Shared with children, which make their cookies themselves. */
static struct {
	int error;
	unsigned n_created;
	pid_t parent, owner; /* the test; who is said to have a cookie */
} * kernel;

static int fake(int command, pid_t pid, int scope, uint64_t *ret_cookie)
{
	assert_int_equal(scope, 0);
	if (kernel->error) {
		errno = kernel->error;
		return -1;
	}
	if (command == 1) {
		/* For itself alone, and not by the daemon. */
		kernel->n_created += pid == 0 && getpid() != kernel->parent;
		return 0;
	}
	*ret_cookie = pid && pid == kernel->owner ? 0x1234 : 0;
	return 0;
}

static int setup(void **state)
{
	kernel = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(kernel != MAP_FAILED);
	kernel->parent = getpid();
	sched_core_replace(fake);
	return fixture_setup(state);
}

static int teardown(void **state)
{
	int r = fixture_teardown(state);

	sched_core_replace(NULL);
	munmap(kernel, 4096);
	return r;
}

static struct domain *define(struct fixture *f, const char *name, const char *attribute)
{
	char extra[256];

	snprintf(extra, sizeof(extra),
		"<metadata><vmmd:cpuPolicy xmlns:vmmd='urn:vmmd:domain:1' %s/></metadata>",
		attribute);
	return fixture_define(f, name, "", extra);
}

/* One cookie for each worker that asks for it, made by itself before it is anything. */
static void test_cookie(void **state)
{
	struct fixture *f = *state;
	struct domain *plain = define(f, "plain", "coreScheduling='no'");
	struct domain *alone = define(f, "alone", "coreScheduling='yes'");

	f->manager->options.no_jail = false;
	fixture_start(f, plain);
	assert_int_equal(kernel->n_created, 0);
	fixture_start(f, alone);
	assert_int_equal(kernel->n_created, 1);
	kernel->owner = worker_pid(alone->worker);
	assert_true(sched_core_is_set(worker_pid(alone->worker)));
	assert_false(sched_core_is_set(worker_pid(plain->worker)));
	assert_non_null(strstr(alone->running->xml, "coreScheduling='yes'"));
}

/* A kernel that cannot: refused before anything is made. A host whose cores have one thread each: nothing to do. */
static void test_refused(void **state)
{
	struct fixture *f = *state;
	struct domain *d = define(f, "alone", "coreScheduling='yes'");

	kernel->error = EINVAL;
	assert_true(domain_start(d, 0, fixture_done, f, &f->error) < 0);
	assert_int_equal(f->error.code, ERROR_CONFIG_UNSUPPORTED);
	assert_non_null(strstr(f->error.message, "CONFIG_SCHED_CORE"));
	assert_false(domain_is_active(d));
	kernel->error = ENODEV;
	fixture_start(f, d);
	assert_int_equal(kernel->n_created, 0);
}

/* A step of the jail that fails says which it is. */
static void test_jail(void **state)
{
	struct jail_plan plan = {.core_scheduling = true};
	char stage[64] = "";
	int status;
	pid_t pid;

	(void)state;
	kernel->error = EPERM;
	pid = fork();
	if (pid == 0)
		_exit(jail_enter(&plan, stage, sizeof(stage)) == -EPERM &&
					streq(stage, "core scheduling")
				? 7
				: 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

/* Whatever this kernel can. */
static void test_kernel(void **state)
{
	int r, status;
	pid_t pid;

	(void)state;
	sched_core_replace(NULL);
	r = sched_core_probe();
	if (r < 0) {
		assert_true(r == -EINVAL || r == -ENODEV);
		assert_int_equal(sched_core_create(), r);
		assert_false(sched_core_is_set(getpid()));
		print_message("this kernel: %s\n", strerror(-r));
		skip();
	}
	pid = fork();
	if (pid == 0)
		_exit(sched_core_create() == 0 && sched_core_is_set(getpid()) ? 7 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	assert_false(sched_core_is_set(getpid()));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_cookie), T(test_refused), T(test_jail), T(test_kernel)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
