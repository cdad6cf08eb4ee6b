/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The map from certificates to roles: what it takes, and each thing that is wrong with its line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/tls-roles.h"
#include "vmm-core/base/macro.h"

static struct tls_roles *parse(const char *text)
{
	struct tls_roles *roles = NULL;
	char why[TLS_WHY_MAX] = "";

	if (tls_roles_parse(text, strlen(text), &roles, why) < 0)
		fail_msg("'%s': %s", text, why);
	return roles;
}

static void test_rows(void **state)
{
	_cleanup_(tls_roles_freep) struct tls_roles *roles =
		parse("# who may what\n\n"
		      "  cn:alice\t=operator  alice \n"
		      "uri:spiffe://x/y?a=b = reader\n"
		      "dns:ci.example.org = none ci.user@x_1-2\n"
		      "cn:Al = Ice, Ltd. = administrator\n"
		      "cn:none = none");
	static const struct {
		const char *name;
		enum api_role role;
		const char *user;
		unsigned line;
	} rows[] = {
		{"cn:alice", API_ROLE_OPERATOR, "alice", 3},
		{"uri:spiffe://x/y?a=b", API_ROLE_READER, "", 4},
		{"dns:ci.example.org", API_ROLE_NONE, "ci.user@x_1-2", 5},
		{"cn:Al = Ice, Ltd.", API_ROLE_ADMINISTRATOR, "", 6},
		{"cn:none", API_ROLE_NONE, "", 7},
	};
	static const char *const others[] = {
		"cn:Alice", "cn:alic", "cn:alice ", "dns:alice", "alice", "", "cn:"};

	(void)state;
	assert_int_equal(roles->n, ARRAY_SIZE(rows));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct tls_role *row = tls_roles_find(roles, rows[i].name);

		assert_non_null(row);
		assert_int_equal(row->role, rows[i].role);
		assert_string_equal(row->user, rows[i].user);
		assert_int_equal(row->line, rows[i].line);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_null(tls_roles_find(roles, others[i]));
	assert_false(tls_role_same(
		tls_roles_find(roles, "cn:none"), tls_roles_find(roles, "dns:ci.example.org")));
	assert_false(
		tls_role_same(tls_roles_find(roles, "cn:none"), tls_roles_find(roles, "cn:alice")));
}

static void test_nothing(void **state)
{
	_cleanup_(tls_roles_freep) struct tls_roles *roles = parse(""), *comment = parse("#\n");

	(void)state;
	assert_null(tls_roles_find(roles, "cn:a"));
	assert_null(tls_roles_find(comment, "cn:a"));
}

#define LONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_errors(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"cn:a", "line 1: it is not NAME = ROLE [USER]"},
		{"\n#\ncn:a operator\n", "line 3: it is not NAME = ROLE [USER]"},
		{"a = operator", "line 1: a name begins with cn:, dns: or uri:"},
		{"CN:a = operator", "line 1: a name begins with cn:, dns: or uri:"},
		{"* = operator", "line 1: a name begins with cn:, dns: or uri:"},
		{" = operator", "line 1: a name begins with cn:, dns: or uri:"},
		{"cn: = operator", "line 1: the name is empty"},
		{"cn:a =", "line 1: the role is none, reader, operator or administrator"},
		{"cn:a = admin", "line 1: the role is none, reader, operator or administrator"},
		{"cn:a = Reader", "line 1: the role is none, reader, operator or administrator"},
		{"cn:a = reader bob carl",
			"line 1: behind the role there is a user's name, and nothing else"},
		{"cn:a = reader -b",
			"line 1: behind the role there is a user's name, and nothing else"},
		{"cn:a = reader # b",
			"line 1: behind the role there is a user's name, and nothing else"},
		{"cn:a = reader " LONG, "line 1: the user's name is too long"},
		{"cn:" LONG LONG LONG LONG " = reader", "line 1: the name is too long"},
		{"cn:a\x01 = reader", "line 1: it is not UTF-8, or has control characters"},
		{"cn:\xff = reader", "line 1: it is not UTF-8, or has control characters"},
		{"cn:a = reader\r\n", "line 1: it is not UTF-8, or has control characters"},
		{"cn:b = none\ncn:a = reader\ncn:b = none\n", "line 3: 'cn:b' is in line 1, too"},
	};
	static char text[2048];
	struct tls_roles *roles = NULL;
	char why[TLS_WHY_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(
			tls_roles_parse(rows[i].text, strlen(rows[i].text), &roles, why), -EINVAL);
		assert_string_equal(why, rows[i].why);
	}
	assert_int_equal(tls_roles_parse("cn:a\0b = reader", 15, &roles, why), -EINVAL);
	assert_string_equal(why, "line 1: it has a NUL byte");
	memset(text, ' ', sizeof(text));
	assert_int_equal(tls_roles_parse(text, sizeof(text), &roles, why), -EINVAL);
	assert_string_equal(why, "line 1: it is too long");
	assert_null(roles);
}

static void test_many(void **state)
{
	static char text[(TLS_ROLES_MAX + 1) * 32];
	struct tls_roles *roles = NULL;
	char why[TLS_WHY_MAX], name[32];
	size_t len = 0;

	(void)state;
	for (unsigned i = 0; i < TLS_ROLES_MAX; i++)
		len += (size_t)sprintf(text + len, "cn:%u = reader\n", i * 7919 % TLS_ROLES_MAX);
	assert_int_equal(tls_roles_parse(text, len, &roles, why), 0);
	for (unsigned i = 0; i < TLS_ROLES_MAX; i++) {
		snprintf(name, sizeof(name), "cn:%u", i);
		assert_non_null(tls_roles_find(roles, name));
	}
	roles = tls_roles_free(roles);
	len += (size_t)sprintf(text + len, "cn:x = reader\n");
	assert_int_equal(tls_roles_parse(text, len, &roles, why), -EINVAL);
	assert_string_equal(why, "line 1025: there are too many lines");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
