/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store: old-or-new at each step, one daemon a folder, hostile folders refused. No root needed. */
#include "daemon/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

static const uint8_t uuid_a[16] = {1, 2, 3, 4}, uuid_b[16] = {5, 6, 7, 8};

struct fixture {
	char dir[64], state[96], runtime[96];
	struct store *store;
	struct error error;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/test-store-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->state, sizeof(f->state), "%s/state", f->dir);
	snprintf(f->runtime, sizeof(f->runtime), "%s/deep/run", f->dir);
	assert_int_equal(store_open(f->state, f->runtime, &f->store, &f->error), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	f->store = store_free(f->store);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

struct seen {
	unsigned n;
	char xml[4][64];
	uint8_t uuid[4][16];
	int error[4];
};

static void see(void *opaque, const uint8_t uuid[16], const char *xml, int error)
{
	struct seen *seen = opaque;

	assert_in_range(seen->n, 0, 3);
	snprintf(seen->xml[seen->n], 64, "%s", xml ? xml : "");
	memcpy(seen->uuid[seen->n], uuid, 16);
	seen->error[seen->n++] = error;
}

static unsigned count_files(const char *dir, const char *sub)
{
	char command[256], text[16] = "";
	FILE *p;

	snprintf(command, sizeof(command), "ls -A %s/%s | wc -l", dir, sub);
	p = popen(command, "r");
	assert_non_null(fgets(text, sizeof(text), p));
	pclose(p);
	return (unsigned)atoi(text);
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

	assert_false(store_get_autostart(&f->store->domains, uuid_a));
	assert_int_equal(store_set_autostart(&f->store->domains, uuid_a, true), 0);
	assert_int_equal(store_set_autostart(&f->store->domains, uuid_a, true), 0);
	assert_true(store_get_autostart(&f->store->domains, uuid_a));
	assert_int_equal(store_delete(&f->store->domains, uuid_a), 0);
	assert_false(store_get_autostart(&f->store->domains, uuid_a));
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

static int fail_at(void *opaque, enum store_step step)
{
	return step == *(enum store_step *)opaque ? -ENOSPC : 0;
}

static int die_at(void *opaque, enum store_step step)
{
	if (step == *(enum store_step *)opaque)
		_exit(42);
	return 0;
}

/* A failing step leaves the old text and no temporary file. */
static void test_failure_at_each_step(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(store_save(&f->store->domains, uuid_a, "<old/>"), 0);
	f->store->fault = fail_at;
	for (enum store_step step = 0; step < STORE_STEP_X_MAX; step++) {
		struct seen seen = {0};

		f->store->fault_opaque = &step;
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<new/>"), -ENOSPC);
		assert_int_equal(store_each(&f->store->domains, see, &seen), 0);
		assert_string_equal(seen.xml[0], "<old/>");
		assert_int_equal(count_files(f->state, "domains"), 1);
	}
}

/* A daemon killed before any step leaves old or new; the next one sweeps. */
static void test_crash_at_each_step(void **state)
{
	struct fixture *f = *state;

	for (enum store_step step = 0; step < STORE_STEP_X_MAX; step++) {
		struct seen seen = {0};
		int status;
		pid_t pid;

		f->store->fault = NULL;
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<old/>"), 0);
		f->store->fault = die_at;
		f->store->fault_opaque = &step;
		pid = fork();
		if (pid == 0) {
			(void)store_save(&f->store->domains, uuid_a, "<new/>");
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WEXITSTATUS(status), 42);

		f->store = store_free(f->store);
		assert_int_equal(store_open(f->state, f->runtime, &f->store, &f->error), 0);
		assert_int_equal(count_files(f->state, "domains"), 1);
		assert_int_equal(store_each(&f->store->domains, see, &seen), 0);
		assert_string_equal(seen.xml[0], step < STORE_STEP_SYNC_DIR ? "<old/>" : "<new/>");
	}
}

struct steps {
	unsigned n[STORE_STEP_X_MAX], n_before_sync;
	enum store_step fail; /* its second time; STORE_STEP_X_MAX: none */
};

static int count_step(void *opaque, enum store_step step)
{
	struct steps *s = opaque;

	s->n[step]++;
	if (step == STORE_STEP_SYNC && s->n[step] == 1)
		s->n_before_sync = s->n[STORE_STEP_WRITE];
	return step == s->fail && s->n[step] == 2 ? -ENOSPC : 0;
}

/* All are written before the first is waited for, the folder is synced once, and who fails fails alone. */
static void test_many_share_the_disk(void **state)
{
	struct fixture *f = *state;
	static const uint8_t uuid_3[16] = {0xee, 1};

	for (unsigned fail = STORE_STEP_CREATE; fail <= STORE_STEP_X_MAX; fail++) {
		struct steps steps = {.fail = fail};
		struct store_save saves[] = {{.uuid = uuid_a, .xml = "<a/>"},
			{.uuid = uuid_b, .xml = "<b/>"}, {.uuid = uuid_3, .xml = "<c/>"}};
		struct seen seen = {0};

		if (fail == STORE_STEP_SYNC_DIR)
			continue;
		f->store->fault = count_step;
		f->store->fault_opaque = &steps;
		store_save_many(&f->store->domains, saves, 3);
		f->store->fault = NULL;
		assert_int_equal(steps.n_before_sync, fail < STORE_STEP_WRITE ? 2 : 3);
		assert_int_equal(steps.n[STORE_STEP_SYNC_DIR], 1);
		assert_int_equal(saves[0].result, 0);
		assert_int_equal(saves[1].result, fail == STORE_STEP_X_MAX ? 0 : -ENOSPC);
		assert_int_equal(saves[2].result, 0);
		assert_int_equal(store_each(&f->store->domains, see, &seen), 0);
		assert_int_equal(seen.n, fail == STORE_STEP_X_MAX ? 3 : 2);
		assert_int_equal(count_files(f->state, "domains"), seen.n);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(store_delete(&f->store->domains, saves[i].uuid), 0);
	}
}

/* None is said to be durable when the folder is not. */
static void test_many_fail_with_their_folder(void **state)
{
	struct fixture *f = *state;
	enum store_step step = STORE_STEP_SYNC_DIR;
	struct store_save saves[] = {
		{.uuid = uuid_a, .xml = "<a/>"}, {.uuid = uuid_b, .xml = "<b/>"}};

	f->store->fault = fail_at;
	f->store->fault_opaque = &step;
	store_save_many(&f->store->domains, saves, 2);
	assert_int_equal(saves[0].result, -ENOSPC);
	assert_int_equal(saves[1].result, -ENOSPC);
}

static const uint8_t uuid_c[16] = {9, 10, 11, 12};

/* Together: 'a' is another, 'b' is new, 'c' goes, and a network comes. */
static const struct changeset_item together[] = {
	{CHANGESET_DOMAINS, {1, 2, 3, 4}, "<new/>"},
	{CHANGESET_DOMAINS, {5, 6, 7, 8}, "<b/>"},
	{CHANGESET_DOMAINS, {9, 10, 11, 12}, NULL},
	{CHANGESET_NETWORKS, {1}, "<net/>"},
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
	assert_int_equal(count_files(f->state, "."), 5);
	if (networks.n == 0) {
		assert_string_equal(domains.xml[0], "<old/>");
		assert_string_equal(domains.xml[1], "<c/>");
		assert_true(store_get_autostart(&f->store->domains, uuid_c));
		return false;
	}
	assert_string_equal(domains.xml[0], "<new/>");
	assert_string_equal(domains.xml[1], "<b/>");
	assert_string_equal(networks.xml[0], "<net/>");
	assert_false(store_get_autostart(&f->store->domains, uuid_c));
	return true;
}

static int fail_in(void *opaque, enum store_step step)
{
	(void)step;
	return (*(unsigned *)opaque)-- == 0 ? -ENOSPC : 0;
}

static int die_in(void *opaque, enum store_step step)
{
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
	assert_int_equal(store_commit(f->store, together, ARRAY_SIZE(together)), 0);
	assert_int_equal(store_settle(f->store, 3), 1);
	assert_int_equal(store_settle(f->store, 1), 0);
	assert_int_equal(store_settle(f->store, 1), 0);
	assert_true(is_new(f));
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
		f->store->fault = die_in;
		f->store->fault_opaque = &left;
		pid = fork();
		if (pid == 0) {
			(void)store_commit(f->store, together, ARRAY_SIZE(together));
			while (store_settle(f->store, 1) > 0)
				;
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		f->store = store_free(f->store);
		assert_int_equal(store_open(f->state, f->runtime, &f->store, &f->error), 0);
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
	assert_int_equal(n_old, STORE_STEP_SYNC_DIR);
	assert_in_range(n_new, 15, 40);
}

/* What fails before it is there leaves all as it was; what fails after it is made up for, by the next write at the latest. */
static void test_together_failure_at_each_step(void **state)
{
	struct fixture *f = *state;

	for (unsigned n = 0;; n++) {
		unsigned left = n;
		int r, settled;

		f->store->fault = NULL;
		make_old(f);
		f->store->fault = fail_in;
		f->store->fault_opaque = &left;
		r = store_commit(f->store, together, ARRAY_SIZE(together));
		settled = r == 0 ? store_settle(f->store, STORE_SETTLE_ALL) : 0;
		f->store->fault = NULL;
		assert_int_equal(r, n <= STORE_STEP_SYNC_DIR ? -ENOSPC : 0);
		if (settled < 0)
			assert_int_equal(store_set_autostart(&f->store->domains, uuid_a, false), 0);
		assert_int_equal(is_new(f), r == 0);
		if (r == 0 && settled == 0)
			break;
	}
}

/* One that is not whole stays as it is, and nothing changes together until somebody has moved it away. */
static void test_together_garbage(void **state)
{
	struct fixture *f = *state;
	_cleanup_(freep) char *text = NULL;
	const char garbage[] = "vmmd-changes 1 1 0 00000000000000000000000000000000\n";

	make_old(f);
	assert_int_equal(store_save_in(f->store, f->store->state_fd, "changes", garbage), 0);
	f->store = store_free(f->store);
	assert_int_equal(store_open(f->state, f->runtime, &f->store, &f->error), 0);
	assert_true(f->store->left_out);
	assert_int_equal(store_commit(f->store, together, ARRAY_SIZE(together)), -EEXIST);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<old/>"), 0);
	assert_int_equal(read_file(f->store->state_fd, "changes", 1024, &text, NULL), 0);
	assert_string_equal(text, garbage);
	assert_int_equal(unlinkat(f->store->state_fd, "changes", 0), 0);
	assert_false(is_new(f));
	assert_int_equal(store_commit(f->store, together, ARRAY_SIZE(together)), 0);
	assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
	assert_true(is_new(f));
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
		T(test_many_share_the_disk),
		T(test_many_fail_with_their_folder),
		T(test_together),
		T(test_together_crash_at_each_step),
		T(test_together_failure_at_each_step),
		T(test_together_garbage),
		T(test_second_daemon_is_refused),
		T(test_bad_folders_are_refused),
		T(test_foreign_files_are_left_alone),
		T(test_runtime_folders),
		cmocka_unit_test(test_error_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
