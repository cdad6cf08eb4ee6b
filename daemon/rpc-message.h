/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON-RPC 2.0 messages (the specification of 2013-01-04, sections 4 to 6): text -> requests, and answers -> text.
 *
 * The text must be JSON as RFC 8259 has it: UTF-8, no comments, no NaN, no integer of more than 64 bits, no number that a double cannot hold, at most
 * RPC_MAX_DEPTH deep. json-c parses; what it is lenient about is looked at before. Of a member that is there twice the last
 * counts.
 *
 * Tested by tests/unit/test-rpc-message.c, fuzzed by tests/fuzz/fuzz-rpc.c.
 */
#pragma once

#include <json-c/json.h>
#include <stddef.h>

#include "daemon/error.h"

#define RPC_MAX_DEPTH  32
#define RPC_MAX_BATCH  1024
#define RPC_MAX_ID_LEN 256 /* bytes of an id that is a string */

/* The specification's own numbers; those of enum error_code are error_code_rpc()'s. */
#define RPC_PARSE_ERROR      -32700
#define RPC_INVALID_REQUEST  -32600
#define RPC_METHOD_NOT_FOUND -32601
#define RPC_INVALID_PARAMS   -32602
#define RPC_INTERNAL_ERROR   -32603
/* Ours, beside the classes of errors. */
#define RPC_OVERLOADED -32050 /* the connection, or the daemon, has as much to do as it takes */
#define RPC_CANCELLED  -32051 /* rpc.cancel took the answer away */
#define RPC_REFUSED    -32052 /* nobody with this certificate is let in */

/* The text as JSON: 0 with a value that the caller puts (NULL: the text was "null"), or RPC_PARSE_ERROR with '*ret_why'. */
int rpc_parse(const char *text, size_t len, struct json_object **ret_value, const char **ret_why);

/* One request, borrowed from the value it was read from. */
struct rpc_request {
	bool notification;      /* it has no id: it gets no answer */
	struct json_object *id; /* NULL: null, or not to be made out */
	const char *method;
	struct json_object *params; /* an object, an array, or NULL */
};

/* 0, or RPC_INVALID_REQUEST with '*ret_why'; then 'ret->id' is what can be answered to. */
int rpc_read_request(struct json_object *value, struct rpc_request *ret, const char **ret_why);

/* Whole answers; the caller puts them. 'id' stays the caller's, 'result' and 'data' are taken over; NULL: no memory. */
struct json_object *rpc_result(struct json_object *id, struct json_object *result);
struct json_object *rpc_error(
	struct json_object *id, int code, const char *message, struct json_object *data);
/* An error of the API's with the number 'code' (error_code_rpc(), or RPC_INVALID_PARAMS); 'data' is {class, object, reason,
 * remedy}. 'object' is taken over (NULL: nothing in particular). */
struct json_object *rpc_api_error(
	struct json_object *id, int code, const struct error *error, struct json_object *object);
/* A message to the client that nobody asked for. 'params' is taken over. */
struct json_object *rpc_notification(const char *method, struct json_object *params);
