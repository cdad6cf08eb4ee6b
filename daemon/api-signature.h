/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A row's signature and names, one argument or result at a time.
 *
 * Tested by tests/unit/test-rpc-args.c.
 */
#pragma once

#include <stddef.h>

#include "vmm-core/base/macro.h"

struct api_method;

/* 'type' is 'type_len' bytes of a signature: "s", "u", "as", "a{sv}", … */
struct api_param {
	const char *type;
	size_t type_len;
	const char *name;
};

/* A walk over parameters; api_in() and api_out() begin one. */
struct api_params {
	const char *signature, *names;
};
struct api_params api_in(const struct api_method *method);
struct api_params api_out(const struct api_method *method);

/* The next one; false: there is none. */
bool api_params_next(struct api_params *params, struct api_param *ret);

/* The number of complete types in 'signature' (of the served ones), and the length of the first. */
unsigned api_signature_count(const char *signature);
size_t api_type_len(const char *signature);
