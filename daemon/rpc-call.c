/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a message to calls of the method table, and from their answers to messages. See rpc.h. Tested by tests/unit/test-rpc.c. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api-signature.h"
#include "daemon/once.h"
#include "daemon/rpc-args.h"
#include "daemon/rpc-internal.h"
#include "daemon/rpc-message.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define OPEN .role = API_ROLE_NONE
#define READ .role = API_ROLE_READER

const struct api_method rpc_methods[] = {
	{.name = "rpc.discover",
		.about = "This document.",
		.in = "",
		.out = "",
		.names = "",
		OPEN,
		.handler = rpc_discover},
	{.name = "rpc.subscribe",
		.about = "Events from now on, or those after number 'since' of the run 'instance'; "
			 "they come as notifications rpc.event, and rpc.gap for numbers that are "
			 "lost.",
		.in = "asssts",
		.out = "uts",
		.names = API_NAME(events) API_NAME(domain) API_NAME(network) API_NAME(since)
			API_NAME(instance) API_NAME(subscription) API_NAME(sequence)
				API_NAME(instance),
		.n_optional = 5,
		READ,
		.owner = API_OWNER_LIST,
		.handler = rpc_subscribe},
	{.name = "rpc.unsubscribe",
		.about = "No more events of this subscription.",
		.in = "u",
		.out = "",
		.names = API_NAME(subscription),
		OPEN,
		.handler = rpc_unsubscribe},
	{.name = "rpc.cancel",
		.about = "Answer the call with this id now, with an error; what it began goes on.",
		.in = "v",
		.out = "b",
		.names = API_NAME(id) API_NAME(cancelled),
		OPEN,
		.handler = rpc_cancel},
	{.name = "rpc.write",
		.about = "Write to a stream. What its other side does not take now waits; what "
			 "there is no room for is refused.",
		.in = "us",
		.out = "t",
		.names = API_NAME(stream) API_NAME(data) API_NAME(taken),
		OPEN,
		.handler = rpc_write},
	{.name = "rpc.ack",
		.about = "So many bytes of a stream, from its beginning, have been taken: more "
			 "may come.",
		.in = "ut",
		.out = "",
		.names = API_NAME(stream) API_NAME(taken),
		OPEN,
		.handler = rpc_ack},
	{.name = "rpc.close",
		.about = "End a stream.",
		.in = "u",
		.out = "",
		.names = API_NAME(stream),
		OPEN,
		.handler = rpc_close},
};
const size_t n_rpc_methods = ARRAY_SIZE(rpc_methods);

/* What goes in one message: the answer to one request, or those to an array of them, as text. */
struct rpc_batch {
	bool is_array;
	unsigned n_pending;       /* and one while there are requests that have not begun */
	struct json_object *rest; /* the array, while there are; else NULL */
	size_t next;              /* of it */
	char *text;               /* "[ANSWER,ANSWER"; NULL: there is none yet */
	size_t len, size;
	bool too_large;
};

/* A call under way, from its request to its answer. */
struct rpc_call {
	struct list link;      /* of the connection's */
	struct rpc_conn *conn; /* NULL: gone */
	struct rpc_batch *batch;
	struct rpc_count *count;
	struct json_object *id, *params;
	bool notification, answered;
	uint32_t stream; /* the window of the one that it asks for; 0: none */
};

struct rpc_conn *rpc_call_conn(const struct api_call *call)
{
	const struct rpc_call *c = call->transport;

	return c->conn;
}

static struct rpc_batch *batch_free(struct rpc_batch *batch)
{
	json_object_put(batch->rest);
	free(batch->text);
	free(batch);
	return NULL;
}

/* As text at once: as objects, answers take ten times the memory. */
static int append(struct rpc_batch *batch, struct json_object *message)
{
	size_t n;
	const char *text = json_object_to_json_string_length(
		message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);

	if (!text || batch->len + n + 2 > RPC_OUT_LIMIT)
		return -EMSGSIZE;
	if (batch->size - batch->len < n + 2) {
		size_t size = 2 * batch->len + n + 2;
		char *more = realloc(batch->text, size);

		if (!more)
			return -ENOMEM;
		batch->text = more;
		batch->size = size;
	}
	batch->text[batch->len] = batch->len ? ',' : '[';
	memcpy(batch->text + batch->len + 1, text, n);
	batch->len += n + 1;
	return 0;
}

static void keep_answer(struct rpc_batch *batch, struct json_object *message)
{
	if (!batch->too_large && append(batch, message) < 0) {
		batch->too_large = true;
		free(batch->text);
		batch->text = NULL;
		batch->len = batch->size = 0;
	}
	json_object_put(message);
}

static void send_batch(struct rpc_conn *conn, struct rpc_batch *batch)
{
	if (batch->too_large) {
		rpc_conn_end(conn,
			rpc_error(NULL, RPC_OVERLOADED,
				"the answers to this batch are larger than what is kept: ask for "
				"less at once",
				NULL));
	} else if (batch->len) {
		batch->text[batch->len] = ']'; /* append() has left room */
		rpc_conn_send_text(conn, batch->text, batch->len + 1, -EBADF);
	}
}

/* One answer less to wait for. 'message' (taken over; NULL: none) is it. */
static void settle(
	struct rpc_conn *conn, struct rpc_batch *batch, struct json_object *message, int fd)
{
	if (message && batch->is_array && conn)
		keep_answer(batch, message);
	else if (message && conn)
		rpc_conn_send(conn, message, fd);
	else
		json_object_put(message);
	if (--batch->n_pending)
		return;
	if (conn)
		send_batch(conn, batch);
	(void)batch_free(batch);
}

/* Its answer is given, whatever the handler says later. */
static void answer(struct rpc_call *c, struct json_object *message, int fd)
{
	struct rpc_conn *conn = c->conn;

	if (c->answered) {
		json_object_put(message);
		return;
	}
	c->answered = true;
	if (c->notification) {
		json_object_put(message);
		message = NULL;
	}
	settle(conn, TAKE_PTR(c->batch), message, fd);
	if (conn) {
		list_del(&c->link);
		conn->n_calls--;
		c->conn = NULL;
		rpc_conn_wake(conn);
	}
}

/* Is there a way for the descriptor that the method answers? Before it is made: it may take a console from somebody. */
static int check_fd(const struct api_call *call, const struct rpc_call *c, struct error *error)
{
	struct api_params walk = api_out(call->method);
	bool answers_fd = false;
	struct api_param p;

	while (api_params_next(&walk, &p))
		answers_fd |= *p.type == 'h';
	if (!answers_fd || !c->conn)
		return 0;
	if (c->batch->is_array)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"%s answers a file descriptor or a stream, which a batch cannot carry: "
			"call it alone",
			call->method->name);
	if (c->stream > RPC_STREAM_MAX_WINDOW)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"%s: 'stream' is the window in bytes, at most %u", call->method->name,
			RPC_STREAM_MAX_WINDOW);
	if (c->stream)
		return rpc_stream_check(c->conn, error);
	if (!c->conn->io->ops->passes_fds)
		return error_set(error, ERROR_NO_SUPPORT,
			"%s answers a file descriptor, which cannot come over this connection: ask "
			"for a stream instead, with \"stream\": %u",
			call->method->name, RPC_STREAM_WINDOW);
	return 0;
}

static int read_args(struct api_call *call, struct json_object **ret_in, struct error *error)
{
	struct rpc_call *c = call->transport;
	struct rpc_call_options options;
	int r = rpc_args_read(call->method, c->params, ret_in, &options, error);

	if (r < 0)
		return r;
	call->key = options.key;
	call->detach = options.detach;
	call->timeout_ms = options.timeout_ms;
	c->stream = options.stream;
	r = check_fd(call, c, error);
	if (r < 0) {
		json_object_put(*ret_in);
		*ret_in = NULL;
	}
	return r;
}

/* What the call was about, by the arguments that name things. */
static struct json_object *object_of(const struct api_call *call)
{
	static const char *const names[] = {
		"domain", "network", "interface", "device", "uplink", "member"};
	struct json_object *o = json_object_new_object(), *v;

	for (size_t i = 0; call->in && i < ARRAY_SIZE(names); i++)
		if (json_object_object_get_ex(call->in, names[i], &v) &&
			json_object_get_string_len(v))
			json_object_object_add(o, names[i], json_object_get(v));
	return o;
}

/* Where the method knows better than its error what can be done. */
static struct json_object *with_remedy(
	const struct api_call *call, const struct error *error, struct json_object *message)
{
	const char *remedy = once_remedy(call->method->name);
	struct json_object *e, *data;

	if (error->code == ERROR_INTERRUPTED && remedy &&
		json_object_object_get_ex(message, "error", &e) &&
		json_object_object_get_ex(e, "data", &data))
		json_object_object_add(data, "remedy", json_object_new_string(remedy));
	return message;
}

static void fail(struct api_call *call, const struct error *error)
{
	struct rpc_call *c = call->transport;
	/* What is wrong with the arguments themselves has a number of the specification's. */
	int code = error->code == ERROR_INVALID_ARGUMENT && !call->in ? RPC_INVALID_PARAMS
								      : error_code_rpc(error->code);

	answer(c, with_remedy(call, error, rpc_api_error(c->id, code, error, object_of(call))),
		-EBADF);
}

/* 'to', with what 'more' has, too. */
static struct json_object *add_all(struct json_object *to, struct json_object *more)
{
	json_object_object_foreach(more, key, value)
		json_object_object_add(to, key, json_object_get(value));
	json_object_put(more);
	return to;
}

static void reply(struct api_call *call, struct json_object *out, int fd)
{
	struct rpc_call *c = call->transport;
	struct json_object *result = out ? json_object_get(out) : json_object_new_object();
	struct api_params walk = api_out(call->method);
	struct api_param p;
	struct json_object *stream;
	struct error e = {0};

	if (fd >= 0 && c->stream && c->conn && !c->answered && !c->notification) {
		if (rpc_stream_open(c->conn, fd, c->stream, &stream, &e) < 0) {
			json_object_put(result);
			fail(call, &e);
			return;
		}
		result = add_all(stream, result);
		fd = -EBADF;
	}
	while (fd >= 0 && api_params_next(&walk, &p))
		if (*p.type == 'h')
			json_object_object_add(result, p.name, json_object_new_int(0));
	answer(c, rpc_result(c->id, result), fd);
}

static void release(struct api_call *call)
{
	struct rpc_call *c = call->transport;

	c->count->n_calls--;
	rpc_count_unref(c->count);
	json_object_put(c->id);
	json_object_put(c->params);
	free(c);
}

static const struct api_call_ops call_ops = {
	.read_args = read_args,
	.is_text = true,
	.reply = reply,
	.fail = fail,
	.release = release,
};

static const struct api_method *find_method(const char *name)
{
	const struct api_method *m;

	FOREACH_ELEMENT (m, rpc_methods)
		if (streq(m->name, name))
			return m;
	return api_find_method(name);
}

static void begin(struct rpc_conn *conn, struct rpc_batch *batch, const struct rpc_request *request,
	const struct api_method *method)
{
	struct rpc_call *c = calloc(1, sizeof(*c));
	struct api_call *call = c ? api_call_new(method, conn->rpc->manager, &call_ops, c) : NULL;
	struct error e = {0};

	if (!call) {
		free(c);
		(void)error_set(&e, ERROR_NO_MEMORY, "call");
		settle(conn, batch,
			request->notification
				? NULL
				: rpc_api_error(request->id, error_code_rpc(e.code), &e, NULL),
			-EBADF);
		return;
	}
	c->conn = conn;
	c->batch = batch;
	c->count = rpc_count_ref(conn->rpc->count);
	c->count->n_calls++;
	c->id = json_object_get(request->id);
	c->params = json_object_get(request->params);
	c->notification = request->notification;
	list_add_tail(&conn->calls, &c->link);
	conn->n_calls++;
	call->peer = conn->peer;
	api_dispatch(call, &conn->rpc->auth);
}

/* Answered at once, each of them; bytes of a stream must not be lost because others wait. */
static bool is_own(const struct api_method *method)
{
	return method >= rpc_methods && method < rpc_methods + n_rpc_methods;
}

static void take_request(struct rpc_conn *conn, struct rpc_batch *batch, struct json_object *value)
{
	const struct api_method *method = NULL;
	struct json_object *message = NULL;
	struct rpc_request request;
	const char *why;
	int r = rpc_read_request(value, &request, &why);

	if (r < 0)
		message = rpc_error(request.id, r, why, NULL);
	else if (!(method = find_method(request.method)))
		message = rpc_error(request.id, RPC_METHOD_NOT_FOUND,
			"there is no such method; rpc.discover tells which there are", NULL);
	else if (conn->rpc->count->n_calls >= API_MAX_CALLS && !is_own(method))
		message = rpc_error(request.id, RPC_OVERLOADED,
			"too many calls are being worked on; try again later", NULL);
	else if (batch->too_large || batch->len >= RPC_BATCH_ANSWERS)
		message = rpc_error(request.id, RPC_OVERLOADED,
			"the answers to this batch are large already; ask in another one", NULL);
	if (!message) {
		begin(conn, batch, &request, method);
		return;
	}
	if (r == 0 && request.notification) {
		json_object_put(message);
		message = NULL;
	}
	settle(conn, batch, message, -EBADF);
}

/* All requests have begun, or will not. */
static void end_rest(struct rpc_conn *conn, struct rpc_batch *batch)
{
	json_object_put(batch->rest);
	batch->rest = NULL;
	settle(conn, batch, NULL, -EBADF);
}

size_t rpc_call_go_on(struct rpc_conn *conn)
{
	struct rpc_batch *batch = conn->batch;
	size_t before = batch->len, n;

	batch->n_pending++;
	take_request(conn, batch, json_object_array_get_idx(batch->rest, batch->next++));
	n = batch->len - MIN(before, batch->len);
	if (batch->next == json_object_array_length(batch->rest))
		end_rest(conn, TAKE_PTR(conn->batch));
	return n;
}

void rpc_call_message(struct rpc_conn *conn, const char *text, size_t len)
{
	struct rpc_batch *batch;
	struct json_object *value = NULL;
	const char *why;
	char too_many[64];
	bool is_array;
	unsigned max;
	size_t n;
	int r = rpc_parse(text, len, &value, &why);

	if (r < 0) {
		rpc_conn_send(conn, rpc_error(NULL, r, why, NULL), -EBADF);
		return;
	}
	is_array = json_object_is_type(value, json_type_array);
	n = is_array ? json_object_array_length(value) : 1;
	max = conn->plain ? RPC_PLAIN_BATCH : RPC_MAX_BATCH;
	batch = calloc(1, sizeof(*batch));
	if (n == 0 || n > max || !batch) {
		(void)snprintf(too_many, sizeof(too_many), "a batch has at most %u requests", max);
		why = n == 0    ? "a batch has at least one request"
			: batch ? too_many
				: "out of memory";
		free(batch);
		rpc_conn_send(conn, rpc_error(NULL, RPC_INVALID_REQUEST, why, NULL), -EBADF);
	} else {
		batch->n_pending = 1;
		batch->is_array = is_array;
		if (is_array) {
			batch->rest = TAKE_PTR(value);
			conn->batch = batch;
		} else {
			take_request(conn, batch, value);
		}
	}
	json_object_put(value);
}

void rpc_call_orphan(struct rpc_conn *conn)
{
	if (conn->batch)
		end_rest(NULL, TAKE_PTR(conn->batch));
	while (!list_empty(&conn->calls)) {
		struct rpc_call *c = list_entry(conn->calls.next, struct rpc_call, link);

		list_del(&c->link);
		c->conn = NULL;
	}
}

static bool same_id(struct json_object *id, const char *wanted)
{
	return id && streq(json_object_get_string(id), wanted);
}

int rpc_cancel(struct api_call *call, struct error *error)
{
	struct rpc_conn *conn = rpc_call_conn(call);
	const char *wanted = api_arg_string(call, "id");
	struct json_object *out = json_object_new_object();
	struct list *pos, *tmp;
	bool found = false;

	(void)error;
	list_for_each_safe (pos, tmp, &conn->calls) {
		struct rpc_call *c = list_entry(pos, struct rpc_call, link);

		if (c == call->transport || !same_id(c->id, wanted))
			continue;
		found = true;
		answer(c,
			rpc_error(c->id, RPC_CANCELLED,
				"the call was cancelled; what it began goes on", NULL),
			-EBADF);
		break;
	}
	json_object_object_add(out, "cancelled", json_object_new_boolean(found));
	api_call_reply(call, out);
	return 0;
}
