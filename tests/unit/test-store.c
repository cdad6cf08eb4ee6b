/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store: old-or-new at each step, one daemon a folder, hostile folders refused. No root needed. */
#include "daemon/store.h"

#include "store-fixture.h"

static int die_at(void *opaque, enum store_step step, const char *name)
{
	(void)name;
	if (step == *(enum store_step *)opaque)
		_exit(42);
	return 0;
}

static void test_save_load_delete(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {0};

	assert_int_equal(store_save(&f->store->domains, uuid_b, "<b/>"), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<a/>"), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<a2/>"), 0);
	assert_int_equal(store_each(&f->store->domains, see, &seen), 0);
	assert_int_equal(seen.n, 2);
	assert_string_equal(seen.xml[0], "<a2/>");
	assert_memory_equal(seen.uuid[1], uuid_b, 16);

	assert_false(has_flag(f, uuid_a));
	assert_int_equal(store_set_autostart(&f->store->domains, uuid_a, true), 0);
	assert_int_equal(store_set_autostart(&f->store->domains, uuid_a, true), 0);
	assert_true(has_flag(f, uuid_a));
	assert_int_equal(store_delete(&f->store->domains, uuid_a), 0);
	assert_false(has_flag(f, uuid_a));
	assert_int_equal(store_delete(&f->store->domains, uuid_a), 0);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(store_each(&f->store->domains, see, &seen), 0);
	assert_int_equal(seen.n, 1);
}

static void test_marks(void **state)
{
	struct fixture *f = *state;

	assert_false(store_has_mark(f->store, "done-once"));
	assert_int_equal(store_set_mark(f->store, "done-once"), 0);
	assert_true(store_has_mark(f->store, "done-once"));
	assert_false(store_has_mark(f->store, "done"));
}

/* A failing step before the moment leaves the old text; after it the journal has the new one until the file can be written. */
static void test_failure_at_each_step(void **state)
{
	struct fixture *f = *state;

	for (enum store_step step = 0; step < STORE_STEP_REMOVE; step++) {
		bool is_late = step > STORE_STEP_SYNC;

		assert_int_equal(store_save(&f->store->domains, uuid_a, "<old/>"), 0);
		assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
		f->store->fault = fail_at;
		f->store->fault_opaque = &step;
		assert_int_equal(
			store_save(&f->store->domains, uuid_a, "<new/>"), is_late ? 0 : -ENOSPC);
		assert_string_equal(text_of_a(f), is_late ? "<new/>" : "<old/>");
		assert_int_equal(store_wants_retry(f->store), is_late);
		assert_int_equal(count_files(f->state, "domains"), 1);
		f->store->fault = NULL;
		store_retry(f->store);
		assert_string_equal(text_of_a(f), is_late ? "<new/>" : "<old/>");
		assert_false(store_wants_retry(f->store));
		assert_int_equal(count_files(f->state, "domains"), 1);
	}
}

/* A daemon killed before any step leaves old or new; the next one sweeps. */
static void test_crash_at_each_step(void **state)
{
	struct fixture *f = *state;

	for (enum store_step step = 0; step < STORE_STEP_REMOVE; step++) {
		int status;
		pid_t pid;

		f->store->fault = NULL;
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<old/>"), 0);
		f->store->fault = die_at;
		f->store->fault_opaque = &step;
		pid = fork();
		if (pid == 0) {
			(void)store_save(&f->store->domains, uuid_a, "<new/>");
			(void)store_settle(f->store, STORE_SETTLE_ALL);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WEXITSTATUS(status), 42);

		reopen(f);
		assert_int_equal(count_files(f->state, "domains"), 1);
		assert_string_equal(text_of_a(f), step < STORE_STEP_SYNC ? "<old/>" : "<new/>");
	}
}

static void test_second_daemon_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store *other = NULL;
	char pid[32];

	assert_int_equal(store_open(f->state, f->runtime, &other, &f->error), -EBUSY);
	snprintf(pid, sizeof(pid), "(pid %d)", getpid());
	assert_non_null(strstr(f->error.message, pid));
	assert_null(other);
	f->store = store_free(f->store);
	assert_int_equal(store_open(f->state, f->runtime, &f->store, &f->error), 0);
}

static void test_bad_folders_are_refused(void **state)
{
	struct fixture *f = *state;
	struct store *other = NULL;
	char link[128];

	f->store = store_free(f->store);
	assert_int_equal(chmod(f->state, 0777), 0);
	assert_true(store_open(f->state, f->runtime, &other, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "can be written by others (mode 0777)"));
	assert_int_equal(chmod(f->state, 0700), 0);

	/* A symbolic link in the place of a folder of ours. */
	snprintf(link, sizeof(link), "%s/log", f->state);
	assert_int_equal(rmdir(link), 0);
	assert_int_equal(symlink("/tmp", link), 0);
	assert_true(store_open(f->state, f->runtime, &other, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "/log"));
	assert_null(other);
}

static void test_foreign_files_are_left_alone(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {0};
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/domains/README.xml", f->state);
	file = fopen(path, "w");
	fclose(file);
	/* A definition that cannot be read (a NUL inside) is reported, not dropped. */
	snprintf(path, sizeof(path), "%s/domains/01020304-0000-0000-0000-000000000000.xml",
		f->state);
	file = fopen(path, "w");
	fwrite("<a\0/>", 1, 5, file);
	fclose(file);
	assert_int_equal(store_each(&f->store->domains, see, &seen), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.error[0], -EBADMSG);
	assert_int_equal(count_files(f->state, "domains"), 2);
}

static void count_one(void *opaque, const uint8_t uuid[16])
{
	(void)uuid;
	(*(unsigned *)opaque)++;
}

static void test_runtime_folders(void **state)
{
	struct fixture *f = *state;
	_cleanup_(freep) char *text = NULL;
	unsigned n = 0;
	int fd;

	assert_int_equal(store_open_runtime(&f->store->domains, uuid_a, false, &fd), -ENOENT);
	assert_int_equal(store_save_runtime(&f->store->domains, uuid_a, "status.json", "{}"), 0);
	assert_int_equal(
		store_load_runtime(&f->store->domains, uuid_a, "status.json", 16, &text), 0);
	assert_string_equal(text, "{}");
	assert_int_equal(store_open_runtime(&f->store->domains, uuid_a, true, &fd), 0);
	assert_int_equal(mkfifoat(fd, "log", 0600), 0);
	close(fd);
	assert_int_equal(store_each_runtime(&f->store->domains, count_one, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(store_remove_runtime(&f->store->domains, uuid_a), 0);
	assert_int_equal(store_remove_runtime(&f->store->domains, uuid_a), 0);
	assert_int_equal(count_files(f->runtime, "domains"), 0);
	assert_true(store_first_start(f->store));
	assert_false(store_first_start(f->store));
}

static void test_error_text(void **state)
{
	char bad[] = "a\x01\xff\xc3\xa9\xe2\x82";
	struct error e = {0};

	(void)state;
	text_clean(bad);
	assert_string_equal(bad, "a??\xc3\xa9??");
	assert_int_equal(
		error_set(&e, ERROR_NO_DOMAIN, "no domain with matching name '%s'", "x"), -ENOENT);
	assert_string_equal(e.message, "Domain not found: no domain with matching name 'x'");
	assert_string_equal(error_code_name(e.code), "NoDomain");
	assert_int_equal(error_set_errno(&e, -ENOSPC, "cannot save"), -ENOSPC);
	assert_string_equal(e.message, "operation failed: cannot save: No space left on device");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_save_load_delete),
		T(test_marks),
		T(test_failure_at_each_step),
		T(test_crash_at_each_step),
		T(test_second_daemon_is_refused),
		T(test_bad_folders_are_refused),
		T(test_foreign_files_are_left_alone),
		T(test_runtime_folders),
		cmocka_unit_test(test_error_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
