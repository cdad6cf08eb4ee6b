/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How definitions change: see store.h. A record of all that change together becomes durable in the journal: that is the moment. The files
 * follow later, in the order of the records, which can be done again from the beginning, and is, by the next daemon, if this one ends before
 * they are durable themselves.
 *
 * Tested by tests/unit/test-store-together.c, tests/unit/test-store-journal.c, tests/unit/test-power-cut.c and tests/unit/test-kills.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store-internal.h"
#include "vmm-core/base/strutil.h"

struct store_record *store_record_free(struct store_record *record)
{
	if (!record)
		return NULL;
	free(record->text);
	free(record->items);
	free(record);
	return NULL;
}
DEFINE_CLEANUP(struct store_record *, store_record_free);

void store_forget(struct store *store, const struct store_journal_file *file)
{
	struct store_record **at = &store->records, *record;

	while ((record = *at)) {
		if (file && record->file != file) {
			at = &record->after;
			continue;
		}
		if (store->unsettled == record)
			store->unsettled = record->after;
		*at = record->after;
		(void)store_record_free(record);
	}
}

/* Takes 'text'. */
static int record_new(
	char *text, size_t size, const struct store_journal_file *file, struct store_record **ret)
{
	_cleanup_(store_record_freep) struct store_record *record = calloc(1, sizeof(*record));
	int r;

	if (!record) {
		free(text);
		return -ENOMEM;
	}
	record->text = text;
	record->file = file;
	r = changeset_decode(record->text, size, &record->items, &record->n);
	if (r == 0)
		*ret = TAKE_PTR(record);
	return r;
}

/* It is durable. */
static void append(struct store *store, struct store_record *record)
{
	struct store_record **last = &store->records;

	/* There are as many as a file of the journal has. */
	while (*last)
		last = &(*last)->after;
	*last = record;
	if (!store->unsettled)
		store->unsettled = record;
}

/* Files. */

static struct store_room *room_of(struct store *store, const struct changeset_item *item)
{
	return item->kind == CHANGESET_DOMAINS ? &store->domains : &store->networks;
}

/* A flag without a definition counts for nothing: it is not that of the next one with this UUID. */
static int clear_stray_flag(const struct store_room *room, const char *file, const char *flag)
{
	if (faccessat(room->definitions_fd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return store_remove_file(room->store, room->autostart_fd, flag);
}

static int set_flag(const struct store_room *room, const char *flag)
{
	int fd =
		openat(room->autostart_fd, flag, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

/* Its definition is written again, or goes, by a later one. */
static bool is_overtaken(const struct store_record *p, const struct changeset_item *item)
{
	for (size_t i = p->next + 1; p; p = p->after, i = 0)
		for (; i < p->n; i++)
			if (p->items[i].verb <= CHANGESET_DELETE &&
				p->items[i].kind == item->kind &&
				memcmp(p->items[i].uuid, item->uuid, 16) == 0)
				return true;
	return false;
}

static int follow_save(const struct store_record *p, const struct store_room *room,
	const char *file, const char *flag)
{
	const struct changeset_item *item = &p->items[p->next];
	int r;

	/* What a file seems to have may be in the kernel's memory only, of a disk that has refused it: it is written anew. */
	if (p->is_again && is_overtaken(p, item))
		return 0;
	/* Again, or of one that was stuck: a flag that is there is its own; what was there before was removed in turn. */
	r = p->is_again || store_find_stuck(room->store, item->kind, item->uuid)
		? 0
		: clear_stray_flag(room, file, flag);
	return r < 0 ? r : store_save_file(room->store, room->definitions_fd, file, item->xml);
}

static int follow(struct store *store, const struct store_record *p)
{
	const struct changeset_item *item = &p->items[p->next];
	struct store_room *room = room_of(store, item);
	char file[STORE_FILE_NAME_MAX], flag[UUID_STRING_LEN + 1];
	int r = 0;

	store_definition_file(item->uuid, file);
	uuid_format(item->uuid, flag);
	if (item->verb == CHANGESET_SAVE)
		return follow_save(p, room, file, flag);
	if (item->verb == CHANGESET_FLAG)
		return set_flag(room, flag);
	if (item->verb == CHANGESET_DELETE)
		r = store_remove_file(store, room->definitions_fd, file);
	return r < 0 ? r : store_remove_file(store, room->autostart_fd, flag);
}

/* One whose file cannot be written keeps nobody else waiting. Its own changes wait, in their order. */
static int follow_or_stick(struct store *store, const struct store_record *p)
{
	const struct changeset_item *item = &p->items[p->next];
	int r = store_is_stuck(store, item) ? 0 : follow(store, p);

	return r < 0 ? store_stick(store, item, r) : 0;
}

int store_settle_file(struct store *store, const struct store_journal_file *file, size_t max)
{
	struct store_record *p;

	for (; (p = store->unsettled) && (!file || p->file == file); store->unsettled = p->after)
		for (; p->next < p->n; p->next++) {
			int r;

			if (max-- == 0)
				return 1;
			r = follow_or_stick(store, p);
			if (r < 0)
				return r;
		}
	return 0;
}

void store_unsettle(struct store *store)
{
	struct store_record *p;

	for (p = store->records; p; p = p->after) {
		p->is_again = true;
		p->next = 0;
	}
	store->unsettled = store->records;
}

int store_settle(struct store *store, size_t max)
{
	return store_settle_file(store, NULL, max);
}

/* Changes. */

int store_record_begin(struct store *store, const struct changeset_item *items, size_t n)
{
	struct store_commit *c = &store->commit;
	_cleanup_(freep) char *text = NULL;
	int r;

	assert(!c->record);
	r = store_journal_write(store, items, n, &text, &c->size);
	if (r < 0)
		return r;
	r = record_new(TAKE_PTR(text), c->size, store_journal_active(store), &c->record);
	if (r == 0)
		r = store_fault(store, STORE_STEP_SYNC, NULL);
	if (r < 0) {
		store_journal_settle(store, c->size, r);
		c->record = store_record_free(c->record);
	}
	return r;
}

int store_record_end(struct store *store, int r)
{
	struct store_commit *c = &store->commit;

	store_journal_settle(store, c->size, r);
	if (r < 0)
		c->record = store_record_free(c->record);
	else
		append(store, TAKE_PTR(c->record));
	return r;
}

static int prepare(struct store *store, const struct changeset_item *items, size_t n)
{
	int r;

	store_wait_for_carry(store);
	r = store_journal_prepare(store);
	if (r == 0)
		r = store_make_room(store);
	return r < 0 ? r : store_record_begin(store, items, n);
}

int store_change(struct store *store, const struct changeset_item *items, size_t n)
{
	int r = prepare(store, items, n);

	if (r < 0)
		return r;
	return store_record_end(store, fdatasync(store_journal_active(store)->fd) < 0 ? -errno : 0);
}

int store_change_begin(struct store *store, const struct changeset_item *items, size_t n)
{
	int r = prepare(store, items, n);

	if (r < 0)
		return r;
	return store_sync_begin(store, &store->commit.wait, &store_journal_active(store)->fd, 1);
}

int store_change_end(struct store *store)
{
	int r;

	store_sync_reap(store, false);
	r = store_sync_end(&store->commit.wait);
	return r == -EAGAIN ? r : store_record_end(store, r);
}

int store_change_wait(struct store *store)
{
	while (store->commit.wait.n_left)
		store_sync_reap(store, true);
	return store_change_end(store);
}

/* What the journal has, at the start. */
static int take_record(
	struct store *store, struct store_journal_file *file, const char *text, size_t size)
{
	struct store_record *record;
	char *copy = malloc(size + 1);
	int r;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, size);
	copy[size] = 0;
	r = record_new(copy, size, file, &record);
	if (r < 0)
		return r;
	record->is_again = true;
	append(store, record);
	return 0;
}

static int stick_all(struct store *store, int why)
{
	int r = 0;

	for (const struct store_record *p = store->records; p && r == 0; p = p->after)
		for (size_t i = 0; i < p->n && r == 0; i++)
			r = store_stick(store, &p->items[i], why);
	return r;
}

int store_recover(struct store *store, struct error *error)
{
	int r;

	if (faccessat(store->state_fd, "changes", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return error_set(error, ERROR_OPERATION_FAILED,
			"'%s/changes' is of an earlier vmmd that was killed while definitions "
			"changed. "
			"Start that one once more, or move the file away and compare the "
			"definitions",
			store->state_dir);
	r = store_journal_read(store, take_record);
	if (r == 0)
		r = store_settle(store, STORE_SETTLE_ALL);
	/* Of a journal that is left out nobody else makes durable what counted. */
	if (r == 0 && store->left_out && store->records && syncfs(store->state_fd) < 0)
		r = stick_all(store, -errno);
	if (r == -ENOMEM)
		return error_set(error, ERROR_NO_MEMORY, "store");
	/* What is saved without it would be undone by the next one who can read it. */
	if (r < 0)
		return error_set_errno(
			error, r, "cannot read the journal of '%s'", store->state_dir);
	return 0;
}
