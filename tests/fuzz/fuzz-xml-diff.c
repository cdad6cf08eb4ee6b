/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzer of comparing: two documents, with a NUL between. Nothing differs from itself, paths and values are bounded and printable, and
 * what one of the two has not is said so. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/xml-diff.h"
#include "tests/fuzz/fuzz-input.h"

static void check_text(const char *s, size_t max)
{
	expect(strlen(s) <= max);
	for (; *s; s++)
		expect((unsigned char)*s >= ' ' && *s != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *old = malloc(size + 2), *new;
	struct xml_diff *diff;

	expect(old != NULL);
	memcpy(old, data, size);
	old[size] = old[size + 1] = 0;
	new = old + strlen(old) + 1;
	if (xml_diff(old, new, &diff) == 0) {
		expect(diff->n <= XML_DIFF_MAX && (diff->n > 0) == (strcmp(old, new) != 0));
		for (size_t i = 0; i < diff->n; i++) {
			const struct xml_difference *d = &diff->items[i];

			check_text(d->path, XML_DIFF_PATH_MAX - 1);
			expect(d->old || d->new);
			expect(!d->xml == (d->old && d->new));
			check_text(d->old ? d->old : "", XML_DIFF_VALUE_MAX);
			check_text(d->new ? d->new : "", XML_DIFF_VALUE_MAX);
		}
		(void)xml_diff_free(diff);
	}
	free(old);
	return 0;
}
