/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between metrics.c (the text), metrics-table.c (the rows and their getters) and metrics-scope.c (what there is to measure). */
#pragma once

#include <stdio.h>

#include "config/vm-config.h"
#include "daemon/domain.h"
#include "daemon/metrics.h"
#include "daemon/network.h"
#include "daemon/process.h"

/* A worker as /proc showed it when the text was begun: one look, however many rows need it. */
struct metrics_process {
	bool known;
	struct process_usage usage;
};

struct metrics_domain {
	const struct domain *domain;
	struct metrics_process process;
	unsigned n_vcpus; /* 0: not to be had */
	struct process_times *vcpus;
};

struct metrics_network {
	const struct network *network;
	struct metrics_process process;
};

struct metrics_host {
	struct metrics_process daemon;
	uint64_t daemon_fds;
	uint64_t memory_kib, available_kib, huge_kib, huge_free_kib; /* of /proc/meminfo */
	uint64_t domains_kib;                                        /* memory-limit.h */
	uint64_t cpu_ticks[8]; /* of /proc/stat's first line */
};

struct metrics_walk {
	const struct metrics_source *source;
	enum metrics_format format;
	FILE *out;
	struct metrics_host host;
	unsigned n_domains, n_networks;
	struct metrics_domain *domains;   /* active ones */
	struct metrics_network *networks; /* all */
};

/* One sample's subject. Which members are set is the scope's business. */
struct metric_subject {
	const struct metrics_walk *walk;
	const struct metrics_domain *domain;
	const struct metrics_network *network;
	const void *at; /* the struct that metric.offset counts in, or the number itself */
	const char *values[METRICS_MAX_LABELS]; /* of the scope's labels, in their order */
};

/* Look at everything once. 0 or -ENOMEM. */
int metrics_look(struct metrics_walk *walk);
void metrics_forget(struct metrics_walk *walk);
/* Write the subject's sample, if it has one. */
void metrics_emit(const struct metric_subject *subject, const struct metric *metric);

extern const struct metric_scope metrics_scope_build, metrics_scope_daemon, metrics_scope_call,
	metrics_scope_job, metrics_scope_job_end, metrics_scope_host, metrics_scope_host_mode,
	metrics_scope_memory_action, metrics_scope_host_pressure, metrics_scope_domain_pressure,
	metrics_scope_domains, metrics_scope_domain_info, metrics_scope_domain_state,
	metrics_scope_domain, metrics_scope_domain_mode, metrics_scope_vcpu, metrics_scope_exit,
	metrics_scope_disk, metrics_scope_interface, metrics_scope_interface_drop,
	metrics_scope_network, metrics_scope_network_mode, metrics_scope_port,
	metrics_scope_port_drop, metrics_scope_uplink, metrics_scope_uplink_drop,
	metrics_scope_team, metrics_scope_member, metrics_scope_member_state,
	metrics_scope_member_failure;
