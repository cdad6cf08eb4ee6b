/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arguments by signature: by name, by position, left out; the boundary values of every type; names that are not there. */
#include "daemon/rpc-args.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/api-signature.h"
#include "daemon/api.h"
#include "vmm-core/base/strutil.h"

static const struct api_method row = {.name = "Try",
	.in = "suasb",
	.out = "ta{sv}",
	.names = API_NAME(text) API_NAME(number) API_NAME(list) API_NAME(on) API_NAME(big)
		API_NAME(dict),
	.n_optional = 2};

/* What the row makes of 'params' (NULL: there are none): JSON, or the error's message. */
static const char *read_as(const struct api_method *method, const char *params)
{
	static char text[ERROR_MESSAGE_MAX];
	struct json_object *p = params ? json_tokener_parse(params) : NULL, *in = NULL;
	struct rpc_call_options options = {0};
	struct error e = {0};
	int r = rpc_args_read(method, p, &in, &options, &e);

	if (r == 0) {
		snprintf(text, sizeof(text), "%s%s%s",
			json_object_to_json_string_ext(in, JSON_C_TO_STRING_PLAIN),
			options.key ? " key " : "", options.key ?: "");
	} else {
		assert_int_equal(r, -EINVAL);
		assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
		assert_null(in);
		snprintf(text, sizeof(text), "%s", e.message);
	}
	free(options.key);
	json_object_put(in);
	json_object_put(p);
	return text;
}

static void test_ways(void **state)
{
	static const char whole[] = "{\"text\":\"a\",\"number\":1,\"list\":[\"b\"],\"on\":true}";
	static const char brief[] = "{\"text\":\"a\",\"number\":1,\"list\":[],\"on\":false}";

	(void)state;
	assert_string_equal(read_as(&row, whole), whole);
	assert_string_equal(
		read_as(&row, "{\"on\":true,\"list\":[\"b\"],\"number\":1,\"text\":\"a\"}"), whole);
	assert_string_equal(read_as(&row, "[\"a\",1,[\"b\"],true]"), whole);
	assert_string_equal(read_as(&row, "[\"a\",1]"), brief);
	assert_string_equal(read_as(&row, "{\"number\":1,\"text\":\"a\"}"), brief);
	assert_string_equal(read_as(api_find_method("Ping"), NULL), "{}");
	assert_string_equal(read_as(api_find_method("Ping"), "{}"), "{}");
	assert_string_equal(read_as(api_find_method("Ping"), "[]"), "{}");
}

static void test_refusals(void **state)
{
	(void)state;
	assert_string_equal(read_as(&row, NULL),
		"invalid argument: Try: 'text' is missing; it is a string without NUL");
	assert_string_equal(read_as(&row, "{\"text\":\"a\"}"),
		"invalid argument: Try: 'number' is missing; it is an integer from 0 to "
		"4294967295");
	assert_string_equal(read_as(&row, "[\"a\",1,[],true,5]"),
		"invalid argument: Try takes 4 arguments, not 5");
	assert_string_equal(read_as(&row, "{\"text\":\"a\",\"number\":1,\"numbr\":2}"),
		"invalid argument: Try has no argument 'numbr'");
	assert_string_equal(read_as(&row, "{\"text\":\"a\",\"number\":1,\"big\":2}"),
		"invalid argument: Try has no argument 'big'");
	assert_string_equal(read_as(&row, "[\"a\",1,null]"),
		"invalid argument: Try: 'list' must be an array of strings");
	assert_string_equal(read_as(&row, "[\"a\\u0000b\",1]"),
		"invalid argument: Try: 'text' must be a string without NUL");
	assert_string_equal(read_as(&row, "[\"a\",1,[\"b\",1]]"),
		"invalid argument: Try: 'list' must be an array of strings");
	assert_string_equal(read_as(&row, "[\"a\",1,[\"b\\u0000\"]]"),
		"invalid argument: Try: 'list' must be an array of strings");
	assert_string_equal(read_as(api_find_method("Ping"), "{\"x\":1}"),
		"invalid argument: Ping has no argument 'x'");
}

/* Of each type: values that fit, and values that do not. */
static const struct {
	const char *type, *good[6], *bad[12];
} values[] = {
	{"s", {"\"\"", "\"x\""}, {"1", "null", "true", "[]", "{}", "1.5"}},
	{"b", {"true", "false"}, {"0", "1", "\"true\"", "null", "[]"}},
	{"u", {"0", "1", "4294967295"},
		{"-1", "4294967296", "1.0", "\"1\"", "true", "null", "18446744073709551615"}},
	{"i", {"-2147483648", "0", "2147483647"},
		{"-2147483649", "2147483648", "0.5", "\"0\"", "null"}},
	{"x", {"-9223372036854775808", "0", "9223372036854775807"},
		{"9223372036854775808", "18446744073709551615", "1e3", "\"0\"", "null"}},
	{"t", {"0", "9223372036854775808", "18446744073709551615"},
		{"-1", "-9223372036854775808", "1.5", "\"0\""}},
	{"d", {"0", "1.5", "-1e300"}, {"\"0\"", "null", "true", "[]"}},
	{"v", {"0", "\"a\"", "-5"}, {"1.5", "null", "[]", "{}", "true", "\"a\\u0000\""}},
	{"as", {"[]", "[\"a\"]"}, {"\"a\"", "[1]", "{}", "null", "[null]", "[[]]"}},
	{"a{sv}", {"{}", "{\"a\":1}"}, {"[]", "null", "\"a\"", "1"}},
	{"aa{sv}", {"[]", "[{}]"}, {"{}", "[1]", "[[]]", "[null]", "null"}},
};

static void test_boundaries(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct api_method m = {
			.name = "One", .in = values[i].type, .out = "", .names = API_NAME(v)};
		char params[128];

		for (size_t k = 0; k < ARRAY_SIZE(values[i].good) && values[i].good[k]; k++) {
			snprintf(params, sizeof(params), "[%s]", values[i].good[k]);
			if (strncmp(read_as(&m, params), "{\"v\":", 5) != 0)
				fail_msg("%s: %s", values[i].type, read_as(&m, params));
		}
		for (size_t k = 0; k < ARRAY_SIZE(values[i].bad) && values[i].bad[k]; k++) {
			snprintf(params, sizeof(params), "[%s]", values[i].bad[k]);
			if (strncmp(read_as(&m, params), "invalid", 7) != 0)
				fail_msg("%s took %s", values[i].type, values[i].bad[k]);
		}
		/* Left out, it is a value of its type. */
		m.n_optional = 1;
		snprintf(params, sizeof(params), "%s", read_as(&m, "[]"));
		assert_string_equal(read_as(&m, params), params);
	}
}

/* The whole table: its names are as many as its types, and its optional arguments as many as it has. */
static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_api_methods; i++) {
		const struct api_method *m = &api_methods[i];
		struct api_params in = api_in(m), out = api_out(m);
		struct api_param p;
		unsigned n = 0;

		while (api_params_next(&in, &p)) {
			assert_true(*p.name);
			n++;
		}
		assert_true(in.names == out.names);
		assert_in_range(m->n_optional, 0, n);
		while (api_params_next(&out, &p))
			assert_true(*p.name);
		assert_int_equal(*out.names, 0);
		assert_non_null(m->about);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_boundaries),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
