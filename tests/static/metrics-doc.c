/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prints the table of metrics (daemon/metrics.h) as Markdown: what docs/metrics.md holds after its mark. check-xml-doc compares
 * the two.
 */
#include <stdio.h>

#include "daemon/metrics.h"

int main(void)
{
	printf("\n| metric | type | labels | one for each | what it is |\n"
	       "|---|---|---|---|---|\n");
	for (size_t i = 0; i < n_metrics; i++) {
		const struct metric *m = &metrics[i];
		const struct metric_scope *scope = m->scope;

		printf("| `%s%s` | %s | ", m->name, metric_type_suffix(m->type),
			metric_type_name(m->type, METRICS_OPENMETRICS));
		for (unsigned k = 0; scope->labels[k]; k++)
			printf("%s`%s`", k ? ", " : "", scope->labels[k]);
		printf(" | %s | %s |\n", scope->name, m->help);
	}
	return 0;
}
