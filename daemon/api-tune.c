/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers that set limits of a domain's vNICs. Tested by tests/unit/test-dbus-tune.c. */
#include <string.h>
#include <strings.h>

#include "config/domain-xml.h"
#include "config/net-addr.h"
#include "daemon/api.h"
#include "daemon/network.h"
#include "vmm-core/base/strutil.h"

#define FLAG_LIVE   (1U << 0)
#define FLAG_CONFIG (1U << 1)

#define RATE_FIELDS 4

/* "AVERAGE,PEAK,BURST,FLOOR", each may be missing; "": no change, and 0 is answered instead of 1. */
static int parse_rate(
	const char *text, const char *name, struct net_rate *rate, struct error *error)
{
	uint64_t numbers[RATE_FIELDS] = {0};
	char part[24];
	unsigned n = 0;

	if (!*text)
		return 0;
	for (const char *p = text; p; n++) {
		size_t len = strcspn(p, ",");

		if (n >= RATE_FIELDS || len >= sizeof(part))
			return error_set(error, ERROR_INVALID_ARGUMENT,
				"%s '%.64s' is no rate; write AVERAGE,PEAK,BURST,FLOOR", name,
				text);
		memcpy(part, p, len);
		part[len] = 0;
		if (len && parse_u64(part, UINT32_MAX, &numbers[n]) < 0)
			return error_set(error, ERROR_INVALID_ARGUMENT,
				"%s '%.64s' is no rate; write AVERAGE,PEAK,BURST,FLOOR", name,
				text);
		p = p[len] ? p + len + 1 : NULL;
	}
	*rate = (struct net_rate){.average = numbers[0],
		.peak = numbers[1],
		.burst = numbers[2],
		.floor = numbers[3]};
	return 1;
}

struct tune {
	bool has_in, has_out;
	struct net_bandwidth bandwidth;
};

static int parse_tune(const struct api_call *call, struct tune *ret, struct error *error)
{
	int in, out;

	in = parse_rate(api_arg_string(call, "inbound"), "inbound", &ret->bandwidth.in, error);
	if (in < 0)
		return in;
	out = parse_rate(api_arg_string(call, "outbound"), "outbound", &ret->bandwidth.out, error);
	if (out < 0)
		return out;
	ret->has_in = in;
	ret->has_out = out;
	return 0;
}

static int apply(const struct tune *tune, struct net_port_config *port, struct error *error)
{
	char reason[256];

	if (tune->has_in)
		port->bandwidth.in = tune->bandwidth.in;
	if (tune->has_out)
		port->bandwidth.out = tune->bandwidth.out;
	if (net_port_config_validate(port, reason, sizeof(reason)) < 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s", reason);
	return 0;
}

/* In the definition a vNIC is known by its address, or by the target that it asks for. */
static int find_defined(const struct domain *d, const struct domain_config *config, const char *key,
	struct error *error)
{
	char mac[NET_MAC_STRING_SIZE];

	for (uint32_t i = 0; i < config->vm.n_nics; i++) {
		net_mac_format(config->vm.nics[i].port.mac, mac);
		if (strcasecmp(mac, key) == 0 ||
			(*config->nics[i].target && streq(config->nics[i].target, key)))
			return (int)i;
	}
	return error_set(error, ERROR_INVALID_ARGUMENT,
		"the definition of '%s' has no interface '%s'", d->name, key);
}

/* A target that a running domain has been given leads to the same vNIC by its address. */
static void key_of(const struct domain *d, const char *key, char ret[NET_MAC_STRING_SIZE])
{
	int i = api_find_interface(d, key, NULL);

	*ret = 0;
	if (i >= 0)
		net_mac_format(d->live->vm.nics[i].port.mac, ret);
}

/* 'only_check': whether it could be made, and nothing changes. */
static int tune_definition(struct domain *d, const struct tune *tune, const char *key,
	bool only_check, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	int i, r;

	if (!d->definition)
		return error_set(error, ERROR_OPERATION_INVALID,
			"transient domains do not have any persistent config");
	if (definition_parse(d->definition, &config) < 0)
		return error_set(
			error, ERROR_INTERNAL, "cannot read the definition of '%s'", d->name);
	i = find_defined(d, config, key, error);
	if (i < 0)
		return i;
	r = apply(tune, &config->vm.nics[i].port, error);
	return r < 0 || only_check ? r : manager_redefine(d->manager, d, config, error);
}

/* A change of what runs, which the definition is to follow. */
struct pending {
	struct api_call *call;
	struct tune tune;
	uint8_t uuid[16];
	char mac[NET_MAC_STRING_SIZE]; /* of the interface */
};

static void on_live_tuned(void *userdata, const struct error *error)
{
	_cleanup_(freep) struct pending *p = userdata;
	struct manager *m = p->call->manager;
	struct error e = {0};
	struct domain *d;

	if (!error) {
		/* What was defined meanwhile comes first. */
		manager_commit(m);
		d = manager_find_uuid(m, p->uuid);
		if (!d || !d->definition)
			(void)error_set(
				&e, ERROR_OPERATION_FAILED, "the definition is gone meanwhile");
		else
			(void)tune_definition(d, &p->tune, p->mac, /* only_check= */ false, &e);
	}
	if (e.code != ERROR_NONE)
		error = &e;
	api_done(p->call, error);
}

/* What runs first: it may refuse, and then the definition stays as well. */
static int tune_both(struct api_call *call, struct domain *d, const struct tune *tune,
	unsigned index, const struct net_port_config *port, struct error *error)
{
	struct pending *p = malloc(sizeof(*p));
	int r;

	if (!p)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*p = (struct pending){.call = api_call_ref(call), .tune = *tune};
	memcpy(p->uuid, d->uuid, sizeof(p->uuid));
	net_mac_format(d->live->vm.nics[index].port.mac, p->mac);
	r = network_update_port(d, d->live->nics[index].number, port, on_live_tuned, p, error);
	if (r < 0) {
		(void)api_call_unref(call);
		free(p);
	}
	return r;
}

int api_set_interface_tune(struct api_call *call, struct error *error)
{
	const char *key = api_arg_string(call, "interface");
	uint32_t flags = api_arg_uint(call, "flags");
	struct domain *d = api_arg_domain(call, error);
	char mac[NET_MAC_STRING_SIZE];
	struct net_port_config port;
	struct tune tune = {0};
	int i = 0, r;

	if (!d || api_check_flags(call, FLAG_LIVE | FLAG_CONFIG, error) < 0)
		return -EINVAL;
	r = parse_tune(call, &tune, error);
	if (r < 0)
		return r;
	if (!flags)
		flags = domain_is_active(d) ? FLAG_LIVE : FLAG_CONFIG;
	if ((flags & FLAG_LIVE) && !domain_is_active(d))
		return error_set(error, ERROR_OPERATION_INVALID, "domain is not running");
	if (flags & FLAG_LIVE) {
		i = api_find_interface(d, key, error);
		if (i < 0)
			return i;
		port = *domain_nic_asked(d, (unsigned)i);
		r = apply(&tune, &port, error);
	}
	key_of(d, key, mac);
	if (r == 0 && (flags & FLAG_CONFIG))
		r = tune_definition(
			d, &tune, *mac ? mac : key, /* only_check= */ flags & FLAG_LIVE, error);
	if (r < 0)
		return r;
	if (flags == (FLAG_LIVE | FLAG_CONFIG))
		return tune_both(call, d, &tune, (unsigned)i, &port, error);
	if (flags & FLAG_LIVE)
		return api_change_interface(call, d, (unsigned)i, &port, error);
	api_call_reply(call, NULL);
	return 0;
}
