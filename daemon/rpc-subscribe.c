/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Subscriptions to events: see rpc.h and rpc-log.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/rpc-internal.h"
#include "daemon/rpc-message.h"
#include "vmm-core/base/strutil.h"

/* Above this much unsent, events wait in the log. */
#define FEED_BYTES (256U * 1024)

static int read_kinds(struct json_object *names, unsigned *ret_kinds, struct error *error)
{
	*ret_kinds = 0;
	for (size_t i = 0; i < json_object_array_length(names); i++) {
		const char *name = json_object_get_string(json_object_array_get_idx(names, i));
		unsigned found = 0;

		/* "lifecycle" is of domains and of networks. */
		for (enum event_kind k = 0; k < EVENT_KIND_X_MAX; k++)
			if (streq(name, event_kind_name(k)))
				found |= 1U << k;
		if (!found)
			return error_set(
				error, ERROR_INVALID_ARGUMENT, "there is no event '%.64s'", name);
		*ret_kinds |= found;
	}
	return 0;
}

static int read_filter(const struct api_call *call, struct rpc_filter *ret, struct error *error)
{
	int r = read_kinds(json_object_object_get(call->in, "events"), &ret->kinds, error);

	if (r < 0)
		return r;
	if (str_copy(ret->domain, sizeof(ret->domain), api_arg_string(call, "domain")) < 0 ||
		str_copy(ret->network, sizeof(ret->network), api_arg_string(call, "network")) < 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "a name is at most %d bytes",
			VM_NAME_MAX - 1);
	return 0;
}

static struct rpc_subscription *take_free(struct rpc_conn *conn)
{
	struct rpc_subscription *s;

	FOREACH_ELEMENT (s, conn->subscriptions)
		if (s->id == 0)
			return s;
	return NULL;
}

/* Where to begin: behind what the caller knows, if its numbers are ours; else, what is in the log is all that there is to
 * tell, and 0 makes a gap of the rest. */
static uint64_t begin_after(const struct api_call *call, const struct rpc_log *log)
{
	struct json_object *since = json_object_object_get(call->in, "since");
	const char *instance = api_arg_string(call, "instance");
	uint64_t n = json_object_get_uint64(since);

	if (!*instance && n == 0)
		return log->last;
	if (!streq(instance, log->instance) || n > log->last)
		return 0;
	return n;
}

int rpc_subscribe(struct api_call *call, struct error *error)
{
	struct rpc_conn *conn = rpc_call_conn(call);
	struct rpc_subscription *s = take_free(conn);
	struct rpc_log *log = conn->rpc->log;
	struct rpc_filter filter = {0};
	struct json_object *out;
	int r;

	if (!s)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"a connection has at most %d subscriptions", RPC_MAX_SUBSCRIPTIONS);
	r = read_filter(call, &filter, error);
	if (r < 0)
		return r;
	filter.own_only = call->own_only;
	filter.user = call->peer.user;
	*s = (struct rpc_subscription){
		.id = ++conn->last_subscription, .filter = filter, .after = begin_after(call, log)};
	conn->n_subscriptions++;
	out = json_object_new_object();
	json_object_object_add(out, "subscription", json_object_new_int64(s->id));
	json_object_object_add(out, "sequence", json_object_new_uint64(log->last));
	json_object_object_add(out, "instance", json_object_new_string(log->instance));
	api_call_reply(call, out);
	rpc_feed(conn);
	return 0;
}

int rpc_unsubscribe(struct api_call *call, struct error *error)
{
	struct rpc_conn *conn = rpc_call_conn(call);
	uint32_t id = api_arg_uint(call, "subscription");
	struct rpc_subscription *s;

	FOREACH_ELEMENT (s, conn->subscriptions)
		if (id && s->id == id) {
			*s = (struct rpc_subscription){0};
			conn->n_subscriptions--;
			api_call_reply(call, NULL);
			return 0;
		}
	return error_set(
		error, ERROR_INVALID_ARGUMENT, "this connection has no subscription %" PRIu32, id);
}

static void send_gap(struct rpc_conn *conn, const struct rpc_subscription *s, uint64_t to)
{
	char text[256];
	int n = snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"method\":\"rpc.gap\",\"params\":{\"subscription\":%u,"
		"\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}}",
		s->id, s->after + 1, to);

	rpc_conn_send_text(conn, text, (size_t)n, -EBADF);
}

static void send_event(
	struct rpc_conn *conn, const struct rpc_subscription *s, const struct rpc_logged *e)
{
	_cleanup_(freep) char *text = NULL;
	int n = asprintf(&text,
		"{\"jsonrpc\":\"2.0\",\"method\":\"rpc.event\",\"params\":{\"subscription\":%u,%s}",
		s->id, e->text);

	if (n < 0)
		text = NULL;
	else
		rpc_conn_send_text(conn, text, (size_t)n, -EBADF);
}

/* One subscription, as far as there is room. */
static void feed(struct rpc_conn *conn, struct rpc_subscription *s)
{
	while (!conn->dead && conn->out_bytes < FEED_BYTES) {
		const struct rpc_logged *e;
		uint64_t next;
		int r = rpc_log_next(conn->rpc->log, s->after, &s->filter, &e, &next);

		if (r == 0) {
			s->after = next;
			return;
		}
		if (r < 0)
			send_gap(conn, s, next);
		else
			send_event(conn, s, e);
		s->after = r < 0 ? next : e->sequence;
	}
	conn->hungry = true;
}

void rpc_feed(struct rpc_conn *conn)
{
	struct rpc_subscription *s;

	conn->hungry = false;
	if (conn->n_subscriptions == 0)
		return;
	FOREACH_ELEMENT (s, conn->subscriptions)
		if (s->id)
			feed(conn, s);
}
