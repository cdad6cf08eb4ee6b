/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzer of the journal's records: any bytes, and any bytes behind a first line that fits them; what is taken is what would have been written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/changeset.h"
#include "tests/fuzz/fuzz-input.h"

static void check(const char *bytes, size_t size)
{
	char *exact = malloc(size + 1), *again;
	struct changeset_place place;
	struct changeset_item *items;
	size_t n, len, again_size;

	expect(exact != NULL);
	memcpy(exact, bytes, size);
	exact[size] = 0;
	if (changeset_look(exact, size, &place, &len) == 0 &&
		changeset_decode(exact, size, &items, &n) == 0) {
		expect(changeset_encode(&place, items, n, &again, &again_size) == 0);
		expect(len <= size && again_size == len && memcmp(again, bytes, len) == 0);
		free(again);
		free(items);
	}
	free(exact);
}

/* FNV-1a of 128 bits, as changeset.h says. */
static unsigned __int128 hash_more(unsigned __int128 hash, const char *bytes, size_t size)
{
	const unsigned __int128 prime = (unsigned __int128)1 << 88 | 0x13b;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * prime;
	return hash;
}

static void check_signed(const char *body, size_t size)
{
	unsigned __int128 hash =
		(unsigned __int128)0x6c62272e07bb0142 << 64 | UINT64_C(0x62b821756295c58d);
	char *text = malloc(size + 192);
	int head;

	expect(text != NULL);
	head = snprintf(text, 128, "vmmd-journal 1 00000000000000%02x 9 %u %zu ", body[0] & 0xffU,
		body[0] & 7U, size - 1);
	hash = hash_more(hash_more(hash, body + 1, size - 1), text, (size_t)head);
	head += snprintf(text + head, 64, "%016llx%016llx\n", (unsigned long long)(hash >> 64),
		(unsigned long long)hash);
	memcpy(text + head, body + 1, size - 1);
	check(text, (size_t)head + size - 1);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	check((const char *)data, size);
	check_signed((const char *)data, size);
	return 0;
}
