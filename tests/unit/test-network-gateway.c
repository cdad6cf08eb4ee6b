/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a network's XML says to its gateway. That a gateway serves it is that of test-gateway-nat, -host and -life, and of the system tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "config/network-xml.h"
#include "daemon/gateway.h"
#include "daemon/network-internal.h"

static struct network_config *parse(const char *inner)
{
	struct network_config *config = NULL;
	char xml[4096], *error = NULL;

	(void)snprintf(xml, sizeof(xml),
		"<network xmlns:vmmd='urn:vmmd:network:1'><name>n</name>%s</network>", inner);
	if (network_xml_parse(xml, strlen(xml), "n.xml", 0, &config, NULL, &error) < 0)
		fail_msg("%s", error);
	return config;
}

static struct gateway_config *convert(const char *inner)
{
	struct network_config *config = parse(inner);
	struct gateway_config *g = calloc(1, sizeof(*g));
	struct error e = {0};

	assert_true(network_wants_gateway(config));
	if (network_gateway_config(config, g, &e) < 0 || gateway_config_validate(g, &e) < 0)
		fail_msg("%s", e.message);
	network_config_free(config);
	return g;
}

static void test_who_wants_one(void **state)
{
	static const struct {
		const char *inner;
		bool wants;
	} rows[] = {
		{"", false},
		{"<ip address='10.9.0.1' prefix='24'/>", true},
		{"<forward mode='nat'/><ip address='10.9.0.1' prefix='24'/>", true},
		{"<forward mode='bridge'/><bridge name='br0'/>", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct network_config *config = parse(rows[i].inner);

		assert_int_equal(network_wants_gateway(config), rows[i].wants);
		network_config_free(config);
	}
}

static void test_default_network(void **state)
{
	struct gateway_config *g = convert(
		"<forward mode='nat'/><bridge name='virbr0'/><mac address='52:54:00:4c:c3:75'/>"
		"<ip address='192.168.122.1' netmask='255.255.255.0'><dhcp>"
		"<range start='192.168.122.2' end='192.168.122.254'/></dhcp></ip>");

	(void)state;
	assert_int_equal(g->kind, GATEWAY_NAT);
	assert_string_equal(g->name, "n");
	assert_string_equal(g->ifname, "virbr0");
	assert_memory_equal(g->mac, "\x52\x54\x00\x4c\xc3\x75", 6);
	assert_true(g->dns && !g->dns_local_only && g->dns_forward_plain);
	assert_int_equal(g->n_ips, 1);
	assert_int_equal(g->ips[0].prefix, 24);
	assert_int_equal(g->n_ranges, 1);
	assert_int_equal(g->ranges[0].last.bytes[3], 254);
	assert_int_equal(g->ranges[0].lease_s, 0);
	free(g);
}

static void test_everything(void **state)
{
	struct gateway_config *g = convert(
		"<mtu size='9000'/><domain name='lab' localOnly='yes'/><dns forwardPlainNames='no'>"
		"<forwarder addr='9.9.9.9'/><forwarder domain='secret'/>"
		"<txt name='t' value='v'/>"
		"<srv service='ldap' protocol='udp' domain='lab' target='a.lab' port='389' "
		"priority='1' "
		"weight='2'/>"
		"<host "
		"ip='10.9.0.7'><hostname>seven</hostname><hostname>vii</hostname></host></dns>"
		"<ip address='10.9.0.1' prefix='24'><tftp root='/srv/tftp'/><dhcp>"
		"<range start='10.9.0.9' end='10.9.0.19'><lease expiry='2' unit='hours'/></range>"
		"<host mac='52:54:00:00:00:01' name='one' ip='10.9.0.5'><lease expiry='0'/></host>"
		"<bootp file='pxe.0' server='10.9.0.1'/></dhcp></ip>"
		"<ip family='ipv6' address='fd00:9::1' prefix='64'/>");

	(void)state;
	assert_int_equal(g->kind, GATEWAY_ISOLATED);
	assert_string_equal(g->ifname, "vmmd%d");
	assert_int_equal(g->mtu, 9000);
	assert_true(g->dns_local_only && !g->dns_forward_plain);
	assert_true(g->domain_local_only);
	assert_string_equal(g->domain, "lab");
	assert_int_equal(g->n_ips, 2);
	assert_int_equal(g->n_forwarders, 2);
	assert_int_equal(g->forwarders[1].ip.family, 0);
	assert_int_equal(g->n_txt, 1);
	assert_string_equal(g->srv[0].protocol, "udp");
	assert_int_equal(g->srv[0].weight, 2);
	assert_int_equal(g->dns_hosts[0].n_names, 2);
	assert_string_equal(g->dns_hosts[0].names[1], "vii");
	assert_int_equal(g->ranges[0].lease_s, 7200);
	assert_true(g->hosts[0].has_mac);
	assert_string_equal(g->hosts[0].name, "one");
	assert_int_equal(g->hosts[0].lease_s, GATEWAY_LEASE_INFINITE);
	assert_string_equal(g->tftp_root, "/srv/tftp");
	assert_string_equal(g->bootp_file, "pxe.0");
	free(g);
}

/* How a network leads out. */
static void test_ways(void **state)
{
	static const struct {
		const char *inner;
		enum gateway_kind kind;
	} rows[] = {
		{"", GATEWAY_ISOLATED},
		{"<forward mode='nat'/>", GATEWAY_NAT},
		{"<forward mode='route'/>", GATEWAY_ROUTE},
		{"<forward mode='route' dev='eth7'/>", GATEWAY_ROUTE},
		{"<forward mode='open'/>", GATEWAY_OPEN},
		{"<forward mode='nat'><nat ipv6='yes'/></forward>", GATEWAY_NAT},
		{"<forward mode='nat' dev='eth7'/>", GATEWAY_MASQUERADE},
		{"<forward mode='nat'><interface dev='eth7'/></forward>", GATEWAY_MASQUERADE},
		{"<forward mode='nat'><nat><port start='5000' end='6000'/></nat></forward>",
			GATEWAY_MASQUERADE},
		{"<forward mode='nat'><nat ipv6='yes'><address start='192.0.2.4' "
		 "end='192.0.2.7'/></nat></forward>",
			GATEWAY_MASQUERADE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char inner[1024];
		struct gateway_config *g;

		(void)snprintf(inner, sizeof(inner),
			"%s<ip address='10.9.0.1' prefix='24' localPtr='yes'/><ip family='ipv6' "
			"address='fd00:9::1' prefix='64'/><route address='10.10.0.0' prefix='16' "
			"gateway='10.9.0.5' metric='3'/>",
			rows[i].inner);
		g = convert(inner);
		assert_int_equal(g->kind, rows[i].kind);
		assert_string_equal(g->dev, strstr(rows[i].inner, "eth7") ? "eth7" : "");
		assert_int_equal(g->nat_port_first, strstr(rows[i].inner, "5000") ? 5000 : 0);
		assert_int_equal(g->nat_port_last, strstr(rows[i].inner, "5000") ? 6000 : 0);
		assert_int_equal(g->nat_first.bytes[3], strstr(rows[i].inner, "192") ? 4 : 0);
		assert_int_equal(g->nat_last.bytes[3], strstr(rows[i].inner, "192") ? 7 : 0);
		assert_int_equal(g->nat_ipv6, strstr(rows[i].inner, "192") != NULL);
		assert_string_equal(g->ifname, g->kind == GATEWAY_NAT ? "vmmd0" : "vmmd%d");
		assert_int_equal(g->n_routes, 1);
		assert_int_equal(g->routes[0].net.prefix, 16);
		assert_int_equal(g->routes[0].gateway.bytes[3], 5);
		assert_int_equal(g->routes[0].metric, 3);
		assert_true(g->local_ptr[0] && !g->local_ptr[1]);
		free(g);
	}
}

static void test_forwards(void **state)
{
	struct gateway_config *g =
		convert("<forward mode='nat'/><ip address='10.9.0.1' prefix='24'/>"
			"<vmmd:forward proto='tcp' port='8080' to='10.9.0.5' toPort='80'/>"
			"<vmmd:forward proto='udp' address='192.0.2.1' port='53' to='10.9.0.6'/>");

	(void)state;
	assert_int_equal(g->n_forwards, 2);
	assert_int_equal(g->forwards[0].proto, GATEWAY_TCP);
	assert_int_equal(g->forwards[0].host_port, 8080);
	assert_int_equal(g->forwards[0].guest_port, 80);
	assert_int_equal(g->forwards[0].host.family, 0);
	assert_int_equal(g->forwards[1].proto, GATEWAY_UDP);
	assert_int_equal(g->forwards[1].guest_port, 53);
	assert_int_equal(g->forwards[1].host.bytes[0], 192);
	free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_wants_one),
		cmocka_unit_test(test_default_network),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_forwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
