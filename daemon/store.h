/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon keeps on disk.
 *
 *	STATE/domains/UUID.xml		a definition; the file's name is the UUID
 *	STATE/autostart/UUID		empty; its presence is the flag
 *	STATE/changes			definitions that change together, while they do (changeset.h)
 *	STATE/NAME			a mark: empty; something was done that is to be done once
 *	STATE/log/			what workers wrote on standard error (worker-log.c)
 *	RUNTIME/vmmd.lock		flock'ed by the one daemon, holds its pid
 *	RUNTIME/domains/UUID/		one folder per running domain: status.json live.xml control log …
 *	RUNTIME/booted			the marker of the first start after a boot
 *	RUNTIME/once/			calls that are to happen once (once.h)
 *	RUNTIME/next-job		numbers of jobs go on from here
 *	RUNTIME/next-slot		where the search for a free uid goes on
 *
 * Writing is old-or-new: a temporary file of the same folder, fsync, rename, fsync of the folder; when a function
 * returns 0, the change survives a power cut. When it returns an error, nothing has changed for who reads on: the old file is kept by
 * another name until the folder is synced, and comes back if that fails. (After a power cut it may be old or new then.) A definition goes
 * before its flag; a flag without a definition counts for nothing, and is swept, as are temporary files that a crash left, by store_open().
 *
 * An fsync that failed does not make the store read-only: a file whose fsync failed is thrown away, never synced again, so no later
 * success can cover for a lost write; the next change writes files of its own, and is told what becomes of these.
 * The store knows no XML and no JSON: it keeps bytes.
 *
 * Several definitions change together by STATE/changes: when it is there, all of them have changed, whatever moment the daemon
 * is killed at; when it is not, none has. Then the files follow, a few in each turn of the loop (store_settle()), and it goes.
 * Any other write to definitions lets all of them follow first, so that none is overtaken by an older one; store_open() does, too.
 * A file of that name that is not whole is left as it is, and said (store.left_out); until somebody has looked at it
 * and moved it away, definitions do not change together.
 *
 * Threads: the daemon's one. Paths are used once, to open the two folders; after that everything is relative to
 * their fds, and symbolic links below them are refused.
 */
#pragma once

#include "daemon/changeset.h"
#include "daemon/error.h"
#include "vmm-core/base/cleanup.h"

#define STORE_MAX_STATUS_BYTES (64 * 1024)
#define STORE_STATUS                                                                               \
	"status.json" /* of what runs: without it a runtime folder is that of nothing */

/* Where a write can be cut short, for tests. */
enum store_step {
	STORE_STEP_CREATE,
	STORE_STEP_WRITE,
	STORE_STEP_SYNC,
	STORE_STEP_RENAME,
	STORE_STEP_SYNC_DIR,
	STORE_STEP_X_MAX
};

struct store;

/* All that is kept of one kind of thing: STATE/KIND/UUID.xml, an autostart flag, RUNTIME/KIND/UUID/. */
struct store_pending;

struct store_room {
	struct store *store;
	int definitions_fd, autostart_fd, live_fd;
};

struct store {
	char *state_dir, *runtime_dir;
	int state_fd, log_fd, runtime_fd, lock_fd;
	struct store_room domains, networks;
	struct store_pending *pending; /* store-changes.c's: what is to follow; NULL: nothing */
	unsigned long aio;             /* store-sync.c's; 0: none */
	bool left_out;                 /* STATE/changes is there, and is not one */
	bool changes_unsure;           /* whether it is there may be different after a power cut */
	/* Tests: called before each step; a negative answer is the step's error. */
	int (*fault)(void *opaque, enum store_step step);
	void *fault_opaque;
};

/* Open (and make, 0700) both folders, take the lock, sweep. Refuses: a folder that others can write to or that
 * belongs to someone else, a second daemon ("… is already running as pid N"). */
int store_open(const char *state_dir, const char *runtime_dir, struct store **ret_store,
	struct error *error);
struct store *store_free(struct store *store);
DEFINE_CLEANUP(struct store *, store_free);

/* Definitions. save: durable when 0 is returned. delete: also removes the autostart flag; 0 if there was none. */
int store_save(struct store_room *room, const uint8_t uuid[16], const char *xml);
/* The same for several at once, which share what a disk does in the end: each has its own 'result', 0 or -errno, and no UUID comes
 * twice. At most STORE_MAX_SAVES. */
#define STORE_MAX_SAVES 64
struct store_save {
	const uint8_t *uuid;
	const char *xml;
	int result;
};
void store_save_many(struct store_room *room, struct store_save *saves, size_t n);
int store_delete(struct store_room *room, const uint8_t uuid[16]);
int store_set_autostart(struct store_room *room, const uint8_t uuid[16], bool on);
bool store_get_autostart(struct store_room *room, const uint8_t uuid[16]);

/* Change all of them, or none: when 0 is returned they have changed, durably, and store_settle() is to be called until it
 * returns 0. -EEXIST: STATE/changes cannot be read (left_out). -EFBIG: see changeset.h. */
int store_commit(struct store *store, const struct changeset_item *items, size_t n);
/* Let up to 'max' definitions follow. Returns 1 when there are more, 0 when all have, or -errno: they stay to be done. */
#define STORE_SETTLE_ALL SIZE_MAX
int store_settle(struct store *store, size_t max);

/* Call 'found' for each definition, in the order of the names. 'xml' is NULL and 'error' negative when the file
 * could not be read (it stays where it is). Returns 0 or -errno of the folder. */
int store_each(struct store_room *room,
	void (*found)(void *opaque, const uint8_t uuid[16], const char *xml, int error),
	void *opaque);

/* Runtime folders: made by store_open_runtime (0700, the fd is the caller's), listed, removed with all they hold
 * (one level of plain files, sockets and fifos). */
int store_open_runtime(struct store_room *room, const uint8_t uuid[16], bool create, int *ret_fd);
int store_remove_runtime(struct store_room *room, const uint8_t uuid[16]);
int store_each_runtime(
	struct store_room *room, void (*found)(void *opaque, const uint8_t uuid[16]), void *opaque);

/* A file of a runtime folder; not durable (the folder does not survive a boot), but old-or-new. */
int store_save_runtime(
	struct store_room *room, const uint8_t uuid[16], const char *name, const char *text);
/* The file's text; the caller frees it. */
int store_load_runtime(struct store_room *room, const uint8_t uuid[16], const char *name,
	size_t max, char **ret_text);

/* The same for a file of another folder: old-or-new, not durable. */
int store_save_in(struct store *store, int dir_fd, const char *name, const char *text);

/* The uid slot to try next: kept, so that a new daemon does not give out again what an earlier one just gave back.
 * get: -ENOENT if none was kept, -EINVAL and others when it cannot be read. */
#define STORE_NEXT_JOB "next-job"
/* A number of that name. set: not durable, but old-or-new. get: as above. */
int store_set_number(struct store *store, const char *name, uint64_t number);
int store_get_number(struct store *store, const char *name, uint64_t max, uint64_t *ret_number);
int store_set_next_slot(struct store *store, uint32_t slot);
int store_get_next_slot(struct store *store, uint32_t *ret_slot);

/* Marks, which outlive a boot. 'name' is a file's. set: durable when 0 is returned. */
bool store_has_mark(struct store *store, const char *name);
int store_set_mark(struct store *store, const char *name);
int store_put_mark(struct store *store, const char *name, bool on); /* set, or take away */

/* True once per boot (RUNTIME is a tmpfs): the first caller makes the marker. */
bool store_first_start(struct store *store);
