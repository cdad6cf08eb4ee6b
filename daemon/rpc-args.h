/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The arguments of a JSON-RPC request by a row's signature: by name (an object) or by position (an array).
 *
 *	s string	b boolean	u i x t integers of 32 and 64 bits, without and with sign	d number
 *	as array of strings	a{sv} object	aa{sv} array of objects	v a string or an integer (in JSON-RPC's own rows)
 *
 * The row's last n_optional arguments may be left out. A name that the row does not have is refused, and so is null. Strings
 * have no NUL in them (D-Bus has none either).
 *
 * Behind the row's own arguments come options of the call, which D-Bus has not; all may be left out:
 *
 *	s idempotency_key	of methods that take one (once.h)
 *	b detach		of methods that take long (job.h): answer by the number of the job, at once
 *	u timeout_ms		the same: how long it may take; 0: as long as it takes
 *	u stream		of methods that answer a file descriptor: make it a stream (rpc-stream.h), of which so many bytes may be on
 *				their way; 0: pass the descriptor
 *
 * Tested by tests/unit/test-rpc-args.c.
 */
#pragma once

#include <json-c/json.h>

#include "daemon/error.h"

struct api_method;

/* What a call says of itself, beside its arguments. */
struct rpc_call_options {
	char *key; /* NULL: none */
	bool detach;
	uint32_t timeout_ms;
	uint32_t stream; /* its window; 0: none */
};

/* The options that the method has, one at a time from 'index' 0. False: no more. */
struct api_param;
bool rpc_args_option(const struct api_method *method, unsigned index, struct api_param *ret_option);

/* '*ret_in', the caller's, has a member for each argument of the row. 0 or -EINVAL with 'error' set: the message names the
 * argument. The caller frees 'ret_options->key'. */
int rpc_args_read(const struct api_method *method, struct json_object *params,
	struct json_object **ret_in, struct rpc_call_options *ret_options, struct error *error);
