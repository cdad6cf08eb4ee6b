/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of the journal that begin anew, beside changes, and when that fails. */
#include "daemon/store.h"

#include "store-fixture.h"

/* Full files begin anew, in turns; records never stop. */
static void test_journal_turns(void **state)
{
	struct fixture *f = *state;
	unsigned n_turns = 0, active = 0;
	char xml[64];

	f->store->journal.bytes = 4 * STORE_JOURNAL_BLOCK;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(xml, sizeof(xml), "<a n='%u'/>", i);
		assert_int_equal(store_save(&f->store->domains, uuid_a, xml), 0);
		n_turns += f->store->journal.active != active;
		active = f->store->journal.active;
		if (i % 7 == 0) {
			lose_files(f);
			assert_int_equal(store_save(&f->store->domains, uuid_b, "<b/>"), 0);
			reopen(f);
			f->store->journal.bytes = 4 * STORE_JOURNAL_BLOCK;
			active = f->store->journal.active;
			assert_string_equal(text_of_a(f), xml);
		}
	}
	assert_true(n_turns > 10);
	assert_true(f->store->journal.files[active].end <=
		STORE_JOURNAL_FULL * 4 * STORE_JOURNAL_BLOCK + STORE_JOURNAL_BLOCK);
}

/* Nobody waits: neither for records nor for the checkpoints beside them, and none is begun for the other's file. */
static void test_change_without_waiting(void **state)
{
	struct fixture *f = *state;
	struct changeset_item item = {.kind = CHANGESET_DOMAINS, .uuid = {1, 2, 3, 4}};
	char xml[64];

	f->store->journal.bytes = 4 * STORE_JOURNAL_BLOCK;
	for (unsigned i = 0; i < 40; i++) {
		int r;

		snprintf(xml, sizeof(xml), "<a n='%u'/>", i);
		item.xml = xml;
		assert_int_equal(store_change_begin(f->store, &item, 1), 0);
		assert_int_equal(store_checkpoint(f->store), 0);
		while ((r = store_change_end(f->store)) == -EAGAIN) {
			assert_in_range(store_tend(f->store), 0, 1);
			if (!store_wants_turn(f->store))
				wait_for_disk(f);
		}
		assert_int_equal(r, 0);
		if (i % 8 == 0) {
			lose_files(f);
			store_unsettle(f->store);
		}
	}
	assert_int_equal(store_change_begin(f->store, &item, 1), 0);
	assert_int_equal(store_change_wait(f->store), 0);
	reopen(f);
	assert_string_equal(text_of_a(f), xml);
}

/* What fails in the background is tried again, and nothing is lost meanwhile. */
static void test_checkpoint_failures(void **state)
{
	struct fixture *f = *state;

	for (enum store_step step = STORE_STEP_SYNC_FILES; step < STORE_STEP_X_MAX; step++) {
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
		f->store->fault = fail_at;
		f->store->fault_opaque = &step;
		assert_int_equal(store_checkpoint_now(f->store), -ENOSPC);
		assert_false(store_is_settled(f->store));
		assert_int_equal(store_checkpoint_now(f->store), -ENOSPC);
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<2/>"), 0);
		f->store->fault = NULL;
		lose_files(f);
		/* The files are written again. */
		assert_int_equal(store_checkpoint_now(f->store), 0);
		assert_true(store_is_settled(f->store));
		assert_string_equal(text_of_a(f), "<2/>");
		reopen(f);
		assert_string_equal(text_of_a(f), "<2/>");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_journal_turns),
		T(test_change_without_waiting),
		T(test_checkpoint_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
