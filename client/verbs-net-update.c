/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * net-update, with virsh's words, and net-forward-*, which are the same for port forwards of vmmd's own.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/verbs.h"

#include <errno.h>
#include <string.h>

#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"
#include "client/xml-file.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

#define AFFECTED_NETWORK                                                                           \
	FLAG("config", "affect next network startup"), FLAG("live", "affect running network"),     \
		FLAG("current", "affect current state of network")

const struct verb_option net_update_options[] = {
	NETWORK_OPTION(COMPLETE_NETWORK),
	WORD("command", "type of update (add-first, add-last (add), delete, or modify)"),
	WORD("section", "which section of network configuration to update"),
	{.name = "xml",
		.type = OPTION_DATA,
		.completion = COMPLETE_FILE,
		.required = true,
		.help = "name of file containing xml (or, if it starts with '<', the complete xml "
			"element itself) to add/modify, or to be matched for search"},
	NUMBER("parent-index", "which parent object to search through"),
	AFFECTED_NETWORK,
	{},
};

const struct verb_option net_forward_add_options[] = {
	NETWORK_OPTION(COMPLETE_NETWORK),
	WORD("proto", "tcp or udp"),
	WORD("port", "port of the host"),
	WORD("to", "address of the guest"),
	STRING("to-port", "port of the guest, if it is another"),
	STRING("address", "address of the host; without it, all of them"),
	AFFECTED_NETWORK,
	{},
};

const struct verb_option net_forward_delete_options[] = {
	NETWORK_OPTION(COMPLETE_NETWORK),
	WORD("proto", "tcp or udp"),
	WORD("port", "port of the host"),
	STRING("address", "address of the host, where several are forwarded"),
	AFFECTED_NETWORK,
	{},
};

const struct verb_option net_forward_list_options[] = {
	NETWORK_OPTION(COMPLETE_NETWORK),
	FLAG("inactive", "those of the definition, also while others are in force"),
	{},
};

/* Numbers of the API, which are libvirt's. */
#define UPDATE_LIVE   (1U << 0)
#define UPDATE_CONFIG (1U << 1)
#define ANY_PARENT    UINT32_MAX

#define SECTION_PORT_FORWARD 1000
#define XML_INACTIVE         1U

struct word {
	const char *word;
	uint32_t number;
};
static const struct word commands[] = {
	{"modify", 1}, {"delete", 2}, {"add", 3}, {"add-last", 3}, {"add-first", 4}};
static const struct word sections[] = {{"bridge", 1}, {"domain", 2}, {"ip", 3}, {"ip-dhcp-host", 4},
	{"ip-dhcp-range", 5}, {"forward", 6}, {"forward-interface", 7}, {"forward-pf", 8},
	{"portgroup", 9}, {"dns-host", 10}, {"dns-txt", 11}, {"dns-srv", 12},
	{"port-forward", SECTION_PORT_FORWARD}};

/* 0: unknown. */
static uint32_t number_of(const struct word *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (streq(words[i].word, word))
			return words[i].number;
	return 0;
}

/* --config, --live, --current: 0 with the flags, or -EINVAL, printed. */
static int affected(struct ctl *ctl, const struct args *args, uint32_t *ret)
{
	if (args_flag(args, "current") && (args_flag(args, "live") || args_flag(args, "config")))
		return ctl_error(ctl, "--current must be specified exclusively");
	*ret = (args_flag(args, "live") ? UPDATE_LIVE : 0) |
		(args_flag(args, "config") ? UPDATE_CONFIG : 0);
	return 0;
}

static int is_active(struct ctl *ctl, const char *network, bool *ret)
{
	_cleanup_(json_putp) struct json_object *n = NULL;
	int r = remote_call_one(ctl, "GetNetwork", &n, "s", network);

	if (r == 0)
		*ret = json_flag(n, "active");
	return r;
}

struct update {
	const char *network;
	uint32_t command, section, flags;
	uint32_t parent_index; /* ANY_PARENT: none was given */
	const char *xml, *source;
};

static int call(struct ctl *ctl, const struct update *u)
{
	if (remote_call(ctl, "UpdateNetwork", CTL_CALL_TIMEOUT_USEC, NULL, "suuussu", u->network,
		    u->command, u->section, u->parent_index, u->xml, u->source, u->flags) == 0)
		return 0;
	if (ctl->error_code && streq(ctl->error_code, "NoNetwork"))
		return ctl_fail(ctl, "failed to get network '%s'", u->network);
	return ctl_fail(ctl, "Failed to update network %s", u->network);
}

static int say(struct ctl *ctl, const struct update *u)
{
	bool live = u->flags & UPDATE_LIVE, config = u->flags & UPDATE_CONFIG;
	struct json_object *o;

	if (!live && !config) {
		if (is_active(ctl, u->network, &live) < 0)
			return ctl_report(ctl);
		config = !live;
	}
	if (!ctl->json) {
		/* virsh's, which ends no line. */
		ctl_print(ctl, "Updated network %s %s", u->network,
			live && config ? "persistent config and live state"
				: live ? "live state"
				       : "persistent config");
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(o, "network", json_object_new_string(u->network));
	(void)json_object_object_add(o, "action", json_object_new_string("updated"));
	(void)json_object_object_add(o, "live", json_object_new_boolean(live));
	(void)json_object_object_add(o, "config", json_object_new_boolean(config));
	return ctl_json(ctl, o);
}

static int run(struct ctl *ctl, const struct update *u)
{
	int r = call(ctl, u);

	return r < 0 ? r : say(ctl, u);
}

int verb_net_update(struct ctl *ctl, const struct args *args)
{
	const char *command = args_string(args, "command"), *section = args_string(args, "section");
	struct update u = {.network = args_string(args, "network"),
		.command = number_of(commands, ARRAY_SIZE(commands), command),
		.section = number_of(sections, ARRAY_SIZE(sections), section),
		.parent_index = ANY_PARENT,
		.xml = args_string(args, "xml"),
		.source = "xml"};
	_cleanup_(freep) char *file = NULL;
	const char *parent = args_string(args, "parent-index");
	uint64_t n;
	int r;

	if (!u.command)
		return ctl_error(ctl, "unrecognized command name '%s'", command);
	if (!u.section)
		return ctl_error(ctl, "unrecognized section name '%s'", section);
	if (parent && !streq(parent, "-1")) {
		if (parse_u64(parent, INT32_MAX, &n) < 0)
			return ctl_error(ctl, "malformed parent-index argument");
		u.parent_index = (uint32_t)n;
	}
	if (affected(ctl, args, &u.flags) < 0)
		return -EINVAL;
	if (*u.xml != '<') {
		r = xml_file_read(ctl, u.xml, &file);
		if (r < 0)
			return r;
		u.source = xml_file_source(u.xml);
		u.xml = file;
	}
	return run(ctl, &u);
}

/* Port forwards. */

struct attribute {
	const char *name, *value; /* NULL: not given */
};

/* The element; what could end its attributes is no value of any. The caller frees it. */
static int forward_xml(struct ctl *ctl, const struct attribute *attributes, size_t n, char **ret)
{
	size_t len = 0;
	FILE *f = open_memstream(ret, &len);
	bool bad = false;

	if (!f)
		return ctl_error(ctl, "out of memory");
	(void)fputs("<vmmd:forward xmlns:vmmd='" VMMD_XML_NS_NETWORK "'", f);
	for (size_t i = 0; i < n; i++)
		if (attributes[i].value) {
			bad = bad || strpbrk(attributes[i].value, "<>&'\"");
			(void)fprintf(f, " %s='%s'", attributes[i].name, attributes[i].value);
		}
	(void)fputs("/>", f);
	if (fclose(f) != 0)
		return ctl_error(ctl, "out of memory");
	return bad ? ctl_error(ctl, "a port or an address holds a character of XML") : 0;
}

static int change_forward(struct ctl *ctl, const struct args *args, const char *command)
{
	struct update u = {.network = args_string(args, "network"),
		.command = number_of(commands, ARRAY_SIZE(commands), command),
		.section = SECTION_PORT_FORWARD,
		.parent_index = ANY_PARENT,
		.source = args->verb->name};
	bool add = streq(command, "add");
	const struct attribute attributes[] = {
		{"proto", args_string(args, "proto")},
		{"address", args_string(args, "address")},
		{"port", args_string(args, "port")},
		{"to", add ? args_string(args, "to") : NULL},
		{"toPort", add ? args_string(args, "to-port") : NULL},
	};
	_cleanup_(freep) char *xml = NULL;

	if (affected(ctl, args, &u.flags) < 0 ||
		forward_xml(ctl, attributes, ARRAY_SIZE(attributes), &xml) < 0)
		return -EINVAL;
	u.xml = xml;
	return run(ctl, &u);
}

int verb_net_forward_add(struct ctl *ctl, const struct args *args)
{
	return change_forward(ctl, args, "add");
}

int verb_net_forward_delete(struct ctl *ctl, const struct args *args)
{
	return change_forward(ctl, args, "delete");
}

int verb_net_forward_list(struct ctl *ctl, const struct args *args)
{
	static const char *const headers[] = {"Protocol", "Address", "Port", "To", "To port"};
	_cleanup_(table_freep) struct table *table = NULL;
	_cleanup_(json_putp) struct json_object *list = NULL;
	const char *network = args_string(args, "network");

	if (remote_call_one(ctl, "ListNetworkForwards", &list, "su", network,
		    args_flag(args, "inactive") ? XML_INACTIVE : 0) < 0)
		return ctl->error_code && streq(ctl->error_code, "NoNetwork")
			? ctl_fail(ctl, "failed to get network '%s'", network)
			: ctl_report(ctl);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(list));
	table = table_new(headers, ARRAY_SIZE(headers));
	for (size_t i = 0; table && i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		const char *address = json_string(o, "address", "");
		char port[24], to_port[24];
		const char *cells[] = {json_string(o, "proto", ""), *address ? address : "-", port,
			json_string(o, "to", ""), to_port};

		(void)snprintf(port, sizeof(port), "%lld", (long long)json_number(o, "port", 0));
		(void)snprintf(
			to_port, sizeof(to_port), "%lld", (long long)json_number(o, "to_port", 0));
		if (table_add_row(table, cells) < 0)
			return ctl_error(ctl, "out of memory");
	}
	if (!table)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}
