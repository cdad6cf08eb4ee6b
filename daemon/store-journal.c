/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two files of the journal: see store.h for what it is for, and changeset.h for its records.
 *
 *	block 0		the head: a record of nothing, with the generation of all that counts in this file
 *	block 1, …	records, each at the beginning of a block, each with a greater number than all before it
 *
 * What lies behind the last one is of an earlier generation, or has not become durable and was never answered. A file begins anew when its
 * head is written again, and the head is durable before the first record is; only one of the two has records but for the time
 * that the other's definitions take to become durable (store-checkpoint.c). The file with the smaller numbers is the older one.
 *
 * Both are written once with zeros, so that a record replaces what is there: its sync waits for its own blocks alone.
 *
 * Tested by tests/unit/test-store-journal.c and tests/unit/test-power-cut.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define BLOCK STORE_JOURNAL_BLOCK
/* Full of records and of what was carried over, and a last record of each. */
#define MAX_BYTES                                                                                  \
	(2 * (STORE_JOURNAL_FULL * STORE_JOURNAL_BYTES + STORE_MAX_CARRY) + CHANGESET_MAX_BYTES)

static const char *const names[STORE_JOURNAL_FILES] = {"journal-0", "journal-1"};

static uint64_t blocks_of(uint64_t bytes)
{
	return (bytes + BLOCK - 1) / BLOCK * BLOCK;
}

static const char *name_of(const struct store *store, const struct store_journal_file *file)
{
	return names[file - store->journal.files];
}

/* Reading. */

/* The records of a file that count: from the one at 'BLOCK' to 'end'. */
struct found {
	char *text; /* of the whole file; NULL: none */
	size_t size, end;
	uint64_t generation, first, last;
	bool has_head, any, known; /* known: what its generation is */
};

static void found_done(struct found *found)
{
	free(found->text);
}

/* A record that the journal goes on with at 'at'. */
static int look_at(struct found *f, size_t at, size_t *ret_len, struct changeset_place *ret_place)
{
	int r = at < f->size ? changeset_look(f->text + at, f->size - at, ret_place, ret_len)
			     : -EBADMSG;

	if (r < 0)
		return r;
	if ((f->known && ret_place->generation != f->generation) || ret_place->sequence <= f->last)
		return -EBADMSG;
	return 0;
}

/* Behind what was never answered there is nothing: one record at a time becomes durable. */
static bool goes_on_behind(struct found *f)
{
	struct changeset_place place;
	size_t len;

	for (size_t at = f->end + BLOCK; at < f->size; at += BLOCK)
		if (look_at(f, at, &len, &place) == 0)
			return true;
	return false;
}

static int find_records(struct found *f)
{
	struct changeset_place place;
	size_t len;
	int r = look_at(f, 0, &len, &place);

	f->end = BLOCK;
	if (r == -EPROTONOSUPPORT)
		return r;
	f->has_head = r == 0;
	if (r == 0) {
		f->known = true;
		f->generation = place.generation;
		f->last = place.sequence;
	}
	/* Without its head, which was not durable when the power went, it says the same that its definitions say. */
	while ((r = look_at(f, f->end, &len, &place)) == 0) {
		f->known = true;
		f->generation = place.generation;
		f->first = f->any ? f->first : place.sequence;
		f->last = place.sequence;
		f->any = true;
		f->end += blocks_of(len);
	}
	if (r == -EPROTONOSUPPORT)
		return r;
	/* One that the power went from while it was made has nothing yet. */
	if (!f->has_head && !f->any && f->size > BLOCK && f->text[BLOCK])
		return -EUCLEAN;
	return goes_on_behind(f) ? -EUCLEAN : r;
}

/* Returns 0; -EUCLEAN or -EPROTONOSUPPORT: it is to be left as it is; or another error of reading. */
static int read_journal(struct store *store, struct store_journal_file *file, struct found *f)
{
	struct stat st;
	int r;

	*f = (struct found){0};
	file->end = BLOCK;
	file->fd = openat(store->state_fd, name_of(store, file), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	/* A file system that takes nothing, or a file: it is served all the same. */
	if (file->fd < 0 && (errno == EROFS || errno == EPERM || errno == EACCES))
		file->fd = openat(
			store->state_fd, name_of(store, file), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (file->fd < 0)
		return errno == ENOENT ? 0 : errno == ELOOP || errno == EISDIR ? -EUCLEAN : -errno;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > MAX_BYTES)
		return -EUCLEAN;
	f->size = (size_t)st.st_size;
	f->text = malloc(f->size + 1);
	if (!f->text)
		return -ENOMEM;
	r = pread_full(file->fd, f->text, f->size, 0);
	if (r < 0)
		return r == -EIO ? -EUCLEAN : r;
	f->text[f->size] = 0;
	r = find_records(f);
	file->generation = f->generation;
	file->end = f->end;
	/* Of one without records the head, and the name, may not be durable: it is made again. */
	file->is_ready = f->has_head && f->any;
	store->journal.sequence = MAX(store->journal.sequence, f->last);
	return r == -EPROTONOSUPPORT || r == -EUCLEAN ? r : 0;
}

/* What was found may not be durable: a daemon was killed, or its disk failed. Then it is as if it were written now. */
static int make_durable(
	struct store *store, struct store_journal_file *file, const char *text, size_t size)
{
	/* The one that is there may be for reading only. */
	int fd = openat(store->state_fd, name_of(store, file), O_RDWR | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	(void)close(file->fd);
	file->fd = fd;
	r = pwrite_full(fd, text, size, 0);
	if (r == 0 && fdatasync(fd) < 0)
		r = -errno;
	file->is_unsure = r < 0;
	return r;
}

/* Nothing is written behind what may not be durable. */
static int make_sure(struct store *store, struct store_journal_file *file)
{
	_cleanup_(freep) char *text = malloc(file->end);
	struct stat st;
	size_t size;
	int r;

	if (!text)
		return -ENOMEM;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	/* The last record need not fill its block. */
	size = MIN(file->end, (size_t)st.st_size);
	r = pread_full(file->fd, text, size, 0);
	return r < 0 ? r : make_durable(store, file, text, size);
}

static int each_record(struct store *store, struct store_journal_file *file, struct found *f,
	store_record_fn record)
{
	for (size_t at = BLOCK, len; at < f->end; at += blocks_of(len)) {
		struct changeset_place place;
		int r = changeset_look(f->text + at, f->size - at, &place, &len);

		if (r == 0)
			r = record(store, file, f->text + at, len);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What of it counts becomes durable with the other one's. */
static void leave_out(struct store *store, struct store_journal_file *file, int why)
{
	struct store_journal_file *files = store->journal.files;

	for (struct store_record *r = store->records; r; r = r->after)
		if (r->file == file)
			r->file = file == files ? files + 1 : files;
	file->left_out = why;
	file->fd = safe_close(file->fd);
	file->end = BLOCK;
	file->is_ready = file->is_unsure = false;
}

/* Has somebody looked at what was left out, and moved it away? */
static void look_at_left_out(struct store *store)
{
	store->left_out = 0;
	for (unsigned i = 0; i < STORE_JOURNAL_FILES; i++) {
		struct store_journal_file *file = &store->journal.files[i];

		if (file->left_out &&
			faccessat(store->state_fd, names[i], F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
			errno == ENOENT)
			file->left_out = 0;
		if (!file->left_out)
			continue;
		store->left_out = file->left_out;
		store->left_out_name = names[i];
	}
}

/* It was answered, for all that is known: it counts also while the disk does not take it, and nothing changes meanwhile. */
static void take_found(
	struct store *store, struct store_journal_file *file, const struct found *found)
{
	int r = make_durable(store, file, found->text, MIN(found->end, found->size));

	file->is_unsure = r < 0;
	if (r < 0) {
		store->journal.is_held = true;
		store->journal.failure = r;
	}
}

int store_journal_read(struct store *store, store_record_fn record)
{
	struct store_journal *j = &store->journal;
	struct found found[STORE_JOURNAL_FILES] = {{0}};
	int why[STORE_JOURNAL_FILES] = {0}, r = 0;
	unsigned older;

	for (unsigned i = 0; i < STORE_JOURNAL_FILES && r == 0; i++) {
		r = read_journal(store, &j->files[i], &found[i]);
		if (r == -EUCLEAN || r == -EPROTONOSUPPORT) {
			why[i] = r;
			r = 0;
		}
	}
	older = found[0].any && (!found[1].any || found[0].first < found[1].first) ? 0 : 1;
	for (unsigned i = 0; i < STORE_JOURNAL_FILES && r == 0; i++) {
		unsigned k = i == 0 ? older : !older;

		if (found[k].any)
			take_found(store, &j->files[k], &found[k]);
		if (found[k].any)
			r = each_record(store, &j->files[k], &found[k], record);
	}
	j->active = found[!older].any ? !older : older;
	for (unsigned i = 0; i < STORE_JOURNAL_FILES; i++) {
		if (r == 0 && why[i] < 0)
			leave_out(store, &j->files[i], why[i]);
		found_done(&found[i]);
	}
	look_at_left_out(store);
	return r;
}

/* Writing. */

/* Nothing can be lost by it: its definitions are durable. Returns with the head written, and not synced. */
int store_journal_write_head(struct store *store, struct store_journal_file *file)
{
	struct changeset_place place = {.sequence = ++store->journal.sequence};
	_cleanup_(freep) char *text = NULL;
	char block[BLOCK] = "";
	uint8_t random[16];
	size_t size;
	int r = uuid_generate(random);

	if (r < 0)
		return r;
	memcpy(&place.generation, random, sizeof(place.generation));
	r = changeset_encode(&place, NULL, 0, &text, &size);
	if (r < 0)
		return r;
	file->is_ready = false;
	memcpy(block, text, size);
	r = pwrite_full(file->fd, block, sizeof(block), 0);
	if (r == 0)
		file->generation = place.generation;
	return r;
}

/* It can take records from now on. */
void store_journal_begin(struct store *store, struct store_journal_file *file)
{
	struct stat st;

	file->is_ready = true;
	file->end = BLOCK;
	file->carried = 0;
	/* What was too large for it once: without its records, and after its head. */
	if (fstat(file->fd, &st) == 0 && st.st_size > (off_t)store->journal.bytes)
		(void)!ftruncate(file->fd, (off_t)store->journal.bytes);
}

/* Zeros, so that records find their blocks; without space they have to find them when they come. */
static void fill(const struct store *store, const struct store_journal_file *file)
{
	void *zeros = calloc(1, store->journal.bytes);

	if (zeros)
		(void)!pwrite(file->fd, zeros, store->journal.bytes, 0);
	free(zeros);
}

static int make_file(struct store *store, struct store_journal_file *file)
{
	struct stat st;
	int r;

	/* It may be open for reading only. */
	(void)safe_close(file->fd);
	file->fd = openat(store->state_fd, name_of(store, file),
		O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file->fd < 0 || fstat(file->fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		fill(store, file);
	r = store_journal_write_head(store, file);
	if (r == 0 && fdatasync(file->fd) < 0)
		r = -errno;
	if (r == 0)
		r = store_sync_dir(store, store->state_fd);
	if (r == 0)
		store_journal_begin(store, file);
	return r;
}

int store_journal_prepare(struct store *store)
{
	struct store_journal *j = &store->journal;

	if (store->left_out)
		look_at_left_out(store);
	if (store->left_out)
		return store->left_out;
	for (unsigned i = 0; i < STORE_JOURNAL_FILES; i++) {
		struct store_journal_file *file = &j->files[i];
		int r;

		if (file == j->retiring ||
			(!file->is_unsure && (file->is_ready || file->end > BLOCK)))
			continue;
		r = file->is_unsure ? make_sure(store, file) : make_file(store, file);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A record that is not to count, and may be whole. */
static int wipe(struct store_journal_file *file)
{
	static const char zeros[BLOCK];
	int r = file->is_spoiled ? pwrite_full(file->fd, zeros, BLOCK, file->end) : 0;

	if (r == 0)
		file->is_spoiled = false;
	return r;
}

int store_journal_write(struct store *store, const struct changeset_item *items, size_t n,
	char **ret_text, size_t *ret_size)
{
	struct store_journal_file *file = store_journal_active(store);
	struct changeset_place place = {file->generation, ++store->journal.sequence};
	_cleanup_(freep) char *text = NULL;
	size_t size;
	int r = wipe(file);

	if (r == 0)
		r = changeset_encode(&place, items, n, &text, &size);
	if (r == 0 && file->end + size > MAX_BYTES)
		r = -EFBIG;
	if (r == 0)
		r = store_fault(store, STORE_STEP_RECORD, NULL);
	if (r < 0)
		return r;
	file->is_spoiled = true;
	r = pwrite_full(file->fd, text, size, file->end);
	if (r < 0) {
		(void)wipe(file);
		return r;
	}
	*ret_text = TAKE_PTR(text);
	*ret_size = size;
	return 0;
}

void store_journal_settle(struct store *store, size_t size, int result)
{
	struct store_journal_file *file = store_journal_active(store);

	if (result < 0) {
		(void)wipe(file);
		return;
	}
	file->is_spoiled = false;
	file->end += blocks_of(size);
}

uint64_t store_journal_used(const struct store_journal_file *file)
{
	return file->end - file->carried;
}

struct store_journal_file *store_journal_active(struct store *store)
{
	return &store->journal.files[store->journal.active];
}

void store_journal_close(struct store *store)
{
	for (unsigned i = 0; i < STORE_JOURNAL_FILES; i++) {
		struct store_journal_file *file = &store->journal.files[i];

		file->fd = safe_close(file->fd);
	}
}
