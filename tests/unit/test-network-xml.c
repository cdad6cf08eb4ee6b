/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * network_xml_parse() and network_xml_format(): fields, defaults, teams, errors, limits, what ports inherit, and
 * mutations of good documents. (The goldens of whole files are checked by check-xml.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/domain-xml.h"
#include "config/net-addr.h"
#include "config/network-xml.h"
#include "vmm-core/base/macro.h"
#include "vmm-core/base/strutil.h"
#include "xml-fixture.h"

#define UUID       "<uuid>11111111-1111-1111-1111-111111111111</uuid>"
#define NETWORK(x) "<network xmlns:v='urn:vmmd:network:1'><name>n</name>" UUID x "</network>"
#define IP(x)      "<ip address='10.0.0.1' netmask='255.255.255.0'>" x "</ip>"
#define NAT(x)     NETWORK("<forward mode='nat'/>" x)
#define NAT_IP(x)  NAT(IP("") x)
#define DHCP(x)    NAT(IP("<dhcp>" x "</dhcp>"))
#define BRIDGE(x)  "<forward mode='bridge'>" x "</forward>"
#define ETH        "<interface dev='eth1'/><interface dev='eth2'/>"
#define TEAM(a, x) NETWORK(BRIDGE(ETH) "<v:team" a ">" x "</v:team>")
#define DETECT(x)  TEAM("", "<v:detect>" x "</v:detect>")

static struct network_config *parse_ok(const char *xml)
{
	struct network_config *config = NULL;
	char *error = NULL;
	int r = network_xml_parse(xml, strlen(xml), "f", 0, &config, NULL, &error);

	if (r < 0)
		fail_msg("%s: %d %s", xml, r, error ? error : "");
	assert_null(error);
	assert_int_equal(net_config_validate(&config->net, NULL, 0), 0);
	return config;
}

static void expect_error(const char *xml, unsigned flags, int expected, const char *part)
{
	struct network_config *config = NULL;
	struct contract_report *report = NULL;
	char *error = NULL;
	int r = network_xml_parse(xml, strlen(xml), "f", flags, &config, &report, &error);

	assert_null(config);
	xml_expect_error(xml, r, report, error, expected, part);
}

static void wrong(const char *xml, const char *part)
{
	expect_error(xml, 0, -EINVAL, part);
}

static void refused(const char *xml, const char *part)
{
	expect_error(xml, 0, -EOPNOTSUPP, part);
}

static void expect_ip(const struct net_ip *ip, const char *text, unsigned prefix)
{
	char s[NET_IP_STRING_SIZE];

	net_ip_format(ip, s);
	assert_string_equal(s, text);
	assert_int_equal(ip->prefix, prefix);
}

static void test_gateway(void **state)
{
	struct network_config *config = parse_ok(
		NETWORK("<forward><interface dev='eth0'/></forward><bridge name='virbr0'/>"
			"<mtu size='1400'/>"
			"<ip address='10.0.0.1' netmask='255.255.255.0'><dhcp><range "
			"start='10.0.0.2' end='10.0.0.9'><lease expiry='0'/></range><host "
			"mac='52:54:00:00:00:01' ip='10.0.0.5'/></dhcp></ip><ip family='ipv6' "
			"address='fd00::1' prefix='64'/><v:forward proto='tcp' port='80' "
			"to='10.0.0.5'/>"));
	struct network_config *again = parse_ok(NAT_IP(""));

	(void)state;
	assert_int_equal(config->forward, NETWORK_NAT); /* the default of <forward> */
	assert_string_equal(config->forward_dev, "eth0");
	assert_int_equal(config->net.n_uplinks, 0);
	assert_string_equal(config->bridge, "virbr0");
	assert_int_equal(config->net.has_host_port, 1);
	assert_int_equal(config->net.host_port.mtu, 1400);
	assert_memory_equal(config->net.host_port.mac, "\x52\x54\x00", 3);
	assert_memory_equal(config->net.host_port.mac, again->net.host_port.mac, 6);
	expect_ip(&config->ips[0].ip, "10.0.0.1", 24);
	expect_ip(&config->ips[1].ip, "fd00::1", 64);
	expect_ip(&config->ips[0].ranges[0].end, "10.0.0.9", 32);
	assert_int_equal(config->ips[0].ranges[0].lease.expiry, UINT32_MAX);
	expect_ip(&config->ips[0].hosts[0].ip, "10.0.0.5", 32);
	assert_int_equal(config->forwards[0].protocol, 1);
	assert_int_equal(config->forwards[0].port, 80);
	network_config_free(config);
	network_config_free(again);

	config = parse_ok("<network><name>n</name></network>");
	assert_int_equal(config->forward, NETWORK_ISOLATED);
	assert_int_equal(config->net.has_host_port, 0);
	assert_int_equal(config->net.uuid[6] >> 4, 4); /* generated: version 4 */
	assert_true(net_mac_is_zero(config->net.host_port.mac));
	network_config_free(config);
}

static void test_team(void **state)
{
	struct network_config *config = parse_ok(NETWORK(BRIDGE(ETH)));
	const struct net_config *net;

	(void)state;
	assert_int_equal(config->net.n_uplinks, 2);
	assert_string_equal(config->net.uplinks[1].ifname, "eth2");
	assert_int_equal(config->net.team.policy, NET_TEAM_DEFAULT);
	assert_int_equal(config->net.has_host_port, 0);
	network_config_free(config);

	config = parse_ok(NETWORK("<forward mode='bridge' dev='eth9'/>"));
	assert_string_equal(config->net.uplinks[0].ifname, "eth9");
	network_config_free(config);
	config = parse_ok(NETWORK("<forward mode='private'>" ETH "</forward>"));
	assert_int_equal(config->port.flags, NET_PORT_ISOLATED);
	network_config_free(config);
	config = parse_ok(NETWORK(BRIDGE("") "<bridge name='br0'/>"));
	assert_int_equal(config->net.n_uplinks, 0);
	assert_string_equal(config->bridge, "br0");
	network_config_free(config);

	config = parse_ok(TEAM(
		" policy='explicit' failback='rolling' failbackDelayMs='7' exclusive='yes'",
		"<v:member dev='eth2' role='active' prio='1' weight='9'/>"
		"<v:member dev='eth1' role='standby' prio='2'/>"
		"<v:detect upDelayMs='0' pollMs='20' damping='no'><v:nd target='fe80::1' vlan='4'/>"
		"<v:arp target='192.0.2.1'/></v:detect><v:notify enable='no'/>"
		"<v:lacp rate='slow'/><v:rebalance intervalMs='0'/>"));
	net = &config->net;
	assert_int_equal(net->team.policy, NET_TEAM_EXPLICIT);
	assert_int_equal(net->team.failback, NET_FAILBACK_NO);
	assert_int_equal(net->team.failback_ms, 7);
	assert_int_equal(net->team.up_delay_ms, UINT32_MAX); /* none, not the default */
	assert_int_equal(net->team.down_delay_ms, 0);
	assert_int_equal(net->team.poll_ms, 20);
	assert_int_equal(net->team.no_damping, 1);
	assert_int_equal(net->team.no_notify, 1);
	assert_int_equal(net->team.lacp_slow, 1);
	assert_int_equal(net->team.rebalance_ms, UINT32_MAX);
	assert_int_equal(net->team.n_targets, 2);
	expect_ip(&net->team.targets[0].ip, "192.0.2.1", 32);
	assert_int_equal(net->team.targets[1].vid, 4);
	assert_int_equal(net->uplinks[0].role, NET_ROLE_STANDBY);
	assert_int_equal(net->uplinks[0].order, 2);
	assert_int_equal(net->uplinks[1].role, NET_ROLE_ACTIVE);
	assert_int_equal(net->uplinks[1].weight, 9);
	assert_int_equal(net->uplinks[1].exclusive, 1);
	network_config_free(config);
}

static void test_wrong_forward(void **state)
{
	(void)state;
	wrong("<domain/>", "f:1: domain: not a <network>; write one");
	wrong("<network/>", "f:1: network/name: missing; add <name>");
	wrong("<network><name/></network>", "f:1: name: the name is empty");
	wrong("<network><name>a/b</name></network>", "'/'");
	wrong(NETWORK("<name>m</name>"), "name[2]: given twice");
	wrong(NETWORK("<forward mode='odd'/>"), "forward/@mode: 'odd' is wrong; write one of nat,");
	wrong(NAT(""), "f:1: forward: the host needs an address");
	wrong(NETWORK("<forward mode='nat'>" ETH "</forward>" IP("")),
		"forward/interface[2]: the gateway has one way out");
	wrong(NETWORK("<forward dev='eth0'><interface dev='eth1'/></forward>" IP("")),
		"forward/interface[1]: is not that of");
	wrong(NETWORK("<ip address='10.9.0.1' prefix='20' localPtr='yes'/>"),
		"ip[1]: localPtr needs a prefix that is a multiple of 8");
	wrong(NETWORK("<ip address='fd00::1' prefix='63' localPtr='yes'/>"),
		"ip[1]: localPtr needs a prefix that is a multiple of 4");
	wrong(NETWORK("<forward mode='open' dev='eth0'/>" IP("")), "forward: mode='open' filters");
	wrong(NETWORK("<forward mode='route'><nat><port start='1' end='2'/></nat></forward>" IP(
		      "")),
		"forward/nat: only mode='nat'");
	wrong(NETWORK("<forward><nat><address start='1.2.3.4' end='1.2.3.3'/></nat></forward>" IP(
		      "")),
		"forward/nat/address: no range");
	wrong(NETWORK("<forward><nat><address start='::1' end='::2'/></nat></forward>" IP("")),
		"forward/nat/address: no range");
	wrong(NETWORK("<forward><nat><port start='0' end='2'/></nat></forward>" IP("")),
		"forward/nat/port: no range");
	wrong(NETWORK("<forward><nat><port start='3' end='2'/></nat></forward>" IP("")),
		"forward/nat/port: no range");
	wrong(NETWORK(BRIDGE("")), "forward: no way out");
	wrong(NETWORK(BRIDGE(ETH) "<bridge name='br0'/>"), "bridge: given together with");
	wrong(NETWORK("<forward mode='private'/><bridge name='br0'/>"), "bridge: mode='private'");
	wrong(NETWORK(BRIDGE(ETH) IP("")), "ip[1]: the network is not the host's own");
	wrong(NETWORK(BRIDGE(ETH) "<dns/>"), "dns: the network is not");
	wrong(NETWORK(BRIDGE("<interface dev='a/b'/>")), "interface[1]/@dev: no name of a");
	wrong(NETWORK(BRIDGE("<interface dev='e'/><interface dev='e'/>")),
		"forward/interface[2]/@dev: 'e' is used twice");
	wrong(NETWORK("<bridge name='much-too-long-a-name'/>"), "bridge/@name: too long");
	wrong(NETWORK("<mac address='ff:ff:ff:ff:ff:ff'/>"), "mac/@address: 'ff:ff");
	wrong(NETWORK("<mtu size='10'/>"), "mtu/@size: 10; write 68 to 65535");
}

static void test_wrong_team(void **state)
{
	(void)state;
	wrong(NAT_IP("<v:team/>"), "vmmd:team: there are no uplinks");
	wrong(TEAM(" policy='odd'", ""), "vmmd:team/@policy: 'odd' is wrong; write one of port-id");
	wrong(TEAM(" minLinks='3'", ""), "vmmd:team/@minLinks: 3 of 2 members");
	wrong(TEAM("", "<v:member dev='eth3'/>"),
		"vmmd:member[1]: no such uplink; add <interface "
		"dev='eth3'/>");
	wrong(TEAM("", "<v:member dev='eth1'/><v:member dev='eth1'/>"),
		"vmmd:member[2]: 'eth1' is given twice");
	wrong(TEAM("", "<v:member dev='eth1' role='odd'/>"), "vmmd:member[1]/@role: 'odd'");
	wrong(TEAM("", "<v:member dev='eth1' weight='256'/>"), "vmmd:member[1]/@weight: '256'");
	wrong(TEAM("", "<v:member dev='eth1' role='unused'/><v:member dev='eth2' role='unused'/>"),
		"vmmd:team/vmmd:member/@role: every member is unused");
	wrong(TEAM(" policy='ip-hash'", "<v:member dev='eth1' role='standby'/>"),
		"forward/interface[1]: the switch of an ip-hash team");
	wrong(DETECT("<v:arp target='::1'/>"), "vmmd:arp[1]: is probed with ARP; write an IPv4");
	wrong(DETECT("<v:nd target='1.2.3.4'/>"), "vmmd:nd[1]: is probed with ND; write an IPv6");
	wrong(DETECT("<v:arp target='224.0.0.1'/>"), "@target: not the address of one host");
	wrong(DETECT("<v:arp target='1.2.3.4' vlan='4095'/>"), "@vlan: 4095");
	wrong(DETECT("<v:beacon/>"), "vmmd:beacon/@intervalMs: missing");
	wrong(TEAM("", "<v:detect pollMs='5'/>"), "vmmd:detect/@pollMs: 5; write 10 to 60000");
	wrong(TEAM("", "<v:rebalance intervalMs='999'/>"), "@intervalMs: 999; write 1000");
	wrong(NETWORK("<v:switch learnLimit='5000'/>"), "vmmd:switch/@learnLimit: 5000");
	wrong(NETWORK("<v:switch><v:mirror from='vm1' to='a/b'/></v:switch>"),
		"vmmd:mirror[1]/@from: no interface of a domain");
	wrong(NAT_IP("<v:forward proto='tcp' port='80' to='10.0.1.1'/>"),
		"vmmd:forward[1]: leads out of the network");
	wrong(NAT_IP("<v:forward proto='tcp' port='0' to='10.0.0.2'/>"), "vmmd:forward[1]: port 0");
	wrong(NAT_IP("<v:forward proto='tcp' port='1' to='10.0.0.2' address='::1'/>"),
		"vmmd:forward[1]: from one IP to the other");
	wrong(NAT_IP("<v:forward proto='tcp' port='1' to='10.0.0.2'/>"
		     "<v:forward proto='tcp' port='1' to='10.0.0.3' address='1.2.3.4'/>"),
		"vmmd:forward[2]: port 1 is forwarded twice");
	network_config_free(parse_ok(NAT_IP("<v:forward proto='tcp' port='1' to='10.0.0.2'/>"
					    "<v:forward proto='udp' port='1' to='10.0.0.3'/>")));
	wrong(NETWORK(IP("") "<v:forward proto='tcp' port='1' to='10.0.0.2'/>"),
		"vmmd:forward[1]: only mode='nat'");
}

static void test_wrong_addresses(void **state)
{
	(void)state;
	wrong(NAT("<ip address='10.0.0.1'/>"), "ip[1]: missing prefix=; add prefix='24'");
	wrong(NAT("<ip address='10.0.0.1' prefix='33'/>"), "ip[1]: prefix 33; write 1 to 32");
	wrong(NAT("<ip address='10.0.0.1' netmask='255.0.255.0'/>"), "ip[1]: the netmask is wrong");
	wrong(NAT("<ip address='::1' netmask='255.0.0.0'/>"), "ip[1]: the netmask is wrong");
	wrong(NAT("<ip address='10.0.0.1' prefix='8' netmask='255.0.0.0'/>"),
		"ip[1]: has netmask=");
	wrong(NAT("<ip family='ipv6' address='10.0.0.1' prefix='8'/>"), "not of family='ipv6'");
	wrong(NAT("<ip address='0.0.0.0' prefix='8'/>"), "ip[1]: not the address of one host");
	wrong(NAT("<ip address='224.0.0.1' prefix='8'/>"), "ip[1]: not the address of one host");
	wrong(NAT(IP("") "<ip address='10.0.0.65' prefix='26'/>"), "ip[2]: overlaps with ip[1]");
	wrong(DHCP("<range start='10.0.1.1' end='10.0.1.2'/>"), "range[1]: is not within");
	wrong(DHCP("<range start='10.0.0.1' end='fe80::1'/>"), "range[1]: is not within");
	wrong(DHCP("<range start='10.0.0.9' end='10.0.0.2'/>"), "range[1]: ends before it starts");
	wrong(DHCP("<range start='10.0.0.2'/>"), "range[1]/@end: missing");
	wrong(DHCP("<host ip='10.0.0.2'/>"), "ip[1]/dhcp/host[1]: whose address?");
	wrong(DHCP("<host name='a' ip='10.0.1.2'/>"), "host[1]: is not within");
	wrong(DHCP("<host name='a' ip='10.0.0.1'/>"), "host[1]: is the gateway's own");
	wrong(DHCP("<host name='a' ip='10.0.0.2'/><host name='a' ip='10.0.0.3'/>"),
		"host[2]: shares something with host[1]");
	wrong(DHCP("<host name='a' ip='10.0.0.2'/><host name='b' ip='10.0.0.2'/>"),
		"host[2]: shares something with host[1]");
	wrong(DHCP("<host name='a,b' ip='10.0.0.2'/>"), "host[1]/@name: no name of a host");
	wrong(DHCP("<host id='zz' ip='10.0.0.2'/>"), "host[1]/@id: no identifier");
	wrong(DHCP("<bootp file='a,b'/>"), "bootp/@file: no name of a file");
	wrong(NAT(IP("<dhcp><bootp file='x'/></dhcp>") "<ip address='10.0.1.1' prefix='24'><dhcp>"
						       "<bootp file='y'/></dhcp></ip>"),
		"ip[2]: a second <dhcp> of IPv4");
	wrong(NAT(IP("<tftp root='srv'/>")), "ip[1]/tftp/@root: not an absolute path");
	wrong(NAT("<ip address='fd00::1' prefix='64'><tftp root='/srv'/></ip>"), "of IPv4 only");
	wrong(NAT_IP("<route address='1.0.0.0' prefix='8' gateway='10.0.1.1'/>"),
		"route[1]: the gateway is in no <ip>'s network");
	wrong(NAT_IP("<route address='fd00::' prefix='8' gateway='10.0.0.2'/>"), "route[1]: ");
	wrong(NAT_IP("<domain name='a b'/>"), "domain/@name: no name of a host or domain");
	wrong(NAT_IP("<dns><forwarder/></dns>"), "dns/forwarder[1]: empty");
	wrong(NAT_IP("<dns><txt name='a' value='b\"c'/></dns>"), "txt[1]/@value: contains a quote");
	wrong(NAT_IP("<dns><txt name='a' value='b&#10;c'/></dns>"), "txt[1]/@value: contains a");
	wrong(NAT_IP("<dns><srv service='a,b' protocol='tcp'/></dns>"), "@service: no service");
	wrong(NAT_IP("<dns><host ip='1.2.3.4'/></dns>"), "dns/host[1]/hostname: missing");
	wrong(NAT_IP("<dns><host ip='1.2.3.4'><hostname>a&#10;b</hostname></host></dns>"),
		"hostname[1]: no name of a host");
	wrong(NAT_IP("<bandwidth><inbound floor='1'/></bandwidth>"),
		"only interfaces have a floor");
	wrong(NAT_IP("<portgroup name='a'/><portgroup name='a'/>"),
		"portgroup[2]: the name is used");
	wrong(NAT_IP("<portgroup name='a' default='yes'/><portgroup name='b' default='yes'/>"),
		"portgroup[2]: a second default");
	wrong(NAT_IP("<portgroup name='a'><vlan><tag id='0'/></vlan></portgroup>"),
		"portgroup[1]: vlan/tag[1]/@id: 0");
}

static void test_limits(void **state)
{
	static const struct {
		const char *head, *part, *tail, *error;
		unsigned n;
	} lists[] = {
		{NETWORK("<forward mode='bridge'>|"), "<interface dev='e%u'/>",
			"</forward></network>", "forward/interface[9]: too many; write at most 8",
			9},
		{NAT_IP("|"), "<portgroup name='p%u'/>", "</network>", "portgroup[33]: too many",
			33},
		{NAT_IP("|"), "<v:forward proto='tcp' port='%u' to='10.0.0.2'/>", "</network>",
			"vmmd:forward[65]: too many", 65},
		{NAT_IP("|"), "<ip address='10.1.%u.1' prefix='24'/>", "</network>",
			"ip[9]: too many", 8},
		{NAT("|"), "<ip address='10.1.%u.1' prefix='24'/>", "</network>", NULL, 8},
		{DHCP("|"), "<host name='h%u' ip='10.0.0.2'/>", "</dhcp></ip></network>",
			"dhcp/host[257]: too many", 257},
		{DETECT("|"), "<v:arp target='10.0.%u.1'/>", "</v:detect></v:team></network>",
			"vmmd:arp[17]: too many", 17},
	};
	char *xml = malloc(65536);

	(void)state;
	assert_non_null(xml);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		size_t len = strcspn(lists[i].head, "|");

		memcpy(xml, lists[i].head, len);
		for (unsigned n = 0; n < lists[i].n; n++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			len += (size_t)snprintf(xml + len, 256, lists[i].part, n + 1);
#pragma GCC diagnostic pop
		}
		strcpy(xml + len, lists[i].tail);
		if (lists[i].error)
			wrong(xml, lists[i].error);
		else
			network_config_free(parse_ok(xml));
	}
	free(xml);
	/* Both lists of targets share one limit. */
	wrong(DETECT("<v:arp target='1.0.0.1'/><v:arp target='1.0.0.1'/><v:arp target='1.0.0.1'/>"
		     "<v:arp target='1.0.0.1'/><v:arp target='1.0.0.1'/><v:arp target='1.0.0.1'/>"
		     "<v:arp target='1.0.0.1'/><v:arp target='1.0.0.1'/><v:arp target='1.0.0.1'/>"
		     "<v:nd target='::1'/><v:nd target='::1'/><v:nd target='::1'/>"
		     "<v:nd target='::1'/><v:nd target='::1'/><v:nd target='::1'/>"
		     "<v:nd target='::1'/><v:nd target='::1'/>"),
		"vmmd:nd[8]: too many targets; write at most 16");
}

static void test_refused(void **state)
{
	(void)state;
	refused(NETWORK("<forward mode='vepa'/>"), "f:1: forward/@mode: guests of one host");
	refused(NETWORK("<forward mode='passthrough'/>"), "forward/@mode: a guest cannot have");
	refused(NETWORK("<forward mode='hostdev'><pf dev='eth0'/></forward>"), "host devices");
	refused(NETWORK(BRIDGE(ETH) "<virtualport type='openvswitch'/>"), "virtualport: ports of");
	refused(NETWORK("<v:switch><v:sflow/></v:switch>"), "vmmd:switch/vmmd:sflow: sFlow is not");
	expect_error(NETWORK("<odd/>"), XML_STRICT, -EOPNOTSUPP, "f:1: odd: unknown element");
	expect_error(NETWORK("<v:odd/>"), XML_STRICT, -EOPNOTSUPP, "odd: unknown element");
	expect_error("<!DOCTYPE network><network/>", 0, -EBADMSG, "a DOCTYPE");
	expect_error("", 0, -EBADMSG, "an empty document");
	network_config_free(parse_ok(NETWORK("<odd/>")));
}

static void test_ports(void **state)
{
	struct network_config *config = parse_ok(
		NETWORK(BRIDGE(ETH) "<bridge macTableManager='kernel'/><mtu "
				    "size='9000'/><vlan><tag id='5'/></vlan>"
				    "<portgroup name='std' default='yes'><bandwidth><inbound "
				    "average='7'/></bandwidth>"
				    "</portgroup><portgroup name='ten' "
				    "trustGuestRxFilters='yes'><vlan><tag id='10'/>"
				    "</vlan><v:switch stormPps='8'/></portgroup><v:switch "
				    "stormPps='9' unknownPps='3'/>"));
	struct net_port_config own = {.mac = {0x52, 1}, .flags = NET_PORT_LINK_DOWN}, port;

	(void)state;
	assert_int_equal(network_config_port(config, "", &own, &port), 0);
	assert_memory_equal(port.mac, own.mac, 6);
	assert_int_equal(port.mtu, 9000);
	assert_int_equal(port.vlan.tags[0], 5);
	assert_int_equal(port.bandwidth.in.average, 7);
	assert_int_equal(port.broadcast_pps, 9);
	assert_int_equal(port.flags, NET_PORT_LEARN | NET_PORT_LINK_DOWN);

	own.mtu = 1400;
	own.bandwidth.out.average = 1;
	assert_int_equal(network_config_port(config, "ten", &own, &port), 0);
	assert_int_equal(port.mtu, 1400);
	assert_int_equal(port.vlan.tags[0], 10);
	assert_int_equal(port.bandwidth.in.average, 0); /* the interface's own, whole */
	assert_int_equal(port.broadcast_pps, 8);
	assert_int_equal(port.unknown_pps, 3);
	assert_true(port.flags & NET_PORT_ALLOW_MAC);
	assert_int_equal(net_port_config_validate(&port, NULL, 0), 0);

	own.vlan = (struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {99}};
	assert_int_equal(network_config_port(config, "std", &own, &port), 0);
	assert_int_equal(port.vlan.tags[0], 99);
	assert_int_equal(network_config_port(config, "none", &own, &port), -ENOENT);
	network_config_free(config);

	config = parse_ok(NETWORK(""));
	assert_int_equal(network_config_port(config, "", &own, &port), 0);
	assert_memory_equal(&port, &own, sizeof(own));
	network_config_free(config);
}

static void test_live(void **state)
{
	const struct network_live live = {
		.bridge = "virbr7", .connections = 2, .uplink_connections = {0, 2}};
	struct network_config *config = parse_ok(NAT_IP(""));
	char *xml;

	(void)state;
	assert_int_equal(network_xml_format(config, &live, &xml), 0);
	assert_non_null(strstr(xml, "<network connections='2'>"));
	assert_non_null(strstr(xml, "<bridge name='virbr7'/>"));
	free(xml);
	assert_int_equal(network_xml_format(config, NULL, &xml), 0);
	assert_null(strstr(xml, "connections"));
	assert_null(strstr(xml, "virbr7"));
	free(xml);
	network_config_free(config);

	config = parse_ok(NETWORK(BRIDGE(ETH)));
	assert_int_equal(network_xml_format(config, &live, &xml), 0);
	assert_non_null(strstr(xml, "<interface dev='eth1'/>"));
	assert_non_null(strstr(xml, "<interface dev='eth2' connections='2'/>"));
	free(xml);
	network_config_free(config);
}

static void test_copy(void **state)
{
	struct network_config *config = parse_ok(
		NAT_IP("<metadata><a:b xmlns:a='urn:a' c='1'>x</a:b></metadata><zap q='1'/>"));
	struct network_config *copy = NULL;
	char *xml, *again;

	(void)state;
	assert_int_equal(network_xml_format(config, NULL, &xml), 0);
	assert_int_equal(network_config_copy(config, &copy), 0);
	network_config_free(config);
	assert_int_equal(network_xml_format(copy, NULL, &again), 0);
	assert_string_equal(xml, again);
	assert_non_null(strstr(again, "<a:b xmlns:a='urn:a' c='1'>x</a:b>"));
	assert_non_null(strstr(again, "<zap q='1'/>"));
	network_config_free(copy);
	free(xml);
	free(again);
	assert_null(network_config_free(NULL));
}

/* Whatever is accepted is valid, and what is printed reads as the same. */
static void check_any(const char *xml, size_t len)
{
	struct network_config *config = NULL, *second = NULL;
	char *error = NULL, *text = NULL, *again = NULL;
	int r = network_xml_parse(xml, len, "f", 0, &config, NULL, &error);

	assert_true(r == 0 || error);
	if (r == 0) {
		assert_int_equal(net_config_validate(&config->net, NULL, 0), 0);
		assert_int_equal(network_xml_format(config, NULL, &text), 0);
		r = network_xml_parse(text, strlen(text), "f", 0, &second, NULL, &error);
		if (r < 0)
			fail_msg("%d %s of\n%s", r, error, text);
		assert_int_equal(network_xml_format(second, NULL, &again), 0);
		assert_string_equal(text, again);
	}
	network_config_free(config);
	network_config_free(second);
	free(error);
	free(text);
	free(again);
}

static void test_mutations(void **state)
{
	static const char *const parts[] = {"<", ">", "/", "'", "=", "&amp;", "<a>", "</a>",
		"x='1'", "<!--", "-->", "]]>", "4294967296", "-1", "0", "::1", "<ip/>", "\n", NULL};

	(void)state;
	xml_mutate(NAT(IP("<dhcp><range start='10.0.0.2' end='10.0.0.9'/><host name='h' "
			  "ip='10.0.0.3'/>"
			  "</dhcp>") "<dns><host ip='10.0.0.4'><hostname>a</hostname></host></dns>"
				     "<v:forward proto='tcp' port='8' to='10.0.0.3'/>"),
		parts, 5000, check_any);
	xml_mutate(TEAM(" policy='lacp'",
			   "<v:member dev='eth1' prio='1'/><v:detect upDelayMs='0'><v:arp "
			   "target='1.2.3.4'/></v:detect>"),
		parts, 5000, check_any);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gateway),
		cmocka_unit_test(test_team),
		cmocka_unit_test(test_wrong_forward),
		cmocka_unit_test(test_wrong_team),
		cmocka_unit_test(test_wrong_addresses),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
