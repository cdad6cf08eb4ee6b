/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The items of a plan by what they are about: each is found without looking at all of them. Of the items that are there when it is made;
 * those that have no name (a document that is not valid) are about nothing.
 *
 * Tested by tests/unit/test-apply.c.
 */
#pragma once

#include "daemon/plan.h"

struct plan_index {
	size_t n;
	struct plan_item **by_name, **by_uuid;
};

/* 0 or -ENOMEM. The items must stay where they are. */
int plan_index_init(struct plan_index *index, const struct plan *plan);
void plan_index_done(struct plan_index *index);

/* The first item about that domain or network; NULL: none is. */
const struct plan_item *plan_index_find(
	const struct plan_index *index, bool is_network, const uint8_t uuid[16]);
/* The first item before 'item' that is about the same name or UUID. */
const struct plan_item *plan_index_twin(
	const struct plan_index *index, const struct plan_item *item);
