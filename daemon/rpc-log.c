/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log of events: see rpc-log.h. */
#include "daemon/rpc-log.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/domain.h"
#include "daemon/job.h"
#include "daemon/network.h"
#include "vmm-core/base/strutil.h"

int rpc_log_new(struct rpc_log **ret_log)
{
	struct rpc_log *log = calloc(1, sizeof(*log));
	uint8_t uuid[16];
	int r;

	if (!log)
		return -ENOMEM;
	r = uuid_generate(uuid);
	if (r < 0) {
		free(log);
		return r;
	}
	uuid_format(uuid, log->instance);
	*ret_log = log;
	return 0;
}

struct rpc_log *rpc_log_free(struct rpc_log *log)
{
	if (log)
		for (size_t i = 0; i < RPC_LOG_EVENTS; i++)
			free(log->ring[i].text);
	free(log);
	return NULL;
}

static void add_string(struct json_object *o, const char *key, const char *value)
{
	if (value && *value)
		json_object_object_add(o, key, json_object_new_string(value));
}

/* Whose event it is. */
struct subject {
	bool of_network;
	const char *name;
	const uint8_t *uuid;
	/* NULL: a network has none, and a job of a secret kind is not for the domain's owner. */
	const struct domain_owner *owner;
};

static struct subject subject_of(const struct event *e)
{
	if (e->job)
		return (struct subject){e->job->of_network, e->job->name, e->job->uuid,
			e->job->kind->secret ? NULL : &e->job->domain_owner};
	if (e->network)
		return (struct subject){true, e->network->name, e->network->uuid, NULL};
	return (struct subject){false, e->domain->name, e->domain->uuid, &e->domain->owner};
}

/* What the subject has already. */
static bool is_said(const struct event *event, const char *field)
{
	return event->job &&
		(streq(field, "uuid") || streq(field, "domain") || streq(field, "network"));
}

static struct json_object *to_json(
	const struct event *event, bool of_network, const char *name, const char *uuid)
{
	struct json_object *o = json_object_new_object(), *subject = json_object_new_object();

	add_string(subject, "name", name);
	add_string(subject, "uuid", uuid);
	json_object_object_add(o, "sequence", json_object_new_uint64(event->sequence));
	json_object_object_add(o, "event", json_object_new_string(event_kind_name(event->kind)));
	json_object_object_add(o, of_network ? "network" : "domain", subject);
	add_string(o, "detail", event->detail);
	add_string(o, "reason", event->reason);
	for (unsigned i = 0; i < event->n_fields; i++)
		if (!is_said(event, event->fields[i].name))
			add_string(o, event->fields[i].name, event->fields[i].value);
	return o;
}

int rpc_log_add(struct rpc_log *log, const struct event *event)
{
	struct rpc_logged *e = &log->ring[event->sequence % RPC_LOG_EVENTS];
	struct subject subject = subject_of(event);
	char uuid[UUID_STRING_LEN + 1];
	struct json_object *o;

	free(e->text);
	*e = (struct rpc_logged){
		.sequence = event->sequence, .kind = event->kind, .of_network = subject.of_network};
	if (subject.owner)
		e->owner = *subject.owner;
	log->last = event->sequence;
	if (log->first == 0)
		log->first = event->sequence;
	memcpy(e->uuid, subject.uuid, sizeof(e->uuid));
	(void)snprintf(e->name, sizeof(e->name), "%.*s", (int)sizeof(e->name) - 1, subject.name);
	uuid_format(e->uuid, uuid);
	o = to_json(event, subject.of_network, subject.name, uuid);
	e->text = strdup(json_object_to_json_string_ext(
				 o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) +
		1);
	json_object_put(o);
	return e->text ? 0 : -ENOMEM;
}

static bool is_of(const struct rpc_logged *e, const char *key)
{
	uint8_t uuid[16];

	if (uuid_parse(key, uuid) == 0 && memcmp(uuid, e->uuid, sizeof(uuid)) == 0)
		return true;
	return streq(key, e->name);
}

static bool passes(const struct rpc_logged *e, const struct rpc_filter *f)
{
	if (f->own_only && !owner_is(&e->owner, &f->user))
		return false;
	if (f->kinds && !(f->kinds & 1U << e->kind))
		return false;
	if (!f->domain[0] && !f->network[0])
		return true;
	return e->of_network ? f->network[0] && is_of(e, f->network)
			     : f->domain[0] && is_of(e, f->domain);
}

/* Events are lost from the old end, and there may have been some before the log began. */
static uint64_t gone_until(const struct rpc_log *log)
{
	uint64_t overwritten = log->last >= RPC_LOG_EVENTS ? log->last - RPC_LOG_EVENTS : 0;

	return MAX(overwritten, log->first - 1);
}

int rpc_log_next(const struct rpc_log *log, uint64_t after, const struct rpc_filter *filter,
	const struct rpc_logged **ret, uint64_t *ret_next)
{
	for (uint64_t n = after + 1; n <= log->last; n++) {
		const struct rpc_logged *e = &log->ring[n % RPC_LOG_EVENTS];

		if (e->sequence != n || !e->text) {
			*ret_next = MAX(n, gone_until(log));
			return -ENODATA;
		}
		if (passes(e, filter)) {
			*ret = e;
			return 1;
		}
	}
	*ret_next = MAX(after, log->last);
	return 0;
}
