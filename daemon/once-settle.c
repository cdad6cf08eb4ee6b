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
	{"DefineDomain", ONCE_DOMAIN, settle_definition, rebuild_domain},
	{"UndefineDomain", ONCE_DOMAIN, settle_definition, NULL},
	{"CreateDomain", ONCE_DOMAIN, settle_start, rebuild_domain},
	{"StartDomain", ONCE_DOMAIN, settle_start, NULL},
	{"DestroyDomain", ONCE_DOMAIN, settle_destroy, NULL},
	{"ShutdownDomain", ONCE_DOMAIN, settle_unknown, NULL},
	{"RebootDomain", ONCE_DOMAIN, settle_unknown, NULL},
	{"ResetDomain", ONCE_DOMAIN, settle_unknown, NULL},
	{"SuspendDomain", ONCE_DOMAIN, settle_unknown, NULL},
	{"ResumeDomain", ONCE_DOMAIN, settle_unknown, NULL},
	{"AttachDevice", ONCE_DOMAIN, settle_attach, NULL},
	{"DetachDevice", ONCE_DOMAIN, settle_unknown, NULL},
	{"AddIothread", ONCE_DOMAIN, settle_unknown, NULL},
	{"DeleteIothread", ONCE_DOMAIN, settle_unknown, NULL},
	{"DefineNetwork", ONCE_NETWORK, settle_definition, rebuild_network},
	{"UndefineNetwork", ONCE_NETWORK, settle_definition, NULL},
	{"CreateNetwork", ONCE_NETWORK, settle_start, rebuild_network},
	{"StartNetwork", ONCE_NETWORK, settle_start, NULL},
	{"DestroyNetwork", ONCE_NETWORK, settle_net_destroy, NULL},
	{"UpdateNetwork", ONCE_NETWORK, settle_unknown, NULL},
	{"TestTeam", ONCE_NETWORK, settle_unknown, NULL},
	/* What is to be afterwards is in its arguments: it is done again. */
	{"ApplyDefinitions", ONCE_NO_OBJECT, settle_unknown, NULL},
};

const struct once_rule *once_find_rule(const char *method)
{
	const struct once_rule *rule;

	FOREACH_ELEMENT (rule, once_rules)
		if (streq(rule->method, method))
			return rule;
	return NULL;
}
