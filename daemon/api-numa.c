/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Handlers about nodes of memory: the host's, and those that a domain's memory comes from.
 *
 * Tested by tests/unit/test-dbus-tune.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api.h"
#include "daemon/host-numa.h"
#include "daemon/huge-pages.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define AFFECT (DOMAIN_AFFECT_LIVE | DOMAIN_AFFECT_CONFIG)

static void add(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_string(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static struct json_object *result(const char *name, struct json_object *value)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, name, value);
	return out;
}

/* The host. */

static void add_whole(struct json_object *o)
{
	static const struct {
		const char *key, *name;
	} rows[] = {{"\nMemTotal:", "total_kib"}, {"\nMemFree:", "free_kib"},
		{"\nBuffers:", "buffers_kib"}, {"\nCached:", "cached_kib"}};
	_cleanup_(freep) char *text = NULL;
	unsigned long long kib;

	if (read_file(AT_FDCWD, "/proc/meminfo", 65536, &text, NULL) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		/* MemTotal is in the first line. */
		const char *key = rows[i].key + (i == 0), *s = strstr(text, key);

		if (s && sscanf(s + strlen(key), " %llu", &kib) == 1)
			add(o, rows[i].name, kib);
	}
}

/* Ordinary pages first; all of them are free of which there is nothing else. */
static struct json_object *pages_of(const struct host_node *node)
{
	uint32_t ordinary_kib = (uint32_t)sysconf(_SC_PAGESIZE) / 1024;
	struct json_object *array = json_object_new_array(), *o = json_object_new_object();
	uint64_t huge_kib = 0;

	for (unsigned i = 0; i < node->n_pages; i++)
		huge_kib += node->pages[i].total * node->pages[i].size_kib;
	add(o, "size_kib", ordinary_kib);
	add(o, "total", (node->memory_kib - MIN(huge_kib, node->memory_kib)) / ordinary_kib);
	add(o, "free", node->free_kib / ordinary_kib);
	json_object_array_add(array, o);
	for (unsigned i = 0; i < node->n_pages; i++) {
		o = json_object_new_object();
		add(o, "size_kib", node->pages[i].size_kib);
		add(o, "total", node->pages[i].total);
		add(o, "free", node->pages[i].free);
		json_object_array_add(array, o);
	}
	return array;
}

int api_get_node_memory(struct api_call *call, struct error *error)
{
	_cleanup_(freep) struct host_nodes *nodes = malloc(sizeof(*nodes));
	struct json_object *o, *array;

	if (!nodes)
		return error_set(error, ERROR_NO_MEMORY, "nodes");
	host_numa_read("/sys", nodes);
	o = json_object_new_object();
	array = json_object_new_array();
	add_whole(o);
	for (unsigned i = 0; i < nodes->n; i++) {
		const struct host_node *node = &nodes->nodes[i];
		struct json_object *row = json_object_new_object();

		add(row, "node", node->id);
		add(row, "total_kib", node->memory_kib);
		add(row, "free_kib", node->free_kib);
		json_object_object_add(row, "pages", pages_of(node));
		json_object_array_add(array, row);
	}
	json_object_object_add(o, "nodes", array);
	api_call_reply(call, result("memory", o));
	return 0;
}

#define PAGES_ADD (1U << 0)

int api_alloc_pages(struct api_call *call, struct error *error)
{
	const char *nodes = api_arg_string(call, "nodes");
	struct huge_pages_wish wish = {
		.size_kib = api_arg_uint(call, "size_kib"),
		.count = api_arg_uint64(call, "count"),
		.add = api_arg_uint(call, "flags") & PAGES_ADD,
	};
	int r;

	if (api_check_flags(call, PAGES_ADD, error) < 0)
		return -EINVAL;
	if (nodes && *nodes && cpuset_parse(nodes, wish.nodes) < 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"'%.64s' are no NUMA nodes; write for example 0-1", nodes);
	r = huge_pages_set(call->manager, &wish, api_done, api_call_ref(call), error);
	if (r < 0)
		api_call_unref(call);
	return r;
}

/* A domain: <numatune><memory>. */

/* libvirt's words, by enum domain_numa_mode; and its numbers for them are one less. */
static const char *const modes[DOMAIN_NUMA_X_MAX] = {
	[DOMAIN_NUMA_DEFAULT] = "strict", /* what somebody gets who gives nodes alone */
	[DOMAIN_NUMA_STRICT] = "strict",
	[DOMAIN_NUMA_PREFERRED] = "preferred",
	[DOMAIN_NUMA_INTERLEAVE] = "interleave",
	[DOMAIN_NUMA_RESTRICTIVE] = "restrictive",
};

int api_get_numa_tune(struct api_call *call, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *owned = NULL;
	struct domain *d = api_arg_domain(call, error);
	const struct domain_config *config;
	char text[CPUSET_TEXT_MAX];
	struct json_object *o;
	int r;

	if (!d || api_check_flags(call, AFFECT, error) < 0)
		return -EINVAL;
	r = domain_read_config(d, api_arg_uint(call, "flags"), &owned, &config, error);
	if (r < 0)
		return r;
	o = json_object_new_object();
	cpuset_format(config->numatune.nodes, text);
	add_string(o, "numa_mode", modes[config->numatune.mode]);
	add_string(o, "numa_nodeset", text);
	api_call_reply(call, result("tune", o));
	return 0;
}

struct change {
	uint8_t mode; /* DOMAIN_NUMA_DEFAULT: stays */
	bool has_nodes;
	uint64_t nodes[CPUSET_WORDS];
};

static int read_mode(const char *text, struct change *ret, struct error *error)
{
	for (uint8_t i = DOMAIN_NUMA_STRICT; i < DOMAIN_NUMA_X_MAX; i++)
		if (streq(text, modes[i])) {
			ret->mode = i;
			return 0;
		}
	return error_set(error, ERROR_INVALID_ARGUMENT,
		"unsupported numatune mode: '%.32s'; write strict, preferred, interleave or "
		"restrictive",
		text);
}

static int read_nodes(const char *text, struct change *ret, struct error *error)
{
	_cleanup_(freep) struct host_nodes *host = malloc(sizeof(*host));
	char all[CPUSET_TEXT_MAX];
	int node;

	if (!host)
		return error_set(error, ERROR_NO_MEMORY, "nodes");
	if (cpuset_parse(text, ret->nodes) < 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"Invalid nodeset of 'numatune': %.64s; write for example 0-1", text);
	ret->has_nodes = true;
	host_numa_read("/sys", host);
	node = cpuset_first_outside(ret->nodes, host->set);
	if (node < 0)
		return 0;
	cpuset_format(host->set, all);
	return error_set(error, ERROR_INVALID_ARGUMENT,
		"NUMA node %d is unavailable: the host has memory on %.64s", node, all);
}

static int read_change(const struct api_call *call, struct change *ret, struct error *error)
{
	static const struct {
		const char *name;
		int (*read)(const char *text, struct change *ret, struct error *error);
	} rows[] = {{"numa_mode=", read_mode}, {"numa_nodeset=", read_nodes}};
	struct json_object *array = json_object_object_get(call->in, "settings");

	*ret = (struct change){0};
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		const char *text = json_object_get_string(json_object_array_get_idx(array, i));
		size_t k = 0;
		int r;

		while (k < ARRAY_SIZE(rows) &&
			strncmp(text, rows[k].name, strlen(rows[k].name)) != 0)
			k++;
		if (k == ARRAY_SIZE(rows))
			return error_set(error, ERROR_INVALID_ARGUMENT,
				"'%.64s' is no setting; write numa_mode=MODE or numa_nodeset=NODES",
				text);
		r = rows[k].read(text + strlen(rows[k].name), ret, error);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Pages of a guest that runs move with its control group's nodes; what is bound to its memory files stays. */
static int check_live(
	const struct domain_numatune *tune, const struct change *change, struct error *error)
{
	if (change->mode && change->mode != tune->mode)
		return error_set(error, ERROR_OPERATION_INVALID,
			"can't change numatune mode for running domain");
	if (change->has_nodes && tune->mode != DOMAIN_NUMA_RESTRICTIVE)
		return error_set(error, ERROR_OPERATION_INVALID,
			"change of nodeset for running domain requires restrictive numa mode");
	return 0;
}

static int change_numa(
	struct domain_config *config, bool is_live, const void *what, struct error *error)
{
	struct domain_numatune *tune = &config->numatune;
	const struct change *change = what;
	char reason[128];
	int r = is_live ? check_live(tune, change, error) : 0;

	if (r < 0)
		return r;
	if (change->mode)
		tune->mode = change->mode;
	if (change->has_nodes) {
		memcpy(tune->nodes, change->nodes, sizeof(tune->nodes));
		tune->is_auto = 0;
	}
	if (change->has_nodes && tune->mode == DOMAIN_NUMA_DEFAULT)
		tune->mode = DOMAIN_NUMA_STRICT;
	r = domain_numatune_check(config, reason, sizeof(reason));
	return r < 0 ? error_set(error, ERROR_INVALID_ARGUMENT, "%s", reason) : 0;
}

int api_set_numa_tune(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	struct change what;
	int r;

	if (!d || api_check_flags(call, AFFECT, error) < 0 || read_change(call, &what, error) < 0)
		return -EINVAL;
	r = domain_tune(d, api_arg_uint(call, "flags"), change_numa, &what, sizeof(what), api_done,
		api_call_ref(call), error);
	if (r > 0)
		api_call_reply(call, NULL);
	if (r != 0)
		api_call_unref(call);
	return MIN(r, 0);
}
