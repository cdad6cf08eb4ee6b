/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network XML from anybody: whatever is accepted must be a valid network, and its printed form must read as
 * the same again, strictly if it was read strictly. The first byte chooses the flags.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/domain-xml.h"
#include "config/network-xml.h"
#include "vmm-core/base/strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *format(const struct network_config *config, const struct network_live *live)
{
	char *xml;

	if (network_xml_format(config, live, &xml) < 0)
		abort();
	return xml;
}

static struct network_config *parse(const char *xml, size_t len, unsigned flags)
{
	struct network_config *config = NULL;
	struct contract_report *report = NULL;
	char *error = NULL;
	int r = network_xml_parse(xml, len, "fuzz", flags, &config, &report, &error);

	if ((r == 0) != (config != NULL) || (r != 0) != (error != NULL))
		abort();
	if (error && (strpbrk(error, "\n\t") || !str_is_clean_utf8(error)))
		abort(); /* not one line, or nothing that D-Bus would carry */
	for (size_t i = 0; report && i < report->n_entries; i++)
		if (!str_is_clean_utf8(report->entries[i].path))
			abort();
	if (config &&
		(net_config_validate(&config->net, NULL, 0) < 0 ||
			net_port_config_validate(&config->port, NULL, 0) < 0))
		abort();
	contract_report_free(report);
	free(error);
	return config;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct network_live live = {.bridge = "virbr0", .connections = 1};
	struct network_config *config, *again, *copy;
	unsigned flags = size && data[0] == '\n' ? XML_STRICT : 0; /* a blank before <network> */
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

	if (network_config_copy(config, &copy) < 0)
		abort();
	xml_again = format(copy, &live);
	free(xml_again);
	free(xml);
	network_config_free(copy);
	network_config_free(again);
	network_config_free(config);
	return 0;
}
