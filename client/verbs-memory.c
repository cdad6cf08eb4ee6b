/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain's memory: setmem, setmaxmem, update-memory-device and dommemstat, with virsh's words; and dommmustat, which virsh does not have.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "client/remote.h"
#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

#define AFFECT_LIVE   (1U << 0)
#define AFFECT_CONFIG (1U << 1)

#define MAX_PERIOD_SEC 86400

#define AFFECT_OPTIONS                                                                             \
	FLAG("config", "affect next boot"), FLAG("live", "affect running domain"),                 \
		FLAG("current", "affect current domain")

const struct verb_option setmem_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	WORD("size", "new memory size, as scaled integer (default KiB)"),
	AFFECT_OPTIONS,
	{},
};

const struct verb_option setmaxmem_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	WORD("size", "new maximum memory size, as scaled integer (default KiB)"),
	AFFECT_OPTIONS,
	{},
};

const struct verb_option dommemstat_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	NUMBER("period", "period in seconds to set collection"),
	AFFECT_OPTIONS,
	{},
};

const struct verb_option update_memory_device_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	NAMED_STRING("alias", "memory device alias"),
	NUMBER("node", "memory device target node"),
	NAMED_STRING("requested-size",
		"new value of <requested/> size, as scaled integer (default KiB)"),
	AFFECT_OPTIONS,
	{},
};

const struct verb_option dommmustat_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	{},
};

static int affect_flags(struct ctl *ctl, const struct args *args, uint32_t *ret)
{
	if (ctl_exclusive(ctl, args, "current", "live") < 0 ||
		ctl_exclusive(ctl, args, "current", "config") < 0)
		return -EINVAL;
	*ret = (args_flag(args, "live") ? AFFECT_LIVE : 0) |
		(args_flag(args, "config") ? AFFECT_CONFIG : 0);
	return 0;
}

/* What a unit is in bytes, as libvirt reads them: nothing is KiB, "k" and "KiB" 1024, "KB" 1000. 0: there is none. */
static uint64_t unit_bytes(const char *unit)
{
	static const char prefixes[] = "kmgtpe";
	const char *prefix = *unit ? strchr(prefixes, *unit | 0x20) : NULL;
	uint64_t base, bytes = 1;

	if (!*unit)
		return 1024;
	if (strcasecmp(unit, "b") == 0 || strcasecmp(unit, "byte") == 0 ||
		strcasecmp(unit, "bytes") == 0)
		return 1;
	if (!prefix)
		return 0;
	if (!unit[1] || strcasecmp(unit + 1, "ib") == 0)
		base = 1024;
	else if (strcasecmp(unit + 1, "b") == 0)
		base = 1000;
	else
		return 0;
	for (const char *p = prefixes; p <= prefix; p++)
		bytes *= base;
	return bytes;
}

int verb_read_size(const char *text, uint64_t *ret_kib)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t unit = unit_bytes(text + digits), n = 0;
	char number[24];

	if (!digits || digits >= sizeof(number) || !unit)
		return -EINVAL;
	memcpy(number, text, digits);
	number[digits] = 0;
	if (parse_u64(number, UINT64_MAX / unit, &n) < 0)
		return -EINVAL;
	n *= unit;
	*ret_kib = n / 1024 + (n % 1024 != 0);
	return 0;
}

int verb_parse_size(struct ctl *ctl, const char *name, const char *text, uint64_t *ret_kib)
{
	if (verb_read_size(text, ret_kib) == 0)
		return 0;
	return ctl_error(ctl,
		"Scaled numeric value '%s' for <--%s> option is malformed or out of range", text,
		name);
}

static int set(struct ctl *ctl, const struct args *args, const char *method, const char *failed)
{
	const char *domain;
	uint32_t flags;
	uint64_t kib = 0;

	if (affect_flags(ctl, args, &flags) < 0 || ctl_domain_option(ctl, args, &domain) < 0 ||
		verb_parse_size(ctl, "size", args_string(args, "size"), &kib) < 0)
		return -EINVAL;
	if (remote_call(ctl, method, CTL_CALL_TIMEOUT_USEC, NULL, "stu", domain, kib, flags) < 0)
		return failed ? ctl_fail_domain(ctl, domain, "%s", failed)
			      : ctl_report_domain(ctl, domain);
	return ctl_changed(ctl, domain, args->verb->name, "%s", "");
}

int verb_setmem(struct ctl *ctl, const struct args *args)
{
	return set(ctl, args, "SetMemory", NULL);
}

int verb_setmaxmem(struct ctl *ctl, const struct args *args)
{
	return set(ctl, args, "SetMaxMemory", "Unable to change MaxMemorySize");
}

int verb_update_memory_device(struct ctl *ctl, const struct args *args)
{
	const char *domain, *alias = args_string(args, "alias");
	const char *size = args_string(args, "requested-size");
	uint64_t kib = 0, node = UINT32_MAX;
	uint32_t flags;

	if (affect_flags(ctl, args, &flags) < 0 || ctl_exclusive(ctl, args, "alias", "node") < 0 ||
		ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	if (!size)
		return ctl_error(ctl,
			"command 'update-memory-device' requires <--requested-size> "
			"option");
	if (verb_parse_size(ctl, "requested-size", size, &kib) < 0)
		return -EINVAL;
	if (args_string(args, "node") && parse_u64(args_string(args, "node"), INT32_MAX, &node) < 0)
		return ctl_error(ctl,
			"Numeric value '%s' for <--node> option is malformed or out of range",
			args_string(args, "node"));
	if (remote_call(ctl, "UpdateMemoryDevice", CTL_CALL_TIMEOUT_USEC, NULL, "ssutu", domain,
		    alias ? alias : "", (uint32_t)node, kib, flags) < 0)
		return ctl_fail_domain(ctl, domain, "Failed to update memory device");
	return ctl_changed(ctl, domain, "updated", "%s", "");
}

static int set_period(struct ctl *ctl, const struct args *args, const char *domain, uint32_t flags)
{
	uint64_t period;

	if (ctl_number_option(ctl, args, "period", MAX_PERIOD_SEC, 0, &period) < 0)
		return -EINVAL;
	if (ctl->readonly) {
		(void)ctl_set_error(ctl, "AccessDenied",
			"operation forbidden: read only access prevents %s", args->verb->name);
		return ctl_fail_domain(ctl, domain, "Unable to change balloon collection period.");
	}
	if (remote_call(ctl, "SetMemoryStatsPeriod", CTL_CALL_TIMEOUT_USEC, NULL, "suu", domain,
		    (uint32_t)period, flags) < 0)
		return ctl_fail_domain(ctl, domain, "Unable to change balloon collection period.");
	return ctl_changed(ctl, domain, "stats-period", "%s", "");
}

int verb_dommemstat(struct ctl *ctl, const struct args *args)
{
	/* virsh's, in libvirt's order. */
	static const char *const names[] = {"actual", "swap_in", "swap_out", "major_fault",
		"minor_fault", "unused", "available", "usable", "last_update", "disk_caches",
		"hugetlb_pgalloc", "hugetlb_pgfail", "rss"};
	_cleanup_(json_putp) struct json_object *stats = NULL;
	const char *domain;
	uint32_t flags;

	if (affect_flags(ctl, args, &flags) < 0 || ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	if (args_flag(args, "period"))
		return set_period(ctl, args, domain, flags);
	if (remote_call_one(ctl, "GetMemoryStats", &stats, "s", domain) < 0)
		return ctl_fail_domain(
			ctl, domain, "Failed to get memory statistics for domain %s", domain);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(stats));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (json_object_object_get_ex(stats, names[i], NULL))
			ctl_print(ctl, "%s %lld\n", names[i],
				(long long)json_number(stats, names[i], 0));
	return 0;
}

int verb_dommmustat(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *stats = NULL;
	const char *domain;

	if (ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	if (remote_call_one(ctl, "GetMmuStats", &stats, "s", domain) < 0)
		return ctl_fail_domain(
			ctl, domain, "Failed to get MMU statistics for domain %s", domain);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(stats));
	json_object_object_foreach(stats, key, value)
		ctl_print(ctl, "%s %s\n", key, json_object_get_string(value));
	return 0;
}
