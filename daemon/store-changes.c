/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Definitions that change together: see store.h. STATE/changes is renamed to its place: that is the moment. All that follows can be done
 * again from its beginning, and is, if the daemon ends before the file goes.
 *
 * Tested by tests/unit/test-store.c and tests/unit/test-kills.c.
 */
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

/* The folder is not synced: once is enough for all of them. */
static int follow(struct store *store, const struct changeset_item *item)
{
	struct store_room *room =
		item->kind == CHANGESET_DOMAINS ? &store->domains : &store->networks;
	char name[STORE_FILE_NAME_MAX];
	int r;

	if (!item->xml)
		return store_remove(room, item->uuid);
	r = store_clear_stray_flag(room, item->uuid);
	if (r < 0)
		return r;
	store_definition_file(item->uuid, name);
	return store_save_file(store, room->definitions_fd, name, item->xml, STORE_SYNC_FILE);
}

/* All have followed. */
static int finish(struct store *store)
{
	int r = store_sync_dir(store, store->domains.definitions_fd);

	if (r == 0)
		r = store_sync_dir(store, store->networks.definitions_fd);
	if (r < 0)
		return r;
	if (unlinkat(store->state_fd, CHANGES_FILE, 0) < 0 && errno != ENOENT)
		return -errno;
	store->pending = store_pending_free(store->pending);
	return store_sync_dir(store, store->state_fd);
}

int store_settle(struct store *store, size_t max)
{
	struct store_pending *p = store->pending;
	int r;

	if (!p)
		return 0;
	for (; p->next < p->n; p->next++) {
		if (max-- == 0)
			return 1;
		r = follow(store, &p->items[p->next]);
		if (r < 0)
			return r;
	}
	return finish(store);
}

/* Nothing that can fail comes after it is there. If it is there and that may not last, it goes again. */
static int write_changes(struct store *store, const char *text)
{
	int r = store_save_file(store, store->state_fd, CHANGES_FILE, text, STORE_SYNC_ALL);

	if (r < 0 && unlinkat(store->state_fd, CHANGES_FILE, 0) == 0)
		(void)store_sync_dir(store, store->state_fd);
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
	if (r < 0) {
		store->left_out = true;
		return 0;
	}
	r = store_settle(store, STORE_SETTLE_ALL);
	if (r < 0)
		return error_set_errno(error, r, "cannot write the definitions of '%s/%s'",
			store->state_dir, CHANGES_FILE);
	return 0;
}
