/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes of memory: numatune for a domain; nodememstats, freecell, freepages and allocpages for the host, with virsh's words.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client/remote.h"
#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

#define AFFECT_LIVE   (1U << 0)
#define AFFECT_CONFIG (1U << 1)

#define NO_NODE UINT64_MAX

/* The daemon gives up before (daemon/huge-pages.h). */
#define ALLOC_TIMEOUT_USEC (150 * UINT64_C(1000000))

const struct verb_option numatune_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	STRING("mode", "NUMA mode: strict, preferred, interleave or restrictive"),
	STRING("nodeset", "NUMA node selections to set, for example 0-1"),
	FLAG("config", "affect next boot"),
	FLAG("live", "affect running domain"),
	FLAG("current", "affect current domain"),
	{},
};

const struct verb_option nodememstats_options[] = {
	STRING("cell", "NUMA node"),
	{},
};

const struct verb_option freecell_options[] = {
	STRING("cellno", "NUMA node"),
	FLAG("all", "show free memory for all NUMA nodes"),
	{},
};

const struct verb_option freepages_options[] = {
	STRING("cellno", "NUMA node"),
	STRING("pagesize", "page size, as scaled integer (default KiB)"),
	FLAG("all", "list all sizes on all NUMA nodes"),
	{},
};

const struct verb_option allocpages_options[] = {
	WORD("pagesize", "page size, as scaled integer (default KiB)"),
	WORD("pagecount", "page count"),
	STRING("cellno", "NUMA node"),
	FLAG("add", "instead of setting new pool size add pages to it"),
	FLAG("all", "set on all NUMA nodes"),
	{},
};

/* A domain's. */

static int check_mode(struct ctl *ctl, const char *text, const char **ret)
{
	static const char *const modes[] = {"strict", "preferred", "interleave", "restrictive"};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		const char number[] = {(char)('0' + i), 0};

		if (!streq(text, modes[i]) && !streq(text, number))
			continue;
		*ret = modes[i];
		return 0;
	}
	return ctl_error(ctl, "Invalid mode: %s", text);
}

static int affect_flags(struct ctl *ctl, const struct args *args, uint32_t *ret)
{
	if (ctl_exclusive(ctl, args, "current", "live") < 0 ||
		ctl_exclusive(ctl, args, "current", "config") < 0)
		return -EINVAL;
	*ret = (args_flag(args, "live") ? AFFECT_LIVE : 0) |
		(args_flag(args, "config") ? AFFECT_CONFIG : 0);
	return 0;
}

static int show_tune(struct ctl *ctl, const char *domain, uint32_t flags)
{
	static const char *const names[] = {"numa_mode", "numa_nodeset"};
	_cleanup_(json_putp) struct json_object *tune = NULL;

	if (remote_call_one(ctl, "GetNumaTune", &tune, "su", domain, flags) < 0)
		return ctl_fail_domain(ctl, domain, "Unable to get numa parameters");
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(tune));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ctl_print(ctl, "%-15s: %s\n", names[i], json_string(tune, names[i], ""));
	return 0;
}

int verb_numatune(struct ctl *ctl, const struct args *args)
{
	const char *mode = args_string(args, "mode"), *nodes = args_string(args, "nodeset");
	const char *settings[2], *domain;
	char texts[2][128];
	uint32_t flags;
	size_t n = 0;

	if (affect_flags(ctl, args, &flags) < 0 || ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	if (mode && check_mode(ctl, mode, &mode) < 0)
		return -EINVAL;
	if (!mode && !nodes)
		return show_tune(ctl, domain, flags);
	if (ctl->readonly)
		return ctl_error(
			ctl, "operation forbidden: read only access prevents %s", args->verb->name);
	if (nodes && strlen(nodes) >= sizeof(texts[0]) - 16)
		return ctl_error(ctl, "Invalid nodeset: %.32s...", nodes);
	if (mode) {
		(void)snprintf(texts[n], sizeof(texts[n]), "numa_mode=%s", mode);
		settings[n] = texts[n];
		n++;
	}
	if (nodes) {
		(void)snprintf(texts[n], sizeof(texts[n]), "numa_nodeset=%s", nodes);
		settings[n] = texts[n];
		n++;
	}
	if (remote_call(ctl, "SetNumaTune", CTL_CALL_TIMEOUT_USEC, NULL, "sasu", domain, settings,
		    n, flags) < 0)
		return ctl_fail_domain(ctl, domain, "Unable to change numa parameters");
	return ctl_changed(ctl, domain, "tune", "%s", "");
}

/* The host's. */

/* Not given, or -1 (virsh's word for the whole host): NO_NODE. */
static int node_option(struct ctl *ctl, const struct args *args, const char *name, uint64_t *ret)
{
	const char *text = args_string(args, name);

	*ret = NO_NODE;
	if (!text || streq(text, "-1"))
		return 0;
	return ctl_number_option(ctl, args, name, INT32_MAX, 0, ret);
}

static int get_memory(struct ctl *ctl, struct json_object **ret)
{
	return remote_call_one(ctl, "GetNodeMemory", ret, "");
}

static struct json_object *nodes_of(struct json_object *memory)
{
	return json_object_object_get(memory, "nodes");
}

/* NULL: there is no such node, which has been said. */
static struct json_object *find_node(
	struct ctl *ctl, struct json_object *memory, uint64_t id, const char *failed)
{
	struct json_object *nodes = nodes_of(memory);

	for (size_t i = 0; i < json_object_array_length(nodes); i++) {
		struct json_object *node = json_object_array_get_idx(nodes, i);

		if ((uint64_t)json_number(node, "node", -1) == id)
			return node;
	}
	(void)ctl_error(ctl, "%s", failed);
	(void)ctl_error(ctl, "invalid argument: the host has no memory on NUMA node %" PRIu64, id);
	return NULL;
}

int verb_nodememstats(struct ctl *ctl, const struct args *args)
{
	static const char failed[] = "Unable to get memory stats";
	static const char *const rows[][2] = {{"total", "total_kib"}, {"free", "free_kib"},
		{"buffers", "buffers_kib"}, {"cached", "cached_kib"}};
	_cleanup_(json_putp) struct json_object *memory = NULL;
	struct json_object *from, *o;
	uint64_t id;

	if (node_option(ctl, args, "cell", &id) < 0)
		return -EINVAL;
	if (get_memory(ctl, &memory) < 0)
		return ctl_fail(ctl, "%s", failed);
	from = id == NO_NODE ? memory : find_node(ctl, memory, id, failed);
	if (!from)
		return -EINVAL;
	o = json_object_new_object();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t kib = json_number(from, rows[i][1], -1);

		if (kib < 0)
			continue;
		(void)json_object_object_add(o, rows[i][0], json_object_new_int64(kib));
		ctl_print(ctl, "%-7s: %20" PRId64 " KiB\n", rows[i][0], kib);
	}
	if (ctl->json)
		return ctl_json(ctl, o);
	(void)json_object_put(o);
	return 0;
}

int verb_freecell(struct ctl *ctl, const struct args *args)
{
	static const char failed[] = "failed to get NUMA free memory";
	_cleanup_(json_putp) struct json_object *memory = NULL;
	struct json_object *node;
	int64_t sum = 0;
	uint64_t id;

	if (ctl_exclusive(ctl, args, "all", "cellno") < 0 ||
		node_option(ctl, args, "cellno", &id) < 0)
		return -EINVAL;
	if (get_memory(ctl, &memory) < 0)
		return ctl_fail(ctl, "%s", failed);
	if (ctl->json)
		return ctl_json(ctl, json_object_get(nodes_of(memory)));
	if (!args_flag(args, "all") && id == NO_NODE) {
		ctl_print(ctl, "Total: %" PRId64 " KiB\n", json_number(memory, "free_kib", 0));
		return 0;
	}
	if (!args_flag(args, "all")) {
		node = find_node(ctl, memory, id, failed);
		if (!node)
			return -EINVAL;
		ctl_print(ctl, "%" PRIu64 ": %" PRId64 " KiB\n", id,
			json_number(node, "free_kib", 0));
		return 0;
	}
	for (size_t i = 0; i < json_object_array_length(nodes_of(memory)); i++) {
		node = json_object_array_get_idx(nodes_of(memory), i);
		sum += json_number(node, "free_kib", 0);
		ctl_print(ctl, "%5" PRId64 ": %10" PRId64 " KiB\n", json_number(node, "node", 0),
			json_number(node, "free_kib", 0));
	}
	ctl_extra(ctl, "--------------------\n%5s: %10" PRId64 " KiB\n", "Total", sum);
	return 0;
}

/* Of all sizes, or of the one; how many there were. */
static unsigned print_pages(struct ctl *ctl, struct json_object *node, uint64_t size_kib)
{
	struct json_object *pages = json_object_object_get(node, "pages");
	unsigned n = 0;

	for (size_t i = 0; i < json_object_array_length(pages); i++) {
		struct json_object *row = json_object_array_get_idx(pages, i);
		int64_t kib = json_number(row, "size_kib", 0);

		if (size_kib && (uint64_t)kib != size_kib)
			continue;
		ctl_print(ctl, "%" PRId64 "KiB: %" PRId64 "\n", kib, json_number(row, "free", 0));
		n++;
	}
	return n;
}

static int print_one(struct ctl *ctl, struct json_object *memory, uint64_t id, uint64_t size_kib)
{
	static const char failed[] = "unable to get free pages";
	struct json_object *node = find_node(ctl, memory, id, failed);

	if (!node)
		return -EINVAL;
	if (print_pages(ctl, node, size_kib))
		return 0;
	(void)ctl_error(ctl, "%s", failed);
	return ctl_error(ctl,
		"operation failed: page size %" PRIu64 " is not available on node %" PRIu64,
		size_kib, id);
}

int verb_freepages(struct ctl *ctl, const struct args *args)
{
	const char *size = args_string(args, "pagesize");
	_cleanup_(json_putp) struct json_object *memory = NULL;
	bool all = args_flag(args, "all");
	uint64_t id, size_kib = 0;

	if (ctl_exclusive(ctl, args, "all", "cellno") < 0 ||
		node_option(ctl, args, "cellno", &id) < 0 ||
		(size && verb_parse_size(ctl, "pagesize", size, &size_kib) < 0))
		return -EINVAL;
	if (!all && id == NO_NODE)
		return ctl_error(ctl, "missing cellno argument");
	if (!all && !size_kib)
		return ctl_error(ctl, "missing pagesize argument");
	if (get_memory(ctl, &memory) < 0)
		return ctl_fail(ctl, "unable to get free pages");
	if (ctl->json)
		return ctl_json(ctl, json_object_get(nodes_of(memory)));
	if (!all)
		return print_one(ctl, memory, id, size_kib);
	for (size_t i = 0; i < json_object_array_length(nodes_of(memory)); i++) {
		struct json_object *node = json_object_array_get_idx(nodes_of(memory), i);

		ctl_print(ctl, "Node %" PRId64 ":\n", json_number(node, "node", 0));
		(void)print_pages(ctl, node, size_kib);
		ctl_print(ctl, "\n");
	}
	return 0;
}

#define PAGES_ADD  (1U << 0)
#define NODES_TEXT 1024

/* "0,2"; false: there are more than fit. */
static bool list_nodes(struct json_object *nodes, char ret[NODES_TEXT])
{
	size_t used = 0;

	for (size_t i = 0; i < json_object_array_length(nodes); i++) {
		int64_t id = json_number(json_object_array_get_idx(nodes, i), "node", 0);
		int n = snprintf(ret + used, NODES_TEXT - used, "%s%" PRId64, i ? "," : "", id);

		if (n < 0 || (size_t)n >= NODES_TEXT - used)
			return false;
		used += (size_t)n;
	}
	return true;
}

int verb_allocpages(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *memory = NULL;
	uint64_t id, count, size_kib;
	char nodes[NODES_TEXT] = "";

	if (ctl_exclusive(ctl, args, "all", "cellno") < 0 ||
		node_option(ctl, args, "cellno", &id) < 0 ||
		verb_parse_size(ctl, "pagesize", args_string(args, "pagesize"), &size_kib) < 0 ||
		ctl_number_option(ctl, args, "pagecount", UINT64_MAX, 0, &count) < 0)
		return -EINVAL;
	if (size_kib > UINT32_MAX)
		return ctl_error(ctl, "there are no pages of %" PRIu64 " KiB", size_kib);
	if (id != NO_NODE)
		(void)snprintf(nodes, sizeof(nodes), "%" PRIu64, id);
	if (args_flag(args, "all")) {
		if (get_memory(ctl, &memory) < 0)
			return ctl_report(ctl);
		if (!list_nodes(nodes_of(memory), nodes))
			return ctl_error(ctl, "too many NUMA nodes; write --cellno");
	}
	if (remote_call(ctl, "AllocPages", ALLOC_TIMEOUT_USEC, NULL, "utsu", (uint32_t)size_kib,
		    count, nodes, args_flag(args, "add") ? PAGES_ADD : 0) < 0)
		return ctl_report(ctl);
	return 0;
}
