/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between store.c (files) and store-changes.c (definitions that change together). */
#pragma once

#include "daemon/store.h"

/* UUID, ".xml" and ".tmp-" fit, with room. */
#define STORE_FILE_NAME_MAX 64

/* Old-or-new; after a power cut, too, when the file and then its folder have been synced. */
enum store_sync { STORE_SYNC_NOTHING, STORE_SYNC_FILE, STORE_SYNC_ALL };
int store_save_file(
	struct store *store, int dir_fd, const char *name, const char *text, enum store_sync sync);
int store_sync_dir(struct store *store, int dir_fd);
void store_definition_file(const uint8_t uuid[16], char ret[STORE_FILE_NAME_MAX]);
/* As store_delete() and store_set_autostart(), without regard to what is to follow. */
int store_remove(struct store_room *room, const uint8_t uuid[16]);
int store_flag(struct store_room *room, const uint8_t uuid[16], bool on);

/* At the start: let follow what an earlier daemon has left to do. */
int store_recover(struct store *store, struct error *error);
struct store_pending *store_pending_free(struct store_pending *pending);
