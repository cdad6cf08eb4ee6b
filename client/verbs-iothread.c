/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Iothreads: iothreadinfo, iothreadadd, iothreaddel, iothreadpin and iothreadset, with virsh's words.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

#define AFFECT_OPTIONS                                                                             \
	FLAG("config", "affect next boot"), FLAG("live", "affect running domain"),                 \
		FLAG("current", "affect current domain")

const struct verb_option iothreadinfo_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	FLAG("config", "get value to be used on next boot"),
	FLAG("live", "get value from running domain"),
	FLAG("current", "get value according to current domain state"),
	{},
};

const struct verb_option iothread_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	WORD("id", "iothread for the new IOThread, or of the one to delete"),
	AFFECT_OPTIONS,
	{},
};

const struct verb_option iothreadpin_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	WORD("iothread", "IOThread ID number"),
	WORD("cpulist", "host cpu number(s) to set"),
	AFFECT_OPTIONS,
	{},
};

const struct verb_option iothreadset_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	WORD("id", "iothread id of existing IOThread"),
	NUMBER("poll-max-ns", "set the maximum IOThread polling time in ns (0: it does not poll)"),
	NUMBER("poll-grow", "set the value to increase the IOThread polling time"),
	NUMBER("poll-shrink", "set the value for reduction of the IOThread polling time"),
	NUMBER("thread-pool-min", "lower boundary for worker thread pool"),
	NUMBER("thread-pool-max", "upper boundary for worker thread pool"),
	FLAG("live", "affect running domain"),
	FLAG("current", "affect current domain"),
	{},
};

static int read_id(struct ctl *ctl, const struct args *args, const char *option, uint32_t *ret)
{
	uint64_t id = 0;

	if (ctl_number_option(ctl, args, option, INT32_MAX, 0, &id) < 0)
		return -EINVAL;
	if (!id)
		return ctl_error(ctl, "Invalid IOThread id value: '0'");
	*ret = (uint32_t)id;
	return 0;
}

static int list_iothreads(
	struct ctl *ctl, const char *domain, uint32_t flags, struct json_object **ret)
{
	return remote_call_one(ctl, "ListIothreads", ret, "su", domain, flags);
}

static int show(struct ctl *ctl, struct json_object *list)
{
	static const char *const headers[] = {"IOThread ID", "CPU Affinity"};
	_cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));

	for (size_t i = 0; table && i < json_object_array_length(list); i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		char number[24];

		(void)snprintf(number, sizeof(number), "%" PRId64, json_number(o, "iothread", 0));
		if (table_add_row(table,
			    (const char *const[]){number,
				    json_string(o, "affinity", json_string(o, "pin", ""))}) < 0)
			return -ENOMEM;
	}
	if (!table)
		return -ENOMEM;
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

int verb_iothreadinfo(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *list = NULL;
	const char *domain;
	uint32_t flags;

	if (verb_affect_flags(ctl, args, &flags) < 0 || ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	if (list_iothreads(ctl, domain, flags, &list) < 0)
		return ctl_fail_domain(ctl, domain, "Unable to get domain IOThreads information");
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(list));
	if (json_object_array_length(list))
		return show(ctl, list);
	ctl_extra(ctl, "No IOThreads found for the domain\n");
	return 0;
}

/* iothreadadd, iothreaddel */
int verb_iothread(struct ctl *ctl, const struct args *args)
{
	bool add = streq(args->verb->name, "iothreadadd");
	const char *domain;
	uint32_t flags, id = 0;

	if (verb_affect_flags(ctl, args, &flags) < 0 || ctl_domain_option(ctl, args, &domain) < 0 ||
		read_id(ctl, args, "id", &id) < 0)
		return -EINVAL;
	if (remote_call(ctl, add ? "AddIothread" : "DeleteIothread", CTL_CALL_TIMEOUT_USEC, NULL,
		    "suu", domain, id, flags) < 0)
		return ctl_report_domain(ctl, domain);
	return ctl_changed(ctl, domain, args->verb->name, "%s", "");
}

int verb_iothreadpin(struct ctl *ctl, const struct args *args)
{
	const char *list = args_string(args, "cpulist"), *domain;
	uint32_t flags, id = 0;

	if (verb_affect_flags(ctl, args, &flags) < 0 || ctl_domain_option(ctl, args, &domain) < 0 ||
		read_id(ctl, args, "iothread", &id) < 0 || verb_cpulist(ctl, list, &list) < 0)
		return -EINVAL;
	if (remote_call(ctl, "SetIothreadPin", CTL_CALL_TIMEOUT_USEC, NULL, "susu", domain, id,
		    list, flags) < 0)
		return ctl_report_domain(ctl, domain);
	return ctl_changed(ctl, domain, "pin", "%s", "");
}

static bool has_iothread(struct json_object *list, uint32_t id)
{
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (json_number(json_object_array_get_idx(list, i), "iothread", 0) == id)
			return true;
	return false;
}

/* There is one thing that can be said of an iothread here, and it is so already: it does not poll. */
int verb_iothreadset(struct ctl *ctl, const struct args *args)
{
	static const char *const names[] = {
		"poll-max-ns", "poll-grow", "poll-shrink", "thread-pool-min", "thread-pool-max"};
	_cleanup_(json_putp) struct json_object *list = NULL;
	const char *domain;
	uint64_t value, rest = 0;
	uint32_t id = 0;
	bool any = false;

	if (ctl_exclusive(ctl, args, "current", "live") < 0 ||
		ctl_domain_option(ctl, args, &domain) < 0 || read_id(ctl, args, "id", &id) < 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (ctl_number_option(ctl, args, names[i], UINT64_MAX, 0, &value) < 0)
			return -EINVAL;
		any = any || args_string(args, names[i]);
		rest |= value;
	}
	if (!any)
		return ctl_error(ctl, "Not enough arguments passed, nothing to set");
	if (list_iothreads(ctl, domain, 1U, &list) < 0)
		return ctl_report_domain(ctl, domain);
	if (!has_iothread(list, id))
		return ctl_error(ctl, "invalid argument: cannot find IOThread '%u'", id);
	if (rest)
		return ctl_error(ctl,
			"vmmd's iothreads sleep until there is something to do and have no pool "
			"of threads: the only value is 0");
	return ctl_changed(ctl, domain, "iothreadset", "%s", "");
}
