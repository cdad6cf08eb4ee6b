/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domain XML from anybody: whatever is accepted must be a valid machine, and its printed form must read as
 * the same again, strictly if it was read strictly. The first byte chooses the flags.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/domain-xml.h"
#include "vmm-core/base/strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *format(const struct domain_config *config, const struct domain_live *live)
{
	char *xml;

	if (domain_xml_format(config, live, &xml) < 0)
		abort();
	return xml;
}

static struct domain_config *parse(const char *xml, size_t len, unsigned flags)
{
	struct domain_config *config = NULL;
	struct contract_report *report = NULL;
	char *error = NULL;
	int r = domain_xml_parse(xml, len, "fuzz", flags, &config, &report, &error);

	if ((r == 0) != (config != NULL) || (r != 0) != (error != NULL))
		abort();
	if (error && (strpbrk(error, "\n\t") || !str_is_clean_utf8(error)))
		abort(); /* not one line, or nothing that D-Bus would carry */
	for (size_t i = 0; report && i < report->n_entries; i++)
		if (!str_is_clean_utf8(report->entries[i].path))
			abort();
	if (config && vm_config_validate(&config->vm, NULL, 0) < 0)
		abort();
	contract_report_free(report);
	free(error);
	return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct domain_live live = {.id = 1, .serial_paths = {"/dev/pts/0"}};
	struct domain_config *config, *again;
	unsigned flags = size && data[0] == '\n' ? XML_STRICT : 0; /* a blank before <domain> */
	char *xml, *xml_again;

	config = parse((const char *)data, size, flags);
	if (!config)
		return 0;
	xml = format(config, NULL);
	again = parse(xml, strlen(xml), flags);
	if (!again)
		abort();
	xml_again = format(again, NULL);
	if (strcmp(xml, xml_again) != 0)
		abort();
	free(xml_again);

	/* The live form leaves what it is made of as it was. */
	free(format(config, &live));
	xml_again = format(config, NULL);
	if (strcmp(xml, xml_again) != 0)
		abort();
	free(xml_again);
	free(xml);
	domain_config_free(again);
	domain_config_free(config);
	return 0;
}
