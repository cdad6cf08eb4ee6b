/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a file of the journal begins anew: all definitions that its records are about become durable in their own files, then their folders, and
 * then its head is written. Nobody waits for it: the kernel's answers come by store->event_fd. Meanwhile records go to the other file.
 *
 *	SETTLE	what has not followed yet does, STORE_SETTLE_AT_ONCE in each turn
 *	FILES	the definitions, STORE_MAX_SAVES at once
 *	FOLDERS	names, removals and flags
 *	HEAD	what the file holds counts no more
 *
 * A sync that failed may have thrown away what was to be written: everything that the journal has is written again, before the
 * checkpoint is tried again.
 *
 * Tested by tests/unit/test-store.c and tests/unit/test-power-cut.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store-internal.h"

#define BLOCK STORE_JOURNAL_BLOCK

/* Steps: each begins syncs of which store_sync_end() tells the end. */

static int sync_folders(struct store *store)
{
	const int fds[] = {store->domains.definitions_fd, store->domains.autostart_fd,
		store->networks.definitions_fd, store->networks.autostart_fd};
	int r = store_fault(store, STORE_STEP_SYNC_DIR);

	store->journal.step = STORE_CHECKPOINT_FOLDERS;
	return r < 0 ? r : store_sync_begin(store, &store->journal.wait, fds, ARRAY_SIZE(fds));
}

/* The next item of the file's records. */
static const struct changeset_item *next_item(struct store_journal *j)
{
	struct store_record *record;

	while ((record = j->to_sync)) {
		if (record->file == j->retiring && j->n_synced < record->n)
			return &record->items[j->n_synced++];
		j->to_sync = record->after;
		j->n_synced = 0;
	}
	return NULL;
}

/* Open the next definitions that changed. What goes, and flags, are durable with their folders. */
static int open_files(struct store *store, int fds[STORE_MAX_SAVES], size_t *ret_n)
{
	const struct changeset_item *item;

	while (*ret_n < STORE_MAX_SAVES && (item = next_item(&store->journal))) {
		const struct store_room *room =
			item->kind == CHANGESET_DOMAINS ? &store->domains : &store->networks;
		char name[STORE_FILE_NAME_MAX];
		int fd;

		if (item->verb != CHANGESET_SAVE)
			continue;
		store_definition_file(item->uuid, name);
		fd = openat(room->definitions_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			fds[(*ret_n)++] = fd;
		else if (errno != ENOENT)
			return -errno;
	}
	return 0;
}

static int sync_files(struct store *store)
{
	int fds[STORE_MAX_SAVES], r;
	size_t n = 0;

	store->journal.step = STORE_CHECKPOINT_FILES;
	r = open_files(store, fds, &n);
	if (r == 0 && n == 0)
		return sync_folders(store);
	if (r == 0)
		r = store_fault(store, STORE_STEP_SYNC_FILES);
	if (r == 0)
		r = store_sync_begin(store, &store->journal.wait, fds, n);
	while (n)
		(void)close(fds[--n]);
	return r;
}

static int sync_head(struct store *store)
{
	struct store_journal *j = &store->journal;
	int r = store_fault(store, STORE_STEP_HEAD);

	j->step = STORE_CHECKPOINT_HEAD;
	if (r == 0)
		r = store_journal_write_head(store, j->retiring);
	return r < 0 ? r : store_sync_begin(store, &j->wait, &j->retiring->fd, 1);
}

/* With all that may have been lost, when it has failed before. */
static int begin(struct store *store)
{
	struct store_journal *j = &store->journal;

	if (j->is_again)
		store_unsettle(store);
	j->is_again = false;
	j->to_sync = store->records;
	j->n_synced = 0;
	j->step = STORE_CHECKPOINT_SETTLE;
	return 0;
}

static int settle(struct store *store)
{
	int r = store_settle_file(store, store->journal.retiring, STORE_SETTLE_AT_ONCE);

	return r != 0 ? r : sync_files(store);
}

/* Returns 1 when the rest is for another turn of the loop. */
static int go_on(struct store *store)
{
	struct store_journal *j = &store->journal;

	if (j->step == STORE_CHECKPOINT_BEGIN)
		return begin(store);
	if (j->step == STORE_CHECKPOINT_SETTLE)
		return settle(store);
	if (j->step == STORE_CHECKPOINT_FILES)
		return sync_files(store);
	if (j->step == STORE_CHECKPOINT_FOLDERS)
		return sync_head(store);
	store_forget(store, j->retiring);
	store_journal_begin(store, j->retiring);
	j->retiring = NULL;
	return 0;
}

bool store_wants_turn(const struct store *store)
{
	return store->journal.retiring && store->journal.step <= STORE_CHECKPOINT_SETTLE;
}

int store_tend(struct store *store)
{
	struct store_journal *j = &store->journal;

	store_sync_reap(store, false);
	while (j->retiring) {
		int r = store_wants_turn(store) ? 0 : store_sync_end(&j->wait);

		if (r == -EAGAIN)
			return 0;
		if (r == 0)
			r = go_on(store);
		if (r < 0 && j->step > STORE_CHECKPOINT_SETTLE) {
			/* At the head all files are durable: nothing is to be written again. */
			j->is_again |= j->step < STORE_CHECKPOINT_HEAD;
			j->step = STORE_CHECKPOINT_BEGIN;
		}
		if (r != 0)
			return r;
	}
	return 0;
}

bool store_is_settled(const struct store *store)
{
	const struct store_journal *j = &store->journal;

	return !store->unsettled && !j->retiring &&
		(store->left_out || j->files[j->active].end == BLOCK);
}

int store_checkpoint(struct store *store)
{
	struct store_journal *j = &store->journal;
	int r;

	if (j->retiring || store->commit.record || store_is_settled(store))
		return 0;
	r = store_journal_prepare(store);
	if (r < 0)
		return r;
	/* A start may find records in both: the older file goes first. */
	if (j->files[!j->active].end == BLOCK)
		j->active = !j->active;
	j->retiring = &j->files[!j->active];
	j->step = STORE_CHECKPOINT_BEGIN;
	j->is_again = false;
	return 0;
}

static int finish(struct store *store)
{
	struct store_journal *j = &store->journal;
	int r = 0;

	while (r >= 0 && j->retiring) {
		store_sync_reap(store, true);
		r = store_tend(store);
	}
	return r < 0 ? r : 0;
}

int store_checkpoint_now(struct store *store)
{
	int r;

	assert(!store->commit.record);
	r = finish(store);

	while (r == 0 && !store_is_settled(store)) {
		r = store_checkpoint(store);
		if (r == 0)
			r = finish(store);
	}
	return r;
}

int store_make_room(struct store *store)
{
	struct store_journal *j = &store->journal;

	/* Whoever tends the store hears of what goes wrong. */
	if (j->files[j->active].end >= j->bytes)
		(void)store_checkpoint(store);
	if (j->files[j->active].end < STORE_JOURNAL_FULL * j->bytes)
		return 0;
	return store_checkpoint_now(store);
}
