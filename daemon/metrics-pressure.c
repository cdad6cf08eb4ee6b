/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is to measure of pressure and of the memory policy. Tested by tests/unit/test-metrics.c. */
#include <stdio.h>

#include "daemon/cgroup.h"
#include "daemon/memory-policy.h"
#include "daemon/metrics-internal.h"
#include "daemon/psi.h"

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

static const char *const kinds[PSI_KIND_X_MAX] = {"some", "full"};

static void emit_psi(struct metric_subject *s, unsigned first_label, const char *resource,
	const struct psi *psi, const struct metric *m)
{
	for (unsigned i = 0; i < PSI_KIND_X_MAX; i++) {
		s->at = &psi->lines[i].total_us;
		s->values[first_label] = resource;
		s->values[first_label + 1] = kinds[i];
		if (psi->lines[i].known)
			metrics_emit(s, m);
	}
}

static void each_host_pressure(struct metrics_walk *walk, const struct metric *m)
{
	for (unsigned i = 0; i < PSI_RESOURCES; i++) {
		struct psi psi;
		char path[64];

		(void)snprintf(path, sizeof(path), "/proc/pressure/%s", psi_resources[i]);
		if (psi_read(path, &psi) == 0)
			emit_psi(&(struct metric_subject){.walk = walk}, 0, psi_resources[i], &psi,
				m);
	}
}

const struct metric_scope metrics_scope_host_pressure = {
	"resource of the host", {"resource", "kind"}, each_host_pressure};

static void each_domain_pressure(struct metrics_walk *walk, const struct metric *m)
{
	for (unsigned i = 0; i < walk->n_domains * PSI_RESOURCES; i++) {
		const struct domain *d = walk->domains[i / PSI_RESOURCES].domain;
		const char *resource = psi_resources[i % PSI_RESOURCES];
		struct psi psi;
		char file[32];

		(void)snprintf(file, sizeof(file), "%s.pressure", resource);
		if (cgroup_pressure(d->cgroup, file, &psi) == 0)
			emit_psi(&(struct metric_subject){.walk = walk, .values = {d->name}}, 1,
				resource, &psi, m);
	}
}

const struct metric_scope metrics_scope_domain_pressure = {
	"resource of an active domain", {"domain", "resource", "kind"}, each_domain_pressure};
