/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains whose files are on a file system that others answer for: one that answers, and one that never does (FUSE, whose other
 * end nobody reads). All but its own callers go on, these are told, and nothing is left.
 */
#include "daemon/reach.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "dbus-fixture.h"
#include "daemon/mounts.h"
#include "tests/unit/tally.h"

static int fuse_fd = -EBADF;

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
	mounts_free(f->manager->mounts);
	assert_int_equal(mounts_new(f->event, table, &f->manager->mounts), 0);
}

/* False, with a word: this process may not mount. */
static bool hang(struct fixture *f)
{
	char options[96];

	snprintf(f->kernel, sizeof(f->kernel), "%s/hung", f->dir);
	assert_int_equal(mkdir(f->kernel, 0700), 0);
	fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse_fd);
	if (fuse_fd < 0 || unshare(CLONE_NEWNS) < 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("nobody", f->kernel, "fuse.nobody", 0, options) < 0) {
		print_message("skipped: this process may mount no FUSE\n");
		fuse_fd = safe_close(fuse_fd);
		return false;
	}
	strcat(f->kernel, "/kernel");
	/* The namespace is a new one. */
	mounts_free(f->manager->mounts);
	assert_int_equal(mounts_new(f->event, "/proc/self/mountinfo", &f->manager->mounts), 0);
	return true;
}

static void unhang(struct fixture *f)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/hung", f->dir);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	fuse_fd = safe_close(fuse_fd);
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
	RUN_UNTIL(f, f->manager->n_reaches == 0);
}

/* What was asked for is looked at when the files have answered. */
static void test_undefined_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct answer start = {0};
	sd_bus_message *m = NULL;

	(void)fixture_define(f, "a", "", "");
	call_it_far(f);
	assert_true(sd_bus_message_new_method_call(client, &m, NULL, VMMD_BUS_PATH,
			    VMMD_BUS_INTERFACE, "StartDomain") >= 0);
	assert_true(sd_bus_message_append(m, "su", "a", 0) >= 0);
	assert_true(sd_bus_call_async(client, NULL, m, on_answer, &start, 0) >= 0);
	sd_bus_message_unref(m);
	RUN_UNTIL(f, f->manager->n_reaches == 1);
	assert_int_equal(
		manager_undefine(f->manager, manager_find_name(f->manager, "a"), &f->error), 0);
	RUN_UNTIL(f, start.m);
	fails(start.m, VMMD_ERROR_PREFIX "NoDomain", "'a'");
}

static void test_autostart(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");

	assert_int_equal(manager_set_autostart(f->manager, d, true, &f->error), 0);
	call_it_far(f);
	manager_autostart(f->manager);
	assert_int_equal(d->phase, DOMAIN_IDLE);
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
	assert_int_equal(f->manager->n_reaches, REACH_MAX / 2);
	RUN_UNTIL(f, count_started(f) == REACH_MAX + 6);
	assert_true(list_empty(&f->manager->autostarts));
}

static void test_hangs(void **state)
{
	struct fixture *f = *state;
	unsigned answered = 0;

	if (!hang(f))
		return;
	(void)fixture_define(f, "a", "", "");
	f->manager->options.reach_usec = 300000;
	for (unsigned i = 0; i < 3; i++) {
		struct answer start = {0};
		sd_bus_message *m = NULL;

		assert_true(sd_bus_message_new_method_call(client, &m, NULL, VMMD_BUS_PATH,
				    VMMD_BUS_INTERFACE, "StartDomain") >= 0);
		assert_true(sd_bus_message_append(m, "su", "a", 0) >= 0);
		assert_true(sd_bus_call_async(client, NULL, m, on_answer, &start, 0) >= 0);
		sd_bus_message_unref(m);
		RUN_UNTIL(f, f->manager->n_reaches == 1);
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
	unhang(f);
	tally(TALLY_FAULTS, 4);
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;

	if (!hang(f))
		return;
	assert_int_equal(definition_parse(fixture_define(f, "a", "", "")->definition, &config), 0);
	for (unsigned i = 0; i < REACH_MAX; i++)
		assert_int_equal(reach_domain(f->manager, config, fixture_done, f, &f->error), 1);
	assert_int_equal(reach_domain(f->manager, config, fixture_done, f, &f->error), -EBUSY);
	assert_non_null(strstr(f->error.message, "64 files are waited for already"));
	/* The daemon ends meanwhile: each caller hears of it. */
	disconnect();
	manager_free(f->manager);
	f->manager = NULL;
	assert_int_equal(f->n_done, REACH_MAX);
	assert_int_equal(f->done_error.code, ERROR_INTERRUPTED);
	unhang(f);
	tally(TALLY_FAULTS, REACH_MAX);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_answers),
		T(test_undefined_meanwhile),
		T(test_autostart),
		T(test_autostart_many),
		T(test_hangs),
		T(test_many),
	};

	log_init("test-reach", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
