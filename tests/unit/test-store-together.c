/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions that change together: one record, all old or all new. */
#include "daemon/store.h"

#include "store-fixture.h"

static const uint8_t uuid_c[16] = {9, 10, 11, 12};

/* All that came together is one record, and waits for the disk once; the files wait for nothing. */
static void test_many_share_the_disk(void **state)
{
	struct fixture *f = *state;
	const struct changeset_item items[] = {
		{.kind = CHANGESET_DOMAINS, .uuid = {1, 2, 3, 4}, .xml = "<a/>"},
		{.kind = CHANGESET_DOMAINS, .uuid = {5, 6, 7, 8}, .xml = "<b/>"},
		{.kind = CHANGESET_DOMAINS, .uuid = {9}, .xml = "<c/>"}};
	struct steps steps = {0};

	/* The journal is made by the first change. */
	assert_int_equal(store_delete(&f->store->domains, uuid_a), 0);
	assert_int_equal(store_settle(f->store, 1), 0);
	f->store->fault = count_step;
	f->store->fault_opaque = &steps;
	assert_int_equal(store_change(f->store, items, 3), 0);
	assert_int_equal(steps.n[STORE_STEP_RECORD], 1);
	assert_int_equal(steps.n[STORE_STEP_SYNC], 1);
	assert_int_equal(steps.n[STORE_STEP_CREATE], 0);
	assert_int_equal(store_settle(f->store, 2), 1);
	assert_int_equal(steps.n[STORE_STEP_CREATE], 2);
	assert_int_equal(store_settle(f->store, 2), 0);
	assert_int_equal(steps.n[STORE_STEP_SYNC_DIR] + steps.n[STORE_STEP_SYNC_FILES], 0);
	assert_int_equal(count_files(f->state, "domains"), 3);
}

/* The disk refuses the record: none of them has changed, for the next daemon neither. */
static void test_many_fail_with_their_record(void **state)
{
	struct fixture *f = *state;
	const struct changeset_item items[] = {
		{.kind = CHANGESET_DOMAINS, .uuid = {1, 2, 3, 4}, .xml = "<a/>"},
		{.kind = CHANGESET_DOMAINS, .uuid = {5, 6, 7, 8}, .xml = "<b/>"}};
	enum store_step step = STORE_STEP_SYNC;

	f->store->fault = fail_at;
	f->store->fault_opaque = &step;
	assert_int_equal(store_change(f->store, items, 2), -ENOSPC);
	assert_int_equal(count_files(f->state, "domains"), 0);
	reopen(f);
	assert_int_equal(count_files(f->state, "domains"), 0);
}

/* Together: 'a' is another, 'b' is new, 'c' goes, and a network comes. */
static const struct changeset_item together[] = {
	{CHANGESET_SAVE, CHANGESET_DOMAINS, {1, 2, 3, 4}, "<new/>"},
	{CHANGESET_SAVE, CHANGESET_DOMAINS, {5, 6, 7, 8}, "<b/>"},
	{CHANGESET_DELETE, CHANGESET_DOMAINS, {9, 10, 11, 12}, NULL},
	{CHANGESET_SAVE, CHANGESET_NETWORKS, {1}, "<net/>"},
};

static void make_old(struct fixture *f)
{
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<old/>"), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_c, "<c/>"), 0);
	assert_int_equal(store_set_autostart(&f->store->domains, uuid_c, true), 0);
	assert_int_equal(store_delete(&f->store->domains, uuid_b), 0);
	assert_int_equal(store_delete(&f->store->networks, together[3].uuid), 0);
}

/* All is old, or all is new; nothing else is there. */
static bool is_new(struct fixture *f)
{
	struct seen domains = {0}, networks = {0};

	assert_int_equal(store_each(&f->store->domains, see, &domains), 0);
	assert_int_equal(store_each(&f->store->networks, see, &networks), 0);
	assert_int_equal(domains.n, 2);
	assert_int_equal(count_files(f->state, "domains"), 2);
	assert_int_equal(count_files(f->state, "networks"), networks.n);
	assert_int_equal(count_files(f->state, "."), 8);
	if (networks.n == 0) {
		assert_string_equal(domains.xml[0], "<old/>");
		assert_string_equal(domains.xml[1], "<c/>");
		assert_true(has_flag(f, uuid_c));
		return false;
	}
	assert_string_equal(domains.xml[0], "<new/>");
	assert_string_equal(domains.xml[1], "<b/>");
	assert_string_equal(networks.xml[0], "<net/>");
	assert_false(has_flag(f, uuid_c));
	return true;
}

static int fail_in(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	(void)step;
	return (*(unsigned *)opaque)-- == 0 ? -ENOSPC : 0;
}

static int die_in(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	(void)step;
	if ((*(unsigned *)opaque)-- == 0)
		_exit(42);
	return 0;
}

static void test_together(void **state)
{
	struct fixture *f = *state;

	make_old(f);
	assert_false(is_new(f));
	assert_int_equal(store_change(f->store, together, ARRAY_SIZE(together)), 0);
	assert_true(is_new(f));
}

/* They follow a few at a time, in their order. */
static void test_together_many(void **state)
{
	struct fixture *f = *state;
	struct changeset_item items[70];

	for (unsigned i = 0; i < ARRAY_SIZE(items); i++)
		items[i] = (struct changeset_item){
			.kind = CHANGESET_DOMAINS, .uuid = {(uint8_t)(i + 1)}, .xml = "<x/>"};
	assert_int_equal(store_change(f->store, items, ARRAY_SIZE(items)), 0);
	assert_int_equal(count_files(f->state, "domains"), 0);
	assert_int_equal(store_settle(f->store, 64), 1);
	assert_int_equal(count_files(f->state, "domains"), 64);
	assert_int_equal(store_delete(&f->store->domains, items[0].uuid), 0);
	assert_int_equal(store_settle(f->store, 6), 1);
	assert_int_equal(count_files(f->state, "domains"), 70);
	assert_int_equal(store_settle(f->store, 1), 0);
	assert_int_equal(count_files(f->state, "domains"), 69);
}

/* Whatever step it dies before, the next one finds all old or all new: all old before the one, all new from there. */
static void test_together_crash_at_each_step(void **state)
{
	struct fixture *f = *state;
	unsigned n_old = 0, n_new = 0;

	for (unsigned n = 0;; n++) {
		unsigned left = n;
		int status;
		pid_t pid;

		f->store->fault = NULL;
		make_old(f);
		assert_int_equal(store_checkpoint_now(f->store), 0);
		f->store->fault = die_in;
		f->store->fault_opaque = &left;
		pid = fork();
		if (pid == 0) {
			(void)store_change(f->store, together, ARRAY_SIZE(together));
			(void)store_checkpoint_now(f->store);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		reopen(f);
		if (is_new(f))
			n_new++;
		else if (n_new == 0)
			n_old++;
		else
			fail();
		if (WEXITSTATUS(status) == 0)
			break;
		assert_int_equal(WEXITSTATUS(status), 42);
	}
	assert_int_equal(n_old, 1);
	assert_in_range(n_new, 15, 40);
}

/* What fails before the moment leaves all as it was; what fails after it is made up for by the next try. */
static void test_together_failure_at_each_step(void **state)
{
	struct fixture *f = *state;
	bool has_failed = true;
	unsigned n;

	for (n = 0; has_failed; n++) {
		unsigned left = n;
		int r;

		f->store->fault = NULL;
		make_old(f);
		assert_int_equal(store_checkpoint_now(f->store), 0);
		f->store->fault = fail_in;
		f->store->fault_opaque = &left;
		r = store_change(f->store, together, ARRAY_SIZE(together));
		if (r == 0)
			(void)store_checkpoint_now(f->store);
		has_failed = left > n;
		f->store->fault = NULL;
		assert_int_equal(r, n <= STORE_STEP_SYNC ? -ENOSPC : 0);
		assert_int_equal(store_checkpoint_now(f->store), 0);
		assert_int_equal(is_new(f), r == 0);
	}
	assert_in_range(n, 15, 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_many_share_the_disk),
		T(test_many_fail_with_their_record),
		T(test_together),
		T(test_together_many),
		T(test_together_crash_at_each_step),
		T(test_together_failure_at_each_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
