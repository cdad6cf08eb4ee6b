/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON-RPC messages: what is JSON by RFC 8259 and what is not, what a request is, and how answers look. */
#include "daemon/rpc-message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm-core/base/macro.h"

static int parse(const char *text, size_t len, struct json_object **ret)
{
	const char *why = NULL;
	int r;

	*ret = NULL;
	r = rpc_parse(text, len, ret, &why);
	if (r < 0) {
		assert_int_equal(r, RPC_PARSE_ERROR);
		assert_non_null(why);
		assert_null(*ret);
	}
	return r;
}

static const char *const good[] = {
	"null",
	"true",
	"false",
	"0",
	"-0",
	"1",
	"-1",
	"10",
	"0.5",
	"-0.5",
	"1e5",
	"1E+5",
	"1.5e-3",
	"1e308",
	"9223372036854775807",
	"18446744073709551615",
	"-9223372036854775808",
	"\"\"",
	"[]",
	"{}",
	" [ ] ",
	"\t{\r\n}\n",
	"[1,2,[3,{\"a\":null}]]",
	"\"\\u00e4\\n\\\"\\\\\\/\\b\\f\\r\\t\"",
	"\"\\ud834\\udd1e\"",
	"\"\xc3\xa4\xe2\x82\xac\xf0\x9d\x84\x9e\"",
	"{\"a\":1,\"a\":2}",
	"[\"\x7f\"]",
	"{\"\":0}",
	"[1 ,2]",
	"{\"a\" : 1}",
	"\"// no comment\"",
	"\"NaN\"",
};

static const char *const bad[] = {
	"18446744073709551616",
	"-9223372036854775809",
	"[123456789012345678901234567890]",
	"",
	" ",
	"[",
	"]",
	"{",
	"}",
	"[1",
	"[1,",
	"[1,]",
	"[,1]",
	"[1,,2]",
	"[1 2]",
	"{\"a\"}",
	"{\"a\":}",
	"{\"a\":1,}",
	"{a:1}",
	"{'a':1}",
	"{1:1}",
	"{\"a\" 1}",
	"{,}",
	"nul",
	"nulll",
	"True",
	"TRUE",
	"NaN",
	"-NaN",
	"Infinity",
	"-Infinity",
	"01",
	"-01",
	"+1",
	".5",
	"1.",
	"1.e5",
	"1e",
	"1e+",
	"1e5.5",
	"0x10",
	"--1",
	"-",
	"1-1",
	"1 2",
	"[] []",
	"{}{}",
	"1e400",
	"-1e400",
	"[1e999]",
	"\"",
	"\"a",
	"\"\\\"",
	"\"\\x41\"",
	"\"\\u12\"",
	"\"\\u12g4\"",
	"\"\t\"",
	"\"a\nb\"",
	"'a'",
	"\"a\"b",
	"// c\n1",
	"/* c */1",
	"[1]//",
	"\xef\xbb\xbf{}",
	"\"\xff\"",
	"\"\xc3\"",
	"\"\xc0\xaf\"",
	"\"\xed\xa0\x80\"",
	"tru",
	"fals",
	"[true,fals]",
	"undefined",
	"1e5e5",
	"[1.]",
	"\v1",
	"\f1",
	"[\"a\",\n4\n,1,",
	"\"\\",
	"*",
	"&",
};

static void test_json(void **state)
{
	struct json_object *v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		if (parse(good[i], strlen(good[i]), &v) < 0)
			fail_msg("refused: %s", good[i]);
		json_object_put(v);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (parse(bad[i], strlen(bad[i]), &v) == 0)
			fail_msg("accepted: %s as %s", bad[i], json_object_to_json_string(v));
	/* A NUL ends nothing. */
	assert_int_equal(parse("1\0", 2, &v), RPC_PARSE_ERROR);
	assert_int_equal(parse("\0", 1, &v), RPC_PARSE_ERROR);
	assert_int_equal(parse("\"a\0b\"", 5, &v), RPC_PARSE_ERROR);
	/* The escape for it is JSON, though. */
	assert_int_equal(parse("\"a\\u0000b\"", 10, &v), 0);
	assert_int_equal(json_object_get_string_len(v), 3);
	json_object_put(v);
}

/* As deep as is allowed, one deeper, and a million. */
static void test_depth(void **state)
{
	const size_t many = 1000000;
	char *text = malloc(many);
	struct json_object *v;

	(void)state;
	memset(text, '[', RPC_MAX_DEPTH);
	memset(text + RPC_MAX_DEPTH, ']', RPC_MAX_DEPTH);
	assert_int_equal(parse(text, 2 * (size_t)RPC_MAX_DEPTH, &v), 0);
	json_object_put(v);
	memset(text, '[', RPC_MAX_DEPTH + 1);
	memset(text + RPC_MAX_DEPTH + 1, ']', RPC_MAX_DEPTH + 1);
	assert_int_equal(parse(text, 2 * (size_t)RPC_MAX_DEPTH + 2, &v), RPC_PARSE_ERROR);
	memset(text, '[', many);
	assert_int_equal(parse(text, many, &v), RPC_PARSE_ERROR);
	for (size_t i = 0; i + 4 < many; i += 5)
		memcpy(text + i, "{\"a\":", 5);
	assert_int_equal(parse(text, many, &v), RPC_PARSE_ERROR);
	free(text);
}

/* Every prefix of a message, and every byte of it changed, is refused or parsed, and nothing else happens. */
static void test_mutations(void **state)
{
	static const char text[] =
		"{\"jsonrpc\":\"2.0\",\"id\":12,\"method\":\"GetDomain\",\"params\":"
		"{\"domain\":\"\\u00e4\",\"n\":[1.5e3,true,null,-7]}}";
	char copy[sizeof(text)];
	struct json_object *v;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		assert_int_equal(parse(text, n, &v), RPC_PARSE_ERROR);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		for (unsigned c = 0; c < 256; c++) {
			struct rpc_request request;
			const char *why;

			memcpy(copy, text, sizeof(text));
			copy[i] = (char)c;
			if (parse(copy, sizeof(text) - 1, &v) == 0)
				(void)rpc_read_request(v, &request, &why);
			json_object_put(v);
		}
}

static const struct {
	const char *text;
	int result;
	const char *id; /* as JSON; NULL: a notification */
} requests[] = {
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}", 0, "1"},
	{"{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"m\",\"params\":{}}", 0, "\"a\""},
	{"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\",\"params\":[]}", 0, "null"},
	{"{\"jsonrpc\":\"2.0\",\"method\":\"m\"}", 0, NULL},
	{"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"more\":1}", 0, NULL},
	{"[]", RPC_INVALID_REQUEST, "null"},
	{"1", RPC_INVALID_REQUEST, "null"},
	{"null", RPC_INVALID_REQUEST, "null"},
	{"{}", RPC_INVALID_REQUEST, NULL},
	{"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}", RPC_INVALID_REQUEST, "1"},
	{"{\"jsonrpc\":2.0,\"id\":1,\"method\":\"m\"}", RPC_INVALID_REQUEST, "1"},
	{"{\"id\":1,\"method\":\"m\"}", RPC_INVALID_REQUEST, "1"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1}", RPC_INVALID_REQUEST, "1"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":1}", RPC_INVALID_REQUEST, "1"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":null}", RPC_INVALID_REQUEST,
		"1"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":\"x\"}", RPC_INVALID_REQUEST,
		"1"},
	{"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"m\"}", RPC_INVALID_REQUEST, "null"},
	{"{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"m\"}", RPC_INVALID_REQUEST, "null"},
	{"{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"m\"}", RPC_INVALID_REQUEST, "null"},
	{"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"m\"}", RPC_INVALID_REQUEST, "null"},
};

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		struct rpc_request request;
		struct json_object *v;
		const char *why = NULL;

		assert_int_equal(parse(requests[i].text, strlen(requests[i].text), &v), 0);
		assert_int_equal(rpc_read_request(v, &request, &why), requests[i].result);
		if (requests[i].result == 0)
			assert_string_equal(request.method, "m");
		if (requests[i].id)
			assert_string_equal(requests[i].id,
				request.id ? json_object_to_json_string(request.id) : "null");
		if (requests[i].result == 0)
			assert_int_equal(request.notification, requests[i].id == NULL);
		json_object_put(v);
	}
}

static void test_long_id(void **state)
{
	char text[RPC_MAX_ID_LEN + 128];
	struct rpc_request request;
	struct json_object *v;
	const char *why;

	(void)state;
	for (int over = 0; over < 2; over++) {
		int n = snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"id\":\"%0*d\"}",
			RPC_MAX_ID_LEN + over, 1);

		assert_int_equal(parse(text, (size_t)n, &v), 0);
		assert_int_equal(
			rpc_read_request(v, &request, &why), over ? RPC_INVALID_REQUEST : 0);
		json_object_put(v);
	}
}

static void expect_text(struct json_object *message, const char *text)
{
	assert_string_equal(json_object_to_json_string_ext(message,
				    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
		text);
	json_object_put(message);
}

static void test_answers(void **state)
{
	struct json_object *id = json_object_new_int(7);
	struct error e = {0};

	(void)state;
	expect_text(rpc_result(id, json_object_new_object()),
		"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}");
	expect_text(rpc_error(NULL, RPC_PARSE_ERROR, "no", NULL),
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"no\"}}");
	expect_text(rpc_notification("rpc.event", json_object_new_object()),
		"{\"jsonrpc\":\"2.0\",\"method\":\"rpc.event\",\"params\":{}}");
	(void)error_set(&e, ERROR_NO_DOMAIN, "no domain with matching name 'x'");
	expect_text(rpc_api_error(id, error_code_rpc(e.code), &e, NULL),
		"{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32001,\"message\":\"Domain not "
		"found: no "
		"domain with matching name "
		"'x'\",\"data\":{\"class\":\"NoDomain\",\"object\":{},\"reason\":"
		"\"no domain with matching name 'x'\",\"remedy\":\"ListDomains tells which domains "
		"there "
		"are.\"}}}");
	json_object_put(id);
}

/* Each class has a number of its own, and something to say. */
static void test_error_numbers(void **state)
{
	(void)state;
	for (enum error_code a = ERROR_NONE + 1; a < ERROR_CODE_X_MAX; a++) {
		assert_in_range(-error_code_rpc(a), 32001, 32049);
		assert_true(strlen(error_code_remedy(a)) > 10);
		for (enum error_code b = ERROR_NONE + 1; b < a; b++)
			assert_int_not_equal(error_code_rpc(a), error_code_rpc(b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_long_id),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_error_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
