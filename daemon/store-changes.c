/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Definitions that change together: see store.h. STATE/changes is renamed to its place: that is the moment. All that follows can be done
 * again from its beginning, and is, if the daemon ends before the file goes.
 *
 * Tested by tests/unit/test-store.c and tests/unit/test-kills.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define CHANGES_FILE "changes"

struct store_pending {
	char *text; /* the items lie in it */
	struct changeset_item *items;
	size_t n, next;
};

struct store_pending *store_pending_free(struct store_pending *pending)
{
	if (!pending)
		return NULL;
	free(pending->text);
	free(pending->items);
	free(pending);
	return NULL;
}
DEFINE_CLEANUP(struct store_pending *, store_pending_free);

/* Takes 'text'. */
static int pending_new(char *text, size_t size, struct store_pending **ret)
{
	_cleanup_(store_pending_freep) struct store_pending *p = calloc(1, sizeof(*p));
	int r;

	if (!p) {
		free(text);
		return -ENOMEM;
	}
	p->text = text;
	r = changeset_decode(p->text, size, &p->items, &p->n);
	if (r == 0)
		*ret = TAKE_PTR(p);
	return r;
}

static struct store_room *room_of(struct store *store, const struct changeset_item *item)
{
	return item->kind == CHANGESET_DOMAINS ? &store->domains : &store->networks;
}

/* Definitions of one room that are to be there: the disk is waited for once for all of them. */
static int follow_saves(struct store *store, struct store_pending *p, size_t max)
{
	const struct changeset_item *item = &p->items[p->next];
	struct store_room *room = room_of(store, item);
	struct store_file files[STORE_MAX_SAVES];
	size_t left = MIN(max, p->n - p->next), n = 0;

	left = MIN(left, (size_t)STORE_MAX_SAVES);
	for (; n < left && item[n].xml && item[n].kind == item->kind; n++) {
		int r = store_clear_stray_flag(room, item[n].uuid);

		if (r < 0)
			return r;
		store_definition_file(item[n].uuid, files[n].name);
		files[n].text = item[n].xml;
	}
	store_save_files(store, room->definitions_fd, files, n);
	for (size_t i = 0; i < n; i++, p->next++)
		if (files[i].result < 0)
			return files[i].result;
	return 0;
}

/* One that is to go, with its flag. The folders are synced once, in the end. */
static int follow_delete(struct store *store, struct store_pending *p)
{
	const struct changeset_item *item = &p->items[p->next];
	struct store_room *room = room_of(store, item);
	char name[STORE_FILE_NAME_MAX], flag[UUID_STRING_LEN + 1];

	store_definition_file(item->uuid, name);
	uuid_format(item->uuid, flag);
	if (unlinkat(room->definitions_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	if (unlinkat(room->autostart_fd, flag, 0) < 0 && errno != ENOENT)
		return -errno;
	p->next++;
	return 0;
}

/* Whether the file is there, or not there any more, survives a power cut from now on. */
static int make_sure(struct store *store)
{
	int r = store->changes_unsure ? store_sync_dir(store, store->state_fd) : 0;

	if (r == 0)
		store->changes_unsure = false;
	return r;
}

/* All have followed. */
static int finish(struct store *store)
{
	const int dirs[] = {store->domains.definitions_fd, store->domains.autostart_fd,
		store->networks.definitions_fd, store->networks.autostart_fd};
	const int *dir;

	FOREACH_ELEMENT (dir, dirs) {
		int r = store_sync_dir(store, *dir);

		if (r < 0)
			return r;
	}
	if (unlinkat(store->state_fd, CHANGES_FILE, 0) < 0 && errno != ENOENT)
		return -errno;
	store->changes_unsure = true;
	store->pending = store_pending_free(store->pending);
	return make_sure(store);
}

int store_settle(struct store *store, size_t max)
{
	struct store_pending *p = store->pending;

	/* A file that came back would undo what is saved from now on. */
	if (!p)
		return make_sure(store);
	while (p->next < p->n) {
		size_t before = p->next;
		int r;

		if (max == 0)
			return 1;
		r = p->items[before].xml ? follow_saves(store, p, max) : follow_delete(store, p);
		if (r < 0)
			return r;
		max -= p->next - before;
	}
	return finish(store);
}

/* Nothing that can fail comes after it is there. If it is there and that may not last, it goes again. */
static int write_changes(struct store *store, const char *text)
{
	int r = store_save_file(store, store->state_fd, CHANGES_FILE, text, STORE_SYNC_ALL);

	if (r < 0) {
		(void)unlinkat(store->state_fd, CHANGES_FILE, 0);
		store->changes_unsure = true;
		(void)make_sure(store);
	}
	return r;
}

int store_commit(struct store *store, const struct changeset_item *items, size_t n)
{
	_cleanup_(store_pending_freep) struct store_pending *pending = NULL;
	_cleanup_(freep) char *text = NULL;
	size_t size;
	char *copy;
	int r = store_settle(store, STORE_SETTLE_ALL);

	if (r == 0 && store->left_out &&
		faccessat(store->state_fd, CHANGES_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = -EEXIST;
	if (r == 0)
		r = changeset_encode(items, n, &text, &size);
	if (r < 0)
		return r;
	copy = malloc(size + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, size + 1);
	r = pending_new(copy, size, &pending);
	if (r == 0)
		r = write_changes(store, text);
	if (r == 0)
		store->pending = TAKE_PTR(pending);
	return r;
}

int store_recover(struct store *store, struct error *error)
{
	char *text;
	size_t size;
	int r = read_file(store->state_fd, CHANGES_FILE, CHANGESET_MAX_BYTES, &text, &size);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = pending_new(text, size, &store->pending);
	if (r == -ENOMEM)
		return error_set(error, ERROR_NO_MEMORY, "store");
	if (r == -EBADMSG || r == -EFBIG || r == -ELOOP || r == -EISDIR) {
		store->left_out = true;
		return 0;
	}
	/* It may be whole: what is saved without it would be undone by the next one who can read it. */
	if (r < 0)
		return error_set_errno(
			error, r, "cannot read '%s/%s'", store->state_dir, CHANGES_FILE);
	r = store_settle(store, STORE_SETTLE_ALL);
	if (r < 0)
		return error_set_errno(error, r, "cannot write the definitions of '%s/%s'",
			store->state_dir, CHANGES_FILE);
	return 0;
}
