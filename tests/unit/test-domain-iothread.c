/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Iothreads that a domain gets and gives back: what changes where, what is refused, where they run, and what another daemon
 * finds. The worker is tests/fakes/fake-worker.h. */
#include "daemon/domain-internal.h"

#include "daemon-fixture.h"
#include "daemon/process.h"

#define BOTH (DOMAIN_AFFECT_LIVE | DOMAIN_AFFECT_CONFIG)

#define DISK "<disk type='file'><driver iothread='2'/><source file='%s'/><target dev='vda'/></disk>"

static int set(struct fixture *f, struct domain *d, uint32_t id, bool on, unsigned flags)
{
	unsigned n_done = f->n_done;
	int r;

	f->error = f->done_error = (struct error){0};
	r = domain_set_iothread(d, id, on, flags, fixture_done, f, &f->error);
	if (r == 0)
		RUN_UNTIL(f, f->n_done > n_done);
	return r;
}

static void refused(
	struct fixture *f, struct domain *d, uint32_t id, bool on, unsigned flags, const char *why)
{
	assert_true(set(f, d, id, on, flags) < 0);
	if (!strstr(f->error.message, why))
		fail_msg("'%s' has no '%s'", f->error.message, why);
}

static bool has(const struct definition *definition, const char *text)
{
	return strstr(definition->xml, text);
}

/* Iothreads 1 and 2, the second of which has a disk. */
static struct domain *define(struct fixture *f, const char *cmdline, const char *cputune)
{
	static char disk[256];
	char path[128], extra[512];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/disk", f->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4096), 0);
	close(fd);
	(void)snprintf(disk, sizeof(disk), DISK, path);
	f->devices = disk;
	(void)snprintf(extra, sizeof(extra), "<iothreads>2</iothreads>%s", cputune);
	return fixture_define(f, "vm", cmdline, extra);
}

static void test_definition(void **state)
{
	struct fixture *f = *state;
	struct domain *d =
		define(f, "", "<cputune><iothreadpin iothread='1' cpuset='0'/></cputune>");

	refused(f, d, 3, true, DOMAIN_AFFECT_LIVE, "domain is not running");
	refused(f, d, 2, true, 0, "an IOThread is already using iothread_id '2'");
	refused(f, d, 0, true, 0, "no iothread can have the id 0; write 1 to 9999");
	refused(f, d, 10000, true, 0, "no iothread can have the id 10000");
	refused(f, d, 7, false, 0, "cannot find IOThread '7' in iothreadids list");
	refused(f, d, 2, false, 0, "cannot remove IOThread 2 since it is being used by disk 'vda'");
	assert_int_equal(set(f, d, 9, true, 0), 1);
	assert_true(has(d->definition, "<iothreads>3</iothreads>"));
	assert_true(has(d->definition, "<iothread id='9'/>"));
	/* The pin goes with it, and the rest stays. */
	assert_int_equal(set(f, d, 1, false, DOMAIN_AFFECT_CONFIG), 1);
	assert_true(has(d->definition, "<iothreads>2</iothreads>"));
	assert_true(has(d->definition, "<iothread id='2'/>"));
	assert_false(has(d->definition, "iothreadpin"));
	assert_true(fixture_saw(f, "lifecycle vm Defined Updated"));
	for (uint32_t i = 100; i < 100 + VM_MAX_IOTHREADS - 2; i++)
		assert_int_equal(set(f, d, i, true, 0), 1);
	refused(f, d, 99, true, 0, "a domain has at most 32 iothreads");
}

/* Of these ids: those that have a thread, a bit each. */
static unsigned threads(const struct domain *d, uint32_t a, uint32_t b)
{
	struct process_vcpu t[2];

	assert_int_equal(process_iothreads(worker_pid(d->worker), (uint32_t[]){a, b}, t, 2), 0);
	return (unsigned)(t[0].tid > 0) | (unsigned)(t[1].tid > 0) << 1;
}

static void test_live(void **state)
{
	struct fixture *f = *state;
	struct domain *d = define(f, "fake=threads fake=few-threads", "");

	fixture_start(f, d);
	assert_int_equal(threads(d, 1, 2), 3);
	refused(f, d, 2, false, 0, "being used by disk 'vda'");
	/* What runs, and not the definition. */
	assert_int_equal(set(f, d, 5, true, 0), 0);
	assert_int_equal(f->done_error.code, 0);
	assert_int_equal(threads(d, 2, 5), 3);
	assert_int_equal(d->live->vm.n_iothreads, 3);
	assert_true(has(d->running, "<iothread id='5'/>"));
	assert_false(has(d->definition, "iothreadids"));
	/* The host has none: clearly said, and nothing has changed, in neither. */
	assert_int_equal(set(f, d, 6, true, BOTH), 0);
	assert_int_equal(f->done_error.code, ERROR_OPERATION_FAILED);
	assert_non_null(strstr(f->done_error.message,
		"iothread 6 cannot be added: the host makes no thread: nothing is left"));
	assert_false(has(d->running, "id='6'") || has(d->definition, "id='6'"));
	/* In both, checked in both before anything is done. */
	refused(f, d, 5, false, BOTH, "cannot find IOThread '5'");
	assert_int_equal(threads(d, 2, 5), 3);
	assert_int_equal(set(f, d, 1, false, BOTH), 0);
	assert_int_equal(f->done_error.code, 0);
	assert_int_equal(threads(d, 1, 5), 2);
	assert_true(has(d->definition, "<iothreads>1</iothreads>"));
	/* Another daemon finds which there are, and goes on. */
	manager_free(f->manager);
	f->n_events = 0;
	fixture_open_manager(f);
	d = manager_find_name(f->manager, "vm");
	RUN_UNTIL(f, d->phase == DOMAIN_ACTIVE && !d->degraded);
	assert_int_equal(d->live->vm.n_iothreads, 2);
	assert_int_equal(d->live->vm.iothreads[1], 5);
	assert_int_equal(set(f, d, 5, false, 0), 0);
	assert_int_equal(f->done_error.code, 0);
	assert_int_equal(threads(d, 2, 5), 1);
}

/* What the worker has no more (somebody else asked, and died) is gone. */
static void test_gone_already(void **state)
{
	struct fixture *f = *state;
	struct domain *d = define(f, "", "");

	fixture_start(f, d); /* without threads: the fake knows of none */
	assert_int_equal(set(f, d, 1, false, 0), 0);
	assert_int_equal(f->done_error.code, 0);
	assert_int_equal(d->live->vm.n_iothreads, 1);
}

/* The worker ends while it is asked. */
static void test_end(void **state)
{
	struct fixture *f = *state;
	struct domain *d = define(f, "fake=mute", "");
	unsigned n;

	fixture_start(f, d);
	n = f->n_done;
	assert_int_equal(domain_set_iothread(d, 5, true, BOTH, fixture_done, f, &f->error), 0);
	worker_kill(d->worker);
	RUN_UNTIL(f, f->n_done > n);
	assert_non_null(strstr(f->done_error.message, "ended before iothread 5 was added"));
	RUN_UNTIL(f, !domain_is_active(d));
	assert_false(has(d->definition, "id='5'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_definition, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_live, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_gone_already, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_end, fixture_setup, fixture_teardown),
	};

	log_init("test", LOG_ERR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
