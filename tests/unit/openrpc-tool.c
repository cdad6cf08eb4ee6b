/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints what rpc.discover answers, for check-openrpc. */
#include <stdio.h>

#include "daemon/rpc-internal.h"

int main(void)
{
	struct json_object *document = rpc_openrpc();

	puts(json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN));
	json_object_put(document);
	return 0;
}
