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
 * Tested by tests/unit/test-rpc-args.c.
 */
#pragma once

#include <json-c/json.h>

#include "daemon/error.h"

struct api_method;

/* '*ret_in', the caller's, has a member for each argument of the row. 0 or -EINVAL with 'error' set: the message names the
 * argument. */
int rpc_args_read(const struct api_method *method, struct json_object *params,
	struct json_object **ret_in, struct error *error);
