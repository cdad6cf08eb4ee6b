/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains whose files are on a file system that others answer for: one that answers, one that is slow, and one that never does
 * (FUSE, whose other end nobody reads). All but its own callers go on, these are told, and nothing is left.
 */
#include "daemon/reach.h"

#include "dbus-fixture.h"
#include "hung-fs.h"
#include "tests/unit/tally.h"

#define DEADLINE_USEC 300000

/* The kernel, which each domain opens first, lies in a folder that is said to be of another host. */
static void call_it_far(struct fixture *f)
{
	char table[128];
	FILE *file;

	snprintf(table, sizeof(table), "%s/table", f->dir);
	file = fopen(table, "w");
	assert_non_null(file);
	fprintf(file, "30 22 0:40 / %s rw - nfs4 server:/x rw\n", f->dir);
	fclose(file);
	use_mounts(f, table);
}

/* A busy machine is no reason for a timeout: who wants one says so. */
static int setup_patient(void **state)
{
	(void)setup(state);
	((struct fixture *)*state)->manager->options.reach_usec = REACH_PATIENT_USEC;
	return 0;
}

static void ask_to_start(struct fixture *f, const char *name, struct answer *ret)
{
	sd_bus_message *m = NULL;

	assert_true(sd_bus_message_new_method_call(client, &m, NULL, VMMD_BUS_PATH,
			    VMMD_BUS_INTERFACE, "StartDomain") >= 0);
	assert_true(sd_bus_message_append(m, "su", name, 0) >= 0);
	assert_true(sd_bus_call_async(client, NULL, m, on_answer, ret, 0) >= 0);
	sd_bus_message_unref(m);
	RUN_UNTIL(f, manager_find_name(f->manager, name)->run);
}

static bool waits(const struct domain *d)
{
	return d->run && d->run->reach;
}

static void test_answers(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");

	call_it_far(f);
	ok(CALL(f, "StartDomain", "su", "a", 0));
	assert_int_equal(d->phase, DOMAIN_ACTIVE);
	fails(CALL(f, "StartDomain", "su", "a", 0), VMMD_ERROR_PREFIX "OperationInvalid",
		"already running");
	ok(CALL(f, "CreateDomain", "ssu", fixture_xml(f, "b", "", ""), "b.xml", 0));
	assert_int_equal(manager_find_name(f->manager, "b")->phase, DOMAIN_ACTIVE);
	fails(CALL(f, "CreateDomain", "ssu", "<domain/>", "c.xml", 0), VMMD_ERROR_PREFIX "XmlError",
		"c.xml");
	/* It answers that there is none. */
	snprintf(f->kernel, sizeof(f->kernel), "%s/none", f->dir);
	fails(CALL(f, "CreateDomain", "ssu", fixture_xml(f, "d", "", ""), "d.xml", 0),
		VMMD_ERROR_PREFIX "OperationFailed", "No such file");
	assert_null(manager_find_name(f->manager, "d"));
	RUN_UNTIL(f, f->manager->n_reaches == 0);
}

/* A start that waits is a start: what is undefined meanwhile runs, and is gone when it ends. */
static void test_undefined_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");
	struct answer start = {0};

	call_it_far(f);
	ask_to_start(f, "a", &start);
	fails(CALL(f, "StartDomain", "su", "a", 0), VMMD_ERROR_PREFIX "OperationInvalid",
		"already running");
	assert_int_equal(manager_undefine(f->manager, d, &f->error), 0);
	RUN_UNTIL(f, start.m);
	ok(start.m);
	assert_int_equal(d->phase, DOMAIN_ACTIVE);
	ok(CALL(f, "DestroyDomain", "su", "a", 0));
	assert_null(manager_find_name(f->manager, "a"));
}

static void test_autostart(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");

	assert_int_equal(manager_set_autostart(f->manager, d, true, &f->error), 0);
	call_it_far(f);
	manager_autostart(f->manager);
	assert_true(waits(d));
	RUN_UNTIL(f, d->phase == DOMAIN_ACTIVE);
}

static unsigned count_started(const struct fixture *f)
{
	struct list *pos;
	unsigned n = 0;

	list_for_each (pos, &f->manager->domains)
		n += list_entry(pos, struct domain, link)->phase == DOMAIN_ACTIVE;
	return n;
}

/* More than are looked for at a time: none is left out. */
static void test_autostart_many(void **state)
{
	struct fixture *f = *state;
	char name[16];

	for (unsigned i = 0; i < REACH_MAX + 6; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		assert_int_equal(manager_set_autostart(f->manager, fixture_define(f, name, "", ""),
					 true, &f->error),
			0);
	}
	call_it_far(f);
	manager_autostart(f->manager);
	assert_int_equal(f->manager->n_reaches, REACH_PER_MOUNT);
	RUN_UNTIL(f, count_started(f) == REACH_MAX + 6);
	assert_true(list_empty(&f->manager->reach_queue));
}

static void test_hangs(void **state)
{
	struct fixture *f = *state;
	unsigned answered = 0;

	kernel_below(f, "hung");
	if (!hang(f, "hung"))
		return;
	(void)fixture_define(f, "a", "", "");
	f->manager->options.reach_usec = DEADLINE_USEC;
	for (unsigned i = 0; i < 3; i++) {
		struct answer start = {0};

		ask_to_start(f, "a", &start);
		/* Others are served. */
		for (unsigned k = 0; k < 20 && !start.m; k++, answered++)
			ok(CALL(f, "GetDomain", "s", "a"));
		RUN_UNTIL(f, start.m);
		fails(start.m, VMMD_ERROR_PREFIX "Timeout", "does not answer");
		RUN_UNTIL(f, f->manager->n_reaches == 0);
	}
	assert_true(answered > 0);
	fails(CALL(f, "CreateDomain", "ssu", fixture_xml(f, "b", "", ""), "b.xml", 0),
		VMMD_ERROR_PREFIX "Timeout", "fuse.nobody at");
	assert_null(manager_find_name(f->manager, "b"));
	ok(CALL(f, "Diagnose", ""));
	RUN_UNTIL(f, f->manager->n_reaches == 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	unhang();
	tally(TALLY_FAULTS, 4);
}

/* Each answer comes, and a start has many: the daemon would be held by each of them. */
static void test_slow(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	kernel_below(f, "hung");
	if (!hang(f, "hung"))
		return;
	pid = answer_slowly(REACH_QUICK_USEC * 3 / 2);
	f->manager->options.reach_usec = 5 * REACH_QUICK_USEC;
	fails(CALL(f, "CreateDomain", "ssu", fixture_xml(f, "b", "", ""), "b.xml", 0),
		VMMD_ERROR_PREFIX "Timeout", "does not answer in time");
	RUN_UNTIL(f, f->manager->n_reaches == 0);
	stop_answering(pid);
	unhang();
	tally(TALLY_FAULTS, 1);
}

/* What lies there is only what a serial port says, and a socket. */
static void test_chardevs(void **state)
{
	static const char *const devices[] = {
		"<serial type='file'><source path='%s/hung/log'/></serial>",
		"<console type='file'><source path='%s/hung/log'/><target "
		"type='virtio'/></console>",
		"<channel type='unix'><source mode='bind' path='%s/hung/socket'/>"
		"<target type='virtio' name='c'/></channel>",
	};
	struct fixture *f = *state;
	char path[128], device[256];

	snprintf(path, sizeof(path), "%s/hung", f->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	if (!hang(f, "hung"))
		return;
	f->manager->options.reach_usec = DEADLINE_USEC;
	f->devices = device;
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		snprintf(device, sizeof(device), devices[i], f->dir);
		fails(CALL(f, "CreateDomain", "ssu", fixture_xml(f, "b", "", ""), "b.xml", 0),
			VMMD_ERROR_PREFIX "Timeout", "does not answer");
	}
	RUN_UNTIL(f, f->manager->n_reaches == 0);
	unhang();
	tally(TALLY_FAULTS, ARRAY_SIZE(devices));
}

/* It runs, its files fall silent, and it ends and is to run again: others are served meanwhile. */
static struct domain *fall_silent(struct fixture *f)
{
	struct domain *d;

	kernel_below(f, "hung");
	d = fixture_define(f, "a", "", "<on_crash>restart</on_crash>");
	fixture_start(f, d);
	if (!hang(f, "hung"))
		return NULL;
	worker_kill(d->worker);
	RUN_UNTIL(f, waits(d));
	assert_null(d->worker);
	assert_int_equal(d->state, DOMAIN_STATE_PAUSED);
	assert_int_equal(d->reason, DOMAIN_PAUSED_STARTING_UP);
	ok(CALL(f, "GetDomain", "s", "a"));
	fails(CALL(f, "OpenCapture", "ssuu", "a", "52:54:00:00:00:01", 0, 0),
		VMMD_ERROR_PREFIX "OperationInvalid", "not running");
	return d;
}

static void test_restart(void **state)
{
	struct fixture *f = *state;
	struct domain *d;

	f->manager->options.reach_usec = DEADLINE_USEC;
	d = fall_silent(f);
	if (!d)
		return;
	RUN_UNTIL(f, !domain_is_active(d));
	/* As if it had not been tried. */
	assert_int_equal(d->reason, DOMAIN_SHUTOFF_CRASHED);
	assert_true(fixture_saw(f, "lifecycle a Stopped Crashed"));
	RUN_UNTIL(f, f->manager->n_reaches == 0);
	unhang();
	/* And it can be started. */
	use_mounts(f, "/proc/self/mountinfo");
	fixture_start(f, d);
	tally(TALLY_FAULTS, 1);
}

/* One that answers later than a caller would wait: the domain runs again. */
static void test_restart_later(void **state)
{
	struct fixture *f = *state;
	struct domain *d;
	pid_t pid;

	kernel_below(f, "far");
	d = fixture_define(f, "a", "", "<on_crash>restart</on_crash>");
	fixture_start(f, d);
	pid = worker_pid(d->worker);
	call_it_far(f);
	worker_kill(d->worker);
	RUN_UNTIL(f, waits(d));
	RUN_UNTIL(f, d->phase == DOMAIN_ACTIVE && !waits(d));
	assert_int_not_equal(worker_pid(d->worker), pid);
	assert_int_equal(d->state, DOMAIN_STATE_RUNNING);
	assert_true(fixture_saw(f, "reboot a  "));
}

/* A start that waits, and a restart that does, are destroyed, and their children killed. */
static void test_destroy(void **state)
{
	struct fixture *f = *state;
	struct answer start = {0};
	struct domain *d = fall_silent(f);

	if (!d)
		return;
	ok(CALL(f, "DestroyDomain", "su", "a", 0));
	assert_int_equal(d->reason, DOMAIN_SHUTOFF_DESTROYED);
	RUN_UNTIL(f, f->manager->n_reaches == 0);
	ask_to_start(f, "a", &start);
	RUN_UNTIL(f, f->manager->n_reaches == 1);
	ok(CALL(f, "DestroyDomain", "su", "a", 0));
	RUN_UNTIL(f, start.m);
	fails(start.m, VMMD_ERROR_PREFIX "Cancelled", "was cancelled");
	RUN_UNTIL(f, f->manager->n_reaches == 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	unhang();
	tally(TALLY_FAULTS, 2);
}

/* All starts of 'n' domains, named by 'prefix', with 'extra'. */
static void start_many(struct fixture *f, const char *prefix, unsigned n, const char *extra)
{
	char name[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "%s%u", prefix, i);
		assert_int_equal(domain_start(fixture_define(f, name, "", extra), 0, fixture_done,
					 f, &f->error),
			0);
	}
}

/* A domain of the host's own file system, and one of another far one, run while one hangs and has all its places. */
static void test_other_mounts(void **state)
{
	struct fixture *f = *state;
	char table[128];
	FILE *file;

	kernel_below(f, "hung");
	if (!hang(f, "hung"))
		return;
	snprintf(table, sizeof(table), "%s/table", f->dir);
	file = fopen(table, "w");
	assert_non_null(file);
	fprintf(file, "30 22 0:40 / %s/hung rw - fuse.nobody nobody rw\n", f->dir);
	fprintf(file, "31 22 0:41 / %s/other rw - nfs4 server:/x rw\n", f->dir);
	fclose(file);
	use_mounts(f, table);
	start_many(f, "hung", REACH_MAX, "");
	assert_int_equal(f->manager->n_reaches, REACH_PER_MOUNT);
	kernel_below(f, "other");
	ok(CALL(f, "CreateDomain", "ssu", fixture_xml(f, "other", "", ""), "o.xml", 0));
	assert_int_equal(f->n_done, 0);
	/* Of those that wait one goes: the next has its place. */
	ok(CALL(f, "DestroyDomain", "su", "hung0", 0));
	RUN_UNTIL(f, waits(manager_find_name(f->manager, "hung8")));
	RUN_UNTIL(f, f->manager->n_reaches == REACH_PER_MOUNT);
	for (unsigned i = 1; i < REACH_MAX; i++) {
		char name[32];

		snprintf(name, sizeof(name), "hung%u", i);
		ok(CALL(f, "DestroyDomain", "su", name, 0));
	}
	assert_int_equal(f->n_done, REACH_MAX);
	assert_int_equal(f->done_error.code, ERROR_CANCELLED);
	RUN_UNTIL(f, f->manager->n_reaches == 0);
	unhang();
	tally(TALLY_FAULTS, REACH_MAX);
}

#define OWNED "<metadata><vmmd:owner xmlns:vmmd='urn:vmmd:domain:1' user='1234'/></metadata>"

/* The daemon ends while more wait than are looked for; before that, an owner has his share, and others what is left. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	char name[16];

	for (unsigned i = 0; i < HUNG_MAX; i++) {
		snprintf(name, sizeof(name), "hung%u", i);
		kernel_below(f, name);
		if (!hang(f, name))
			return;
		if (i < 3)
			start_many(f, name, REACH_PER_MOUNT, OWNED);
	}
	assert_int_equal(f->manager->n_reaches, REACH_PER_OWNER);
	for (unsigned i = 0; i < HUNG_MAX; i++) {
		snprintf(name, sizeof(name), "hung%u", i);
		snprintf(f->kernel, sizeof(f->kernel), "%s/%s/kernel", f->dir, name);
		strcat(name, "more");
		start_many(f, name, REACH_PER_MOUNT, "");
	}
	assert_int_equal(f->manager->n_reaches, REACH_MAX);
	disconnect();
	manager_free(f->manager);
	f->manager = NULL;
	assert_int_equal(f->n_done, 0);
	unhang();
	tally(TALLY_FAULTS, REACH_MAX);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup_patient, teardown)
		T(test_answers),
		T(test_undefined_meanwhile),
		T(test_autostart),
		T(test_autostart_many),
		T(test_hangs),
		T(test_slow),
		T(test_chardevs),
		T(test_restart),
		T(test_restart_later),
		T(test_destroy),
		T(test_other_mounts),
		T(test_many),
	};

	log_init("test-reach", LOG_CRIT, false);
	/* A daemon that waits is no reason to wait with it. */
	(void)alarm(280);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
