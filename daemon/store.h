/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon keeps on disk.
 *
 *	STATE/domains/UUID.xml		a definition; the file's name is the UUID
 *	STATE/autostart/UUID		empty; its presence is the flag
 *	STATE/cpuid/UUID		what processors a domain has that is to have the same at each start (domain-cpu.c)
 *	STATE/journal-0, journal-1	what changed and is not durable in the files above (changeset.h, store-journal.c)
 *	STATE/NAME			a mark: empty; something was done that is to be done once
 *	STATE/log/			what workers wrote on standard error (worker-log.c)
 *	RUNTIME/vmmd.lock		flock'ed by the one daemon, holds its pid
 *	RUNTIME/domains/UUID/		one folder per running domain: status.json live.xml control log …
 *	RUNTIME/booted			the marker of the first start after a boot
 *	RUNTIME/once/			calls that are to happen once (once.h)
 *	RUNTIME/next-job		numbers of jobs go on from here
 *	RUNTIME/next-slot		where the search for a free uid goes on
 *
 * Definitions change by records of the journal: one for all that change together, or that came together. The record becomes durable (one
 * sync of blocks that were there before), and that is the moment: what is answered after it survives a power cut, and a kill or a power cut
 * at any time leaves all of the record's definitions old or all new. Their files follow later, in the order of the records: a temporary
 * file of the same folder, and a rename; nobody waits for it. When a file of the journal is full, or the daemon has nothing to do, all that
 * its records are about is synced in the background, and it begins anew; records go to the other file meanwhile (store-checkpoint.c).
 *
 * store_open() makes durable what it finds in the journal, as a daemon that was killed may not have come to that, and then lets all
 * of it follow again, whatever the files hold by then; so what it serves is durable. The last record may be cut short: it was
 * never answered, and goes. A file of the journal that is damaged otherwise, or that a newer vmmd wrote, is left as it is, and said
 * (left_out); what is whole before the damage counts, and definitions do not change until somebody has looked at it and moved it away.
 *
 * When a function returns an error, nothing has changed for who reads on. (After a power cut it may be old or new then.) A sync
 * that failed does not make the store read-only: the record is thrown away, and the next one is written in its place; no success
 * of a later sync covers for it. When a sync of the files fails, they are written again, from the journal.
 *
 * A definition whose file cannot be written (no space, a file that is immutable, a disk that refuses it) is stuck: it stays in the journal, it
 * is carried over from one file of it into the other, and hinders no other definition and no start; store_each() shows what the
 * journal has of it. It is tried again when store_retry() says so. Checkpoints that fail otherwise wait for that, too; when the
 * journal is full meanwhile (STORE_JOURNAL_FULL, STORE_MAX_CARRY), changes are refused with the checkpoint's error.
 *
 * A flag without a definition counts for nothing, and is swept, as are temporary files that a crash left, by store_open(). All else that is
 * saved here is old-or-new for who is killed, and not durable unless it is said.
 * The store knows no XML and no JSON: it keeps bytes.
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

/* Where a change can be cut short, for tests. */
enum store_step {
	STORE_STEP_RECORD, /* of the journal */
	STORE_STEP_SYNC,   /* of the record: behind it is the moment */
	STORE_STEP_CREATE, /* of a file */
	STORE_STEP_WRITE,
	STORE_STEP_RENAME,
	STORE_STEP_REMOVE,
	STORE_STEP_SYNC_FILE,  /* of a checkpoint: one of them, refused by the disk */
	STORE_STEP_SYNC_FILES, /* all */
	STORE_STEP_SYNC_DIR,
	STORE_STEP_HEAD,
	STORE_STEP_X_MAX
};

struct store;

struct store_record;

/* All that is kept of one kind of thing: STATE/KIND/UUID.xml, an autostart flag, RUNTIME/KIND/UUID/. */
struct store_room {
	struct store *store;
	int definitions_fd, autostart_fd, live_fd;
};

#define STORE_MAX_SAVES 64 /* syncs at once */

/* Syncs that were asked for. */
struct store_wait {
	uint64_t serial;
	unsigned n_left;
	int result;                   /* the first error */
	int results[STORE_MAX_SAVES]; /* of each */
};

#define STORE_JOURNAL_FILES 2
#define STORE_JOURNAL_BLOCK 4096
#define STORE_JOURNAL_BYTES (1024 * 1024) /* of each file, written beforehand */
#define STORE_JOURNAL_FULL  4             /* times that; then a change waits for the checkpoint */
#define STORE_MAX_CARRY     (8 * 1024 * 1024) /* of definitions that are stuck */

/* store-journal.c's, and store-checkpoint.c's. */
struct store_journal {
	struct store_journal_file {
		int fd;       /* -EBADF: it is not there, or left out */
		int left_out; /* as below */
		uint64_t generation, end;
		uint64_t
			carried; /* bytes of records of what is stuck: they wait for no checkpoint */
		bool is_ready;   /* its head is durable */
		bool is_unsure; /* what was found in it may not be durable, and the disk does not take it */
		bool is_spoiled; /* what lies at its end may look like a record, and is none */
	} files[STORE_JOURNAL_FILES];
	unsigned active; /* where the next record goes */
	uint64_t sequence;
	size_t bytes;                        /* STORE_JOURNAL_BYTES, or what a test likes */
	struct store_journal_file *retiring; /* its checkpoint is going on; NULL: none is */
	enum store_checkpoint_step {
		STORE_CHECKPOINT_BEGIN,
		STORE_CHECKPOINT_SETTLE,
		STORE_CHECKPOINT_FILES,
		STORE_CHECKPOINT_FOLDERS,
		STORE_CHECKPOINT_CARRY,
		STORE_CHECKPOINT_HEAD
	} step;
	struct store_record *to_sync;
	size_t n_synced;
	const struct changeset_item *syncing[STORE_MAX_SAVES];
	bool is_again; /* it has failed */
	bool is_held;  /* it has failed, and waits for store_retry() */
	int failure;   /* why; 0: the last one has not */
	struct store_wait wait;
};

/* A definition whose file cannot be written, or not be made durable (store-stuck.c). It is in the journal. */
struct store_stuck {
	struct store_stuck *after;
	enum changeset_kind kind;
	uint8_t uuid[16];
	int why;       /* a negative errno: how the last try ended */
	bool is_tried; /* it is being tried again, or is not durable yet */
	bool is_told;  /* for who reads the list */
	bool is_carried;
	const struct store_journal_file *safe_in; /* where it was carried over to */
};

struct store {
	char *state_dir, *runtime_dir;
	int state_fd, log_fd, cpuid_fd, runtime_fd, lock_fd;
	struct store_room domains, networks;
	struct store_journal journal;
	struct store_commit { /* store-changes.c's: the record that becomes durable */
		struct store_record *record; /* NULL: none does */
		size_t size;
		bool is_carry; /* store-checkpoint.c's */
		struct store_wait wait;
	} commit;
	struct store_record *records;   /* store-changes.c's: all that are in the journal */
	struct store_record *unsettled; /* the first of them that is to follow; NULL: none is */
	struct store_stuck *stuck;
	unsigned long aio; /* store-sync.c's; 0: none */
	uint64_t sync_serial;
	int event_fd; /* readable: store_tend() has something to do */
	int left_out; /* a file of the journal: -EUCLEAN (damage) or -EPROTONOSUPPORT; 0: none */
	const char *left_out_name;
	/* Tests: called before each step, with the file's name (NULL: it has none); a negative answer is the step's error. */
	int (*fault)(void *opaque, enum store_step step, const char *name);
	void *fault_opaque;
};

/* Open (and make, 0700) both folders, take the lock, sweep. Refuses: a folder that others can write to or that
 * belongs to someone else, a second daemon ("… is already running as pid N"). */
int store_open(const char *state_dir, const char *runtime_dir, struct store **ret_store,
	struct error *error);
struct store *store_free(struct store *store);
DEFINE_CLEANUP(struct store *, store_free);

/* Change all of them, or none: when 0 is returned they have changed, durably. No UUID comes twice with the same verb. -EFBIG: see
 * changeset.h. -EUCLEAN, -EPROTONOSUPPORT: left_out. Their files are left for store_settle(). */
int store_change(struct store *store, const struct changeset_item *items, size_t n);
/* The same for who does not wait: after _begin has returned 0, _end answers -EAGAIN until the disk has, and then once what came of
 * it; store->event_fd says when to ask again. Only one change is under way, and no other one begins meanwhile.
 * _wait: as _end, and waits. */
int store_change_begin(struct store *store, const struct changeset_item *items, size_t n);
int store_change_end(struct store *store);
int store_change_wait(struct store *store);
/* One of them. delete: also removes the autostart flag; 0 if there was none. */
int store_save(struct store_room *room, const uint8_t uuid[16], const char *xml);
int store_delete(struct store_room *room, const uint8_t uuid[16]);
int store_set_autostart(struct store_room *room, const uint8_t uuid[16], bool on);
/* As the files say, or the journal of what is stuck. */
bool store_get_autostart(struct store_room *room, const uint8_t uuid[16]);

/* Let the files of up to 'max' definitions follow. Returns 1 when there are more, 0 when all have followed or are stuck, or -ENOMEM. */
#define STORE_SETTLE_ALL     SIZE_MAX
#define STORE_SETTLE_AT_ONCE 16 /* in one turn of the loop */
int store_settle(struct store *store, size_t max);

/* A file of the journal is to begin anew, in the background: store_tend() does what can be done without waiting. It is to be called as
 * long as store_wants_turn(), in turns of the loop, and when 'event_fd' is readable. An error: nothing is lost, and nothing more is done
 * before store_retry(). A change that finds the file full begins it, too. */
int store_checkpoint(struct store *store);
int store_tend(struct store *store);
bool store_wants_turn(const struct store *store);
/* Is a record of its own on its way to the disk, or about to be? A change that begins meanwhile waits for the disk. */
bool store_is_carrying(const struct store *store);
/* What has failed, a checkpoint or a definition that is stuck, may be tried again; it is for the caller to say when, and not at once.
 * wants: there is something that waits for it. */
void store_retry(struct store *store);
bool store_wants_retry(const struct store *store);
/* It takes no more before a checkpoint has come to its end: changes are refused with the error that this one ends with. */
bool store_is_full(const struct store *store);
/* The journal has nothing that the files have not, durably, but for what is stuck. */
bool store_is_settled(const struct store *store);
/* Wait for that, after a retry: who ends can. */
int store_checkpoint_now(struct store *store);

/* Call 'found' for each definition, in the order of the names, when all files have followed; of what is stuck as the journal says. 'xml' is
 * NULL and 'error' negative when the file could not be read (it stays where it is). 'found' changes nothing. Returns 0, -ENOMEM, or
 * -errno of the folder. */
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

/* STATE/cpuid: old-or-new, not durable; swept with its definition. forget: 0 also if there was none. */
int store_save_cpuid(struct store *store, const uint8_t uuid[16], const char *text);
int store_load_cpuid(struct store *store, const uint8_t uuid[16], char **ret_text);
int store_forget_cpuid(struct store *store, const uint8_t uuid[16]);

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
