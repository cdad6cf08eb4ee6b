/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between store.c (what is kept where), store-file.c (how a file is written), store-sync.c (waiting for the disk) and store-changes.c
 * (definitions that change together). */
#pragma once

#include "daemon/store.h"

/* What begins so is nothing: whoever opens the store removes it. */
#define STORE_TMP_PREFIX ".tmp-"
/* A UUID and ".xml" fit, with room. */
#define STORE_FILE_NAME_MAX 64

/* Old-or-new: 'name' has the new text, or what it had, whatever fails. After a power cut, too, when the file and then its folder have been
 * synced. */
enum store_sync { STORE_SYNC_NOTHING, STORE_SYNC_FILE, STORE_SYNC_ALL };
int store_save_file(
	struct store *store, int dir_fd, const char *name, const char *text, enum store_sync sync);
/* STORE_SYNC_ALL for several files of one folder, at most STORE_MAX_SAVES: all are written before the first is waited for, and the
 * folder is synced once. Each has its own 'result'. */
struct store_file {
	char name[STORE_FILE_NAME_MAX];
	const char *text;
	int result;
};
void store_save_files(struct store *store, int dir_fd, struct store_file *files, size_t n);
/* fsync() of each, at most STORE_MAX_SAVES, beside each other: a disk flushes once for several that wait. */
void store_sync_files(struct store *store, const int *fds, int *ret_results, size_t n);
void store_sync_done(struct store *store);
/* Durably, or not at all; 0 also if it is not there. */
int store_remove_file(struct store *store, int dir_fd, const char *name);
/* What the folder's entries are now survives a power cut. */
int store_sync_dir(struct store *store, int dir_fd);

void store_definition_file(const uint8_t uuid[16], char ret[STORE_FILE_NAME_MAX]);
/* As store_set_autostart(), without regard to what is to follow. */
int store_flag(struct store_room *room, const uint8_t uuid[16], bool on);
/* Before a definition is written that was not there: a flag that could not be removed with an earlier one is not its. */
int store_clear_stray_flag(struct store_room *room, const uint8_t uuid[16]);

/* At the start: let follow what an earlier daemon has left to do. */
int store_recover(struct store *store, struct error *error);
struct store_pending *store_pending_free(struct store_pending *pending);
