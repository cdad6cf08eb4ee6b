/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzer of JSON-RPC: any bytes, in pieces whose size the first byte says, through framing, JSON, requests and the arguments of the
 * whole method table. What comes out is what went in: a request that is taken can be written and is taken again. */
#include <stdlib.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/rpc-args.h"
#include "daemon/rpc-internal.h"
#include "daemon/rpc-message.h"
#include "tests/fuzz/fuzz-input.h"
#include "vmm-core/base/base64.h"

/* What rpc.write is given: whatever is decoded is the same text again. */
static void try_data(struct json_object *value)
{
	const char *text = json_object_get_string(value) ?: "";
	size_t len = strlen(text), size = base64_size(text, len);
	char *bytes = malloc(size + 1), *again = malloc(len + 1);

	expect(bytes && again);
	if (base64_decode(text, len, bytes) == 0) {
		expect(BASE64_LEN(size) == len);
		base64_encode(bytes, size, again);
		expect(memcmp(text, again, len) == 0);
	}
	free(bytes);
	free(again);
}

static void try_request(struct json_object *value)
{
	struct json_object *in = NULL;
	const struct api_method *method;
	struct rpc_call_options options = {0};
	struct rpc_request request;
	struct error e = {0};
	const char *why;

	if (rpc_read_request(value, &request, &why) < 0)
		return;
	method = api_find_method(request.method);
	for (size_t i = 0; !method && i < n_rpc_methods; i++)
		if (streq(rpc_methods[i].name, request.method))
			method = &rpc_methods[i];
	if (!method)
		method = &api_methods[strlen(request.method) % n_api_methods];
	if (rpc_args_read(method, request.params, &in, &options, &e) < 0) {
		expect(e.code == ERROR_INVALID_ARGUMENT && e.message[0]);
		json_object_put(rpc_api_error(request.id, RPC_INVALID_PARAMS, &e, NULL));
	} else
		try_data(json_object_object_get(in, "data"));
	free(options.key);
	json_object_put(in);
}

static void try_message(const char *text, size_t len)
{
	struct json_object *value = NULL, *again = NULL;
	const char *why = NULL, *written;

	if (rpc_parse(text, len, &value, &why) < 0) {
		expect(why && !value);
		return;
	}
	written = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
	expect(rpc_parse(written, strlen(written), &again, &why) == 0);
	json_object_put(again);
	if (json_object_is_type(value, json_type_array))
		for (size_t i = 0; i < json_object_array_length(value); i++)
			try_request(json_object_array_get_idx(value, i));
	else
		try_request(value);
	json_object_put(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rpc_frames f = {0};
	size_t piece = size ? data[0] + 1U : 1;

	for (size_t at = 1; at < size;) {
		size_t room, n, len;
		const char *text;
		char *to;
		int r;

		expect(rpc_frames_room(&f, &to, &room) == 0);
		n = size - at < piece ? size - at : piece;
		n = n < room ? n : room;
		memcpy(to, data + at, n);
		rpc_frames_filled(&f, n);
		at += n;
		while ((r = rpc_frames_next(&f, &text, &len)) == 1)
			try_message(text, len);
		if (r < 0)
			break;
	}
	rpc_frames_done(&f);
	return 0;
}
