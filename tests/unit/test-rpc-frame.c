/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON-RPC's framings: lines and lengths, in pieces of every size, and what is too long. */
#include "daemon/rpc-frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Put 'data' in, 'piece' bytes at a time, and collect what comes out, with a '|' behind each message. */
static int pass(struct rpc_frames *f, const char *data, size_t len, size_t piece, char *out)
{
	const char *text;
	size_t n;
	int r = 0;

	*out = 0;
	while (len || r == 1) {
		char *room;
		size_t size;

		while ((r = rpc_frames_next(f, &text, &n)) == 1)
			sprintf(out + strlen(out), "%.*s|", (int)n, text);
		if (r < 0 || !len)
			return r;
		r = rpc_frames_room(f, &room, &size);
		if (r < 0)
			return r;
		size = MIN(size, piece);
		size = MIN(size, len);
		memcpy(room, data, size);
		rpc_frames_filled(f, size);
		data += size;
		len -= size;
		r = 1;
	}
	return r;
}

static void test_lines(void **state)
{
	static const char data[] = "{\"a\":1}\n\r\n \t\n[]\r\nlast";

	(void)state;
	for (size_t piece = 1; piece <= sizeof(data); piece++) {
		struct rpc_frames f = {0};
		char out[256];

		assert_int_equal(pass(&f, data, sizeof(data) - 1, piece, out), 0);
		assert_string_equal(out, "{\"a\":1}|[]\r|");
		assert_int_equal(f.framing, RPC_FRAMING_LINES);
		assert_true(rpc_frames_partial(&f));
		rpc_frames_done(&f);
		assert_false(rpc_frames_partial(&f));
	}
}

static void test_lengths(void **state)
{
	/* The second message has a newline inside, and the third is empty. */
	static const char data[] = "\0\0\0\2{}\0\0\0\3[\n]\0\0\0\0\0\0\0\2[]\0\0";

	(void)state;
	for (size_t piece = 1; piece <= sizeof(data); piece++) {
		struct rpc_frames f = {0};
		char out[256];

		assert_int_equal(pass(&f, data, sizeof(data) - 1, piece, out), 0);
		assert_string_equal(out, "{}|[\n]||[]|");
		assert_int_equal(f.framing, RPC_FRAMING_LENGTH);
		assert_true(rpc_frames_partial(&f));
		rpc_frames_done(&f);
	}
}

/* Exactly as long as is allowed; one byte more; and a length that lies. */
static void test_limits(void **state)
{
	char *data = malloc(RPC_MAX_MESSAGE + 2), *out = malloc(RPC_MAX_MESSAGE + 4);
	struct rpc_frames f = {0};

	(void)state;
	memset(data, 'x', RPC_MAX_MESSAGE + 2);
	data[RPC_MAX_MESSAGE] = '\n';
	assert_int_equal(pass(&f, data, RPC_MAX_MESSAGE + 1, 65536, out), 0);
	assert_int_equal(strlen(out), RPC_MAX_MESSAGE + 1);
	assert_false(rpc_frames_partial(&f));
	/* A large buffer does not stay. */
	assert_int_equal(pass(&f, "{}\n", 3, 3, out), 0);
	assert_in_range(f.size, 1, 65536);
	rpc_frames_done(&f);

	data[RPC_MAX_MESSAGE] = 'x';
	data[RPC_MAX_MESSAGE + 1] = '\n';
	assert_int_equal(pass(&f, data, RPC_MAX_MESSAGE + 2, 65536, out), -EMSGSIZE);
	rpc_frames_done(&f);

	assert_int_equal(pass(&f, "\0\x20\0\1xxxx", 8, 8, out), -EMSGSIZE);
	rpc_frames_done(&f);
	free(data);
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
