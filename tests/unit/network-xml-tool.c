/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads network XML files and prints what network_xml_parse() makes of them: see xml-tool.h. */
#include "config/network-xml.h"
#include "tests/unit/xml-tool.h"

static struct network_config *config;

static int parse(const char *name, const char *text, size_t len, struct contract_report **report,
	char **error)
{
	return network_xml_parse(text, len, name, 0, &config, report, error);
}

static int format(bool is_live, char **xml)
{
	const struct network_live live = {
		.bridge = "virbr9", .connections = 5, .uplink_connections = {2, 0, 3}};
	const struct network_live bridged = {.connections = 5, .uplink_connections = {2, 0, 3}};

	return network_xml_format(config,
		!is_live                            ? NULL
			: config->net.has_host_port ? &live
						    : &bridged,
		xml);
}

int main(int argc, char **argv)
{
	int r = xml_tool_main(argc, argv, parse, format);

	network_config_free(config);
	return r;
}
