/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * domiftune, with virsh's words.
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

const struct verb_option domiftune_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	INTERFACE_OPTION,
	STRING("inbound", "control domain's incoming traffics: average,peak,burst,floor"),
	STRING("outbound", "control domain's outgoing traffics: average,peak,burst"),
	FLAG("config", "affect next boot"),
	FLAG("live", "affect running domain"),
	FLAG("current", "affect current domain"),
	{},
};

#define AFFECT_LIVE   (1U << 0)
#define AFFECT_CONFIG (1U << 1)
#define IF_INACTIVE   1U
#define RATE_FIELDS   4

struct rate {
	uint64_t fields[RATE_FIELDS]; /* average, peak, burst, floor */
};

static int parse_rate(struct ctl *ctl, const char *text, struct rate *ret)
{
	static const char *const names[RATE_FIELDS] = {"average", "peak", "burst", "floor"};
	unsigned n = 0;

	*ret = (struct rate){0};
	for (const char *p = text; p; n++) {
		size_t len = strcspn(p, ",");
		char part[24] = "x";

		if (n >= RATE_FIELDS)
			return ctl_error(ctl, "Rate string '%s' has too many fields", text);
		if (len < sizeof(part)) {
			memcpy(part, p, len);
			part[len] = 0;
		}
		if (*part && parse_u64(part, UINT64_MAX, &ret->fields[n]) < 0)
			return ctl_error(ctl, "field '%s' is malformed", names[n]);
		p = p[len] ? p + len + 1 : NULL;
	}
	return 0;
}

/* What virsh refuses by itself. */
static int check_rate(struct ctl *ctl, const char *text, bool inbound)
{
	const char *name = inbound ? "inbound" : "outbound";
	struct rate rate;

	if (!text)
		return 0;
	if (parse_rate(ctl, text, &rate) < 0)
		return -EINVAL;
	if (rate.fields[0] > UINT32_MAX || rate.fields[1] > UINT32_MAX ||
		rate.fields[2] > UINT32_MAX)
		return ctl_error(ctl, "%s rate larger than maximum %u", name, UINT32_MAX);
	if (!rate.fields[0] && (rate.fields[1] || rate.fields[2]) && !(inbound && rate.fields[3]))
		return ctl_error(ctl,
			inbound ? "either inbound average or floor is mandatory"
				: "outbound average is mandatory");
	if (!inbound && rate.fields[3])
		return ctl_error(ctl, "outbound floor is unsupported yet");
	return 0;
}

static int show(struct ctl *ctl, const char *domain, const char *key, uint32_t flags)
{
	/* Of the API, and virsh's. */
	static const char *const names[][2] = {
		{"inbound_average", "inbound.average"},
		{"inbound_peak", "inbound.peak"},
		{"inbound_burst", "inbound.burst"},
		{"inbound_floor", "inbound.floor"},
		{"outbound_average", "outbound.average"},
		{"outbound_peak", "outbound.peak"},
		{"outbound_burst", "outbound.burst"},
	};
	_cleanup_(json_putp) struct json_object *list = NULL;
	struct json_object *nic = NULL, *o;

	if (remote_call_one(ctl, "ListDomainInterfaces", &list, "su", domain,
		    flags & AFFECT_CONFIG ? IF_INACTIVE : 0) < 0)
		return ctl_fail_domain(ctl, domain, "Unable to get number of interface parameters");
	for (size_t i = 0; i < json_object_array_length(list) && !nic; i++) {
		struct json_object *one = json_object_array_get_idx(list, i);

		if (strcasecmp(json_string(one, strchr(key, ':') ? "mac" : "target", ""), key) == 0)
			nic = one;
	}
	if (!nic) {
		(void)ctl_error(ctl, "Unable to get number of interface parameters");
		return ctl_error(ctl, "invalid argument: Can't find device %s", key);
	}
	if (ctl->json) {
		o = json_object_new_object();
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			(void)json_object_object_add(o, names[i][1],
				json_object_new_int64(json_number(nic, names[i][0], 0)));
		return ctl_json(ctl, o);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ctl_print(ctl, "%-15s: %lld\n", names[i][1],
			(long long)json_number(nic, names[i][0], 0));
	return 0;
}

int verb_domiftune(struct ctl *ctl, const struct args *args)
{
	const char *in = args_string(args, "inbound"), *out = args_string(args, "outbound");
	const char *key = args_string(args, "interface"), *domain;
	uint32_t flags = (args_flag(args, "live") ? AFFECT_LIVE : 0) |
		(args_flag(args, "config") ? AFFECT_CONFIG : 0);

	if (ctl_exclusive(ctl, args, "current", "live") < 0 ||
		ctl_exclusive(ctl, args, "current", "config") < 0 ||
		ctl_domain_option(ctl, args, &domain) < 0 || check_rate(ctl, in, true) < 0 ||
		check_rate(ctl, out, false) < 0)
		return -EINVAL;
	if (!in && !out)
		return show(ctl, domain, key, flags);
	if (ctl->readonly) {
		(void)ctl_set_error(ctl, "AccessDenied",
			"operation forbidden: read only access prevents %s", args->verb->name);
		return ctl_fail_domain(ctl, domain, "Unable to set interface parameters");
	}
	if (remote_call(ctl, "SetInterfaceTune", CTL_CALL_TIMEOUT_USEC, NULL, "ssssu", domain, key,
		    in ? in : "", out ? out : "", flags) < 0)
		return ctl_fail_domain(ctl, domain, "Unable to set interface parameters");
	return ctl_changed(ctl, domain, "tune", "%s", "");
}
