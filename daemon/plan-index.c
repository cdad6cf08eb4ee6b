/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Items of a plan, in order: see plan-index.h. */
#include "daemon/plan-index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef int compare_items(const struct plan_item *a, const struct plan_item *b);

static int compare_kinds(const struct plan_item *a, const struct plan_item *b)
{
	return (int)a->is_network - (int)b->is_network;
}

static int compare_names(const struct plan_item *a, const struct plan_item *b)
{
	int r = compare_kinds(a, b);

	return r ? r : strcmp(a->name, b->name);
}

static int compare_uuids(const struct plan_item *a, const struct plan_item *b)
{
	int r = compare_kinds(a, b);

	return r ? r : memcmp(a->uuid, b->uuid, sizeof(a->uuid));
}

/* As they were given, where they are about the same. */
static int order(const void *a, const void *b, compare_items *compare)
{
	const struct plan_item *const *x = a, *const *y = b;
	int r = compare(*x, *y);

	return r ? r : (*x > *y) - (*x < *y);
}

static int order_names(const void *a, const void *b)
{
	return order(a, b, compare_names);
}

static int order_uuids(const void *a, const void *b)
{
	return order(a, b, compare_uuids);
}

int plan_index_init(struct plan_index *index, const struct plan *plan)
{
	*index = (struct plan_index){
		.by_name = calloc(plan->n_items + 1, sizeof(*index->by_name)),
		.by_uuid = calloc(plan->n_items + 1, sizeof(*index->by_uuid)),
	};
	if (!index->by_name || !index->by_uuid) {
		plan_index_done(index);
		return -ENOMEM;
	}
	for (size_t i = 0; i < plan->n_items; i++)
		if (plan->items[i].name)
			index->by_name[index->n++] = &plan->items[i];
	memcpy(index->by_uuid, index->by_name, index->n * sizeof(*index->by_uuid));
	qsort(index->by_name, index->n, sizeof(*index->by_name), order_names);
	qsort(index->by_uuid, index->n, sizeof(*index->by_uuid), order_uuids);
	return 0;
}

void plan_index_done(struct plan_index *index)
{
	free(index->by_name);
	free(index->by_uuid);
	*index = (struct plan_index){0};
}

/* The first that is not before 'key', if it is equal. */
static const struct plan_item *first_equal(
	struct plan_item **items, size_t n, const struct plan_item *key, compare_items *compare)
{
	size_t begin = 0, end = n;

	while (begin < end) {
		size_t middle = begin + (end - begin) / 2;

		if (compare(items[middle], key) < 0)
			begin = middle + 1;
		else
			end = middle;
	}
	return begin < n && compare(items[begin], key) == 0 ? items[begin] : NULL;
}

const struct plan_item *plan_index_find(
	const struct plan_index *index, bool is_network, const uint8_t uuid[16])
{
	struct plan_item key = {.is_network = is_network};

	memcpy(key.uuid, uuid, sizeof(key.uuid));
	return first_equal(index->by_uuid, index->n, &key, compare_uuids);
}

const struct plan_item *plan_index_twin(
	const struct plan_index *index, const struct plan_item *item)
{
	const struct plan_item *a, *b;

	if (!item->name)
		return NULL;
	a = first_equal(index->by_name, index->n, item, compare_names);
	b = first_equal(index->by_uuid, index->n, item, compare_uuids);
	if (!a || (b && b < a))
		a = b;
	return a && a < item ? a : NULL;
}
