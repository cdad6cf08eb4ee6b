/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON <-> D-Bus by signature: round trips, wrong types, limits, and random bodies that must come through or be refused. */
#include "daemon/dbus-json.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/api-column.h"
#include "daemon/api-rows.h"
#include "daemon/api-signature.h"
#include "daemon/api.h"

static sd_bus *bus;

/* A bus that is never spoken on: messages need one to be made. */
static int setup(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(sd_bus_new(&bus) >= 0);
	assert_true(sd_bus_set_fd(bus, pair[0], pair[0]) >= 0);
	assert_true(sd_bus_start(bus) >= 0);
	close(pair[1]);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bus = sd_bus_close_unref(bus);
	return 0;
}

static sd_bus_message *new_message(void)
{
	sd_bus_message *m = NULL;

	assert_true(sd_bus_message_new_signal(bus, &m, "/x", "a.b", "C") >= 0);
	return m;
}

/* Append 'text' by 'signature', seal, read back. The answer is compact JSON, or NULL when append failed. */
static const char *round_trip(const char *signature, const char *names, const char *text)
{
	struct json_object *in = json_tokener_parse(text), *out = NULL;
	static char result[8192];
	sd_bus_message *m = new_message();
	int r = dbus_json_append(m, signature, names, in, -1);

	if (r >= 0) {
		assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
		assert_string_equal(sd_bus_message_get_signature(m, true), signature);
		assert_int_equal(dbus_json_read(m, signature, names, &out), 0);
		snprintf(result, sizeof(result), "%s",
			json_object_to_json_string_ext(out, JSON_C_TO_STRING_PLAIN));
	}
	json_object_put(in);
	json_object_put(out);
	sd_bus_message_unref(m);
	return r < 0 ? NULL : result;
}

static void test_round_trips(void **state)
{
	static const struct {
		const char *signature, *names, *text;
	} cases[] = {
		{"s", "a\0", "{\"a\":\"x\"}"},
		{"subt", "a\0b\0c\0d\0",
			"{\"a\":\"\",\"b\":4294967295,\"c\":true,\"d\":18446744073709551615}"},
		{"ix", "a\0b\0", "{\"a\":-5,\"b\":-9223372036854775808}"},
		{"as", "a\0", "{\"a\":[\"x\",\"y\"]}"},
		{"asaiai", "a\0b\0c\0", "{\"a\":[],\"b\":[-1,2147483647],\"c\":[]}"},
		{"a{sv}", "a\0",
			"{\"a\":{\"s\":\"x\",\"n\":-1,\"big\":18446744073709551615,\"b\":false,"
			"\"o\":{\"k\":1},\"l\":[\"p\"],\"lo\":[{\"q\":2},{}]}}"},
		{"aa{sv}s", "a\0b\0", "{\"a\":[{\"k\":\"v\"},{}],\"b\":\"end\"}"},
		{"", "", "{}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *got = round_trip(cases[i].signature, cases[i].names, cases[i].text);

		assert_non_null(got);
		assert_string_equal(got, cases[i].text);
	}
}

/* Columns are arrays to both: the same text, the same body. */
static void test_columns(void **state)
{
	static const char *const strings[] = {"", "plain", "a/b", "\"q\"", "\\", "\n", "\303\274"};
	struct json_object *out = json_object_new_object(), *array = json_object_new_array();
	struct json_object *back = NULL;
	struct api_column *s = api_column_add(out, "s", 's'), *i = api_column_add(out, "i", 'i');
	sd_bus_message *m = new_message();
	char text[256];

	(void)state;
	assert_string_equal(
		json_object_to_json_string_ext(out, JSON_C_TO_STRING_PLAIN), "{\"s\":[],\"i\":[]}");
	for (size_t k = 0; k < ARRAY_SIZE(strings); k++) {
		assert_int_equal(api_column_put_string(s, strings[k]), 0);
		json_object_array_add(array, json_object_new_string(strings[k]));
	}
	assert_int_equal(api_column_put_int(i, INT32_MIN), 0);
	assert_int_equal(api_column_put_int(i, 7), 0);
	for (int flags = 0; flags <= JSON_C_TO_STRING_NOSLASHESCAPE;
		flags += JSON_C_TO_STRING_NOSLASHESCAPE)
		assert_string_equal(json_object_to_json_string_ext(json_object_object_get(out, "s"),
					    flags | JSON_C_TO_STRING_PLAIN),
			json_object_to_json_string_ext(array, flags | JSON_C_TO_STRING_PLAIN));
	snprintf(text, sizeof(text), "{\"s\":%s,\"i\":[-2147483648,7]}",
		json_object_to_json_string_ext(array, JSON_C_TO_STRING_PLAIN));
	assert_string_equal(json_object_to_json_string_ext(out, JSON_C_TO_STRING_PLAIN), text);
	assert_true(dbus_json_append(m, "asai", "s\0i\0", out, -1) >= 0);
	assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
	assert_int_equal(dbus_json_read(m, "asai", "s\0i\0", &back), 0);
	assert_string_equal(json_object_to_json_string_ext(back, JSON_C_TO_STRING_PLAIN), text);
	sd_bus_message_unref(m);
	m = new_message();
	assert_int_equal(dbus_json_append(m, "ai", "s\0", out, -1), -EINVAL);
	sd_bus_message_unref(m);
	json_object_put(back);
	json_object_put(array);
	json_object_put(out);
}

/* Rows as text say what an array of them says, and what is around them is printed in the same way. */
static void test_rows(void **state)
{
	static const char *const texts[] = {"{\"a\":1,\"b\":[true,null]}", "{}",
		"{\"s\":\"\\u0001 \\\" / \xc3\xa9\",\"d\":1.5}"};
	static const struct api_call_ops ops[] = {{.is_text = false}, {.is_text = true}};

	(void)state;
	for (size_t n = 0; n <= ARRAY_SIZE(texts); n++) {
		char *printed[2];

		for (size_t k = 0; k < 2; k++) {
			const struct api_call call = {.ops = &ops[k]};
			struct json_object *out = json_object_new_object();
			struct json_object *rows = api_rows_add(&call, out, "rows");

			assert_non_null(rows);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(
					api_rows_put(rows, json_tokener_parse(texts[i])), 0);
			json_object_object_add(out, "after", json_object_new_int(3));
			assert_int_equal(json_object_array_length(rows), k ? 0 : n);
			printed[k] = strdup(json_object_to_json_string_ext(
				out, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
			assert_int_equal(api_rows_put(rows, NULL), -ENOMEM);
			json_object_put(out);
		}
		assert_string_equal(printed[0], printed[1]);
		free(printed[0]);
		free(printed[1]);
	}
}

static void test_missing_members_are_empty(void **state)
{
	(void)state;
	assert_string_equal(round_trip("subaa{sv}a{sv}", "a\0b\0c\0d\0e\0", "{}"),
		"{\"a\":\"\",\"b\":0,\"c\":false,\"d\":[],\"e\":{}}");
	/* null in a dictionary is left out. */
	assert_string_equal(
		round_trip("a{sv}", "a\0", "{\"a\":{\"k\":null,\"l\":1}}"), "{\"a\":{\"l\":1}}");
}

static void test_wrong_types_are_refused(void **state)
{
	(void)state;
	assert_null(round_trip("s", "a\0", "{\"a\":1}"));
	assert_null(round_trip("u", "a\0", "{\"a\":\"1\"}"));
	assert_null(round_trip("b", "a\0", "{\"a\":1}"));
	assert_null(round_trip("as", "a\0", "{\"a\":[1]}"));
	assert_null(round_trip("ai", "a\0", "{\"a\":[\"1\"]}"));
	assert_null(round_trip("a{sv}", "a\0", "{\"a\":[]}"));
	assert_null(round_trip("aa{sv}", "a\0", "{\"a\":[1]}"));
	assert_null(round_trip("a{sv}", "a\0", "{\"a\":{\"k\":[{},\"x\"]}}"));
}

static void test_other_signatures_are_refused(void **state)
{
	struct json_object *out = NULL;
	sd_bus_message *m = new_message();

	(void)state;
	assert_true(sd_bus_message_append(m, "su", "x", 1) >= 0);
	assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
	assert_true(dbus_json_read(m, "us", "a\0b\0", &out) < 0);
	assert_true(sd_bus_message_rewind(m, true) >= 0);
	assert_true(dbus_json_read(m, "s", "a\0", &out) < 0); /* something is left */
	assert_true(sd_bus_message_rewind(m, true) >= 0);
	assert_true(dbus_json_read(m, "sus", "a\0b\0c\0", &out) < 0);
	assert_true(sd_bus_message_rewind(m, true) >= 0);
	assert_int_equal(dbus_json_read(m, "(su)", "a\0", &out), -ENOTSUP);
	assert_null(out);
	sd_bus_message_unref(m);
}

static void test_deep_dictionaries_are_refused(void **state)
{
	struct json_object *top = json_object_new_object(), *o = top;
	sd_bus_message *m = new_message();

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct json_object *next = json_object_new_object();

		json_object_object_add(o, "a", next);
		o = next;
	}
	assert_int_equal(dbus_json_append(m, "a{sv}", "a\0", top, -1), -EMSGSIZE);
	json_object_put(top);
	sd_bus_message_unref(m);
}

static uint32_t seed = 1;

static unsigned pick(unsigned n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % n;
}

static struct json_object *random_value(unsigned depth)
{
	static const char *const strings[] = {
		"", "x", "\xc3\xa9", "a long string with blanks", "\n"};
	struct json_object *o;

	switch (pick(depth > 5 ? 5 : 8)) {
	case 0:
		return json_object_new_string(strings[pick(ARRAY_SIZE(strings))]);
	case 1:
		return json_object_new_int64((int64_t)(seed * UINT64_C(0x9e3779b97f4a7c15)));
	case 2:
		return json_object_new_uint64(UINT64_MAX - pick(3));
	case 3:
		return json_object_new_boolean(pick(2));
	case 4:
		return pick(2) ? NULL : json_object_new_double(0.5);
	case 5:
		o = json_object_new_array();
		for (unsigned n = pick(4); n; n--)
			json_object_array_add(o, random_value(depth + 1));
		return o;
	default:
		o = json_object_new_object();
		for (unsigned n = pick(5); n; n--) {
			char key[8];

			snprintf(key, sizeof(key), "k%u", pick(100));
			json_object_object_add(o, key, random_value(depth + 1));
		}
		return o;
	}
}

/* Whatever a handler answers is sent whole or refused; what was sent reads back the same. */
static void test_random_values(void **state)
{
	static const char *const signatures[] = {"a{sv}", "aa{sv}", "as", "s", "t"};
	unsigned sent = 0;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		struct json_object *top = json_object_new_object(), *out = NULL, *again = NULL;
		const char *signature = signatures[pick(ARRAY_SIZE(signatures))];
		sd_bus_message *m = new_message(), *m2 = new_message();

		json_object_object_add(top, "v", random_value(0));
		if (dbus_json_append(m, signature, "v\0", top, -1) >= 0) {
			sent++;
			assert_true(sd_bus_message_seal(m, 1, 0) >= 0);
			assert_int_equal(dbus_json_read(m, signature, "v\0", &out), 0);
			assert_int_equal(dbus_json_append(m2, signature, "v\0", out, -1), 0);
			assert_true(sd_bus_message_seal(m2, 1, 0) >= 0);
			assert_int_equal(dbus_json_read(m2, signature, "v\0", &again), 0);
			assert_true(json_object_equal(out, again));
		}
		json_object_put(top);
		json_object_put(out);
		json_object_put(again);
		sd_bus_message_unref(m);
		sd_bus_message_unref(m2);
	}
	assert_in_range(sent, 500, 5000);
}

/* Every row of the method table is well-formed: served types, one name for each of them. */
static void test_method_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_api_methods; i++) {
		const struct api_method *row = &api_methods[i];
		const char *p = row->names;
		unsigned n = 0;

		for (; *p; p += strlen(p) + 1)
			n++;
		assert_int_equal(n, api_signature_count(row->in) + api_signature_count(row->out));
		assert_ptr_equal(api_find_method(row->name), row);
		assert_in_range(row->role, API_ROLE_NONE, API_ROLE_ADMINISTRATOR);
		assert_true(row->role > API_ROLE_NONE || strcmp(row->name, "Ping") == 0);
		assert_non_null(row->handler);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_missing_members_are_empty),
		cmocka_unit_test(test_wrong_types_are_refused),
		cmocka_unit_test(test_other_signatures_are_refused),
		cmocka_unit_test(test_deep_dictionaries_are_refused),
		cmocka_unit_test(test_random_values),
		cmocka_unit_test(test_method_table),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
