/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Samples and their differences: see top.h. */
#include "client/top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl.h"
#include "client/table.h"
#include "vmm-core/base/strutil.h"

#define MAX_DEVICES 64 /* that are added up, of one kind */

/* libvirt's numbers of states, from 0 on; the words are short ones. */
static const char *const states[] = {
	"-", "run", "block", "pause", "shutdown", "off", "crashed", "suspended"};
#define STATE_SHUTOFF 5

static const char *const key_names[TOP_KEY_X_MAX] = {
	[TOP_CPU] = "cpu",
	[TOP_MEMORY] = "memory",
	[TOP_DISK] = "disk",
	[TOP_NET] = "net",
	[TOP_NAME] = "name",
};

const char *top_key_name(enum top_key key)
{
	return key < TOP_KEY_X_MAX ? key_names[key] : NULL;
}

int top_key_from_name(const char *name, enum top_key *ret_key)
{
	for (unsigned i = 0; i < TOP_KEY_X_MAX; i++)
		if (streq(key_names[i], name)) {
			*ret_key = i;
			return 0;
		}
	return -EINVAL;
}

/* All of group.N.key. */
static int64_t sum(struct json_object *stats, const char *group, const char *key)
{
	int64_t n = 0;
	char name[64];

	for (unsigned i = 0; i < MAX_DEVICES; i++) {
		(void)snprintf(name, sizeof(name), "%s.%u.%s", group, i, key);
		n += json_number(stats, name, 0);
	}
	return n;
}

static struct json_object *find(struct json_object *sample, const char *uuid)
{
	for (size_t i = 0; sample && i < json_object_array_length(sample); i++) {
		struct json_object *d = json_object_array_get_idx(sample, i);

		if (streq(json_string(d, "uuid", ""), uuid))
			return json_object_object_get(d, "stats");
	}
	return NULL;
}

static double rate(int64_t before, int64_t now, uint64_t elapsed_ns)
{
	return now > before ? (double)(now - before) * 1e9 / (double)elapsed_ns : 0;
}

static void fill(struct top_row *row, struct json_object *before, struct json_object *stats,
	uint64_t elapsed_ns)
{
	const struct {
		double *ret;
		const char *group, *key;
	} sums[] = {{&row->read_rate, "block", "rd.bytes"}, {&row->write_rate, "block", "wr.bytes"},
		{&row->receive_rate, "net", "rx.bytes"}, {&row->transmit_rate, "net", "tx.bytes"}};
	int64_t cpu = json_number(stats, "cpu.time", 0);
	int64_t cpu_before = json_number(before, "cpu.time", INT64_MAX);

	row->vcpus = json_number(stats, "vcpu.current", 0);
	row->rss_kib = json_number(stats, "balloon.rss", 0);
	row->memory_kib = json_number(stats, "balloon.current", 0);
	/* Another process since: its counters began anew. */
	if (!before || cpu < cpu_before)
		return;
	row->cpu_percent = rate(cpu_before, cpu, elapsed_ns) / 1e7;
	for (size_t i = 0; i < ARRAY_SIZE(sums); i++)
		*sums[i].ret = rate(sum(before, sums[i].group, sums[i].key),
			sum(stats, sums[i].group, sums[i].key), elapsed_ns);
}

static double sort_value(const struct top_row *row, enum top_key key)
{
	switch (key) {
	case TOP_CPU:
		return row->cpu_percent;
	case TOP_MEMORY:
		return (double)row->rss_kib;
	case TOP_DISK:
		return row->read_rate + row->write_rate;
	case TOP_NET:
		return row->receive_rate + row->transmit_rate;
	default:
		return 0;
	}
}

static int compare(const void *a, const void *b, void *opaque)
{
	const struct top_row *x = a, *y = b;
	double vx = sort_value(x, *(enum top_key *)opaque);
	double vy = sort_value(y, *(enum top_key *)opaque);

	return vx > vy ? -1 : vx < vy ? 1 : strcmp(x->name, y->name);
}

int top_rows(struct json_object *before, struct json_object *now, uint64_t elapsed_ns,
	enum top_key key, struct top_row **ret_rows, size_t *ret_n)
{
	size_t length = json_object_array_length(now), n = 0;
	struct top_row *rows = calloc(length + 1, sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < length; i++) {
		struct json_object *d = json_object_array_get_idx(now, i);
		struct json_object *stats = json_object_object_get(d, "stats");
		struct top_row *row = &rows[n];

		row->state = json_number(stats, "state.state", 0);
		if (row->state == STATE_SHUTOFF)
			continue;
		row->name = json_string(d, "name", "");
		row->uuid = json_string(d, "uuid", "");
		fill(row, find(before, row->uuid), stats, elapsed_ns);
		n++;
	}
	qsort_r(rows, n, sizeof(*rows), compare, &key);
	*ret_rows = rows;
	*ret_n = n;
	return 0;
}

/* "12.3 MiB" */
static void format_bytes(char *ret, size_t size, double bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t i = 0;

	for (; bytes >= 1023.95 && i + 1 < ARRAY_SIZE(units); i++)
		bytes /= 1024;
	(void)snprintf(ret, size, i ? "%.1f %s" : "%.0f %s", bytes, units[i]);
}

int top_print(const struct top_row *rows, size_t n, FILE *out, bool with_header)
{
	static const char *const headers[] = {"Name", "State", "vCPUs", "%CPU", "Memory",
		"Resident", "Read/s", "Write/s", "Receive/s", "Transmit/s"};
	_cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));

	for (size_t i = 0; table && i < n; i++) {
		const struct top_row *r = &rows[i];
		const double sizes[] = {(double)r->memory_kib * 1024, (double)r->rss_kib * 1024,
			r->read_rate, r->write_rate, r->receive_rate, r->transmit_rate};
		char vcpus[24], cpu[32], text[ARRAY_SIZE(sizes)][32];
		const char *cells[ARRAY_SIZE(headers)] = {r->name,
			(size_t)r->state < ARRAY_SIZE(states) ? states[r->state] : "-", vcpus, cpu};

		(void)snprintf(vcpus, sizeof(vcpus), "%lld", (long long)r->vcpus);
		(void)snprintf(cpu, sizeof(cpu), "%.1f", r->cpu_percent);
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
			format_bytes(text[k], sizeof(text[k]), sizes[k]);
			cells[4 + k] = text[k];
		}
		if (table_add_row(table, cells) < 0)
			return -ENOMEM;
	}
	if (!table)
		return -ENOMEM;
	table_print(table, out, with_header);
	return 0;
}

static void add_double(struct json_object *o, const char *key, double value)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%.1f", value);
	(void)json_object_object_add(o, key, json_object_new_double_s(value, text));
}

struct json_object *top_to_json(const struct top_row *rows, size_t n)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		const struct top_row *r = &rows[i];
		struct json_object *o = json_object_new_object();

		(void)json_object_object_add(o, "domain", json_object_new_string(r->name));
		(void)json_object_object_add(o, "uuid", json_object_new_string(r->uuid));
		(void)json_object_object_add(o, "state", json_object_new_int64(r->state));
		(void)json_object_object_add(o, "vcpus", json_object_new_int64(r->vcpus));
		add_double(o, "cpu_percent", r->cpu_percent);
		(void)json_object_object_add(o, "memory_kib", json_object_new_int64(r->memory_kib));
		(void)json_object_object_add(o, "rss_kib", json_object_new_int64(r->rss_kib));
		add_double(o, "read_bytes_per_second", r->read_rate);
		add_double(o, "write_bytes_per_second", r->write_rate);
		add_double(o, "receive_bytes_per_second", r->receive_rate);
		add_double(o, "transmit_bytes_per_second", r->transmit_rate);
		(void)json_object_array_add(array, o);
	}
	return array;
}
