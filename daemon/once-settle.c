/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which methods take a key, and what came of a call of each that was cut short: see once.h.
 *
 * Tested by tests/unit/test-once.c.
 */
#include <errno.h>
#include <string.h>

#include "daemon/network.h"
#include "daemon/once-internal.h"
#include "vmm-core/base/strutil.h"

struct digest once_digest(const char *text)
{
	return text ? digest_of(text, strlen(text)) : (struct digest){0};
}

/* The state of things. */

static void look_at_domain(const struct domain *d, struct once_object *ret)
{
	ret->exists = true;
	(void)str_copy(ret->name, sizeof(ret->name), d->name);
	memcpy(ret->uuid, d->uuid, 16);
	ret->definition = once_digest(d->definition ? d->definition->xml : NULL);
	ret->running = once_digest(d->running ? d->running->xml : NULL);
	ret->run = domain_is_active(d) ? d->id : 0;
	ret->state = d->state;
	ret->reason = d->reason;
}

static void look_at_network(const struct network *n, struct once_object *ret)
{
	ret->exists = true;
	(void)str_copy(ret->name, sizeof(ret->name), n->name);
	memcpy(ret->uuid, n->uuid, 16);
	ret->definition = once_digest(n->xml);
	ret->run = network_is_active(n);
}

/* By its name if it did not exist: then it has got a UUID since. */
void once_look_again(struct manager *m, const struct once_object *before, struct once_object *ret)
{
	const struct domain *d = NULL;
	const struct network *n = NULL;

	*ret = (struct once_object){.kind = before->kind};
	(void)str_copy(ret->name, sizeof(ret->name), before->name);
	if (before->kind == ONCE_DOMAIN)
		d = before->exists ? manager_find_uuid(m, before->uuid)
				   : manager_find_name(m, before->name);
	else if (before->kind == ONCE_NETWORK)
		n = before->exists ? network_find_uuid(m, before->uuid)
				   : network_find_name(m, before->name);
	if (d)
		look_at_domain(d, ret);
	else if (n)
		look_at_network(n, ret);
}

/* The name in the XML of a domain or network. */
static bool read_name(enum once_kind kind, const char *xml, char *ret, size_t size)
{
	_cleanup_(domain_config_freep) struct domain_config *domain = NULL;
	_cleanup_(network_config_freep) struct network_config *network = NULL;
	_cleanup_(freep) char *text = NULL;

	if (kind == ONCE_DOMAIN)
		return domain_xml_parse(xml, strlen(xml), "", 0, &domain, NULL, &text) == 0 &&
			str_copy(ret, size, domain->vm.name) == 0;
	return network_xml_parse(xml, strlen(xml), "", 0, &network, NULL, &text) == 0 &&
		str_copy(ret, size, network->net.name) == 0;
}

void once_look(const struct once_rule *rule, const struct api_call *call, struct once_object *ret)
{
	const char *argument = rule->kind == ONCE_DOMAIN ? "domain" : "network";
	struct once_object named = {.kind = rule->kind};
	struct manager *m = call->manager;

	*ret = (struct once_object){.kind = ONCE_NO_OBJECT};
	if (json_object_object_get_ex(call->in, argument, NULL)) {
		const char *key = api_arg_string(call, argument);
		const struct domain *d =
			rule->kind == ONCE_DOMAIN ? api_find_domain(call, key, NULL) : NULL;
		const struct network *n =
			rule->kind == ONCE_NETWORK ? network_find(m, key, NULL) : NULL;

		if (d || n)
			ret->kind = rule->kind;
		if (d)
			look_at_domain(d, ret);
		else if (n)
			look_at_network(n, ret);
	} else if (read_name(rule->kind, api_arg_string(call, "xml"), named.name,
			   sizeof(named.name))) {
		once_look_again(m, &named, ret);
	}
}

struct status_search {
	struct store_room *room;
	const struct once_object *object;
	bool found;
};

/* By the UUID, or by the name in the status: one that did not exist has got its UUID since. What cannot be read may be it. */
static void look_at_status(void *opaque, const uint8_t uuid[16])
{
	_cleanup_(freep) char *text = NULL;
	struct status_search *s = opaque;
	struct json_object *o = NULL, *name = NULL;
	int r;

	if (s->object->exists && memcmp(uuid, s->object->uuid, 16) != 0)
		return;
	r = store_load_runtime(s->room, uuid, STORE_STATUS, STORE_MAX_STATUS_BYTES, &text);
	if (r == 0)
		o = json_tokener_parse(text);
	(void)json_object_object_get_ex(o, "name", &name);
	if (r != -ENOENT &&
		(s->object->exists || !name ||
			streq(json_object_get_string(name), s->object->name)))
		s->found = true;
	json_object_put(o);
}

bool once_has_status(struct manager *m, const struct once_object *object)
{
	struct status_search search = {
		.room = object->kind == ONCE_DOMAIN ? &m->store->domains : &m->store->networks,
		.object = object,
	};

	if (object->kind != ONCE_NO_OBJECT)
		(void)store_each_runtime(search.room, look_at_status, &search);
	return search.found;
}

/* What came of it. */

static enum once_state settle_definition(
	const struct once_object *before, const struct once_object *now, bool had_status)
{
	(void)had_status;
	return once_digest_equal(before->definition, now->definition) ? ONCE_NOTHING
								      : ONCE_HAPPENED;
}

static enum once_state settle_start(
	const struct once_object *before, const struct once_object *now, bool had_status)
{
	if (now->run && now->run != before->run)
		return ONCE_HAPPENED;
	/* It ran, or may have, and has ended. */
	if (had_status && !now->run)
		return ONCE_UNKNOWN;
	return ONCE_NOTHING;
}

static enum once_state settle_destroy(
	const struct once_object *before, const struct once_object *now, bool had_status)
{
	(void)had_status;
	if (!before->run)
		return ONCE_NOTHING;
	return now->run == before->run ? ONCE_SAME_RUN : ONCE_HAPPENED;
}

/* A network's run has no number: whether it was told to end is not seen. */
static enum once_state settle_net_destroy(
	const struct once_object *before, const struct once_object *now, bool had_status)
{
	(void)had_status;
	if (!before->run)
		return ONCE_NOTHING;
	return now->run ? ONCE_UNKNOWN : ONCE_HAPPENED;
}

/* The live configuration, and then the definition, change before the worker is asked. */
static enum once_state settle_attach(
	const struct once_object *before, const struct once_object *now, bool had_status)
{
	(void)had_status;
	return once_digest_equal(before->definition, now->definition) &&
			once_digest_equal(before->running, now->running)
		? ONCE_NOTHING
		: ONCE_UNKNOWN;
}

/* Its worker has spoken, and none of its requests is under way. */
static enum once_state settle_suspend(
	const struct once_object *before, const struct once_object *now, bool had_status)
{
	(void)had_status;
	if (!before->run)
		return ONCE_NOTHING;
	if (now->run != before->run)
		return ONCE_UNKNOWN;
	if (now->state == DOMAIN_STATE_PAUSED)
		return ONCE_HAPPENED;
	return now->state == DOMAIN_STATE_RUNNING && before->state == DOMAIN_STATE_RUNNING
		? ONCE_NOTHING
		: ONCE_UNKNOWN;
}

/* One that runs is not resumed, but refused. What is paused by a disk's error may have been resumed, and have met it again. */
static enum once_state settle_resume(
	const struct once_object *before, const struct once_object *now, bool had_status)
{
	(void)had_status;
	if (!before->run || before->state == DOMAIN_STATE_RUNNING)
		return ONCE_NOTHING;
	if (now->run != before->run)
		return ONCE_UNKNOWN;
	if (now->state == DOMAIN_STATE_RUNNING)
		return ONCE_HAPPENED;
	return now->state == DOMAIN_STATE_PAUSED && now->reason == DOMAIN_PAUSED_USER &&
			before->state == DOMAIN_STATE_PAUSED && before->reason == DOMAIN_PAUSED_USER
		? ONCE_NOTHING
		: ONCE_UNKNOWN;
}

static enum once_state settle_running(
	const struct once_object *before, const struct once_object *now, bool had_status)
{
	(void)now;
	(void)had_status;
	return before->run ? ONCE_UNKNOWN : ONCE_NOTHING;
}

/* What a pressed button is for: the machine is off, */
static bool is_off(const struct once_object *before, const struct once_object *now)
{
	return now->run != before->run;
}

/* or has begun anew in a process of its own. A guest's reset inside its worker does not show. */
static bool is_anew(const struct once_object *before, const struct once_object *now)
{
	return now->run && now->run != before->run;
}

static enum once_state settle_unknown(
	const struct once_object *before, const struct once_object *now, bool had_status)
{
	(void)before;
	(void)now;
	(void)had_status;
	return ONCE_UNKNOWN;
}

/* Answers. */

static struct json_object *rebuild_domain(const struct api_call *call, const char *name)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;

	(void)manager_check(api_arg_string(call, "xml"), api_arg_string(call, "source"),
		api_define_flags(call), &report, NULL);
	return api_named_report(name, report);
}

static struct json_object *rebuild_network(const struct api_call *call, const char *name)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	_cleanup_(network_config_freep) struct network_config *config = NULL;
	_cleanup_(freep) char *text = NULL;
	const char *xml = api_arg_string(call, "xml"), *source = api_arg_string(call, "source");

	(void)network_xml_parse(
		xml, strlen(xml), *source ? source : "network.xml", 0, &config, &report, &text);
	return api_named_report(name, report);
}

static const struct once_rule once_rules[] = {
	{"DefineDomain", ONCE_DOMAIN, .settle = settle_definition, .rebuild = rebuild_domain},
	{"UndefineDomain", ONCE_DOMAIN, .settle = settle_definition},
	{"CreateDomain", ONCE_DOMAIN, .settle = settle_start, .rebuild = rebuild_domain},
	{"StartDomain", ONCE_DOMAIN, .settle = settle_start},
	{"DestroyDomain", ONCE_DOMAIN, .settle = settle_destroy},
	{"ShutdownDomain", ONCE_DOMAIN, .settle = settle_running, .is_seen = is_off,
		.remedy =
			"Wait for the machine to be off: GetDomain tells, and this key then does, "
			"too. If it stays on, press the button again with another key."},
	{"RebootDomain", ONCE_DOMAIN, .settle = settle_running, .is_seen = is_anew,
		.remedy =
			"Of a reboot inside its worker nothing is left to see but the guest's own "
			"uptime. If the guest has not rebooted, call again with another key."},
	{"ResetDomain", ONCE_DOMAIN, .settle = settle_running,
		.remedy = "Of a reset nothing is left to see but the guest's own uptime. If the "
			  "guest was not reset, call again with another key."},
	{"SuspendDomain", ONCE_DOMAIN, .settle = settle_suspend, .waits = true,
		.remedy = "GetDomain tells whether it is paused. If it is not and should be, call "
			  "again with another key."},
	{"ResumeDomain", ONCE_DOMAIN, .settle = settle_resume, .waits = true,
		.remedy = "GetDomain tells whether it runs, or why it is paused. If it should run "
			  "and does not, call again with another key."},
	{"AttachDevice", ONCE_DOMAIN, .settle = settle_attach},
	{"DetachDevice", ONCE_DOMAIN, .settle = settle_unknown,
		.remedy =
			"GetDomainXml tells whether the device is still there. If it is and should "
			"not be, call again with another key."},
	{"AddIothread", ONCE_DOMAIN, .settle = settle_unknown},
	{"DeleteIothread", ONCE_DOMAIN, .settle = settle_unknown},
	{"DefineNetwork", ONCE_NETWORK, .settle = settle_definition, .rebuild = rebuild_network},
	{"UndefineNetwork", ONCE_NETWORK, .settle = settle_definition},
	{"CreateNetwork", ONCE_NETWORK, .settle = settle_start, .rebuild = rebuild_network},
	{"StartNetwork", ONCE_NETWORK, .settle = settle_start},
	{"DestroyNetwork", ONCE_NETWORK, .settle = settle_net_destroy},
	{"UpdateNetwork", ONCE_NETWORK, .settle = settle_unknown},
	{"TestTeam", ONCE_NETWORK, .settle = settle_unknown},
	/* Pages may have been added, and are not to be added twice. */
	{"AllocPages", ONCE_HOST, .settle = settle_unknown,
		.remedy = "GetNodeMemory tells how many pages there are."},
	/* What is to be afterwards is in its arguments: it is done again. */
	{"ApplyDefinitions", ONCE_NO_OBJECT, .settle = settle_unknown},
};

const struct once_rule *once_find_rule(const char *method)
{
	const struct once_rule *rule;

	FOREACH_ELEMENT (rule, once_rules)
		if (streq(rule->method, method))
			return rule;
	return NULL;
}

const char *once_remedy(const char *method)
{
	const struct once_rule *rule = once_find_rule(method);

	return rule ? rule->remedy : NULL;
}
