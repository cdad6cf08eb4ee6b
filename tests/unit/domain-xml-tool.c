/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads domain XML files and prints what domain_xml_parse() makes of them, for golden files and for people:
 *
 *	domain-xml-tool report FILE	the verdict, then the contract report
 *	domain-xml-tool xml FILE	the canonical XML
 *	domain-xml-tool live FILE	the same as of a running domain
 *
 * The name of the file in errors is its last part, so that goldens do not depend on where they lie. Exits
 * with 0 when the definition is accepted, 1 when not, 2 when it could not be tried.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "config/domain-xml.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

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

static int print_xml(const struct domain_config *config, bool is_live)
{
	const struct domain_live live = {.id = 4,
		.serial_paths = {"/dev/pts/3", "/dev/pts/4", "/dev/pts/5", "/dev/pts/6"},
		.console_paths = {NULL, "/dev/pts/7", "/dev/pts/8", "/dev/pts/9"}};
	_cleanup_(freep) char *xml = NULL;

	if (domain_xml_format(config, is_live ? &live : NULL, &xml) < 0)
		return 2;
	fputs(xml, stdout);
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	_cleanup_(freep) char *text = NULL, *error = NULL;
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
	r = domain_xml_parse(text, len, basename(argv[2]), 0, &config, &report, &error);
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
	return print_xml(config, streq(argv[1], "live"));
}
