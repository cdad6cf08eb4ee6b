/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a file of the journal begins anew: all definitions that its records are about become durable in their own files, then their folders, and
 * then its head is written. Nobody waits for it: the kernel's answers come by store->event_fd. Meanwhile records go to the other file.
 *
 *	SETTLE	what has not followed yet does, STORE_SETTLE_AT_ONCE in each turn
 *	FILES	the definitions, STORE_MAX_SAVES at once
 *	FOLDERS	names, removals and flags
 *	CARRY	what is stuck (store-stuck.c) becomes durable in the other file, as a record of its own
 *	HEAD	what the file holds counts no more
 *
 * A sync that failed may have thrown away what was to be written. When it was a definition's, that one is stuck. Otherwise everything that
 * the journal has is written again, before the checkpoint is tried again; that waits for store_retry().
 *
 * Tested by tests/unit/test-store-checkpoint.c, tests/unit/test-store-stuck.c and tests/unit/test-power-cut.c.
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
	int r = store_fault(store, STORE_STEP_SYNC_DIR, NULL);

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

static int open_file(struct store *store, const struct changeset_item *item)
{
	const struct store_room *room =
		item->kind == CHANGESET_DOMAINS ? &store->domains : &store->networks;
	char name[STORE_FILE_NAME_MAX];
	int fd, r;

	store_definition_file(item->uuid, name);
	r = store_fault(store, STORE_STEP_SYNC_FILE, name);
	if (r < 0)
		return r;
	fd = openat(room->definitions_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Open the next definitions that changed. What goes, and flags, are durable with their folders. */
static int open_files(struct store *store, int fds[STORE_MAX_SAVES], size_t *ret_n)
{
	struct store_journal *j = &store->journal;
	const struct changeset_item *item;
	int r = 0;

	while (r == 0 && *ret_n < STORE_MAX_SAVES && (item = next_item(j))) {
		int fd;

		if (item->verb != CHANGESET_SAVE || store_is_stuck(store, item))
			continue;
		fd = open_file(store, item);
		j->syncing[*ret_n] = item;
		if (fd >= 0)
			fds[(*ret_n)++] = fd;
		else if (fd != -ENOENT) /* it has gone since */
			r = store_stick(store, item, fd);
	}
	return r;
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
		r = store_fault(store, STORE_STEP_SYNC_FILES, NULL);
	if (r == 0)
		r = store_sync_begin(store, &store->journal.wait, fds, n);
	while (n)
		(void)close(fds[--n]);
	return r;
}

/* Of a definition that the disk has refused what is in the kernel's memory is worth nothing. */
static int stick_refused(struct store *store, int result)
{
	struct store_journal *j = &store->journal;
	bool any = false;
	int r = 0;

	for (size_t i = 0; i < STORE_MAX_SAVES && r == 0; i++)
		if (j->wait.results[i] < 0) {
			r = store_stick(store, j->syncing[i], j->wait.results[i]);
			any = true;
		}
	return r < 0 ? r : any ? 0 : result;
}

static int sync_head(struct store *store)
{
	struct store_journal *j = &store->journal;
	int r = store_fault(store, STORE_STEP_HEAD, NULL);

	j->step = STORE_CHECKPOINT_HEAD;
	if (r == 0)
		r = store_journal_write_head(store, j->retiring);
	return r < 0 ? r : store_sync_begin(store, &j->wait, &j->retiring->fd, 1);
}

/* Others' records go first, and wait while it is on its way. */
static int carry(struct store *store)
{
	struct store_journal *j = &store->journal;
	int r;

	j->step = STORE_CHECKPOINT_CARRY;
	if (store->commit.record)
		return 0;
	r = store_journal_prepare(store);
	if (r == 0)
		r = store_carry_begin(store);
	if (r == 0)
		return sync_head(store);
	if (r < 0)
		return r;
	store->commit.is_carry = true;
	return store_sync_begin(store, &store->commit.wait, &store_journal_active(store)->fd, 1);
}

static int end_carry(struct store *store, int r)
{
	struct store_journal_file *active = store_journal_active(store);
	uint64_t end = active->end;

	store->commit.is_carry = false;
	r = store_record_end(store, r);
	if (r < 0)
		return r;
	store_carry_end(store, active->end - end);
	return sync_head(store);
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

static int finish(struct store *store)
{
	struct store_journal *j = &store->journal;

	store_forget(store, j->retiring);
	store_journal_begin(store, j->retiring);
	store_unstick(store, j->retiring);
	j->retiring = NULL;
	j->failure = 0;
	return 0;
}

/* 'r' is what the disk has answered to the step. Returns 1 when the rest is for another turn of the loop. */
static int go_on(struct store *store, int r)
{
	const enum store_checkpoint_step step = store->journal.step;

	if (step == STORE_CHECKPOINT_FILES && r < 0)
		r = stick_refused(store, r);
	if (store->commit.is_carry)
		return end_carry(store, r);
	if (r < 0)
		return r;
	if (step == STORE_CHECKPOINT_BEGIN)
		return begin(store);
	if (step == STORE_CHECKPOINT_SETTLE)
		return settle(store);
	if (step == STORE_CHECKPOINT_FILES)
		return sync_files(store);
	return step < STORE_CHECKPOINT_HEAD ? carry(store) : finish(store);
}

/* What the step waits for; NULL: for nothing but a turn. */
static const struct store_wait *wait_of(const struct store *store)
{
	const struct store_journal *j = &store->journal;

	if (store->commit.is_carry)
		return &store->commit.wait;
	return j->step <= STORE_CHECKPOINT_SETTLE || j->step == STORE_CHECKPOINT_CARRY ? NULL
										       : &j->wait;
}

/* Does it wait for a record that somebody else will end? */
static bool waits_for_slot(const struct store *store)
{
	return store->journal.step == STORE_CHECKPOINT_CARRY && store->commit.record &&
		!store->commit.is_carry;
}

static bool can_go_on(const struct store *store)
{
	const struct store_journal *j = &store->journal;

	return j->retiring && !j->is_held && !waits_for_slot(store);
}

bool store_wants_turn(const struct store *store)
{
	const struct store_wait *wait = wait_of(store);

	return can_go_on(store) && (!wait || !wait->n_left);
}

bool store_is_carrying(const struct store *store)
{
	const struct store_journal *j = &store->journal;

	return j->retiring && j->step == STORE_CHECKPOINT_CARRY;
}

static int hold(struct store *store, int r)
{
	struct store_journal *j = &store->journal;

	/* At the head all files are durable: nothing is to be written again. */
	j->is_again |= j->step < STORE_CHECKPOINT_CARRY;
	j->step = STORE_CHECKPOINT_BEGIN;
	j->is_held = true;
	j->failure = r;
	return r;
}

int store_tend(struct store *store)
{
	store_sync_reap(store, false);
	while (can_go_on(store)) {
		const struct store_wait *wait = wait_of(store);
		int r = wait ? store_sync_end(wait) : 0;

		if (r == -EAGAIN)
			return 0;
		r = go_on(store, r);
		if (r < 0)
			return hold(store, r);
		if (r > 0)
			return r;
	}
	return 0;
}

bool store_is_settled(const struct store *store)
{
	const struct store_journal *j = &store->journal;

	if (store->unsettled || j->retiring)
		return false;
	return store->left_out ||
		(store_journal_used(&j->files[j->active]) == BLOCK && store_is_safe(store));
}

int store_checkpoint(struct store *store)
{
	struct store_journal *j = &store->journal;
	int r;

	if (j->retiring || j->is_held || store->commit.record || store_is_settled(store))
		return 0;
	j->is_again = false;
	r = store_journal_prepare(store);
	if (r < 0)
		return hold(store, r);
	/* A start may find records in both: the older file goes first. */
	if (j->files[!j->active].end == BLOCK)
		j->active = !j->active;
	j->retiring = &j->files[!j->active];
	j->step = STORE_CHECKPOINT_BEGIN;
	return 0;
}

void store_retry(struct store *store)
{
	struct store_journal *j = &store->journal;

	/* It is under way. */
	if (j->retiring && !j->is_held)
		return;
	j->is_held = false;
	store_try_stuck(store);
}

bool store_wants_retry(const struct store *store)
{
	if (store->journal.is_held)
		return true;
	for (const struct store_stuck *s = store->stuck; s; s = s->after)
		if (!s->is_tried)
			return true;
	return false;
}

static int go_to_end(struct store *store)
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

	assert(!store->commit.record || store->commit.is_carry);
	store_retry(store);
	r = go_to_end(store);
	while (r == 0 && !store_is_settled(store)) {
		r = store_checkpoint(store);
		if (r == 0)
			r = go_to_end(store);
	}
	return r;
}

void store_wait_for_carry(struct store *store)
{
	while (store->commit.is_carry) {
		store_sync_reap(store, true);
		(void)store_tend(store);
	}
}

static bool is_full(const struct store *store, unsigned times)
{
	const struct store_journal *j = &store->journal;

	return store_journal_used(&j->files[j->active]) >= times * j->bytes;
}

bool store_is_full(const struct store *store)
{
	return is_full(store, STORE_JOURNAL_FULL);
}

int store_make_room(struct store *store)
{
	int r;

	/* Whoever tends the store hears of what goes wrong. */
	if (is_full(store, 1))
		(void)store_checkpoint(store);
	if (!store_is_full(store))
		return 0;
	/* What has failed is not tried again for each of them. */
	r = store->journal.is_held ? store->journal.failure : store_checkpoint_now(store);
	/* The other file may have room, if that is all. */
	return store_is_full(store) ? r : 0;
}
