/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between store.c (what is kept where), store-read.c (what definitions are), store-changes.c (how they change), store-stuck.c (whose files
 * cannot be written), store-journal.c (the files of the journal), store-checkpoint.c (how they begin anew), store-sync.c (waiting for
 * the disk) and store-file.c (how a file is written). */
#pragma once

#include "daemon/store.h"

/* What begins so is nothing: whoever opens the store removes it. */
#define STORE_TMP_PREFIX ".tmp-"
/* A UUID and ".xml" fit, with room. */
#define STORE_FILE_NAME_MAX 64

/* A step that tests let fail. */
int store_fault(struct store *store, enum store_step step, const char *name);

/* store-file.c: old-or-new: 'name' has the new text, or what it had, whatever fails. Nothing is synced. */
int store_save_file(struct store *store, int dir_fd, const char *name, const char *text);
/* 0 also if it is not there. */
int store_remove_file(struct store *store, int dir_fd, const char *name);
/* What the folder's entries are now survives a power cut. */
int store_sync_dir(struct store *store, int dir_fd);
void store_definition_file(const uint8_t uuid[16], char ret[STORE_FILE_NAME_MAX]);

/* store-sync.c: fsync() of each of at most STORE_MAX_SAVES, beside each other, or fdatasync() of the commit's record; the fds may be
 * closed at once. 'wait' is the commit's or the journal's, and has what came of each in their order. _reap: take what the kernel has to say; 'block': wait until it says
 * something. _end: -EAGAIN, or what came of it. */
int store_sync_init(struct store *store);
int store_sync_begin(struct store *store, struct store_wait *wait, const int *fds, size_t n);
void store_sync_reap(struct store *store, bool block);
int store_sync_end(const struct store_wait *wait);
void store_sync_done(struct store *store);

/* store-journal.c. */
typedef int (*store_record_fn)(
	struct store *store, struct store_journal_file *file, const char *text, size_t size);
/* At the start: make durable what it has, and call 'record' for each record, in their order, until it fails. A file that is damaged or of
 * another version is left out (store->left_out); what is whole before the damage counts. */
int store_journal_read(struct store *store, store_record_fn record);
/* Make the files, if they are not there. Returns store->left_out, too. */
int store_journal_prepare(struct store *store);
/* Write the next record, whose text is the caller's; then sync the file and say how that went: _settle. */
int store_journal_write(struct store *store, const struct changeset_item *items, size_t n,
	char **ret_text, size_t *ret_size);
void store_journal_settle(struct store *store, size_t size, int result);
int store_journal_write_head(struct store *store, struct store_journal_file *file);
void store_journal_begin(struct store *store, struct store_journal_file *file);
struct store_journal_file *store_journal_active(struct store *store);
void store_journal_close(struct store *store);

/* Bytes of it that are not of what was carried over: these are what a checkpoint is for. */
uint64_t store_journal_used(const struct store_journal_file *file);

/* store-changes.c: a record that is durable, until its files are. */
struct store_record {
	struct store_record *after;
	const struct store_journal_file *file; /* where it is */
	char *text;                            /* the items lie in it */
	struct changeset_item *items;
	size_t n, next; /* the next one to follow */
	bool is_again;  /* they may have followed before */
};
struct store_record *store_record_free(struct store_record *record);
/* Those of 'file' (NULL: all). */
void store_forget(struct store *store, const struct store_journal_file *file);
/* A record becomes durable: it is written, and is store->commit's; then its file is to be synced, and _end hears how that went. */
int store_record_begin(struct store *store, const struct changeset_item *items, size_t n);
int store_record_end(struct store *store, int result);
/* As store_settle(). */
int store_settle_file(struct store *store, const struct store_journal_file *file, size_t max);
/* All are to follow once more. */
void store_unsettle(struct store *store);
int store_recover(struct store *store, struct error *error);

/* store-stuck.c. What the records say that a definition has become; NULL: nothing. 'flag': the last of FLAG, UNFLAG and DELETE. */
struct store_newest {
	const struct changeset_item *definition, *flag;
};
void store_newest(const struct store *store, const struct store_stuck *s, struct store_newest *ret);
struct store_stuck *store_find_stuck(
	const struct store *store, enum changeset_kind kind, const uint8_t uuid[16]);
/* The item's definition is stuck, from now on, because of 'why'. Returns 0 or -ENOMEM. */
int store_stick(struct store *store, const struct changeset_item *item, int why);
bool store_is_stuck(const struct store *store, const struct changeset_item *item);
/* What was in 'gone' is not there any more: those that were tried, and of which the journal has nothing now, are not stuck. NULL: none is,
 * the store is closed. */
void store_unstick(struct store *store, const struct store_journal_file *gone);
/* All are tried again by who settles. */
void store_try_stuck(struct store *store);
/* Nothing is to be carried over, and none was tried and is not durable yet. */
bool store_is_safe(const struct store *store);
/* Write what is to be carried over: 0: there is nothing; 1: as store_record_begin(). _end: it is durable, and takes so many bytes. */
int store_carry_begin(struct store *store);
void store_carry_end(struct store *store, uint64_t bytes);

/* store-checkpoint.c. */
/* A record that carries over is on its way: wait for it. */
void store_wait_for_carry(struct store *store);
/* Before a record is written. */
int store_make_room(struct store *store);
