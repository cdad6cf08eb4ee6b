/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Elements for net-update from anybody: whatever is accepted gives a network that reads as the same again. The first byte
 * is the command ('0' and up), the second the section, the third the index of the <ip> ('0' - 1: none).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/network-update.h"
#include "vmm-core/base/strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char base[] =
	"<network xmlns:vmmd='urn:vmmd:network:1'><name>n</name><forward mode='nat'/>"
	"<dns><txt name='t' value='v'/><srv service='ldap' protocol='tcp'/>"
	"<host ip='10.0.0.7'><hostname>seven</hostname></host></dns>"
	"<ip address='10.0.0.1' prefix='24'><dhcp><range start='10.0.0.100' end='10.0.0.120'/>"
	"<host mac='52:54:00:00:00:0a' name='a' ip='10.0.0.10'/></dhcp></ip>"
	"<ip family='ipv6' address='fd00::1' prefix='64'/>"
	"<portgroup name='one' default='yes'><kept/></portgroup>"
	"<vmmd:forward proto='tcp' port='80' to='10.0.0.10'/></network>";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct network_config *config = NULL, *changed = NULL, *again = NULL;
	char *error = NULL, *xml = NULL;
	struct network_update u = {.source = "fuzz"};
	int r;

	if (size < 3)
		return 0;
	if (network_xml_parse(base, strlen(base), "base", 0, &config, NULL, &error) < 0)
		abort();
	u.command = (unsigned)data[0] - '0';
	u.section = (unsigned)data[1] - '0';
	if (u.section == 13)
		u.section = NETWORK_SECTION_PORT_FORWARD;
	u.parent_index = (int)data[2] - '1';
	u.xml = (const char *)data + 3;
	u.len = size - 3;
	r = network_update(config, &u, &changed, &error);
	if ((r == 0) != (changed != NULL) || (r != 0) != (error != NULL))
		abort();
	if (error && (strpbrk(error, "\n\t") || !str_is_clean_utf8(error)))
		abort();
	free(error);
	if (changed) {
		if (network_xml_format(changed, NULL, &xml) < 0 ||
			network_xml_parse(xml, strlen(xml), "again", 0, &again, NULL, &error) < 0)
			abort();
		free(xml);
	}
	(void)network_config_free(again);
	(void)network_config_free(changed);
	(void)network_config_free(config);
	return 0;
}
