/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzzer of the map from certificates to roles: any bytes; what is taken is bounded, has each name once, and is found by it; what is
 * refused says why. */
#include <stdlib.h>
#include <string.h>

#include "daemon/tls-roles.h"
#include "tests/fuzz/fuzz-input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_roles *roles = NULL;
	char why[TLS_WHY_MAX] = "", *exact = malloc(size ? size : 1);
	unsigned n_lines = 1;

	expect(exact);
	if (size)
		memcpy(exact, data, size);
	for (size_t i = 0; i < size; i++)
		n_lines += data[i] == '\n';
	if (tls_roles_parse(exact, size, &roles, why) < 0) {
		expect(!roles && *why && memchr(why, 0, sizeof(why)));
		free(exact);
		return 0;
	}
	expect(roles->n <= TLS_ROLES_MAX && roles->n <= n_lines);
	for (unsigned i = 0; i < roles->n; i++) {
		const struct tls_role *row = &roles->rows[i];

		expect(row->line >= 1 && row->line <= n_lines);
		expect(row->role >= API_ROLE_NONE && row->role < API_ROLE_X_MAX);
		expect(strchr(row->name, ':') && !strchr(row->name, '\n'));
		expect(memchr(row->user, 0, sizeof(row->user)) && !strpbrk(row->user, " \t=#"));
		expect(tls_roles_find(roles, row->name) == row);
	}
	(void)tls_roles_free(roles);
	free(exact);
	return 0;
}
