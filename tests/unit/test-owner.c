/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose a domain is: names, uids, and that nobody's is nobody's. */
#include "daemon/owner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const struct user root = {.uid_known = true}, somebody = {.uid_known = true, .uid = 1000},
			 unknown = {.uid = 0}, named = {.name = "alice"};

static bool is(const char *owner, const struct user *user)
{
	struct domain_owner o;

	owner_set(&o, owner);
	assert_string_equal(o.user, owner);
	return owner_is(&o, user);
}

static void test_uids(void **state)
{
	(void)state;
	assert_true(is("1000", &somebody));
	assert_false(is("1001", &somebody));
	assert_true(is("0", &root));
	/* The uid counts only if it is known. */
	assert_false(is("0", &unknown));
	assert_false(is("0", &named));
}

static void test_names(void **state)
{
	const struct user nobody = {.uid_known = true, .uid = 65534};

	(void)state;
	assert_true(is("root", &root));
	assert_false(is("root", &somebody));
	assert_true(is("nobody", &nobody));
	/* Whom the host does not know, a certificate may name; and no uid is his. */
	assert_true(is("alice", &named));
	assert_false(is("alice", &root));
	assert_false(is("bob", &named));
}

static void test_nobody_s(void **state)
{
	(void)state;
	assert_false(is("", &root));
	assert_false(is("", &unknown));
	assert_false(is("", &named));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uids),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_nobody_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
