/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Definitions that change together, as text: there and back, and nothing but what was written. */
#include "daemon/changeset.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm-core/base/strutil.h"

static const struct changeset_item three[] = {
	{CHANGESET_DOMAINS, {1, 2, 3}, "<domain/>\n"},
	{CHANGESET_NETWORKS, {4, 5, 6}, "<network>\nsave domains\n</network>\n"},
	{CHANGESET_DOMAINS, {7, 8, 9}, NULL},
};

/* A copy that decoding may write to. */
static int decode(const char *text, size_t size)
{
	struct changeset_item *items = NULL;
	char *copy = malloc(size + 1);
	size_t n;
	int r;

	memcpy(copy, text, size);
	copy[size] = 0;
	r = changeset_decode(copy, size, &items, &n);
	if (r == 0)
		free(items);
	free(copy);
	return r;
}

static void test_there_and_back(void **state)
{
	struct changeset_item *items;
	size_t size, n;
	char *text;

	(void)state;
	assert_int_equal(changeset_encode(three, 3, &text, &size), 0);
	assert_int_equal(strlen(text), size);
	assert_int_equal(strncmp(text, "vmmd-changes 1 3 ", 17), 0);
	assert_non_null(strstr(text, "save domains 01020300-0000-0000-0000-000000000000 10\n"));
	assert_non_null(strstr(text, "\ndelete domains 07080900-0000-0000-0000-000000000000\n"));
	assert_int_equal(changeset_decode(text, size, &items, &n), 0);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(items[i].kind, three[i].kind);
		assert_memory_equal(items[i].uuid, three[i].uuid, 16);
		if (three[i].xml)
			assert_string_equal(items[i].xml, three[i].xml);
		else
			assert_null(items[i].xml);
	}
	free(items);
	free(text);
	assert_int_equal(changeset_encode(NULL, 0, &text, &size), 0);
	assert_int_equal(decode(text, size), 0);
	free(text);
}

/* No byte is without its meaning, and no part is the whole. */
static void test_damage_is_seen(void **state)
{
	size_t size;
	char *text;

	(void)state;
	assert_int_equal(changeset_encode(three, 3, &text, &size), 0);
	for (size_t i = 0; i < size; i++) {
		assert_int_equal(decode(text, i), -EBADMSG);
		for (unsigned bit = 0; bit < 8; bit++) {
			text[i] = (char)(text[i] ^ (1 << bit));
			assert_int_equal(decode(text, size), -EBADMSG);
			text[i] = (char)(text[i] ^ (1 << bit));
		}
	}
	assert_int_equal(decode(text, size), 0);
	assert_int_equal(decode("", 0), -EBADMSG);
	free(text);
}

static void test_limits(void **state)
{
	static struct changeset_item many[CHANGESET_MAX + 1];
	char *text, *big = malloc(VMMD_MAX_XML_BYTES + 2);
	size_t size;

	(void)state;
	assert_int_equal(changeset_encode(many, CHANGESET_MAX + 1, &text, &size), -EFBIG);
	memset(big, 'x', VMMD_MAX_XML_BYTES + 1);
	big[VMMD_MAX_XML_BYTES + 1] = 0;
	many[0].xml = big;
	assert_int_equal(changeset_encode(many, 1, &text, &size), -EFBIG);
	big[VMMD_MAX_XML_BYTES] = 0;
	for (unsigned i = 0; i < 64; i++)
		many[i].xml = big;
	assert_int_equal(changeset_encode(many, 64, &text, &size), -EFBIG);
	assert_int_equal(changeset_encode(many, 63, &text, &size), 0);
	assert_int_equal(decode(text, size), 0);
	free(text);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_damage_is_seen),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
