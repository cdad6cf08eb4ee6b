/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of roles: whole, in order, and the same as what systemd/ installs. */
#include "daemon/role.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct {
	enum api_role role;
	const char *name, *action, *group;
} expected[] = {
	{API_ROLE_NONE, "none", NULL, NULL},
	{API_ROLE_READER, "reader", "org.vmmd1.read", "vmmd-readers"},
	{API_ROLE_OPERATOR, "operator", "org.vmmd1.operate", "vmmd-operators"},
	{API_ROLE_ADMINISTRATOR, "administrator", "org.vmmd1.manage", "vmmd"},
};

static void same(const char *a, const char *b)
{
	if (a && b)
		assert_string_equal(a, b);
	else
		assert_ptr_equal(a, b);
}

static void test_table(void **state)
{
	enum api_role role;

	(void)state;
	assert_int_equal(sizeof(expected) / sizeof(expected[0]), API_ROLE_X_MAX - 1);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_string_equal(api_role_name(expected[i].role), expected[i].name);
		same(api_role_action(expected[i].role), expected[i].action);
		same(api_role_group(expected[i].role), expected[i].group);
		role = API_ROLE_ASK;
		assert_int_equal(api_role_parse(expected[i].name, &role), 0);
		assert_int_equal(role, expected[i].role);
		assert_true(i == 0 || expected[i].role > expected[i - 1].role);
	}
}

static void test_other_words(void **state)
{
	static const char *const words[] = {"", "ask", "Reader", "admin", "operator ", "readers"};
	enum api_role role = API_ROLE_ASK;

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_int_equal(api_role_parse(words[i], &role), -EINVAL);
	assert_int_equal(role, API_ROLE_ASK);
}

/* What the package installs knows the same actions and groups. */
static void test_installed(void **state)
{
	static const char *const files[] = {"org.vmmd1.policy", "vmmd.rules", "vmmd.sysusers"};
	char path[4096], text[3][8192], wanted[128];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		FILE *file;
		size_t n;

		snprintf(path, sizeof(path), "%s/%s", SYSTEMD_DIR, files[i]);
		file = fopen(path, "re");
		assert_non_null(file);
		n = fread(text[i], 1, sizeof(text[i]) - 1, file);
		text[i][n] = 0;
		fclose(file);
	}
	for (enum api_role role = API_ROLE_READER; role < API_ROLE_X_MAX; role++) {
		snprintf(wanted, sizeof(wanted), "<action id=\"%s\">", api_role_action(role));
		assert_non_null(strstr(text[0], wanted));
		snprintf(wanted, sizeof(wanted), "\"%s\"", api_role_action(role));
		assert_non_null(strstr(text[1], wanted));
		snprintf(wanted, sizeof(wanted), "\"%s\"", api_role_group(role));
		assert_non_null(strstr(text[1], wanted));
		snprintf(wanted, sizeof(wanted), "\ng %s - -\n", api_role_group(role));
		assert_non_null(strstr(text[2], wanted));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_other_words),
		cmocka_unit_test(test_installed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
