/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Definitions whose files cannot be written, or not made durable: see store.h. What they are is in the journal, and stays there: records are
 * read over files, and whoever begins a file of the journal anew first writes what they have become into the other one
 * (store-checkpoint.c). Of one that is stuck nothing is written until all are tried again; nobody else waits for it.
 *
 * Tested by tests/unit/test-store-stuck.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store-internal.h"

static bool is_of(const struct store_stuck *s, enum changeset_kind kind, const uint8_t uuid[16])
{
	return s->kind == kind && memcmp(s->uuid, uuid, sizeof(s->uuid)) == 0;
}

struct store_stuck *store_find_stuck(
	const struct store *store, enum changeset_kind kind, const uint8_t uuid[16])
{
	struct store_stuck *s = store->stuck;

	while (s && !is_of(s, kind, uuid))
		s = s->after;
	return s;
}

int store_stick(struct store *store, const struct changeset_item *item, int why)
{
	struct store_stuck *s = store_find_stuck(store, item->kind, item->uuid);

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		s->kind = item->kind;
		memcpy(s->uuid, item->uuid, sizeof(s->uuid));
		s->after = store->stuck;
		store->stuck = s;
	}
	s->why = why;
	s->is_tried = false;
	return 0;
}

bool store_is_stuck(const struct store *store, const struct changeset_item *item)
{
	const struct store_stuck *s = store_find_stuck(store, item->kind, item->uuid);

	return s && !s->is_tried;
}

void store_newest(const struct store *store, const struct store_stuck *s, struct store_newest *ret)
{
	*ret = (struct store_newest){0};
	for (const struct store_record *p = store->records; p; p = p->after)
		for (size_t i = 0; i < p->n; i++) {
			const struct changeset_item *item = &p->items[i];

			if (!is_of(s, item->kind, item->uuid))
				continue;
			if (item->verb <= CHANGESET_DELETE)
				ret->definition = item;
			if (item->verb != CHANGESET_SAVE)
				ret->flag = item;
		}
}

static bool is_in_journal(const struct store *store, const struct store_stuck *s)
{
	struct store_newest newest;

	store_newest(store, s, &newest);
	return newest.definition || newest.flag;
}

void store_unstick(struct store *store, const struct store_journal_file *gone)
{
	struct store_stuck **at = &store->stuck, *s;

	while ((s = *at)) {
		if (s->safe_in == gone)
			s->safe_in = NULL;
		if (gone && (!s->is_tried || is_in_journal(store, s))) {
			at = &s->after;
			continue;
		}
		*at = s->after;
		free(s);
	}
}

void store_try_stuck(struct store *store)
{
	if (!store->stuck)
		return;
	for (struct store_stuck *s = store->stuck; s; s = s->after)
		s->is_tried = true;
	store_unsettle(store);
}

/* What is to be carried over. */

static bool is_to_carry(const struct store *store, const struct store_stuck *s)
{
	return !s->is_tried && s->safe_in != &store->journal.files[store->journal.active];
}

bool store_is_safe(const struct store *store)
{
	for (const struct store_stuck *s = store->stuck; s; s = s->after)
		if (s->is_tried || is_to_carry(store, s))
			return false;
	return true;
}

/* The flag of a definition that was deleted is off, whatever it had. */
static size_t put_items(const struct store_newest *newest, struct changeset_item items[2])
{
	size_t n = 0;

	if (newest->definition)
		items[n++] = *newest->definition;
	if (newest->flag && (!n || items[0].verb != CHANGESET_DELETE)) {
		items[n] = *newest->flag;
		if (items[n].verb == CHANGESET_DELETE)
			items[n].verb = CHANGESET_UNFLAG;
		n++;
	}
	return n;
}

static size_t count_to_carry(struct store *store)
{
	size_t n = 0;

	for (struct store_stuck *s = store->stuck; s; s = s->after) {
		s->is_carried = is_to_carry(store, s);
		n += s->is_carried;
	}
	return n;
}

int store_carry_begin(struct store *store)
{
	size_t n_stuck = count_to_carry(store), n = 0, bytes = 0;
	_cleanup_(freep) struct changeset_item *items = NULL;
	int r;

	if (!n_stuck)
		return 0;
	items = calloc(2 * n_stuck, sizeof(*items));
	if (!items)
		return -ENOMEM;
	for (const struct store_stuck *s = store->stuck; s; s = s->after) {
		struct store_newest newest;

		if (!s->is_carried)
			continue;
		store_newest(store, s, &newest);
		n += put_items(&newest, items + n);
		if (newest.definition && newest.definition->verb == CHANGESET_SAVE)
			bytes += strlen(newest.definition->xml);
		/* Each file of the journal would be full of them. */
		if (n > CHANGESET_MAX || bytes > STORE_MAX_CARRY)
			return s->why;
	}
	r = store_record_begin(store, items, n);
	return r < 0 ? r : 1;
}

void store_carry_end(struct store *store, uint64_t bytes)
{
	struct store_journal_file *active = store_journal_active(store);

	for (struct store_stuck *s = store->stuck; s; s = s->after)
		if (s->is_carried)
			s->safe_in = active;
	active->carried += bytes;
	/* Nothing follows it, as all that is in it is stuck. */
	if (store->unsettled && !store->unsettled->after)
		(void)store_settle(store, STORE_SETTLE_ALL);
}
