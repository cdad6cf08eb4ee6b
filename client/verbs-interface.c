/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Verbs about the vNICs of a domain, with virsh's words. An interface argument is its target ("vnet0") or its address.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

const struct verb_option domiflist_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	FLAG("inactive", "get inactive rather than running configuration"),
	{},
};

const struct verb_option domifaddr_options[] = {
	DOMAIN_OPTION(COMPLETE_ACTIVE_DOMAIN),
	STRING("interface", "network interface name"),
	FLAG("full", "always display names and MACs of interfaces"),
	STRING("source", "address source: 'lease' or 'arp' (both are what the network saw)"),
	{},
};

const struct verb_option domifstat_options[] = {
	DOMAIN_OPTION(COMPLETE_ACTIVE_DOMAIN),
	INTERFACE_OPTION,
	FLAG("reasons", "also print why frames were dropped, and how many for each reason"),
	{},
};

const struct verb_option domif_getlink_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	INTERFACE_OPTION,
	FLAG("config", "Get persistent interface state"),
	{},
};

const struct verb_option domif_setlink_options[] = {
	DOMAIN_OPTION(COMPLETE_ACTIVE_DOMAIN),
	INTERFACE_OPTION,
	{.name = "state",
		.type = OPTION_DATA,
		.required = true,
		.help = "new state of the device: up or down"},
	{},
};

#define IF_INACTIVE 1U

static int get_interfaces(struct ctl *ctl, const struct args *args, uint32_t flags,
	const char **ret_domain, struct json_object **ret)
{
	int r = ctl_domain_option(ctl, args, ret_domain);

	if (r < 0)
		return r;
	if (remote_call_one(ctl, "ListDomainInterfaces", ret, "su", *ret_domain, flags) < 0)
		return ctl_report_domain(ctl, *ret_domain);
	return 0;
}

/* The one that 'key' names; borrowed from 'list'. NULL: there is none. */
static struct json_object *find_interface(const char *key, struct json_object *list)
{
	bool is_mac = strchr(key, ':') != NULL;

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *nic = json_object_array_get_idx(list, i);

		if (strcasecmp(json_string(nic, is_mac ? "mac" : "target", ""), key) == 0)
			return nic;
	}
	return NULL;
}

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

int verb_domiflist(struct ctl *ctl, const struct args *args)
{
	static const char *const headers[] = {"Interface", "Type", "Source", "Model", "MAC"};
	_cleanup_(table_freep) struct table *table = NULL;
	_cleanup_(json_putp) struct json_object *list = NULL;
	const char *domain;
	int r = get_interfaces(
		ctl, args, args_flag(args, "inactive") ? IF_INACTIVE : 0, &domain, &list);

	if (r < 0)
		return r;
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(list));
	table = table_new(headers, ARRAY_SIZE(headers));
	for (size_t i = 0; table && i < json_object_array_length(list); i++) {
		struct json_object *nic = json_object_array_get_idx(list, i);
		const char *cells[] = {or_dash(json_string(nic, "target", "")),
			json_string(nic, "type", ""), or_dash(json_string(nic, "source", "")),
			json_string(nic, "model", ""), json_string(nic, "mac", "")};

		if (table_add_row(table, cells) < 0)
			return ctl_error(ctl, "out of memory");
	}
	if (!table)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

/* virsh's widths, which are not its tables'. */
static void print_address(struct ctl *ctl, struct json_object *a, bool named)
{
	ctl_print(ctl, " %-10s %-17s    %-12s %s/%lld\n",
		named ? json_string(a, "target", "") : "-", named ? json_string(a, "mac", "") : "-",
		json_string(a, "family", ""), json_string(a, "address", ""),
		(long long)json_number(a, "prefix", 0));
}

int verb_domifaddr(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *list = NULL;
	const char *source = args_string(args, "source"), *only = args_string(args, "interface");
	const char *domain, *last = "";
	int r = ctl_domain_option(ctl, args, &domain);

	if (r < 0)
		return r;
	if (source && !streq(source, "lease") && !streq(source, "arp"))
		return streq(source, "agent")
			? ctl_error(ctl,
				  "Operation not supported: there is no guest agent; "
				  "write --source arp")
			: ctl_error(ctl, "Unknown data source '%s'", source);
	if (remote_call_one(ctl, "ListInterfaceAddresses", &list, "s", domain) < 0)
		return ctl_fail_domain(ctl, domain, "Failed to query for interfaces addresses");
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(list));
	ctl_extra(ctl, " %-10s %-20s %-8s     %s\n%s\n", "Name", "MAC address", "Protocol",
		"Address",
		"-------------------------------------------------------------------------------");
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *a = json_object_array_get_idx(list, i);
		const char *target = json_string(a, "target", "");

		if (only && !streq(only, target))
			continue;
		print_address(ctl, a, args_flag(args, "full") || !streq(last, target));
		last = target;
	}
	return 0;
}

/* "rx_drop_full": call 'found' for each reason for which frames were dropped. */
static void each_reason(struct json_object *nic,
	void (*found)(void *opaque, const char *key, struct json_object *value), void *opaque)
{
	json_object_object_foreach(nic, key, value) if (strncmp(key, "rx_drop_", 8) == 0 ||
		strncmp(key, "tx_drop_", 8) == 0) found(opaque, key, value);
}

static void add_reason(void *document, const char *key, struct json_object *value)
{
	(void)json_object_object_add(document, key, json_object_get(value));
}

struct reasons {
	struct ctl *ctl;
	const char *interface;
};

static void print_reason(void *opaque, const char *key, struct json_object *value)
{
	const struct reasons *r = opaque;

	ctl_print(
		r->ctl, "%s %s %lld\n", r->interface, key, (long long)json_object_get_int64(value));
}

/* In virsh's order; there is nothing that could be in error here but what was dropped. */
int verb_domifstat(struct ctl *ctl, const struct args *args)
{
	static const char *const keys[] = {"rx_bytes", "rx_packets", "rx_errs", "rx_drop",
		"tx_bytes", "tx_packets", "tx_errs", "tx_drop"};
	static const char *const members[] = {"rx_bytes", "rx_packets", NULL, "rx_dropped",
		"tx_bytes", "tx_packets", NULL, "tx_dropped"};
	_cleanup_(json_putp) struct json_object *list = NULL;
	const char *domain, *key = args_string(args, "interface");
	struct json_object *nic, *o;
	int r = get_interfaces(ctl, args, 0, &domain, &list);

	if (r < 0)
		return r;
	nic = find_interface(key, list);
	if (!nic) {
		(void)ctl_error(ctl, "Failed to get interface stats %s %s", domain, key);
		return ctl_error(ctl, "invalid argument: '%s' is not a known interface", key);
	}
	if (ctl->json) {
		o = json_object_new_object();
		(void)json_object_object_add(o, "interface", json_object_new_string(key));
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			(void)json_object_object_add(o, keys[i],
				json_object_new_int64(
					members[i] ? json_number(nic, members[i], 0) : 0));
		each_reason(nic, add_reason, o);
		return ctl_json(ctl, o);
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		ctl_print(ctl, "%s %s %lld\n", key, keys[i],
			(long long)(members[i] ? json_number(nic, members[i], 0) : 0));
	if (args_flag(args, "reasons"))
		each_reason(nic, print_reason, &(struct reasons){ctl, key});
	return 0;
}

int verb_domif_getlink(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *list = NULL;
	const char *domain, *key = args_string(args, "interface");
	struct json_object *nic, *o;
	int r = get_interfaces(
		ctl, args, args_flag(args, "config") ? IF_INACTIVE : 0, &domain, &list);

	if (r < 0)
		return r;
	nic = find_interface(key, list);
	if (!nic)
		return ctl_error(ctl, "Interface (%s: %s) not found.",
			strchr(key, ':') ? "mac" : "dev", key);
	if (ctl->json) {
		o = json_object_new_object();
		(void)json_object_object_add(o, "interface", json_object_new_string(key));
		(void)json_object_object_add(
			o, "link", json_object_new_string(json_flag(nic, "link") ? "up" : "down"));
		return ctl_json(ctl, o);
	}
	ctl_print(ctl, "%s %s\n", key, json_flag(nic, "link") ? "up" : "down");
	return 0;
}

int verb_domif_setlink(struct ctl *ctl, const struct args *args)
{
	const char *state = args_string(args, "state"), *domain;
	int r = ctl_domain_option(ctl, args, &domain);

	if (r < 0)
		return r;
	if (!streq(state, "up") && !streq(state, "down"))
		return ctl_error(ctl, "invalid link state '%s'", state);
	r = remote_call(ctl, "SetInterfaceLink", CTL_CALL_TIMEOUT_USEC, NULL, "ssb", domain,
		args_string(args, "interface"), (int)streq(state, "up"));
	if (r < 0)
		return ctl_fail_domain(ctl, domain, "Failed to update interface link state");
	return ctl_changed(ctl, domain, "link", "Device updated successfully\n");
}
