/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The whole method table as a client finds it in rpc.discover: every method is called with its example, with each argument left out,
 * with one that is not there, with every boundary value in the place of each argument, and with pairs of them. Each call has
 * one answer, with an error that the document names for the method, in words; the daemon keeps its fds and its memory.
 */
#include "rpc-fixture.h"

#include "daemon/rpc-message.h"
#include "vmm-core/base/names.h"
#include "tests/unit/tally.h"

#define MIN_CALLS 50000

static struct rpc *server;
static struct client c1;
static unsigned n_calls, n_results, n_errors;

static int setup(void **state)
{
	struct fixture *f;

	fixture_setup(state);
	f = *state;
	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &server), 0);
	assert_int_equal(connect_client(&c1, server), 0);
	return 0;
}

static int teardown(void **state)
{
	client_done(&c1);
	server = rpc_free(server);
	return fixture_teardown(state);
}

static const char *const values[] = {
	"null",
	"true",
	"false",
	"0",
	"-0",
	"1",
	"-1",
	"2",
	"3",
	"255",
	"65535",
	"65536",
	"2147483647",
	"2147483648",
	"4294967295",
	"4294967296",
	"9223372036854775807",
	"-9223372036854775808",
	"9223372036854775808",
	"18446744073709551615",
	"0.5",
	"1e300",
	"-1e-300",
	"\"\"",
	"\"a\"",
	"\"guest1\"",
	"\"default\"",
	"\"0\"",
	"\"-1\"",
	"\"..\"",
	"\"../../etc/passwd\"",
	"\"a/b\"",
	"\"a\\u0000b\"",
	"\"\\n\"",
	"\"%s%n%p\"",
	"\"\\ud83d\\ude00\"",
	"\"\\u202e\"",
	"\"serial0\"",
	"\"<domain/>\"",
	"\"<domain\"",
	"\"<!DOCTYPE d [<!ENTITY a 'x'>]><domain>&a;</domain>\"",
	"\"<network><name>n</name></network>\"",
	"\"<interface type='network'/>\"",
	"\"00000000-0000-0000-0000-000000000000\"",
	"\"52:54:00:00:00:01\"",
	"\"1,2,3\"",
	"[]",
	"[0]",
	"[\"a\"]",
	"[\"\"]",
	"[\"a\\u0000\"]",
	"[null]",
	"[[]]",
	"[{}]",
	"{}",
	"{\"a\":{\"b\":[1,2]}}",
	"[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]",
};

static struct json_object *find_method(struct json_object *document, size_t i)
{
	return json_object_array_get_idx(json_object_object_get(document, "methods"), i);
}

/* The document says that this method may fail so. */
static bool may_fail(struct json_object *method, const char *class)
{
	struct json_object *list = json_object_object_get(method, "errors");

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *ref = json_object_get_string(
			json_object_object_get(json_object_array_get_idx(list, i), "$ref"));

		if (streq(strrchr(ref, '/') + 1, class))
			return true;
	}
	return false;
}

static void check_error(struct json_object *method, struct json_object *error, const char *request)
{
	int code = json_object_get_int(json_object_object_get(error, "code"));
	const char *message = json_object_get_string(json_object_object_get(error, "message"));
	struct json_object *data = json_object_object_get(error, "data");
	const char *class = json_object_get_string(json_object_object_get(data, "class"));

	n_errors++;
	if (!*message || strchr(message, '\n') || !class ||
		!*json_object_get_string(json_object_object_get(data, "reason")) ||
		!*json_object_get_string(json_object_object_get(data, "remedy")) ||
		!json_object_is_type(json_object_object_get(data, "object"), json_type_object))
		fail_msg("%s: %s", request, json_object_to_json_string(error));
	/* With no memory taken away, nothing of ours may be at fault. */
	if (streq(class, "Internal") || streq(class, "NoMemory") ||
		(code != RPC_INVALID_PARAMS && !may_fail(method, class)))
		fail_msg("%s: %s is not among its errors", request,
			json_object_to_json_string(error));
}

static void call(struct fixture *f, struct json_object *method, const char *params)
{
	static char request[256 * 1024];
	const char *name = json_object_get_string(json_object_object_get(method, "name"));
	struct json_object *answer, *result, *error;
	unsigned id = ++n_calls;

	snprintf(request, sizeof(request),
		"{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"%s\",\"params\":%s}", id, name,
		params);
	answer = json_tokener_parse(ask(f, &c1, request));
	c1.got_fd = safe_close(c1.got_fd);
	/* Events of rpc.subscribe come between; the test is about answers. */
	while (json_object_object_get(answer, "method")) {
		json_object_put(answer);
		answer = json_tokener_parse(hear(f, &c1));
	}
	result = json_object_object_get(answer, "result");
	error = json_object_object_get(answer, "error");
	if (!answer || !result == !error ||
		json_object_get_int(json_object_object_get(answer, "id")) != (int)id)
		fail_msg("%s: %s", request, json_object_to_json_string(answer));
	if (error)
		check_error(method, error, request);
	n_results += result != NULL;
	json_object_put(answer);
}

/* 'params' of the method's example; argument 'at' is 'value' (NULL: left out), as is 'at2'. */
static const char *with(
	struct json_object *method, size_t at, const char *value, size_t at2, const char *value2)
{
	static char text[128 * 1024];
	struct json_object *example =
		json_object_array_get_idx(json_object_object_get(method, "examples"), 0);
	struct json_object *list = json_object_object_get(example, "params");
	size_t n = 0;

	text[n++] = '{';
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *p = json_object_array_get_idx(list, i);
		const char *v = i == at ? value
			: i == at2      ? value2
				   : json_object_to_json_string(json_object_object_get(p, "value"));

		if (v)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"%s\":%s",
				n > 1 ? "," : "",
				json_object_get_string(json_object_object_get(p, "name")), v);
	}
	strcpy(text + n, "}");
	return text;
}

static void call_all(struct fixture *f, struct json_object *method)
{
	const size_t none = 1000;
	size_t n = json_object_array_length(json_object_object_get(method, "params"));

	call(f, method, with(method, none, NULL, none, NULL));
	call(f, method, "{\"nonsense\":1}");
	call(f, method, "[0,0,0,0,0,0,0,0,0,0,0,0]");
	for (size_t at = 0; at < n; at++) {
		call(f, method, with(method, at, NULL, none, NULL));
		for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
			call(f, method, with(method, at, values[i], none, NULL));
			for (size_t k = i % 3; at && k < ARRAY_SIZE(values); k += 3)
				call(f, method, with(method, at, values[i], at - 1, values[k]));
		}
	}
}

static void test_everything(void **state)
{
	struct fixture *f = *state;
	struct json_object *answer =
		json_tokener_parse(ask(f, &c1, REQUEST("0", "rpc.discover", "{}")));
	struct json_object *document = json_object_object_get(answer, "result");
	size_t n = json_object_array_length(json_object_object_get(document, "methods"));
	unsigned n_fds;

	fixture_define(f, "guest1", "", "");
	n_fds = fixture_count_fds();
	for (size_t i = 0; i < n; i++)
		call_all(f, find_method(document, i));
	print_message("%u calls of %zu methods: %u results, %u errors\n", n_calls, n, n_results,
		n_errors);
	tally(TALLY_MALFORMED, n_errors);
	assert_true(n_calls >= MIN_CALLS);
	assert_true(n_results > 100 && n_errors > n_results);
	/* Nothing was left behind: the connection is there, the daemon has no more open than before. */
	assert_string_equal(ask(f, &c1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	assert_int_equal(fixture_count_fds(), n_fds);
	json_object_put(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_everything, setup, teardown),
	};

	log_init("test", LOG_ERR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
