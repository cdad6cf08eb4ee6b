/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzer of the lease parser: any bytes; what comes out is bounded, ended, printable, and no more than there were
 * lines. */
#include <stdlib.h>
#include <string.h>

#include "daemon/gateway.h"
#include "tests/fuzz/fuzz-input.h"

#define MAX_LEASES 8

static void check_text(const char *s, size_t size)
{
	expect(memchr(s, 0, size));
	for (; *s; s++)
		expect(*s > ' ' && *s <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gateway_lease leases[MAX_LEASES];
	char *exact = malloc(size ? size : 1);
	unsigned n, n_lines = 0;

	expect(exact);
	if (size)
		memcpy(exact, data, size);
	for (size_t i = 0; i < size; i++)
		n_lines += data[i] == '\n';
	n = gateway_leases_parse(exact, size, leases, MAX_LEASES);
	expect(n <= MAX_LEASES && n <= n_lines);
	for (unsigned i = 0; i < n; i++) {
		expect(leases[i].ip.family == 4 || leases[i].ip.family == 6);
		expect(leases[i].has_mac == (leases[i].ip.family == 4));
		expect(leases[i].expiry_s <= INT64_MAX);
		check_text(leases[i].hostname, sizeof(leases[i].hostname));
		check_text(leases[i].client_id, sizeof(leases[i].client_id));
		check_text(leases[i].iaid, sizeof(leases[i].iaid));
	}
	free(exact);
	return 0;
}
