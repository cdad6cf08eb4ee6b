/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The common part of domain-xml-tool and network-xml-tool, for golden files and for people:
 *
 *	KIND-xml-tool report FILE	the verdict, then the contract report
 *	KIND-xml-tool xml FILE		the canonical XML
 *	KIND-xml-tool live FILE		the same as of a running one
 *
 * The name of the file in errors is its last part, so that goldens do not depend on where they lie. Exits
 * with 0 when the definition is accepted, 1 when not, 2 when it could not be tried.
 */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/contract.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

/* Parse the text, keeping the result for the next one. */
typedef int xml_tool_parse(const char *name, const char *text, size_t len,
	struct contract_report **report, char **error);
typedef int xml_tool_format(bool is_live, char **xml);

static void print_report(const struct contract_report *report)
{
	for (size_t i = 0; i < report->n_entries; i++) {
		const struct contract_entry *e = &report->entries[i];

		if (e->verdict == CONTRACT_HONOURED && strchr(e->path, '@'))
			continue; /* the element's line says enough */
		printf("%u\t%s\t%s%s%s\n", e->line, contract_verdict_to_string(e->verdict), e->path,
			e->why ? "\t" : "", e->why ? e->why : "");
	}
	for (unsigned i = 0; i < CONTRACT_VERDICT_X_MAX; i++)
		printf("%s%u %s", i ? ", " : "", report->counts[i], contract_verdict_to_string(i));
	printf("\n");
}

static int xml_tool_main(int argc, char **argv, xml_tool_parse *parse, xml_tool_format *format)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	_cleanup_(freep) char *text = NULL, *error = NULL, *xml = NULL;
	size_t len;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: %s report|xml|live FILE\n", argv[0]);
		return 2;
	}
	r = read_file(AT_FDCWD, argv[2], VMMD_MAX_XML_BYTES, &text, &len);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", argv[2], strerror(-r));
		return 2;
	}
	r = parse(basename(argv[2]), text, len, &report, &error);
	if (streq(argv[1], "report")) {
		printf("%s\n", r == 0 ? "accepted" : error ? error : strerror(-r));
		if (report)
			print_report(report);
		return r < 0;
	}
	if (r < 0) {
		fprintf(stderr, "%s\n", error ? error : strerror(-r));
		return 1;
	}
	if (format(streq(argv[1], "live"), &xml) < 0)
		return 2;
	fputs(xml, stdout);
	return 0;
}
