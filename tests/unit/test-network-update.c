/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network_update(): each section's commands, libvirt's messages, and what stays as it was. */
#include "config/network-update.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/base/macro.h"
#include "vmm-core/base/strutil.h"

#define FIRST  NETWORK_UPDATE_ADD_FIRST
#define LAST   NETWORK_UPDATE_ADD_LAST
#define DELETE NETWORK_UPDATE_DELETE
#define MODIFY NETWORK_UPDATE_MODIFY

#define DHCP_HOST  NETWORK_SECTION_IP_DHCP_HOST
#define DHCP_RANGE NETWORK_SECTION_IP_DHCP_RANGE
#define DNS_HOST   NETWORK_SECTION_DNS_HOST
#define DNS_TXT    NETWORK_SECTION_DNS_TXT
#define DNS_SRV    NETWORK_SECTION_DNS_SRV
#define UPLINK     NETWORK_SECTION_FORWARD_INTERFACE
#define PORTGROUP  NETWORK_SECTION_PORTGROUP
#define FORWARD    NETWORK_SECTION_PORT_FORWARD

#define VMMD_FORWARD(x) "<v:forward xmlns:v='urn:vmmd:network:1' " x "/>"

static const char nat[] =
	"<network xmlns:v='urn:vmmd:network:1'><name>n</name>"
	"<uuid>11111111-1111-1111-1111-111111111111</uuid><forward mode='nat'/>"
	"<mac address='52:54:00:00:00:01'/>"
	"<dns><txt name='t' value='v'/><srv service='ldap' protocol='tcp' target='a.b' port='1'/>"
	"<srv service='ldap' protocol='udp' target='a.b' port='1'/>"
	"<host ip='10.0.0.7'><hostname>seven</hostname><hostname>vii</hostname></host>"
	"<host ip='10.0.0.8'><hostname>seven</hostname></host></dns>"
	"<ip address='10.0.0.1' prefix='24'><dhcp>"
	"<range start='10.0.0.100' end='10.0.0.120'/>"
	"<host mac='52:54:00:00:00:0a' name='a' ip='10.0.0.10'/>"
	"<host mac='52:54:00:00:00:0b' name='b' ip='10.0.0.11'/></dhcp></ip>"
	"<ip family='ipv6' address='fd00::1' prefix='64'/>"
	"<portgroup name='one' default='yes'/><portgroup name='two'><kept/></portgroup>"
	"<v:forward proto='tcp' port='80' to='10.0.0.10'/></network>";
static const char bridge[] = "<network><name>n</name><forward mode='bridge'>"
			     "<interface dev='eth1'/><interface dev='eth2'/></forward></network>";
static const char bare[] = "<network><name>n</name></network>";
static const char two_ips[] = "<network><name>n</name><ip address='10.0.0.1' prefix='24'><dhcp>"
			      "<range start='10.0.0.5' end='10.0.0.6'/></dhcp></ip>"
			      "<ip address='10.0.1.1' prefix='24'/></network>";

static struct network_config *parse(const char *xml)
{
	struct network_config *config = NULL;
	char *error = NULL;

	if (network_xml_parse(xml, strlen(xml), "f", 0, &config, NULL, &error) < 0)
		fail_msg("%s", error);
	return config;
}

static int update(const char *base, unsigned command, unsigned section, int parent, const char *xml,
	struct network_config **ret, char **ret_error)
{
	struct network_config *config = parse(base);
	const struct network_update u = {command, section, parent, xml, strlen(xml), "u"};
	int r = network_update(config, &u, ret, ret_error);

	(void)network_config_free(config);
	return r;
}

static char *changed(
	const char *base, unsigned command, unsigned section, int parent, const char *xml)
{
	struct network_config *config = NULL;
	char *error = NULL, *text = NULL;
	int r = update(base, command, section, parent, xml, &config, &error);

	if (r < 0)
		fail_msg("%s: %d %s", xml, r, error ? error : "");
	assert_int_equal(network_xml_format(config, NULL, &text), 0);
	(void)network_config_free(config);
	return text;
}

/* What the new XML has in this order, between bars; "!x": what it has not. */
static void check_parts(const char *text, const char *parts)
{
	char copy[512], *save = NULL;
	const char *at = text;

	assert_int_equal(str_copy(copy, sizeof(copy), parts), 0);
	for (char *part = strtok_r(copy, "|", &save); part; part = strtok_r(NULL, "|", &save)) {
		if (*part == '!') {
			if (strstr(text, part + 1))
				fail_msg("'%s' is in\n%s", part + 1, text);
			continue;
		}
		at = strstr(at, part);
		if (!at)
			fail_msg("no '%s' (in this order) in\n%s", part, text);
		at += strlen(part);
	}
}

static void test_changes(void **state)
{
	static const struct {
		const char *base;
		unsigned command, section;
		int parent;
		const char *xml, *parts;
	} rows[] = {
		{nat, LAST, DHCP_HOST, -1,
			"<host mac='52:54:00:00:00:0c' name='c' ip='10.0.0.12'/>",
			"name='a'|name='b'|name='c'"},
		{nat, FIRST, DHCP_HOST, 0,
			"<host mac='52:54:00:00:00:0c' name='c' ip='10.0.0.12'/>",
			"<range|name='c'|name='a'|name='b'"},
		{nat, LAST, DHCP_HOST, 1, "<host id='00:01' ip='fd00::9'/>",
			"fd00::1|<dhcp>|<host id='00:01' ip='fd00::9'/>"},
		{nat, MODIFY, DHCP_HOST, -1,
			"<host mac='52:54:00:00:00:0a' name='z' ip='10.0.0.99'/>",
			"name='z' ip='10.0.0.99'|name='b'|!name='a'"},
		{nat, MODIFY, DHCP_HOST, -1, "<host mac='52:54:00:00:00:0f' ip='10.0.0.11'/>",
			"name='a'|0f' ip='10.0.0.11'|!name='b'"},
		{nat, DELETE, DHCP_HOST, -1, "<host mac='52:54:00:00:00:0a'/>",
			"name='b'|!name='a'"},
		{nat, DELETE, DHCP_HOST, -1, "<host ip='10.0.0.11'/>", "name='a'|!name='b'"},
		{nat, LAST, DHCP_RANGE, -1, "<range start='10.0.0.30' end='10.0.0.31'/>",
			"10.0.0.100|10.0.0.30"},
		{nat, FIRST, DHCP_RANGE, -1, "<range start='10.0.0.30' end='10.0.0.31'/>",
			"10.0.0.30|10.0.0.100"},
		{nat, DELETE, DHCP_RANGE, -1, "<range start='10.0.0.100' end='10.0.0.120'/>",
			"<dhcp>|name='a'|!<range"},
		{two_ips, DELETE, DHCP_RANGE, -1, "<range start='10.0.0.5' end='10.0.0.6'/>",
			"10.0.0.1'|!<dhcp>"},
		{nat, LAST, DNS_HOST, -1, "<host ip='10.0.0.9'><hostname>nine</hostname></host>",
			"10.0.0.8|10.0.0.9|nine"},
		{nat, LAST, DNS_HOST, -1, "<host ip='10.0.0.9'><hostname>seven</hostname></host>",
			"10.0.0.8|10.0.0.9|seven"},
		{bare, LAST, DNS_HOST, -1, "<host ip='10.0.0.9'><hostname>nine</hostname></host>",
			"<dns>|<host ip='10.0.0.9'>"},
		{nat, DELETE, DNS_HOST, -1, "<host><hostname>vii</hostname></host>",
			"10.0.0.8|!10.0.0.7"},
		{nat, DELETE, DNS_HOST, -1, "<host ip='10.0.0.8'/>", "vii|!10.0.0.8"},
		{nat, FIRST, DNS_TXT, -1, "<txt name='u' value='w'/>", "name='u'|name='t'"},
		{nat, DELETE, DNS_TXT, -1, "<txt name='t'/>", "!<txt"},
		{nat, LAST, DNS_SRV, -1, "<srv service='sip' protocol='udp'/>", "ldap|ldap|sip"},
		{nat, DELETE, DNS_SRV, -1, "<srv service='ldap' protocol='tcp'/>",
			"protocol='udp'|!protocol='tcp'"},
		{bridge, LAST, UPLINK, -1, "<interface dev='eth3'/>", "eth1|eth2|eth3"},
		{bridge, FIRST, UPLINK, -1, "<interface dev='eth3'/>", "eth3|eth1|eth2"},
		{bridge, DELETE, UPLINK, -1, "<interface dev='eth1'/>", "eth2|!eth1"},
		{nat, LAST, PORTGROUP, -1,
			"<portgroup name='three'><vlan><tag id='7'/></vlan></portgroup>",
			"'one'|'two'|<kept/>|'three'|id='7'"},
		{nat, FIRST, PORTGROUP, -1, "<portgroup name='zero'/>",
			"'zero'|'one'|'two'>|<kept/>"},
		{nat, DELETE, PORTGROUP, -1, "<portgroup name='one'/>", "'two'>|<kept/>|!'one'"},
		{nat, MODIFY, PORTGROUP, -1,
			"<portgroup name='two'><vlan><tag id='9'/></vlan></portgroup>",
			"'one'|'two'|id='9'|!kept"},
		{nat, LAST, FORWARD, -1,
			VMMD_FORWARD("proto='udp' port='80' to='10.0.0.9' toPort='81'"),
			"proto='tcp'|proto='udp' port='80' to='10.0.0.9' toPort='81'"},
		{nat, LAST, FORWARD, -1, VMMD_FORWARD("proto='tcp' port='80' to='fd00::9'"),
			"10.0.0.10|to='fd00::9'"},
		{nat, MODIFY, FORWARD, -1, VMMD_FORWARD("proto='tcp' port='80' to='10.0.0.11'"),
			"to='10.0.0.11'|!to='10.0.0.10'"},
		{nat, DELETE, FORWARD, -1, VMMD_FORWARD("proto='tcp' port='80'"), "!:forward"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *text = changed(rows[i].base, rows[i].command, rows[i].section, rows[i].parent,
			rows[i].xml);

		check_parts(text, rows[i].parts);
		free(text);
	}
}

static void test_refusals(void **state)
{
	static const struct {
		const char *base;
		unsigned command, section;
		int parent;
		const char *xml;
		int r;
		const char *message;
	} rows[] = {
		{nat, LAST, NETWORK_SECTION_BRIDGE, -1, "<bridge name='b'/>", -ENOSYS,
			"can't update 'bridge' section of network 'n'"},
		{nat, LAST, NETWORK_SECTION_DOMAIN, -1, "<domain/>", -ENOSYS,
			"can't update 'domain' section of network 'n'"},
		{nat, LAST, NETWORK_SECTION_IP, -1, "<ip/>", -ENOSYS,
			"can't update 'ip' section of network 'n'"},
		{nat, LAST, NETWORK_SECTION_FORWARD, -1, "<forward/>", -ENOSYS,
			"can't update 'forward' section of network 'n'"},
		{nat, LAST, NETWORK_SECTION_FORWARD_PF, -1, "<pf/>", -ENOSYS,
			"can't update 'forward pf' section of network 'n'"},
		{nat, LAST, 0, -1, "<x/>", -EPERM, "can't update unrecognized section of network"},
		{nat, LAST, 13, -1, "<x/>", -EPERM, "can't update unrecognized section of network"},
		{nat, 0, DHCP_HOST, -1, "<host/>", -EPERM,
			"unrecognized network update command code 0"},
		{nat, 5, DHCP_HOST, -1, "<host/>", -EPERM,
			"unrecognized network update command code 5"},
		{nat, MODIFY, DHCP_RANGE, -1, "<range/>", -EPERM,
			"dhcp ranges cannot be modified, only added or deleted"},
		{nat, MODIFY, DNS_HOST, -1, "<host/>", -EPERM,
			"DNS HOST records cannot be modified, only added or deleted"},
		{nat, MODIFY, UPLINK, -1, "<interface/>", -EPERM,
			"forward interface entries cannot be modified, only added or deleted"},
		{nat, LAST, DHCP_HOST, -1, "<range/>", -EINVAL,
			"unexpected element <range>, expecting <host>, while updating network 'n'"},
		{nat, LAST, FORWARD, -1, "<forward proto='tcp' port='1' to='10.0.0.9'/>", -EINVAL,
			"unexpected element <forward>, expecting <vmmd:forward>, while updating "
			"network "
			"'n'"},
		{nat, LAST, DHCP_HOST, -1, "<host", -EBADMSG, NULL},
		{nat, LAST, DHCP_HOST, -1, "<host mac='52:54:00:00:00:0c'/>", -EINVAL,
			"u:1: host/@ip: missing; add it"},
		{nat, LAST, DHCP_HOST, 2, "<host mac='52:54:00:00:00:0c' ip='10.0.0.9'/>", -ESRCH,
			"couldn't update dhcp host entry - no <ip> element found at index 2 in "
			"network "
			"'n'"},
		{bare, LAST, DHCP_HOST, -1, "<host mac='52:54:00:00:00:0c' ip='10.0.0.9'/>", -ESRCH,
			"couldn't update dhcp host entry - no <ip> element found in network 'n'"},
		{nat, LAST, DHCP_HOST, -1, "<host id='00:01' ip='fd00::9'/>", -ESRCH,
			"the address family of a host entry IP must match the address family of "
			"the dhcp "
			"element's parent"},
		{two_ips, LAST, DHCP_HOST, 1, "<host mac='52:54:00:00:00:0c' ip='10.0.1.9'/>",
			-ESRCH, "dhcp is supported only for a single IPv4 address on each network"},
		{nat, LAST, DHCP_HOST, -1,
			"<host mac='52:54:00:00:00:0a' name='q' ip='10.0.0.44'/>", -ESRCH,
			"there is an existing dhcp host entry in network 'n' that matches \"<host "
			"mac='52:54:00:00:00:0a' name='q' ip='10.0.0.44'/>\""},
		{nat, LAST, DHCP_HOST, -1, "<host name='q' ip='10.0.0.10'/>", -ESRCH,
			"there is an existing dhcp host entry in network 'n' that matches \"<host "
			"mac='unknown' name='q' ip='10.0.0.10'/>\""},
		{nat, DELETE, DHCP_HOST, -1, "<host mac='52:54:00:00:00:0a' name='b'/>", -ESRCH,
			"couldn't locate a matching dhcp host entry in network 'n'"},
		{nat, MODIFY, DHCP_HOST, -1,
			"<host mac='52:54:00:00:00:0f' name='q' ip='10.0.0.44'/>", -ESRCH,
			"couldn't locate an existing dhcp host entry with "
			"\"mac='52:54:00:00:00:0f'\" "
			"\"name='q'\" \"ip='10.0.0.44'\" in network 'n'"},
		/* What libvirt lets pass and the whole network does not. */
		{nat, LAST, DHCP_HOST, -1, "<host mac='52:54:00:00:00:0c' ip='10.0.9.9'/>", -EINVAL,
			NULL},
		{nat, LAST, DHCP_RANGE, -1, "<range start='10.0.0.100' end='10.0.0.120'/>", -ESRCH,
			"there is an existing dhcp range entry in network 'n' that matches "
			"\"<range "
			"start='10.0.0.100' end='10.0.0.120'/>\""},
		{nat, DELETE, DHCP_RANGE, -1, "<range start='10.0.0.100' end='10.0.0.121'/>",
			-ESRCH, "couldn't locate a matching dhcp range entry in network 'n'"},
		{nat, LAST, DHCP_RANGE, -1, "<range start='fd00::5' end='fd00::6'/>", -ESRCH,
			"the address family of a dhcp range must match the address family of the "
			"dhcp "
			"element's parent"},
		{bridge, LAST, UPLINK, -1, "<interface dev='eth1'/>", -ESRCH,
			"there is an existing interface entry in network 'n' that matches "
			"\"<interface "
			"dev='eth1'>\""},
		{bridge, DELETE, UPLINK, -1, "<interface dev='eth7'/>", -ESRCH,
			"couldn't find an interface entry in network 'n' matching <interface "
			"dev='eth7'>"},
		{nat, LAST, PORTGROUP, -1, "<portgroup name='two'/>", -ESRCH,
			"there is an existing portgroup entry in network 'n' that matches "
			"\"<portgroup "
			"name='two'>\""},
		{nat, MODIFY, PORTGROUP, -1, "<portgroup name='two' default='yes'/>", -ESRCH,
			"a different portgroup entry in network 'n' is already set as the default. "
			"Only "
			"one default is allowed."},
		{nat, DELETE, PORTGROUP, -1, "<portgroup name='six'/>", -ESRCH,
			"couldn't find a portgroup entry in network 'n' matching <portgroup "
			"name='six'>"},
		{nat, LAST, PORTGROUP, -1,
			"<portgroup name='x'><virtualport type='openvswitch'/></portgroup>",
			-EOPNOTSUPP, NULL},
		{nat, LAST, DNS_HOST, -1, "<host ip='10.0.0.8'><hostname>x</hostname></host>",
			-ESRCH,
			"there is already at least one DNS HOST record with a matching field in "
			"network n"},
		{nat, DELETE, DNS_HOST, -1, "<host ip='10.0.0.9'/>", -ESRCH,
			"couldn't locate a matching DNS HOST record in network n"},
		{nat, DELETE, DNS_HOST, -1, "<host><hostname>seven</hostname></host>", -ESRCH,
			"multiple matching DNS HOST records were found in network n"},
		{nat, LAST, DNS_TXT, -1, "<txt name='t' value='w'/>", -ESRCH,
			"there is already a DNS TXT record with name 't' in network n"},
		{nat, DELETE, DNS_TXT, -1, "<txt name='w'/>", -ESRCH,
			"couldn't locate a matching DNS TXT record in network n"},
		{nat, LAST, DNS_SRV, -1, "<srv service='ldap' protocol='tcp'/>", -ESRCH,
			"there is already at least one DNS SRV record matching all specified "
			"fields in "
			"network n"},
		{nat, DELETE, DNS_SRV, -1, "<srv service='ldap'/>", -ESRCH,
			"multiple DNS SRV records matching all specified fields were found in "
			"network n"},
		{nat, DELETE, DNS_SRV, -1, "<srv service='sip'/>", -ESRCH,
			"couldn't locate a matching DNS SRV record in network n"},
		{nat, LAST, FORWARD, -1, VMMD_FORWARD("proto='tcp' port='80' to='10.0.0.9'"),
			-ESRCH, "there is already a forward of this port in network n"},
		{nat, DELETE, FORWARD, -1, VMMD_FORWARD("proto='tcp' port='81'"), -ESRCH,
			"couldn't locate a matching port forward in network n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct network_config *config = NULL;
		char *error = NULL;
		int r = update(rows[i].base, rows[i].command, rows[i].section, rows[i].parent,
			rows[i].xml, &config, &error);

		if (r != rows[i].r || !error || (rows[i].message && !streq(error, rows[i].message)))
			fail_msg("%s: expected %d '%s', got %d '%s'", rows[i].xml, rows[i].r,
				rows[i].message ? rows[i].message : "…", r, error ? error : "");
		assert_null(config);
		free(error);
	}
}

/* All that is not meant stays, byte by byte. */
static void test_rest_stays(void **state)
{
	static const char host[] = "<host mac='52:54:00:00:00:0c' name='c' ip='10.0.0.12'/>";
	struct network_config *config = parse(nat);
	char *before, *with, *after;

	(void)state;
	assert_int_equal(network_xml_format(config, NULL, &before), 0);
	with = changed(nat, FIRST, DHCP_HOST, -1, host);
	assert_string_not_equal(before, with);
	after = changed(with, DELETE, DHCP_HOST, -1, host);
	assert_string_equal(before, after);
	free(before);
	free(with);
	free(after);
	(void)network_config_free(config);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(network_section_name(DHCP_HOST), "ip-dhcp-host");
	assert_string_equal(network_section_name(FORWARD), "port-forward");
	assert_null(network_section_name(0));
	assert_null(network_section_name(999));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_rest_stays),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
