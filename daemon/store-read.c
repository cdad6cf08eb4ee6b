/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What definitions are: what their files say, and, of those whose files are stuck (store-stuck.c), what the journal says: see store.h.
 *
 * Tested by tests/unit/test-store.c and tests/unit/test-store-stuck.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

#define XML_SUFFIX ".xml"

static enum changeset_kind kind_of(const struct store_room *room)
{
	return room == &room->store->domains ? CHANGESET_DOMAINS : CHANGESET_NETWORKS;
}

void store_definition_file(const uint8_t uuid[16], char ret[STORE_FILE_NAME_MAX])
{
	char s[UUID_STRING_LEN + 1];

	uuid_format(uuid, s);
	(void)snprintf(ret, STORE_FILE_NAME_MAX, "%s" XML_SUFFIX, s);
}

/* Is it a definition's, and whose? */
static bool parse_name(const char *name, uint8_t ret_uuid[16])
{
	char text[UUID_STRING_LEN + 1] = "";

	if (strlen(name) != UUID_STRING_LEN + strlen(XML_SUFFIX) ||
		!streq(name + UUID_STRING_LEN, XML_SUFFIX))
		return false;
	memcpy(text, name, UUID_STRING_LEN);
	return uuid_parse(text, ret_uuid) == 0;
}

/* Names of files that are there, or are to be. */
struct names {
	char (*names)[STORE_FILE_NAME_MAX];
	size_t n;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static bool has_name(const struct names *l, size_t n, const char *name)
{
	return n && bsearch(name, l->names, n, sizeof(*l->names), by_name);
}

static void add_stuck(const struct store_room *room, struct names *l)
{
	const size_t n = l->n;

	if (n)
		qsort(l->names, n, sizeof(*l->names), by_name);
	for (const struct store_stuck *s = room->store->stuck; s; s = s->after) {
		if (s->kind != kind_of(room))
			continue;
		store_definition_file(s->uuid, l->names[l->n]);
		if (!has_name(l, n, l->names[l->n]))
			l->n++;
	}
	if (l->n > n)
		qsort(l->names, l->n, sizeof(*l->names), by_name);
}

static size_t count_stuck(const struct store *store)
{
	size_t n = 0;

	for (const struct store_stuck *s = store->stuck; s; s = s->after)
		n++;
	return n;
}

static int list_names(const struct store_room *room, struct names *ret)
{
	struct dirent **entries;
	int n = scandirat(room->definitions_fd, ".", &entries, NULL, NULL);

	if (n < 0)
		return -errno;
	ret->names = calloc((size_t)n + count_stuck(room->store), sizeof(*ret->names));
	for (int i = 0; i < n; i++) {
		uint8_t uuid[16];

		if (ret->names && parse_name(entries[i]->d_name, uuid))
			(void)str_copy(
				ret->names[ret->n++], STORE_FILE_NAME_MAX, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	if (!ret->names)
		return -ENOMEM;
	add_stuck(room, ret);
	return 0;
}

/* As the journal says, if it is stuck. */
static const struct changeset_item *newest_of(
	const struct store_room *room, const uint8_t uuid[16], const struct changeset_item **flag)
{
	const struct store_stuck *s = store_find_stuck(room->store, kind_of(room), uuid);
	struct store_newest newest = {0};

	if (s)
		store_newest(room->store, s, &newest);
	if (flag)
		*flag = newest.flag;
	return newest.definition;
}

int store_each(struct store_room *room,
	void (*found)(void *opaque, const uint8_t uuid[16], const char *xml, int error),
	void *opaque)
{
	struct names list = {0};
	int r = store_settle(room->store, STORE_SETTLE_ALL);

	if (r == 0)
		r = list_names(room, &list);
	for (size_t i = 0; r == 0 && i < list.n; i++) {
		_cleanup_(freep) char *text = NULL;
		const struct changeset_item *newest;
		uint8_t uuid[16];
		int error;

		(void)parse_name(list.names[i], uuid);
		newest = newest_of(room, uuid, NULL);
		if (newest) {
			if (newest->verb == CHANGESET_SAVE)
				found(opaque, uuid, newest->xml, 0);
			continue;
		}
		error = read_file(
			room->definitions_fd, list.names[i], VMMD_MAX_XML_BYTES, &text, NULL);
		found(opaque, uuid, error < 0 ? NULL : text, error);
	}
	free(list.names);
	return r;
}

bool store_get_autostart(struct store_room *room, const uint8_t uuid[16])
{
	const struct changeset_item *flag;
	char name[UUID_STRING_LEN + 1];

	(void)newest_of(room, uuid, &flag);
	if (flag)
		return flag->verb == CHANGESET_FLAG;
	uuid_format(uuid, name);
	return faccessat(room->autostart_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}
