/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers of the host's memory policy. Tested by tests/unit/test-memory-policy.c. */
#include <stdio.h>

#include "daemon/api.h"
#include "daemon/host.h"
#include "daemon/memory-policy.h"
#include "daemon/psi.h"

static void add(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_text(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

static void add_pressure(struct json_object *o, const char *key, const struct psi_line *line)
{
	if (line->known)
		json_object_object_add(o, key, json_object_new_double(line->avg10 / 100.0));
}

/* Numbers of now, also when it is off. */
static struct json_object *policy_of(const struct memory_policy *p)
{
	struct json_object *o = json_object_new_object();
	uint64_t total = 0, available = 0;
	struct psi psi = {0};
	int r = psi_read(PSI_HOST_MEMORY, &psi), error = memory_policy_error(p) ?: r;

	(void)host_read_meminfo(HOST_MEMINFO, &total, &available);
	add_bool(o, "on", memory_policy_is_on(p));
	add_bool(o, "busy", memory_policy_is_busy(p));
	if (error)
		add_text(o, "why_not", psi_why_not(error));
	add_pressure(o, "pressure_some", &psi.lines[PSI_SOME]);
	add_pressure(o, "pressure_full", &psi.lines[PSI_FULL]);
	add(o, "total_kib", total);
	add(o, "available_kib", available);
	add(o, "wanted_kib", total / 100 * SHARE_WANTED_PERCENT);
	add(o, "room_kib", total / 100 * SHARE_ROOM_PERCENT);
	return o;
}

static struct json_object *domain_of(const struct domain *d)
{
	struct json_object *o = json_object_new_object();
	struct share_guest g;
	const char *why;

	add_text(o, "domain", d->name);
	if (!memory_policy_read(d, &g, &why)) {
		add_text(o, "why_not", why);
		return o;
	}
	add(o, "weight", g.weight);
	add(o, "floor_kib", g.floor);
	add(o, "reserve_kib", share_reserve(g.ceiling));
	add(o, "ceiling_kib", g.ceiling);
	add(o, "target_kib", g.target);
	add(o, "current_kib", g.has);
	if (g.known)
		add(o, "usable_kib", g.usable);
	add(o, "taken_kib", g.ceiling - MIN(g.target, g.ceiling));
	return o;
}

static struct json_object *decision_of(const struct memory_decision *m)
{
	struct json_object *o = json_object_new_object();

	add(o, "time_us", m->time_us);
	add_text(o, "action", memory_action_name(m->action));
	if (*m->reason)
		add_text(o, "reason", m->reason);
	if (*m->domain) {
		add_text(o, "domain", m->domain);
		add(o, "before_kib", m->before_kib);
		add(o, "after_kib", m->after_kib);
	}
	if (m->usable_known)
		add(o, "usable_kib", m->usable_kib);
	add(o, "available_kib", m->available_kib);
	json_object_object_add(o, "pressure_some", json_object_new_double(m->pressure / 100.0));
	return o;
}

int api_get_memory_policy(struct api_call *call, struct error *error)
{
	const struct memory_policy *p = call->manager->memory_policy;
	struct json_object *out = json_object_new_object();
	struct json_object *domains = json_object_new_array(), *decisions = json_object_new_array();
	struct list *pos;

	(void)error;
	list_for_each (pos, &call->manager->domains) {
		const struct domain *d = list_entry(pos, struct domain, link);

		if (domain_is_active(d))
			json_object_array_add(domains, domain_of(d));
	}
	for (size_t i = 0; i < memory_policy_n_decisions(p); i++)
		json_object_array_add(decisions, decision_of(memory_policy_decision(p, i)));
	json_object_object_add(out, "policy", policy_of(p));
	json_object_object_add(out, "domains", domains);
	json_object_object_add(out, "decisions", decisions);
	api_call_reply(call, out);
	return 0;
}

int api_set_memory_policy(struct api_call *call, struct error *error)
{
	int r = memory_policy_set(call->manager->memory_policy, api_arg_bool(call, "on"), error);

	if (r == 0)
		api_call_reply(call, NULL);
	return r;
}
