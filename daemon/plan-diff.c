/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a difference takes effect: see plan.h. Tested by tests/unit/test-apply.c. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/plan.h"
#include "vmm-core/base/strutil.h"

/* What can be changed while it runs, by its path without what is in brackets. */
static const struct live_row {
	bool is_network, is_below; /* below: also what is in that element */
	const char *path;
	enum plan_live live;
} live_rows[] = {
	{false, false, "devices/interface", PLAN_ATTACH}, /* or PLAN_DETACH */
	{false, true, "devices/interface/link", PLAN_PORT},
	{false, true, "devices/interface/bandwidth", PLAN_PORT},
	{true, true, "ip/dhcp/host", PLAN_NETWORK},
	{true, true, "ip/dhcp/range", PLAN_NETWORK},
	{true, true, "dns/host", PLAN_NETWORK},
	{true, true, "dns/txt", PLAN_NETWORK},
	{true, true, "dns/srv", PLAN_NETWORK},
	{true, true, "portgroup", PLAN_NETWORK},
	{true, true, "vmmd:forward", PLAN_NETWORK},
};

static void strip_keys(const char *path, char ret[XML_DIFF_PATH_MAX])
{
	size_t n = 0;
	bool in_key = false;

	for (const char *p = path; *p && n < XML_DIFF_PATH_MAX - 1; p++) {
		in_key |= *p == '[';
		if (!in_key)
			ret[n++] = *p;
		if (*p == ']')
			in_key = false;
	}
	ret[n] = 0;
}

static bool fits(const struct live_row *row, const char *path)
{
	size_t len = strlen(row->path);

	return strncmp(path, row->path, len) == 0 &&
		(!path[len] || (row->is_below && path[len] == '/'));
}

static enum plan_live find_live(bool is_network, const struct xml_difference *d)
{
	char path[XML_DIFF_PATH_MAX];
	const struct live_row *row;

	strip_keys(d->path, path);
	FOREACH_ELEMENT (row, live_rows) {
		if (row->is_network != is_network || !fits(row, path))
			continue;
		/* An interface that is another in itself (its type) is not attached anew. */
		if (row->live == PLAN_ATTACH)
			return !d->xml ? PLAN_NOTHING_LIVE : d->new ? PLAN_ATTACH : PLAN_DETACH;
		/* Without one of its own it has its portgroup's, which only a start puts together. */
		if (!d->new &&streq(path, "devices/interface/bandwidth"))
			return PLAN_NOTHING_LIVE;
		return row->live;
	}
	return PLAN_NOTHING_LIVE;
}

/* What runs has the bandwidth of its portgroup, once it was changed; that is no difference. */
static bool is_resolved(bool is_network, const struct xml_difference *d)
{
	char path[XML_DIFF_PATH_MAX];

	strip_keys(d->path, path);
	return !is_network && !d->new &&streq(path, "devices/interface/bandwidth");
}

static const struct xml_difference *find_path(const struct xml_diff *diff, const char *path)
{
	for (size_t i = 0; i < diff->n; i++)
		if (streq(diff->items[i].path, path))
			return &diff->items[i];
	return NULL;
}

/* Moves the texts of 'd'. */
static void take(
	struct plan_item *item, struct xml_difference *d, enum plan_when when, enum plan_live live)
{
	item->changes[item->n_changes++] = (struct plan_change){.path = TAKE_PTR(d->path),
		.old = TAKE_PTR(d->old),
		.new = TAKE_PTR(d->new),
		.xml = TAKE_PTR(d->xml),
		.when = when,
		.live = live};
}

/* The definition's differences; what runs may have them already. */
static void take_defined(struct plan_item *item, struct xml_diff *defined,
	const struct xml_diff *live, bool runs, bool can_change)
{
	for (size_t i = 0; i < defined->n; i++) {
		struct xml_difference *d = &defined->items[i];
		enum plan_live how = can_change ? find_live(item->is_network, d) : 0;

		if (!runs || !find_path(live, d->path))
			take(item, d, PLAN_NOW, PLAN_NOTHING_LIVE);
		else
			take(item, d, how ? PLAN_NOW : PLAN_NEXT_BOOT, how);
	}
}

static bool has_path(const struct plan_item *item, const char *path)
{
	for (size_t i = 0; i < item->n_changes; i++)
		if (streq(item->changes[i].path, path))
			return true;
	return false;
}

/* What runs is another than the definition was. */
static void take_running(struct plan_item *item, struct xml_diff *live, bool can_change)
{
	for (size_t i = 0; i < live->n; i++) {
		struct xml_difference *d = &live->items[i];
		enum plan_live how = can_change ? find_live(item->is_network, d) : 0;

		if (has_path(item, d->path) || is_resolved(item->is_network, d))
			continue;
		take(item, d, how ? PLAN_NOW : PLAN_PENDING, how);
		if (how && item->action == PLAN_SAME)
			item->action = PLAN_CHANGE;
	}
}

int plan_compare(struct plan_item *item, const char *old, const char *running, const char *new,
	bool can_change)
{
	_cleanup_(xml_diff_freep) struct xml_diff *defined = NULL, *live = NULL;
	int r;

	item->writes = !old || !streq(old, new);
	item->action = !old ? PLAN_CREATE : item->writes ? PLAN_CHANGE : PLAN_SAME;
	if (!item->writes && (!running || streq(running, new)))
		return 0;
	r = xml_diff(old, new, &defined);
	if (r == 0)
		r = xml_diff(running, new, &live);
	if (r < 0)
		return r;
	item->changes = calloc(defined->n + live->n + 1, sizeof(*item->changes));
	if (!item->changes)
		return -ENOMEM;
	take_defined(item, defined, live, running, can_change);
	take_running(item, live, can_change);
	return 0;
}
