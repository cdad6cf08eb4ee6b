/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store: old-or-new at each step, one daemon a folder, hostile folders refused. No root needed. */
#include "daemon/store.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "daemon/store-internal.h"
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

static bool has_flag(struct fixture *f, const uint8_t uuid[16])
{
	assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
	return store_get_autostart(&f->store->domains, uuid);
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

/* A failing step before the moment leaves the old text; one after it is made up for. */
static void test_failure_at_each_step(void **state)
{
	struct fixture *f = *state;

	for (enum store_step step = 0; step < STORE_STEP_REMOVE; step++) {
		bool is_late = step > STORE_STEP_SYNC;
		struct seen seen = {0};

		assert_int_equal(store_save(&f->store->domains, uuid_a, "<old/>"), 0);
		assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
		f->store->fault = fail_at;
		f->store->fault_opaque = &step;
		assert_int_equal(
			store_save(&f->store->domains, uuid_a, "<new/>"), is_late ? 0 : -ENOSPC);
		assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), is_late ? -ENOSPC : 0);
		assert_int_equal(store_each(&f->store->domains, see, &seen), is_late ? -ENOSPC : 0);
		assert_int_equal(count_files(f->state, "domains"), 1);
		f->store->fault = NULL;
		memset(&seen, 0, sizeof(seen));
		assert_int_equal(store_each(&f->store->domains, see, &seen), 0);
		assert_string_equal(seen.xml[0], is_late ? "<new/>" : "<old/>");
		assert_int_equal(count_files(f->state, "domains"), 1);
	}
}

static void reopen(struct fixture *f)
{
	f->store = store_free(f->store);
	if (store_open(f->state, f->runtime, &f->store, &f->error) < 0)
		fail_msg("%s", f->error.message);
}

static const char *text_of_a(struct fixture *f)
{
	static struct seen seen;

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(store_each(&f->store->domains, see, &seen), 0);
	return seen.n ? seen.xml[0] : "";
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

struct steps {
	unsigned n[STORE_STEP_X_MAX];
};

static int count_step(void *opaque, enum store_step step)
{
	((struct steps *)opaque)->n[step]++;
	return 0;
}

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

/* The journal. */

/* Overwrite 'len' bytes of a file of the journal. */
static void scribble(struct fixture *f, const char *name, const void *bytes, size_t len, off_t at)
{
	int fd = openat(f->store->state_fd, name, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, at), len);
	close(fd);
}

/* As if what a change has done to the files had never reached the disk. */
static void lose_files(struct fixture *f)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -f %s/domains/* %s/autostart/*", f->state, f->state);
	assert_int_equal(system(command), 0);
}

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

/* A full disk hinders no start when the files have followed. */
static void test_journal_replays_without_space(void **state)
{
	struct fixture *f = *state;
	struct stat before, after;
	char path[160];

	snprintf(path, sizeof(path), "%s/domains/01020304-0000-0000-0000-000000000000.xml",
		f->state);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<1/>"), 0);
	assert_int_equal(store_save(&f->store->domains, uuid_a, "<2/>"), 0);
	assert_int_equal(store_settle(f->store, STORE_SETTLE_ALL), 0);
	assert_int_equal(stat(path, &before), 0);
	reopen(f);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
}

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

static void wait_for_disk(struct fixture *f)
{
	struct pollfd fd = {.fd = f->store->event_fd, .events = POLLIN};

	assert_int_equal(poll(&fd, 1, 60000), 1);
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

static const uint8_t uuid_c[16] = {9, 10, 11, 12};

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

/* What fails before the moment leaves all as it was; what fails after it is made up for, by the next change at the latest. */
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
		r = store_change(f->store, together, ARRAY_SIZE(together));
		settled = r == 0 ? store_checkpoint_now(f->store) : 0;
		f->store->fault = NULL;
		assert_int_equal(r, n <= STORE_STEP_SYNC ? -ENOSPC : 0);
		if (settled < 0)
			assert_int_equal(store_set_autostart(&f->store->domains, uuid_a, false), 0);
		assert_int_equal(is_new(f), r == 0);
		if (r == 0 && left > n)
			break;
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
		T(test_many_share_the_disk),
		T(test_many_fail_with_their_record),
		T(test_journal_replays),
		T(test_journal_replays_without_space),
		T(test_journal_turns),
		T(test_journal_large),
		T(test_journal_torn),
		T(test_journal_left_out),
		T(test_journal_both_left_out),
		T(test_change_without_waiting),
		T(test_journal_generations),
		T(test_checkpoint_failures),
		T(test_changes_of_an_earlier_version),
		T(test_together),
		T(test_together_many),
		T(test_together_crash_at_each_step),
		T(test_together_failure_at_each_step),
		T(test_second_daemon_is_refused),
		T(test_bad_folders_are_refused),
		T(test_foreign_files_are_left_alone),
		T(test_runtime_folders),
		cmocka_unit_test(test_error_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
