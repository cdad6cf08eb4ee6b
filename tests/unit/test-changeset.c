/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records of the journal, as text: there and back, and nothing but what was written. */
#include "daemon/changeset.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm-core/base/strutil.h"

static const struct changeset_item items_of_all_kinds[] = {
	{CHANGESET_SAVE, CHANGESET_DOMAINS, {1, 2, 3}, "<domain/>\n"},
	{CHANGESET_SAVE, CHANGESET_NETWORKS, {4, 5, 6}, "<network>\nsave domains\n</network>\n"},
	{CHANGESET_DELETE, CHANGESET_DOMAINS, {7, 8, 9}, NULL},
	{CHANGESET_FLAG, CHANGESET_DOMAINS, {1, 2, 3}, NULL},
	{CHANGESET_UNFLAG, CHANGESET_NETWORKS, {4, 5, 6}, NULL},
};
static const struct changeset_place here = {0x0123456789abcdef, 77};

#define N_ITEMS ARRAY_SIZE(items_of_all_kinds)

/* A copy that decoding may write to. The length is that of the text: what is behind a record is not its. */
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
	struct changeset_place place;
	struct changeset_item *items;
	size_t size, n, len;
	char *text;

	(void)state;
	assert_int_equal(changeset_encode(&here, items_of_all_kinds, N_ITEMS, &text, &size), 0);
	assert_int_equal(strlen(text), size);
	assert_int_equal(strncmp(text, "vmmd-journal 1 0123456789abcdef 77 5 ", 37), 0);
	assert_non_null(strstr(text, "save domains 01020300-0000-0000-0000-000000000000 10\n"));
	assert_non_null(strstr(text, "\ndelete domains 07080900-0000-0000-0000-000000000000\n"));
	assert_non_null(strstr(text, "\nunflag networks 04050600-0000-0000-0000-000000000000\n"));
	assert_int_equal(changeset_look(text, size, &place, &len), 0);
	assert_int_equal(place.generation, here.generation);
	assert_int_equal(place.sequence, here.sequence);
	assert_int_equal(len, size);
	assert_int_equal(changeset_decode(text, size, &items, &n), 0);
	assert_int_equal(n, N_ITEMS);
	for (size_t i = 0; i < n; i++) {
		const struct changeset_item *item = &items_of_all_kinds[i];

		assert_int_equal(items[i].verb, item->verb);
		assert_int_equal(items[i].kind, item->kind);
		assert_memory_equal(items[i].uuid, item->uuid, 16);
		if (item->xml)
			assert_string_equal(items[i].xml, item->xml);
		else
			assert_null(items[i].xml);
	}
	free(items);
	free(text);
	assert_int_equal(changeset_encode(&here, NULL, 0, &text, &size), 0);
	assert_int_equal(decode(text, size), 0);
	free(text);
}

/* No byte is without its meaning, and no part is the whole. */
static void test_damage_is_seen(void **state)
{
	size_t size;
	char *text;

	(void)state;
	assert_int_equal(changeset_encode(&here, items_of_all_kinds, N_ITEMS, &text, &size), 0);
	for (size_t i = 0; i < size; i++) {
		assert_int_equal(decode(text, i), -EBADMSG);
		for (unsigned bit = 0; bit < 8; bit++) {
			text[i] = (char)(text[i] ^ (1 << bit));
			/* The version's own digit: another version. */
			assert_int_equal(decode(text, size),
				i == 13 || i == 14 ? -EPROTONOSUPPORT : -EBADMSG);
			text[i] = (char)(text[i] ^ (1 << bit));
		}
	}
	assert_int_equal(decode(text, size), 0);
	assert_int_equal(decode("", 0), -EBADMSG);
	free(text);
}

/* Something may follow, and is not looked at. */
static void test_length(void **state)
{
	struct changeset_place place;
	size_t size, len;
	char *text;

	(void)state;
	assert_int_equal(changeset_encode(&here, items_of_all_kinds, N_ITEMS, &text, &size), 0);
	text = realloc(text, size + 100);
	memset(text + size, 'x', 100);
	assert_int_equal(changeset_look(text, size + 100, &place, &len), 0);
	assert_int_equal(len, size);
	assert_int_equal(decode(text, size + 100), 0);
	free(text);
}

static void test_limits(void **state)
{
	static struct changeset_item many[CHANGESET_MAX + 1];
	char *text, *big = malloc(VMMD_MAX_XML_BYTES + 2);
	size_t size;

	(void)state;
	assert_int_equal(changeset_encode(&here, many, CHANGESET_MAX + 1, &text, &size), -EFBIG);
	memset(big, 'x', VMMD_MAX_XML_BYTES + 1);
	big[VMMD_MAX_XML_BYTES + 1] = 0;
	for (unsigned i = 0; i < 64; i++)
		many[i].xml = "";
	many[0].xml = big;
	assert_int_equal(changeset_encode(&here, many, 1, &text, &size), -EFBIG);
	big[VMMD_MAX_XML_BYTES] = 0;
	for (unsigned i = 0; i < 64; i++)
		many[i].xml = big;
	assert_int_equal(changeset_encode(&here, many, 64, &text, &size), -EFBIG);
	assert_int_equal(changeset_encode(&here, many, 63, &text, &size), 0);
	assert_int_equal(decode(text, size), 0);
	free(text);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_damage_is_seen),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
