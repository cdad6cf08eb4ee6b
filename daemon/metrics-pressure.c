/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is to measure of pressure and of the memory policy. Tested by tests/unit/test-metrics.c. */
#include "daemon/memory-policy.h"
#include "daemon/metrics-internal.h"

static void each_memory_action(struct metrics_walk *walk, const struct metric *m)
{
	const uint64_t *counts = memory_policy_counts(walk->source->manager->memory_policy);

	for (unsigned i = 0; i < MEMORY_ACTION_X_MAX; i++)
		metrics_emit(
			&(struct metric_subject){
				.walk = walk, .at = &counts[i], .values = {memory_action_name(i)}},
			m);
}

const struct metric_scope metrics_scope_memory_action = {
	"decision of the memory policy", {"action"}, each_memory_action};
