/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions whose files cannot be written: nothing of them is lost, and nobody else waits for them. */
#include "daemon/store.h"

#include "store-fixture.h"

#define NAME_A "01020304-0000-0000-0000-000000000000"
#define NAME_B "05060708-0000-0000-0000-000000000000"

/* Which file, at which step, and how. */
struct trouble {
	const char *name;
	enum store_step step;
	int error;
	unsigned n;
};

static int trouble(void *opaque, enum store_step step, const char *name)
{
	struct trouble *t = opaque;

	if (step != t->step || !name || strncmp(name, t->name, strlen(t->name)) != 0)
		return 0;
	t->n++;
	return t->error;
}

static void make_trouble(struct fixture *f, struct trouble *t)
{
	f->store->fault = trouble;
	f->store->fault_opaque = t;
}

/* Definitions of the file, as it is. */
static bool file_has(struct fixture *f, const char *name, const char *xml)
{
	_cleanup_(freep) char *text = NULL;
	char file[64];

	(void)snprintf(file, sizeof(file), "%s.xml", name);
	return read_file(f->store->domains.definitions_fd, file, 64, &text, NULL) == 0 &&
		streq(text, xml);
}

static void assert_text(struct fixture *f, const uint8_t uuid[16], const char *xml)
{
	struct seen seen = {0};

	assert_int_equal(store_each(&f->store->domains, see, &seen), 0);
	for (unsigned i = 0; i < seen.n; i++)
		if (memcmp(seen.uuid[i], uuid, 16) == 0) {
			assert_non_null(xml);
			assert_int_equal(seen.error[i], 0);
			assert_string_equal(seen.xml[i], xml);
			return;
		}
	assert_null(xml);
}

/* The daemon is killed, and all that the files have not durably is gone: what is found is what the journal has. */
static void kill_daemon(struct fixture *f)
{
	f->store = store_free(f->store);
	assert_int_equal(store_open(f->state, f->runtime, &f->store, &f->error), 0);
}

/* One file that cannot be written, at each step and for each reason: the others follow, become durable and leave the journal; of it, the
 * journal keeps what it is. */
static void test_one_is_stuck(void **state)
{
	struct fixture *f = *state;
	const struct {
		enum store_step step;
		int error;
	} cases[] = {{STORE_STEP_CREATE, -EPERM}, {STORE_STEP_CREATE, -EROFS},
		{STORE_STEP_WRITE, -ENOSPC}, {STORE_STEP_RENAME, -EPERM},
		{STORE_STEP_SYNC_FILE, -EIO}};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct trouble t = {NAME_A, cases[i].step, cases[i].error, 0};
		unsigned active;

		assert_int_equal(store_save(&f->store->domains, uuid_a, "<old/>"), 0);
		assert_int_equal(store_checkpoint_now(f->store), 0);
		make_trouble(f, &t);
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<a/>"), 0);
		assert_int_equal(store_save(&f->store->domains, uuid_b, "<b/>"), 0);
		active = f->store->journal.active;
		assert_int_equal(store_checkpoint_now(f->store), 0);
		assert_int_equal(f->store->journal.active, !active);
		assert_true(store_is_settled(f->store));
		assert_true(file_has(f, NAME_B, "<b/>"));
		assert_int_equal(f->store->stuck->why, cases[i].error);
		assert_memory_equal(f->store->stuck->uuid, uuid_a, 16);
		assert_null(f->store->stuck->after);
		assert_text(f, uuid_a, "<a/>");
		/* Only its record is left. */
		assert_int_equal(f->store->records->n, 1);
		assert_null(f->store->records->after);
		f->store->fault = NULL;
		lose_files(f);
		kill_daemon(f);
		assert_text(f, uuid_a, "<a/>");
		assert_text(f, uuid_b, NULL);
		assert_null(f->store->stuck);
	}
}

/* A folder in the place of the file, which no fault of a test's own makes: the next daemon begins, and serves the record over the file. */
static void test_start_with_what_is_stuck(void **state)
{
	struct fixture *f = *state;
	char path[192];

	(void)snprintf(path, sizeof(path), "%s/domains/" NAME_A ".xml", f->state);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<a/>"), 0);
	assert_int_equal(store_set_autostart(&f->store->domains, uuid_a, true), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_b, "<b/>"), 0);
	for (unsigned i = 0; i < 4; i++) {
		kill_daemon(f);
		assert_text(f, uuid_a, "<a/>");
		assert_text(f, uuid_b, "<b/>");
		assert_true(store_get_autostart(&f->store->domains, uuid_a));
		assert_int_equal(f->store->stuck->why, -EISDIR);
		if (i == 2)
			assert_int_equal(store_checkpoint_now(f->store), 0);
	}
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_null(f->store->stuck);
	assert_null(f->store->records);
	assert_true(file_has(f, NAME_A, "<a/>"));
	assert_true(has_flag(f, uuid_a));
}

static void run_checkpoint(struct fixture *f)
{
	while (f->store->journal.retiring) {
		if (!store_wants_turn(f->store))
			wait_for_disk(f);
		assert_in_range(store_tend(f->store), 0, 1);
	}
}

/* The disk refuses one of those that are synced beside each other: that one is stuck, and is written anew when it is tried again. */
static void test_disk_refuses_one(void **state)
{
	struct fixture *f = *state;
	struct store_journal *j = &f->store->journal;

	assert_int_equal(store_save(&f->store->domains, uuid_b, "<b/>"), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<a/>"), 0);
	assert_int_equal(store_checkpoint(f->store), 0);
	while (j->step != STORE_CHECKPOINT_FILES)
		assert_in_range(store_tend(f->store), 0, 1);
	while (j->wait.n_left)
		store_sync_reap(f->store, true);
	j->wait.result = j->wait.results[1] = -EIO;
	assert_in_range(store_tend(f->store), 0, 1);
	run_checkpoint(f);
	assert_int_equal(j->failure, 0);
	assert_int_equal(f->store->stuck->why, -EIO);
	assert_memory_equal(f->store->stuck->uuid, uuid_a, 16);
	assert_null(f->store->stuck->after);
	lose_files(f);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_true(file_has(f, NAME_A, "<a/>"));
	assert_null(f->store->stuck);
}

/* Stuck, written, changed and stuck again while a file of the journal begins anew: what was safe in that file is not. */
static void test_stuck_again(void **state)
{
	struct fixture *f = *state;
	struct trouble t = {NAME_A, STORE_STEP_CREATE, -EPERM, 0};

	make_trouble(f, &t);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	t.error = 0;
	store_retry(f->store);
	assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
	assert_int_equal(store_checkpoint(f->store), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<2/>"), 0);
	run_checkpoint(f);
	t.error = -EPERM;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(store_checkpoint_now(f->store), 0);
		assert_text(f, uuid_a, "<2/>");
	}
	kill_daemon(f);
	assert_text(f, uuid_a, "<2/>");
}

/* A definition that never had a file changes just when it is tried again: its flag, which comes before its first file, is no stray. */
static void test_flag_of_what_was_stuck(void **state)
{
	struct fixture *f = *state;
	struct trouble t = {NAME_A, STORE_STEP_WRITE, -ENOSPC, 0};

	make_trouble(f, &t);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
	assert_int_equal(store_set_autostart(&f->store->domains, uuid_a, true), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_non_null(f->store->stuck);
	f->store->fault = NULL;
	store_retry(f->store);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<2/>"), 0);
	assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
	assert_true(file_has(f, NAME_A, "<2/>"));
	assert_true(has_flag(f, uuid_a));
	assert_int_equal(store_checkpoint(f->store), 0);
	run_checkpoint(f);
	kill_daemon(f);
	assert_true(store_get_autostart(&f->store->domains, uuid_a));
}

/* It is not tried at each record, and neither at each checkpoint: when it is said. */
static void test_tried_when_said(void **state)
{
	struct fixture *f = *state;
	struct trouble t = {NAME_A, STORE_STEP_WRITE, -ENOSPC, 0};
	char xml[64];

	make_trouble(f, &t);
	f->store->journal.bytes = 4 * STORE_JOURNAL_BLOCK;
	for (unsigned i = 0; i < 40; i++) {
		(void)snprintf(xml, sizeof(xml), "<a n='%u'/>", i);
		assert_int_equal(store_save(&f->store->domains, uuid_a, xml), 0);
		assert_int_equal(store_save(&f->store->domains, uuid_b, xml), 0);
		while (store_wants_turn(f->store))
			assert_in_range(store_tend(f->store), 0, 1);
		assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
	}
	assert_int_equal(t.n, 1);
	assert_text(f, uuid_a, xml);
	assert_true(file_has(f, NAME_B, xml));
	run_checkpoint(f);
	store_retry(f->store);
	assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
	assert_int_equal(t.n, 2);
	t.error = 0;
	store_retry(f->store);
	assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
	assert_true(file_has(f, NAME_A, xml));
	assert_false(store_wants_retry(f->store));
	/* It is stuck until it is durable. */
	assert_non_null(f->store->stuck);
	assert_false(store_is_settled(f->store));
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_null(f->store->stuck);
	assert_null(f->store->records);
}

/* What it becomes while it is stuck, and over how many files of the journal, makes no difference. */
static void test_newest_is_carried(void **state)
{
	struct fixture *f = *state;
	struct trouble t = {NAME_A, STORE_STEP_CREATE, -EPERM, 0};
	struct store_room *room = &f->store->domains;

	/* Its flag is on in the file, and off in the journal; then it goes, and comes back. */
	assert_int_equal(store_save(room, uuid_a, "<1/>"), 0);
	assert_int_equal(store_set_autostart(room, uuid_a, true), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	make_trouble(f, &t);
	assert_int_equal(store_save(room, uuid_a, "<2/>"), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_true(store_get_autostart(room, uuid_a));
	assert_int_equal(store_set_autostart(room, uuid_a, false), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_false(store_get_autostart(room, uuid_a));
	assert_text(f, uuid_a, "<2/>");
	assert_int_equal(store_set_autostart(room, uuid_a, true), 0);
	assert_int_equal(store_delete(room, uuid_a), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_int_equal(store_save(room, uuid_a, "<3/>"), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	/* Both while it is stuck. */
	assert_int_equal(store_set_autostart(room, uuid_a, true), 0);
	assert_int_equal(store_delete(room, uuid_a), 0);
	assert_int_equal(store_save(room, uuid_a, "<4/>"), 0);
	assert_int_equal(store_checkpoint(f->store), 0);
	run_checkpoint(f);
	kill_daemon(f);
	room = &f->store->domains;
	assert_text(f, uuid_a, "<4/>");
	assert_false(store_get_autostart(room, uuid_a));
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_true(file_has(f, NAME_A, "<4/>"));
	assert_false(has_flag(f, uuid_a));
	assert_null(f->store->stuck);
}

/* One that goes, and whose file cannot be removed, is gone. */
static void test_removal_is_stuck(void **state)
{
	struct fixture *f = *state;
	struct trouble t = {NAME_A, STORE_STEP_REMOVE, -EPERM, 0};

	assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
	assert_int_equal(store_set_autostart(&f->store->domains, uuid_a, true), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	make_trouble(f, &t);
	assert_int_equal(store_delete(&f->store->domains, uuid_a), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(store_checkpoint_now(f->store), 0);
		assert_text(f, uuid_a, NULL);
		assert_false(store_get_autostart(&f->store->domains, uuid_a));
	}
	assert_true(file_has(f, NAME_A, "<1/>"));
	kill_daemon(f);
	assert_text(f, uuid_a, NULL);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_int_equal(count_files(f->state, "domains"), 0);
}

/* Nobody waits: records go on beside what is carried over, and each of the two finds the other's place empty. */
static void test_carry_beside_changes(void **state)
{
	struct fixture *f = *state;
	struct trouble t = {NAME_A, STORE_STEP_CREATE, -EPERM, 0};
	struct changeset_item item = {.kind = CHANGESET_DOMAINS, .uuid = {5, 6, 7, 8}};
	unsigned n_carried = 0;
	char xml[64];

	make_trouble(f, &t);
	f->store->journal.bytes = 4 * STORE_JOURNAL_BLOCK;
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<a/>"), 0);
	for (unsigned i = 0; i < 60; i++) {
		int r;

		(void)snprintf(xml, sizeof(xml), "<b n='%u'/>", i);
		item.xml = xml;
		assert_int_equal(store_change_begin(f->store, &item, 1), 0);
		while ((r = store_change_end(f->store)) == -EAGAIN) {
			assert_in_range(store_tend(f->store), 0, 1);
			if (!store_wants_turn(f->store))
				wait_for_disk(f);
		}
		assert_int_equal(r, 0);
		/* Some find it on its way, some have ended before. */
		for (unsigned turns = i % 5; turns && store_wants_turn(f->store); turns--)
			assert_in_range(store_tend(f->store), 0, 1);
		n_carried += store_is_carrying(f->store);
	}
	assert_true(n_carried > 0);
	kill_daemon(f);
	assert_text(f, uuid_a, "<a/>");
	assert_text(f, uuid_b, xml);
}

/* Too many that are stuck: changes are refused for their reason, and nothing is lost. */
static void test_too_many_are_stuck(void **state)
{
	struct fixture *f = *state;
	struct trouble t = {"", STORE_STEP_CREATE, -EROFS, 0};
	char *big = malloc(VMMD_MAX_XML_BYTES + 1);
	unsigned n = 0;
	int r = 0;

	memset(big, 'x', VMMD_MAX_XML_BYTES);
	big[VMMD_MAX_XML_BYTES] = 0;
	make_trouble(f, &t);
	while (r == 0 && n < 100) {
		uint8_t uuid[16] = {(uint8_t)(n + 1)};

		r = store_save(&f->store->networks, uuid, big);
		n += r == 0;
	}
	assert_int_equal(r, -EROFS);
	assert_in_range(n, STORE_MAX_CARRY / VMMD_MAX_XML_BYTES, 40);
	/* It is refused without another try. */
	t.n = 0;
	assert_int_equal(store_save(&f->store->networks, uuid_a, "<n/>"), -EROFS);
	assert_int_equal(t.n, 0);
	kill_daemon(f);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_int_equal(count_files(f->state, "networks"), n);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_one_is_stuck),
		T(test_start_with_what_is_stuck),
		T(test_disk_refuses_one),
		T(test_stuck_again),
		T(test_flag_of_what_was_stuck),
		T(test_tried_when_said),
		T(test_newest_is_carried),
		T(test_removal_is_stuck),
		T(test_carry_beside_changes),
		T(test_too_many_are_stuck),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
