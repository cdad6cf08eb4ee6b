/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The journal of definitions: what is in it is found again, and what is none, or damaged, is told. */
#include "daemon/store.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "store-fixture.h"

/* What was answered is in the journal, whatever became of the files; what is later wins. */
static void test_journal_replays(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
	assert_int_equal(store_set_autostart(&f->store->domains, uuid_a, true), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_b, "<b/>"), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<2/>"), 0);
	assert_int_equal(store_delete(&f->store->domains, uuid_b), 0);
	lose_files(f);
	for (unsigned i = 0; i < 2; i++) {
		reopen(f);
		assert_string_equal(text_of_a(f), "<2/>");
		assert_true(has_flag(f, uuid_a));
		assert_int_equal(count_files(f->state, "domains"), 1);
	}
	/* What the files have durably is theirs: who changes them while no daemon runs is not overruled. */
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_true(store_is_settled(f->store));
	lose_files(f);
	reopen(f);
	assert_int_equal(count_files(f->state, "domains"), 0);
}

static ino_t inode_of_a(struct fixture *f)
{
	struct stat st;

	assert_int_equal(fstatat(f->store->domains.definitions_fd,
				 "01020304-0000-0000-0000-000000000000.xml", &st, 0),
		0);
	return st.st_ino;
}

/* What a file has may be in the kernel's memory alone, where a disk that has refused it left it, and no sync brings it out any more: each is
 * written anew before the journal forgets it. */
static void test_journal_replays_over_the_same(void **state)
{
	struct fixture *f = *state;
	ino_t before;
	int held;

	assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<2/>"), 0);
	assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
	before = inode_of_a(f);
	/* So that no other file gets its number. */
	held = openat(f->store->domains.definitions_fd, "01020304-0000-0000-0000-000000000000.xml",
		O_RDONLY | O_CLOEXEC);
	assert_true(held >= 0);
	reopen(f);
	assert_string_equal(text_of_a(f), "<2/>");
	assert_int_not_equal(inode_of_a(f), before);
	close(held);
}

/* Nothing can be written, the journal neither: what it has is served, nothing changes, and it is said why; and all goes on when it can be. */
static void look_at_unwritable(struct fixture *f, int error)
{
	assert_string_equal(text_of_a(f), "<2/>");
	assert_int_equal(f->store->stuck->why, error);
	assert_int_equal(f->store->journal.failure, error);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<3/>"), error);
	store_retry(f->store);
	assert_int_equal(store_checkpoint(f->store), error);
	assert_string_equal(text_of_a(f), "<2/>");
}

static void look_at_writable(struct fixture *f)
{
	assert_int_equal(store_save(&f->store->domains, uuid_b, "<b/>"), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_null(f->store->stuck);
	assert_null(f->store->records);
	assert_int_equal(f->store->journal.failure, 0);
	reopen(f);
	assert_string_equal(text_of_a(f), "<2/>");
	assert_int_equal(count_files(f->state, "domains"), 2);
}

static void make_records(struct fixture *f)
{
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<2/>"), 0);
}

static void test_unwritable(void **state)
{
	struct fixture *f = *state;
	struct rlimit all, none = {0, 0};

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
	none.rlim_max = all.rlim_max;
	(void)signal(SIGXFSZ, SIG_IGN);
	make_records(f);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	reopen(f);
	look_at_unwritable(f, -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	look_at_writable(f);
}

static void test_read_only(void **state)
{
	struct fixture *f = *state;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		print_message("no mounts for this user: a read-only file system is skipped\n");
		skip();
	}
	make_records(f);
	f->store = store_free(f->store);
	assert_int_equal(mount(f->state, f->state, NULL, MS_BIND, NULL), 0);
	assert_int_equal(mount(NULL, f->state, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
	reopen(f);
	look_at_unwritable(f, -EROFS);
	assert_int_equal(mount(NULL, f->state, NULL, MS_BIND | MS_REMOUNT, NULL), 0);
	look_at_writable(f);
	f->store = store_free(f->store);
	assert_int_equal(umount2(f->state, MNT_DETACH), 0);
}

/* One that is larger than a file of the journal, between others. */
static void test_journal_large(void **state)
{
	struct fixture *f = *state;
	struct changeset_item items[8];
	char *big = malloc(VMMD_MAX_XML_BYTES + 1);

	memset(big, 'x', VMMD_MAX_XML_BYTES);
	big[VMMD_MAX_XML_BYTES] = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(items); i++)
		items[i] = (struct changeset_item){
			.kind = CHANGESET_NETWORKS, .uuid = {(uint8_t)(i + 1)}, .xml = big};
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
	assert_int_equal(store_change(f->store, items, ARRAY_SIZE(items)), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<2/>"), 0);
	lose_files(f);
	reopen(f);
	assert_string_equal(text_of_a(f), "<2/>");
	assert_int_equal(count_files(f->state, "networks"), ARRAY_SIZE(items));
	assert_int_equal(store_checkpoint_now(f->store), 0);
	free(big);
}

/* The last record is cut short, anywhere: it was not answered, and all before it is there. */
static void test_journal_torn(void **state)
{
	struct fixture *f = *state;
	char garbage[STORE_JOURNAL_BLOCK];

	memset(garbage, 0xa5, sizeof(garbage));
	for (off_t cut = 0; cut <= 128; cut += 16) {
		off_t at;

		assert_int_equal(store_save(&f->store->domains, uuid_a, "<old/>"), 0);
		at = (off_t)f->store->journal.files[f->store->journal.active].end;
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<new/>"), 0);
		/* All of it, to its last bytes; or nothing. */
		if (cut < 128)
			scribble(f, f->store->journal.active ? "journal-1" : "journal-0", garbage,
				sizeof(garbage) - (size_t)cut, at + cut);
		reopen(f);
		assert_int_equal(f->store->left_out, 0);
		assert_string_equal(text_of_a(f), cut < 128 ? "<old/>" : "<new/>");
	}
}

/* Damage in the middle, and another version: left as it is, and said; what is whole before it counts; nothing changes meanwhile. */
static void test_journal_left_out(void **state)
{
	struct fixture *f = *state;
	const struct {
		const char *bytes;
		int why;
	} kinds[] = {{"vmmd-journam", -EUCLEAN}, {"vmmd-journal 2 ", -EPROTONOSUPPORT}};

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		char path[128], text[32] = "";
		const char *name;
		int fd;

		assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<2/>"), 0);
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<3/>"), 0);
		name = f->store->journal.active ? "journal-1" : "journal-0";
		scribble(f, name, kinds[i].bytes, strlen(kinds[i].bytes),
			(off_t)f->store->journal.files[f->store->journal.active].end -
				2 * STORE_JOURNAL_BLOCK);
		lose_files(f);
		reopen(f);
		assert_int_equal(f->store->left_out, kinds[i].why);
		assert_string_equal(f->store->left_out_name, name);
		assert_string_equal(text_of_a(f), "<1/>");
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<4/>"), kinds[i].why);
		assert_true(store_is_settled(f->store));
		assert_string_equal(text_of_a(f), "<1/>");
		fd = openat(f->store->state_fd, name, O_RDONLY | O_CLOEXEC);
		assert_int_equal(pread(fd, text, 13, 0), 13);
		assert_string_equal(text, "vmmd-journal ");
		close(fd);
		snprintf(path, sizeof(path), "%s/%s", f->state, name);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<4/>"), 0);
		reopen(f);
		assert_string_equal(text_of_a(f), "<4/>");
	}
}

/* Both: each has to be looked at. */
static void test_journal_both_left_out(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<2/>"), 0);
	for (unsigned i = 0; i < STORE_JOURNAL_FILES; i++)
		scribble(f, i ? "journal-1" : "journal-0", "vmmd-journal 2 ", 15,
			(off_t)f->store->journal.files[i].end);
	reopen(f);
	assert_string_equal(text_of_a(f), "<2/>");
	for (unsigned i = 0; i < STORE_JOURNAL_FILES; i++) {
		assert_int_equal(store_save(&f->store->domains, uuid_a, "<3/>"), -EPROTONOSUPPORT);
		assert_int_equal(unlinkat(f->store->state_fd, f->store->left_out_name, 0), 0);
	}
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<3/>"), 0);
	assert_int_equal(store_checkpoint_now(f->store), 0);
	assert_true(store_is_settled(f->store));
	assert_null(f->store->records);
}

/* A record of an earlier generation, behind the new ones, is nothing, also when its number is greater. */
static void test_journal_generations(void **state)
{
	struct fixture *f = *state;
	const struct changeset_item item = {
		.kind = CHANGESET_DOMAINS, .uuid = {1, 2, 3, 4}, .xml = "<forged/>"};
	const struct changeset_place place = {.generation = 1, .sequence = 1000};
	_cleanup_(freep) char *text = NULL;
	size_t size;

	assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
	assert_int_equal(changeset_encode(&place, &item, 1, &text, &size), 0);
	scribble(f, f->store->journal.active ? "journal-1" : "journal-0", text, size,
		(off_t)f->store->journal.files[f->store->journal.active].end);
	reopen(f);
	assert_int_equal(f->store->left_out, 0);
	assert_string_equal(text_of_a(f), "<1/>");
}

/* It is not known what an earlier vmmd was about to do. */
static void test_changes_of_an_earlier_version(void **state)
{
	struct fixture *f = *state;
	struct store *other;

	assert_int_equal(
		store_save_in(f->store, f->store->state_fd, "changes", "vmmd-changes 1"), 0);
	f->store = store_free(f->store);
	assert_true(store_open(f->state, f->runtime, &other, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "/changes' is of an earlier vmmd"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_journal_replays),
		T(test_journal_replays_over_the_same),
		T(test_unwritable),
		T(test_read_only),
		T(test_journal_large),
		T(test_journal_torn),
		T(test_journal_left_out),
		T(test_journal_both_left_out),
		T(test_journal_generations),
		T(test_changes_of_an_earlier_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
