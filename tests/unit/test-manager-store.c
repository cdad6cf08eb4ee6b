/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store in the daemon's loop: files that follow, files that cannot, and who is told. */
#include "daemon/manager-store.h"

#include <poll.h>
#include <sys/stat.h>

#include "daemon-fixture.h"
#include "daemon/doctor.h"
#include "journal-fixture.h"

static int full_for_files(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	*(unsigned *)opaque += step == STORE_STEP_WRITE;
	return step == STORE_STEP_WRITE ? -ENOSPC : 0;
}

static int no_folder_syncs(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	*(unsigned *)opaque += step == STORE_STEP_SYNC_DIR;
	return step == STORE_STEP_SYNC_DIR ? -EIO : 0;
}

static bool is_armed(sd_event_source *timer)
{
	int enabled;

	assert_true(sd_event_source_get_enabled(timer, &enabled) >= 0);
	return enabled != SD_EVENT_OFF;
}

/* What else comes after a while comes now. */
static void hurry(sd_event_source *timer)
{
	if (is_armed(timer))
		assert_true(sd_event_source_set_time_relative(timer, 0) >= 0);
}

/* Until there is nothing to be done but what has failed. */
static void run_until_idle(struct fixture *f)
{
	struct manager *m = f->manager;

	while (is_armed(m->store_timer) ||
		(m->store->journal.retiring && !m->store->journal.is_held)) {
		hurry(m->store_timer);
		assert_true(sd_event_run(f->event, 10000000) > 0);
	}
}

static void retry(struct fixture *f)
{
	struct manager *m = f->manager;
	const uint64_t before = m->store_delay_usec;

	assert_true(is_armed(m->store_retry_timer));
	hurry(m->store_retry_timer);
	assert_true(sd_event_run(f->event, 10000000) > 0);
	assert_int_equal(m->store_delay_usec, before);
	run_until_idle(f);
}

static bool doctor_says(struct fixture *f, const char *what)
{
	struct json_object *findings = doctor_run(f->manager, "");
	bool found = strstr(
		json_object_to_json_string_ext(findings, JSON_C_TO_STRING_NOSLASHESCAPE), what);

	json_object_put(findings);
	return found;
}

static void path_of(struct fixture *f, const char *uuid, char ret[192])
{
	(void)snprintf(ret, 192, "%s/domains/%s.xml", f->state, uuid);
}

/* It is durable in the journal, its file follows when it can, and then becomes durable; and nothing wakes the daemon up any more. */
static void test_files_follow(void **state)
{
	struct fixture *f = *state;
	struct store *store = f->manager->store;
	char path[192], uuid[UUID_STRING_LEN + 1];
	unsigned n_tries = 0;

	store->fault = full_for_files;
	store->fault_opaque = &n_tries;
	uuid_format(fixture_define(f, "a", "", "")->uuid, uuid);
	path_of(f, uuid, path);
	RUN_UNTIL(f, store->stuck);
	run_until_idle(f);
	assert_int_equal(access(path, F_OK), -1);
	(void)fixture_define(f, "b", "", "");
	run_until_idle(f);
	assert_true(store_is_settled(store));
	assert_int_equal(n_tries, 2);
	store->fault = NULL;
	retry(f);
	assert_int_equal(access(path, F_OK), 0);
	assert_null(store->stuck);
	assert_true(store_is_settled(store));
	assert_false(is_armed(f->manager->store_timer));
	assert_false(is_armed(f->manager->store_retry_timer));
	assert_int_equal(f->manager->n_domains, 2);
}

/* Each try is later than the one before, to a bound; it is one try, however many definitions change meanwhile; and what works is the end
 * of it. Both for a definition that is stuck and for a checkpoint that fails. */
static void test_back_off(void **state)
{
	struct fixture *f = *state;
	struct manager *m = f->manager;
	int (*const faults[])(void *opaque, enum store_step step, const char *name) = {
		full_for_files, no_folder_syncs};

	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++) {
		uint64_t usec = MANAGER_STORE_RETRY_USEC;
		unsigned n_tries = 0;
		char name[16], extra[96], uuid[UUID_STRING_LEN + 1];

		(void)snprintf(name, sizeof(name), "d%u", i);
		m->store->fault = faults[i];
		m->store->fault_opaque = &n_tries;
		uuid_format(fixture_define(f, name, "", "")->uuid, uuid);
		(void)snprintf(extra, sizeof(extra), "<uuid>%s</uuid>", uuid);
		run_until_idle(f);
		for (unsigned n = 1; n <= 9; n++) {
			assert_int_equal(n_tries, n);
			assert_int_equal(m->store_delay_usec, usec);
			for (unsigned k = 0; k < 3; k++) {
				(void)fixture_define(f, name, "", extra);
				run_until_idle(f);
			}
			assert_int_equal(n_tries, n);
			retry(f);
			usec = MIN(2 * usec, MANAGER_STORE_RETRY_MAX_USEC);
		}
		assert_int_equal(usec, MANAGER_STORE_RETRY_MAX_USEC);
		m->store->fault = NULL;
		retry(f);
		assert_false(is_armed(m->store_retry_timer));
		assert_int_equal(m->store_delay_usec, 0);
		assert_true(store_is_settled(m->store));
	}
}

/* A daemon begins with a definition whose file cannot be written: it has the domain as it was defined last, starts it, says which one it is and
 * why, and has it in its file when that can be written. */
static void test_start_with_what_is_stuck(void **state)
{
	struct fixture *f = *state;
	char path[192], uuid[UUID_STRING_LEN + 1], want[256];
	struct journald j;
	struct domain *d;

	d = fixture_define(f, "a", "new", "");
	uuid_format(d->uuid, uuid);
	assert_int_equal(manager_set_autostart(f->manager, d, true, &f->error), 0);
	path_of(f, uuid, path);
	(void)fixture_define(f, "b", "", "");
	/* No file can take a folder's place. */
	assert_int_equal(mkdir(path, 0700), 0);
	journald_open(&j, f->dir);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	assert_int_equal(f->manager->n_domains, 2);
	d = manager_find_name(f->manager, "a");
	assert_non_null(strstr(d->definition->xml, "<cmdline>new</cmdline>"));
	assert_true(d->autostart);
	while (journald_take(&j) &&
		!streq(journald_field(&j, "MESSAGE_ID"),
			journal_message_id(JOURNAL_DEFINITION_STUCK)))
		;
	assert_string_equal(journald_field(&j, "VMMD_DOMAIN"), "a");
	assert_string_equal(journald_field(&j, "VMMD_DOMAIN_UUID"), uuid);
	assert_string_equal(journald_field(&j, "VMMD_FILE"), path);
	assert_non_null(strstr(
		journald_field(&j, "MESSAGE"), "the definition of 'a' is safe in the journal of "));
	assert_non_null(strstr(journald_field(&j, "MESSAGE"), ": Is a directory. "));
	(void)snprintf(want, sizeof(want), "written: Is a directory (%s)", path);
	assert_true(doctor_says(f, want));
	fixture_start(f, d);
	(void)fixture_define(f, "c", "", "");
	run_until_idle(f);
	assert_int_equal(rmdir(path), 0);
	retry(f);
	assert_int_equal(access(path, R_OK), 0);
	assert_false(doctor_says(f, "Is a directory"));
	assert_true(doctor_says(f, "all definitions are in their files"));
	journald_close(&j);
}

/* Definitions that come while the store carries over what is stuck wait for it, and not for ever. */
static void test_define_beside_what_is_carried(void **state)
{
	struct fixture *f = *state;
	unsigned n_tries = 0, n_carried = 0;

	f->manager->store->journal.bytes = 4 * STORE_JOURNAL_BLOCK;
	f->manager->store->fault = full_for_files;
	f->manager->store->fault_opaque = &n_tries;
	for (unsigned n = 1; n <= 60; n++) {
		const char *given = NULL;
		char name[16];

		(void)snprintf(name, sizeof(name), "d%u", n);
		assert_int_equal(manager_define_soon(f->manager, fixture_xml(f, name, "", ""), "x",
					 0, fixture_done, f, &given, NULL, &f->error),
			0);
		hurry(f->manager->store_timer);
		while (f->n_done < n) {
			assert_true(sd_event_run(f->event, 10000000) > 0);
			n_carried += store_is_carrying(f->manager->store);
		}
		assert_int_equal(f->done_error.code, 0);
	}
	assert_true(n_carried > 0);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	assert_int_equal(f->manager->n_domains, 60);
}

/* A definition that waits for the disk alone, with nothing else that would wake the daemon up. False: the disk does not keep it waiting. */
static bool define_one_that_waits(struct fixture *f, unsigned n)
{
	const char *given = NULL;
	char name[16];

	(void)snprintf(name, sizeof(name), "d%u", n);
	assert_int_equal(manager_define_soon(f->manager, fixture_xml(f, name, "", ""), "x", 0,
				 fixture_done, f, &given, NULL, &f->error),
		0);
	manager_go_on_defining(f->manager);
	return f->manager->n_committing;
}

/* The disk's answer to a definition comes while the store is tended for something else, which takes it along: who defined it hears. */
static void test_answer_comes_along(void **state)
{
	struct fixture *f = *state;
	struct manager *m = f->manager;
	struct pollfd p = {.fd = m->store->event_fd, .events = POLLIN};
	bool waits = false;
	unsigned n;

	for (n = 1; n <= 100 && !waits; n++) {
		run_until_idle(f);
		waits = define_one_that_waits(f, n);
		assert_int_equal(f->n_done, waits ? n - 1 : n);
	}
	if (!waits) {
		print_message("skipped: this disk keeps nobody waiting\n");
		skip();
	}
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(store_tend(m->store), 0);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_true(sd_event_source_set_enabled(m->store_timer, SD_EVENT_ONESHOT) >= 0);
	run_until_idle(f);
	assert_int_equal(f->n_done, n - 1);
	assert_int_equal(f->done_error.code, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
		T(test_files_follow),
		T(test_back_off),
		T(test_start_with_what_is_stuck),
		T(test_define_beside_what_is_carried),
		T(test_answer_comes_along),
	};

	log_init("test-manager-store", LOG_ERR, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
