/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Metrics: everything that vmmd counts, in one const table, written as text for Prometheus and what understands it:
 *
 *	METRICS_OPENMETRICS	OpenMetrics 1.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/)
 *	METRICS_TEXT		Prometheus' older text format, version 0.0.4, for readers that do not ask for the other
 *
 * A row is a family; a scope says which labels its samples have, and of what there is one sample each. Names are those of the
 * guest's side, as libvirt's are: "receive" is what the guest was given. Units are base units; times are exact to the
 * nanosecond where the kernel counts so.
 *
 * Cardinality is bounded by what the instance has: names of domains, networks and their devices, and words of our own (methods,
 * error classes, causes, reasons). Two kinds of samples are left out while they are zero, as they are many and mostly
 * nothing: packets dropped, by reason, and calls, by method and result.
 *
 * Nothing here waits for a worker: numbers come from the daemon's state, from /proc, and from the pages that workers
 * share (stats-view.h), which may lie.
 *
 * Threads: the daemon's one. Tested by tests/unit/test-metrics.c; docs/metrics.md is checked against the table.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METRICS_MAX_LABELS 3

enum metrics_format { METRICS_OPENMETRICS, METRICS_TEXT, METRICS_FORMAT_X_MAX };

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_INFO, METRIC_TYPE_X_MAX };

/* How a getter's number becomes a value. */
enum metric_form {
	METRIC_NUMBER,
	METRIC_NS /* to seconds */,
	METRIC_USEC,
	METRIC_KIB /* to bytes */
};

struct metric_subject;
struct metrics_walk;
struct metric;

struct metric_scope {
	const char *name; /* for documents: "domain" */
	const char *labels[METRICS_MAX_LABELS + 1];
	/* Hand every subject to metrics_emit(). */
	void (*each)(struct metrics_walk *walk, const struct metric *metric);
};

struct metric {
	const char *name; /* of the family: without _total and _info */
	const char *unit; /* the end of the name; NULL: none */
	const char *help; /* one sentence */
	const struct metric_scope *scope;
	enum metric_type type;
	enum metric_form form;
	/* False: this subject has no such number now. */
	bool (*get)(
		const struct metric_subject *subject, const struct metric *metric, uint64_t *ret);
	size_t offset; /* for getters that read a struct */
};

extern const struct metric metrics[];
extern const size_t n_metrics;

struct manager;
struct rpc;

struct metrics_source {
	const struct manager *manager;
	const struct rpc *rpc; /* may be NULL */
};

/* All of it, as a string that the caller frees. Returns 0 or -ENOMEM. */
int metrics_format(const struct metrics_source *source, enum metrics_format format, char **ret_text,
	size_t *ret_len);

/* "counter"; and what a sample's name ends in: "_total". */
const char *metric_type_name(enum metric_type type, enum metrics_format format);
const char *metric_type_suffix(enum metric_type type);
