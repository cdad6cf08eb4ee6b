/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Verbs about networks, with virsh's words. A network argument is a name or a UUID.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "client/redefine.h"
#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"
#include "client/xml-file.h"
#include "vmm-core/base/strutil.h"

const struct verb_option net_autostart_options[] = {
	NETWORK_OPTION(COMPLETE_NETWORK),
	FLAG("disable", "disable autostarting"),
	{},
};

const struct verb_option net_file_options[] = {
	{.name = "file",
		.type = OPTION_DATA,
		.completion = COMPLETE_FILE,
		.required = true,
		.help = "file containing an XML network description; - for standard input"},
	FLAG("validate", "refuse elements that vmmd does not know"),
	{},
};

const struct verb_option net_dhcp_leases_options[] = {
	NETWORK_OPTION(COMPLETE_ACTIVE_NETWORK),
	STRING("mac", "MAC address"),
	{},
};

const struct verb_option net_dumpxml_options[] = {
	NETWORK_OPTION(COMPLETE_NETWORK),
	FLAG("inactive", "show inactive defined XML"),
	{},
};

const struct verb_option net_edit_options[] = {
	NETWORK_OPTION(COMPLETE_NETWORK),
	FLAG("skip-validate", "accept elements that vmmd does not know"),
	{},
};

const struct verb_option net_list_options[] = {
	FLAG("inactive", "list inactive networks"),
	FLAG("all", "list inactive & active networks"),
	FLAG("persistent", "list persistent networks"),
	FLAG("transient", "list transient networks"),
	FLAG("autostart", "list networks with autostart enabled"),
	FLAG("no-autostart", "list networks with autostart disabled"),
	FLAG("uuid", "list uuid's only"),
	FLAG("name", "list network names only"),
	FLAG("table", "list table (default)"),
	{},
};

#define DEFINE_STRICT 1U
#define XML_INACTIVE  1U

static const char *yes_no(struct json_object *o, const char *key)
{
	return json_flag(o, key) ? "yes" : "no";
}

static int network_option(struct ctl *ctl, const struct args *args, const char **ret)
{
	*ret = args_string(args, "network");
	if (!*ret || !**ret)
		return ctl_error(ctl, "Failed to get option 'network': Option argument is empty");
	return 0;
}

/* After a failed call about one network: an unknown one reads as virsh has it, and whatever was wanted. */
#define FAIL_NETWORK(ctl, name, ...)                                                               \
	(ctl_is_unknown_network(ctl) ? ctl_fail((ctl), "failed to get network '%s'", (name))       \
				     : ctl_fail((ctl), __VA_ARGS__))

static int get_network(struct ctl *ctl, const struct args *args, struct json_object **ret)
{
	const char *name;
	int r = network_option(ctl, args, &name);

	if (r < 0)
		return r;
	if (remote_call_one(ctl, "GetNetwork", ret, "s", name) < 0)
		return ctl_report_network(ctl, name);
	return 0;
}

/* The sentence, or {"network": name, "action": action}. */
static int changed(struct ctl *ctl, const char *name, const char *action, const char *sentence)
{
	struct json_object *o;

	if (!ctl->json) {
		ctl_extra(ctl, "Network %s %s\n", name, sentence);
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(o, "network", json_object_new_string(name));
	(void)json_object_object_add(o, "action", json_object_new_string(action));
	return ctl_json(ctl, o);
}

/* Lists. */

static bool is_wanted(const struct args *args, struct json_object *n)
{
	bool active = json_flag(n, "active"), persistent = json_flag(n, "persistent");
	bool autostart = json_flag(n, "autostart");

	if (!args_flag(args, "all") && active == args_flag(args, "inactive"))
		return false;
	if (args_flag(args, "persistent") != args_flag(args, "transient") &&
		persistent != args_flag(args, "persistent"))
		return false;
	return args_flag(args, "autostart") == args_flag(args, "no-autostart") ||
		autostart == args_flag(args, "autostart");
}

static int compare_names(const void *a, const void *b)
{
	struct json_object *x = *(struct json_object *const *)a;
	struct json_object *y = *(struct json_object *const *)b;

	return strcasecmp(json_string(x, "name", ""), json_string(y, "name", ""));
}

static int print_networks(struct ctl *ctl, struct json_object *list)
{
	static const char *const headers[] = {"Name", "State", "Autostart", "Persistent"};
	_cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));

	for (size_t i = 0; table && i < json_object_array_length(list); i++) {
		struct json_object *n = json_object_array_get_idx(list, i);
		const char *cells[] = {json_string(n, "name", ""),
			json_flag(n, "active") ? "active" : "inactive", yes_no(n, "autostart"),
			yes_no(n, "persistent")};

		if (table_add_row(table, cells) < 0)
			return ctl_error(ctl, "out of memory");
	}
	if (!table)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

int verb_net_list(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *all = NULL, *list = json_object_new_array();
	const char *bare = args_flag(args, "name") ? "name"
		: args_flag(args, "uuid")          ? "uuid"
						   : NULL;

	if (ctl_exclusive(ctl, args, "name", "uuid") < 0)
		return -EINVAL;
	if (remote_call_one(ctl, "ListNetworks", &all, "") < 0)
		return ctl_fail(ctl, "Failed to list networks");
	for (size_t i = 0; list && i < json_object_array_length(all); i++) {
		struct json_object *n = json_object_array_get_idx(all, i);

		if (is_wanted(args, n))
			(void)json_object_array_add(list, json_object_get(n));
	}
	if (!list)
		return ctl_error(ctl, "out of memory");
	json_object_array_sort(list, compare_names);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(list));
	if (!bare)
		return print_networks(ctl, list);
	for (size_t i = 0; i < json_object_array_length(list); i++)
		ctl_print(ctl, "%s\n", json_string(json_object_array_get_idx(list, i), bare, ""));
	return 0;
}

/* Behind what virsh prints: "Team: port-id, 1 of 2 uplinks up". */
static void print_team_line(struct ctl *ctl, struct json_object *n)
{
	struct json_object *team, *up;
	int64_t uplinks;

	if (!json_object_object_get_ex(n, "team", &team))
		return;
	uplinks = json_number(team, "uplinks", 0);
	ctl_print(ctl, "%-15s %s, ", "Team:", json_string(team, "policy", ""));
	if (json_object_object_get_ex(team, "up", &up))
		ctl_print(ctl, "%" PRId64 " of ", json_number(team, "up", 0));
	ctl_print(ctl, "%" PRId64 " uplink%s%s\n", uplinks, uplinks == 1 ? "" : "s",
		json_object_object_get_ex(team, "up", &up) ? " up" : "");
}

int verb_net_info(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *n = NULL;
	int r = get_network(ctl, args, &n);

	if (r < 0)
		return r;
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(n));
	ctl_print(ctl, "%-15s %s\n", "Name:", json_string(n, "name", ""));
	ctl_print(ctl, "%-15s %s\n", "UUID:", json_string(n, "uuid", ""));
	ctl_print(ctl, "%-15s %s\n", "Active:", yes_no(n, "active"));
	ctl_print(ctl, "%-15s %s\n", "Persistent:", yes_no(n, "persistent"));
	ctl_print(ctl, "%-15s %s\n", "Autostart:", yes_no(n, "autostart"));
	if (*json_string(n, "bridge", ""))
		ctl_print(ctl, "%-15s %s\n", "Bridge:", json_string(n, "bridge", ""));
	print_team_line(ctl, n);
	if (*json_string(n, "trouble", ""))
		ctl_print(ctl, "%-15s %s\n", "Trouble:", json_string(n, "trouble", ""));
	return 0;
}

static int one_word(struct ctl *ctl, const struct args *args, const char *key)
{
	_cleanup_(json_putp) struct json_object *n = NULL;
	struct json_object *o;
	int r = get_network(ctl, args, &n);

	if (r < 0)
		return r;
	if (!ctl->json) {
		ctl_print(ctl, "%s\n", json_string(n, key, ""));
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(
		o, "network", json_object_new_string(json_string(n, "name", "")));
	(void)json_object_object_add(o, key, json_object_new_string(json_string(n, key, "")));
	return ctl_json(ctl, o);
}

int verb_net_name(struct ctl *ctl, const struct args *args)
{
	return one_word(ctl, args, "name");
}

int verb_net_uuid(struct ctl *ctl, const struct args *args)
{
	return one_word(ctl, args, "uuid");
}

int verb_net_port_list(struct ctl *ctl, const struct args *args)
{
	static const char *const headers[] = {"Port", "Domain", "Interface", "MAC", "State"};
	_cleanup_(table_freep) struct table *table = NULL;
	_cleanup_(json_putp) struct json_object *ports = NULL;
	const char *name;
	int r = network_option(ctl, args, &name);

	if (r < 0)
		return r;
	if (remote_call_one(ctl, "ListNetworkPorts", &ports, "s", name) < 0)
		return ctl_report_network(ctl, name);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(ports));
	table = table_new(headers, ARRAY_SIZE(headers));
	for (size_t i = 0; table && i < json_object_array_length(ports); i++) {
		struct json_object *p = json_object_array_get_idx(ports, i);
		char number[24];
		const char *cells[] = {number, json_string(p, "domain", ""),
			json_string(p, "target", ""), json_string(p, "mac", ""),
			json_flag(p, "linked") ? "linked" : "waiting"};

		(void)snprintf(
			number, sizeof(number), "%lld", (long long)json_number(p, "port", 0));
		if (table_add_row(table, cells) < 0)
			return ctl_error(ctl, "out of memory");
	}
	if (!table)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

int verb_net_dhcp_leases(struct ctl *ctl, const struct args *args)
{
	static const char *const headers[] = {"Expiry Time", "MAC address", "Protocol",
		"IP address", "Hostname", "Client ID or DUID"};
	_cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));
	_cleanup_(json_putp) struct json_object *leases = NULL;
	const char *name, *mac = args_string(args, "mac");
	int r = network_option(ctl, args, &name);

	if (r < 0)
		return r;
	if (remote_call_one(ctl, "ListNetworkLeases", &leases, "s", name) < 0)
		return FAIL_NETWORK(ctl, name, "Failed to get leases info for %s", name);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(leases));
	for (size_t i = 0; table && i < json_object_array_length(leases); i++) {
		struct json_object *l = json_object_array_get_idx(leases, i);
		time_t expiry = (time_t)json_number(l, "expiry_s", 0);
		char when[32] = "-", address[80];
		struct tm tm;
		const char *cells[] = {when, or_dash(json_string(l, "mac", "")),
			json_string(l, "family", ""), address,
			or_dash(json_string(l, "hostname", "")),
			or_dash(json_string(l, "client_id", ""))};

		if (mac && strcasecmp(mac, json_string(l, "mac", "")) != 0)
			continue;
		if (expiry && localtime_r(&expiry, &tm))
			(void)strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
		(void)snprintf(address, sizeof(address), "%s/%lld", json_string(l, "address", ""),
			(long long)json_number(l, "prefix", 0));
		if (table_add_row(table, cells) < 0)
			return ctl_error(ctl, "out of memory");
	}
	if (!table)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

/* Definitions. */

static int define(struct ctl *ctl, const struct args *args, const char *method, uint64_t timeout,
	const char *done, const char *doing)
{
	_cleanup_(json_putp) struct json_object *reply = NULL;
	_cleanup_(freep) char *xml = NULL;
	const char *file = args_string(args, "file"), *name;
	struct json_object *o;
	int r;

	r = xml_file_read(ctl, file, &xml);
	if (r < 0)
		return r;
	r = remote_call(ctl, method, timeout, &reply, "ssu", xml, xml_file_source(file),
		args_flag(args, "validate") ? DEFINE_STRICT : 0);
	if (r < 0)
		return ctl_fail(ctl, "Failed to %s network from %s", doing, file);
	name = json_object_get_string(json_object_array_get_idx(reply, 0)) ?: "";
	if (ctl->json) {
		o = json_object_new_object();
		(void)json_object_object_add(o, "network", json_object_new_string(name));
		(void)json_object_object_add(o, "action", json_object_new_string(done));
		(void)json_object_object_add(
			o, "report", json_object_get(json_object_array_get_idx(reply, 1)));
		return ctl_json(ctl, o);
	}
	report_notes(ctl, json_object_array_get_idx(reply, 1), file);
	ctl_extra(ctl, "Network %s %s from %s\n", name, done, file);
	return 0;
}

int verb_net_define(struct ctl *ctl, const struct args *args)
{
	return define(ctl, args, "DefineNetwork", CTL_CALL_TIMEOUT_USEC, "defined", "define");
}

int verb_net_create(struct ctl *ctl, const struct args *args)
{
	return define(ctl, args, "CreateNetwork", CTL_START_TIMEOUT_USEC, "created", "create");
}

int verb_net_dumpxml(struct ctl *ctl, const struct args *args)
{
	_cleanup_(freep) char *xml = NULL;
	struct json_object *o;
	const char *name;
	int r = network_option(ctl, args, &name);

	if (r < 0)
		return r;
	if (redefine_get_xml(ctl, "GetNetworkXml", name,
		    args_flag(args, "inactive") ? XML_INACTIVE : 0, &xml) < 0)
		return ctl_report_network(ctl, name);
	if (!ctl->json) {
		ctl_print(ctl, "%s", xml);
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(o, "network", json_object_new_string(name));
	(void)json_object_object_add(o, "xml", json_object_new_string(xml));
	return ctl_json(ctl, o);
}

int verb_net_edit(struct ctl *ctl, const struct args *args)
{
	static const struct redefine_methods methods = {"GetNetworkXml", "DefineNetwork"};
	_cleanup_(json_putp) struct json_object *n = NULL;
	_cleanup_(freep) char *defined = NULL;
	const char *name;
	int r = get_network(ctl, args, &n);

	if (r < 0)
		return r;
	name = json_string(n, "name", "");
	r = redefine(ctl, &methods, name, json_string(n, "uuid", name),
		!args_flag(args, "skip-validate"), &defined);
	if (r < 0)
		return r;
	return defined ? changed(ctl, defined, "edited", "XML configuration edited.")
		       : changed(ctl, name, "unchanged", "XML configuration not changed.");
}

/* Verbs that are one call and one sentence. */
static const struct simple {
	const char *verb, *method;
	const char *action, *sentence; /* after "Network x " */
	const char *failure;           /* before " network x" */
} simples[] = {
	{"net-start", "StartNetwork", "started", "started", "start"},
	{"net-destroy", "DestroyNetwork", "destroyed", "destroyed", "destroy"},
	{"net-undefine", "UndefineNetwork", "undefined", "has been undefined", "undefine"},
};

int verb_net_simple(struct ctl *ctl, const struct args *args)
{
	const struct simple *s;
	const char *name;
	int r = network_option(ctl, args, &name);

	if (r < 0)
		return r;
	FOREACH_ELEMENT (s, simples)
		if (streq(s->verb, args->verb->name))
			break;
	assert(s < simples + ARRAY_SIZE(simples));
	if (remote_call(ctl, s->method, CTL_START_TIMEOUT_USEC, NULL, "s", name) < 0)
		return FAIL_NETWORK(ctl, name, "Failed to %s network %s", s->failure, name);
	return changed(ctl, name, s->action, s->sentence);
}

int verb_net_autostart(struct ctl *ctl, const struct args *args)
{
	bool on = !args_flag(args, "disable");
	const char *name;
	int r = network_option(ctl, args, &name);

	if (r < 0)
		return r;
	r = remote_call(ctl, "SetNetworkAutostart", CTL_CALL_TIMEOUT_USEC, NULL, "sb", name, on);
	if (r < 0)
		return FAIL_NETWORK(ctl, name,
			on ? "failed to mark network %s as autostarted"
			   : "failed to unmark network %s as autostarted",
			name);
	return changed(ctl, name, on ? "autostart" : "no-autostart",
		on ? "marked as autostarted" : "unmarked as autostarted");
}
