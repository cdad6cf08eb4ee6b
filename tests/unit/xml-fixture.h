/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of XML have in common: an error as it must be, and mutations of a good document. Include <cmocka.h>
 * first. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "config/contract.h"
#include "vmm-core/base/macro.h"
#include "vmm-core/base/strutil.h"

/* A parser of document "f" has answered 'r' and these: 'expected', one clean line with 'part' in it, and a report if and
 * only if something is refused. Frees both. */
static inline void xml_expect_error(const char *xml, int r, struct contract_report *report,
	char *error, int expected, const char *part)
{
	if (r != expected || !error || !strstr(error, part) || strpbrk(error, "\n\t") ||
		!str_is_clean_utf8(error) || strncmp(error, "f:", 2) != 0)
		fail_msg("%.200s: expected %d '%s', got %d '%s'", xml, expected, part, r,
			error ? error : "");
	assert_int_equal(report != NULL, expected == -EOPNOTSUPP);
	(void)contract_report_free(report);
	free(error);
}

/* Call 'check' for 'rounds' documents in which up to four places are cut and filled with one of 'parts' (ending in NULL,
 * of at most 32 bytes), and for every beginning of 'xml'. */
static inline void xml_mutate(const char *xml, const char *const parts[], unsigned rounds,
	void (*check)(const char *xml, size_t len))
{
	size_t size = strlen(xml);
	char *buf = malloc(size + 256);
	unsigned seed = 7, n_parts = 0;

	assert_non_null(buf);
	while (parts[n_parts])
		n_parts++;
	for (unsigned round = 0; round < rounds; round++) {
		size_t len = size;

		memcpy(buf, xml, size + 1);
		for (int n = rand_r(&seed) % 4; n >= 0; n--) {
			size_t at = (size_t)rand_r(&seed) % len;
			size_t cut = (size_t)rand_r(&seed) % 8;
			const char *part = parts[(unsigned)rand_r(&seed) % n_parts];
			size_t add = strlen(part);

			cut = MIN(cut, len - at);
			memmove(buf + at + add, buf + at + cut, len - at - cut);
			memcpy(buf + at, part, add);
			len += add - cut;
		}
		check(buf, len);
	}
	for (size_t len = 0; len <= size; len++) /* cut off everywhere */
		check(xml, len);
	free(buf);
}
