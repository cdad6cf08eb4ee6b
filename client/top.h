/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `vmctl top` shows: for each active domain what it used between two samples of GetDomainStats.
 *
 * Pure: no terminal, no clock, no connection. One thread.
 *
 * Tested by tests/unit/test-top.c.
 */
#pragma once

#include <json-c/json.h>
#include <stdio.h>

#include "vmm-core/base/macro.h"

/* GetDomainStats' groups that top needs: state, cpu, balloon, vcpu, interface, block. */
#define TOP_GROUPS 63U

enum top_key { TOP_CPU, TOP_MEMORY, TOP_DISK, TOP_NET, TOP_NAME, TOP_KEY_X_MAX };

struct top_row {
	const char *name, *uuid; /* of the sample */
	int64_t state;           /* libvirt's number */
	int64_t vcpus;
	double cpu_percent; /* 100: one CPU of the host's */
	int64_t rss_kib, memory_kib;
	double read_rate, write_rate;       /* bytes of disks per second */
	double receive_rate, transmit_rate; /* bytes of interfaces per second */
};

/* Rows for the active domains of 'now', an array as remote_get_stats() gives it, against 'before', taken 'elapsed_ns' (not 0)
 * earlier: rates are 0 for a domain that was not there then, or has been started anew since. Sorted by 'key', the largest first; equal
 * ones by name. The caller frees '*ret_rows', which point into 'now'. Returns 0 or -ENOMEM. */
int top_rows(struct json_object *before, struct json_object *now, uint64_t elapsed_ns,
	enum top_key key, struct top_row **ret_rows, size_t *ret_n);

/* "cpu", …: NULL beyond the last; and back: -EINVAL when there is none such. */
const char *top_key_name(enum top_key key);
int top_key_from_name(const char *name, enum top_key *ret_key);

/* The rows as a table. 0 or -ENOMEM. */
int top_print(const struct top_row *rows, size_t n, FILE *out, bool with_header);
struct json_object *top_to_json(const struct top_row *rows, size_t n);
