/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of network XML: libvirt's elements, in the order in which libvirt prints them.
 *
 * Tested by tests/unit/test-network-xml.c.
 */
#include "config/network-rules.h"

#include <ctype.h>
#include <string.h>

#include "vmm-core/base/names.h"

const struct xml_namespace network_namespaces[] = {
	{"vmmd", VMMD_XML_NS_NETWORK},
	{"dnsmasq", "http://libvirt.org/schemas/network/dnsmasq/1.0"},
	{NULL, NULL},
};

/* Names go into the configuration of DNS and DHCP servers: what has a meaning there is not let in. */
const char *network_check_dns_name(const char *name)
{
	if (!*name || *name == '-' || *name == '.')
		return "no name of a host or domain; begin it with a letter or a digit";
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-._", *name))
			return "no name of a host or domain; write letters, digits, '-', '_' and "
			       "'.'";
	return NULL;
}

static const char *check_service(const char *name)
{
	return strpbrk(name, ".,\"\t\n ") || !*name ? "no service; write for example ldap" : NULL;
}

static const char *check_txt(const char *text)
{
	return strpbrk(text, "\"\\\t\n")
		? "contains a quote, backslash, line break or tab; write plain text"
		: NULL;
}

static const char *check_boot_file(const char *text)
{
	return strpbrk(text, ",\"\\\t\n") || !*text ? "no name of a file; write for example "
						      "pxelinux.0"
						    : NULL;
}

static const char *check_duid(const char *id)
{
	return !*id || strspn(id, "0123456789abcdefABCDEF:") != strlen(id)
		? "no identifier; write hexadecimal bytes with ':' between them"
		: NULL;
}

/* <forward> */

static bool has_forward(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct network_config *config = place->base[0];

	(void)f;
	return config->forward != NETWORK_ISOLATED;
}

static int after_forward(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct network_config *config = place->base[0];

	(void)p;
	(void)node;
	if (config->forward == NETWORK_ISOLATED)
		config->forward = NETWORK_NAT; /* as libvirt does */
	return 0;
}

static void format_connections(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out)
{
	const struct network_live *live = f->user;
	bool is_root = place->rule == &network_root;

	(void)rule;
	(void)depth;
	if (!live)
		return;
	if (is_root && live->connections)
		xml_buf_addf(out, " connections='%u'", live->connections);
	if (!is_root && live->uplink_connections[place->index])
		xml_buf_addf(out, " connections='%u'", live->uplink_connections[place->index]);
}
#define CONNECTIONS                                                                                \
	{                                                                                          \
		.name = "@connections", .kind = XML_CUSTOM, .format = format_connections,          \
		.why = "counted while the network runs"                                            \
	}

static const struct xml_word forward_words[] = {
	{.word = "nat", .value = NETWORK_NAT},
	{.word = "route", .value = NETWORK_ROUTE},
	{.word = "open", .value = NETWORK_OPEN},
	{.word = "bridge", .value = NETWORK_BRIDGE},
	{.word = "private", .value = NETWORK_PRIVATE},
	{"vepa", 0, CONTRACT_REFUSED,
		"guests of one host reach each other without the switch; write mode='bridge'"},
	{"passthrough", 0, CONTRACT_REFUSED,
		"a guest cannot have an interface of its own yet; write mode='bridge' and one "
		"<interface>"},
	{"hostdev", 0, CONTRACT_REFUSED, "host devices are not there yet; write mode='bridge'"},
	{0},
};
#define RANGE_ROWS(first, last, type, ip_or_uint)                                                  \
	(const struct xml_rule[])                                                                  \
	{                                                                                          \
		{.name = "@start",                                                                 \
			.kind = (ip_or_uint),                                                      \
			.flags = XML_REQUIRED,                                                     \
			XML_FIELD(0, type, first)},                                                \
			{.name = "@end",                                                           \
				.kind = (ip_or_uint),                                              \
				.flags = XML_REQUIRED,                                             \
				XML_FIELD(0, type, last)},                                         \
		{                                                                                  \
			0                                                                          \
		}                                                                                  \
	}
static const struct xml_word nat_ipv6_words[] = {
	{.word = "yes", .value = VM_TRISTATE_YES},
	{"no", VM_TRISTATE_NO, CONTRACT_ADAPTED,
		"IPv6 is translated too, unless the kernel does it (dev, address or port)"},
	{0},
};
static const struct xml_rule nat_rows[] = {
	{.name = "@ipv6", .kind = XML_WORD, .words = nat_ipv6_words, NETWORK(nat_ipv6)},
	{.name = "address",
		.kind = XML_ELEMENT,
		.rows = RANGE_ROWS(nat_start, nat_end, struct network_config, XML_IP)},
	{.name = "port",
		.kind = XML_ELEMENT,
		.rows = RANGE_ROWS(nat_port_start, nat_port_end, struct network_config, XML_UINT)},
	{0},
};
static const struct xml_rule uplink_rows[] = {
	{.name = "@dev",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		XML_FIELD(0, struct net_uplink, ifname),
		.check = net_check_ifname},
	CONNECTIONS,
	{0},
};
static const struct xml_rule forward_rows[] = {
	{.name = "@dev", .kind = XML_STRING, NETWORK(forward_dev), .check = net_check_ifname},
	{.name = "@mode", .kind = XML_WORD, NETWORK(forward), .words = forward_words},
	DROP("@managed", "host devices only"),
	REFUSE("driver", "host devices are not there yet; remove it"),
	REFUSE("pf", "host devices are not there yet; write <interface dev='…'/>"),
	{.name = "nat", .kind = XML_ELEMENT, .rows = nat_rows},
	{.name = "interface",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(net.uplinks, net.n_uplinks, NET_MAX_UPLINKS),
		.rows = uplink_rows},
	REFUSE("address", "host devices are not there yet; write <interface dev='…'/>"),
	{0},
};

#define NO_LOOPS "vmmd's switch has no loops"
static const struct xml_word table_words[] = {
	{.word = "kernel", .value = 1},
	{.word = "libvirt", .value = 0},
	{0},
};
static const struct xml_rule bridge_rows[] = {
	{.name = "@name", .kind = XML_STRING, NETWORK(bridge), .check = net_check_ifname},
	KEEP("@zone",
		"firewalld is not told; if it filters, put the interface into a zone by "
		"firewall-cmd"),
	KEEP("@stp", NO_LOOPS),
	KEEP("@delay", NO_LOOPS),
	{.name = "@macTableManager",
		.kind = XML_BIT,
		.bit = NET_PORT_LEARN,
		NETWORK(port.flags),
		.words = table_words},
	{0},
};
static const struct xml_rule mac_rows[] = {
	{.name = "@address", .kind = XML_MAC, .flags = XML_REQUIRED, NETWORK(net.host_port.mac)},
	{0},
};
static const struct xml_rule domain_rows[] = {
	{.name = "@name",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		NETWORK(domain),
		.check = network_check_dns_name},
	{.name = "@localOnly",
		.kind = XML_ENUM,
		.names = VM_ENUM_TRISTATE,
		NETWORK(domain_local_only)},
	{0},
};

/* <dns> */

#define FORWARDER(member) XML_FIELD(0, struct network_forwarder, member)
static const struct xml_rule forwarder_rows[] = {
	{.name = "@domain", .kind = XML_STRING, FORWARDER(domain), .check = network_check_dns_name},
	{.name = "@addr", .kind = XML_IP, FORWARDER(ip)},
	{0},
};
#define TXT(member) XML_FIELD(0, struct network_txt, member)
static const struct xml_rule txt_rows[] = {
	{.name = "@name",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		TXT(name),
		.check = network_check_dns_name},
	{.name = "@value",
		.kind = XML_STRING,
		.flags = XML_REQUIRED | XML_ALWAYS,
		TXT(value),
		.check = check_txt},
	{0},
};
#define SRV(member) XML_FIELD(0, struct network_srv, member)
static const struct xml_word protocol_words[] = {
	{.word = "tcp", .value = 1},
	{.word = "udp", .value = 2},
	{0},
};
static const struct xml_rule srv_rows[] = {
	{.name = "@service",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		SRV(service),
		.check = check_service},
	{.name = "@protocol",
		.kind = XML_WORD,
		.flags = XML_REQUIRED,
		SRV(protocol),
		.words = protocol_words},
	{.name = "@domain", .kind = XML_STRING, SRV(domain), .check = network_check_dns_name},
	{.name = "@target", .kind = XML_STRING, SRV(target), .check = network_check_dns_name},
	{.name = "@port", .kind = XML_UINT, SRV(port)},
	{.name = "@priority", .kind = XML_UINT, SRV(priority)},
	{.name = "@weight", .kind = XML_UINT, SRV(weight)},
	{0},
};
static const struct xml_rule hostname_rows[] = {
	{.name = ".",
		.kind = XML_STRING,
		.size = NETWORK_NAME_MAX,
		.check = network_check_dns_name},
	{0},
};
static const struct xml_array hostnames = {
	.count_offset = offsetof(struct network_dns_host, n_names),
	.offset = {offsetof(struct network_dns_host, names)},
	.stride = {NETWORK_NAME_MAX},
	.max = NETWORK_MAX_HOSTNAMES,
};
static const struct xml_rule dns_host_rows[] = {
	{.name = "@ip",
		.kind = XML_IP,
		.flags = XML_REQUIRED,
		XML_FIELD(0, struct network_dns_host, ip)},
	{.name = "hostname",
		.kind = XML_ARRAY,
		.flags = XML_REQUIRED,
		.array = &hostnames,
		.rows = hostname_rows,
		.why = "<hostname>"},
	{0},
};
static const struct xml_rule dns_rows[] = {
	{.name = "@enable", .kind = XML_ENUM, .names = VM_ENUM_TRISTATE, NETWORK(dns_enable)},
	{.name = "@forwardPlainNames",
		.kind = XML_ENUM,
		.names = VM_ENUM_TRISTATE,
		NETWORK(dns_forward_plain_names)},
	{.name = "forwarder",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(forwarders, n_forwarders, NETWORK_MAX_FORWARDERS),
		.rows = forwarder_rows},
	{.name = "txt",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(txts, n_txts, NETWORK_MAX_TXTS),
		.rows = txt_rows},
	{.name = "srv",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(srvs, n_srvs, NETWORK_MAX_SRVS),
		.rows = srv_rows},
	{.name = "host",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(dns_hosts, n_dns_hosts, NETWORK_MAX_DNS_HOSTS),
		.rows = dns_host_rows},
	{0},
};

/* <ip>, <route> */

static const struct xml_word unit_words[] = {
	{.word = "seconds", .value = NETWORK_LEASE_SECONDS},
	{.word = "minutes", .value = NETWORK_LEASE_MINUTES},
	{.word = "hours", .value = NETWORK_LEASE_HOURS},
	{0},
};
#define LEASE_ROW(type)                                                                            \
	{                                                                                          \
		.name = "lease", .kind = XML_ELEMENT, .rows = (const struct xml_rule[])            \
		{                                                                                  \
			{.name = "@expiry",                                                        \
				.kind = XML_UINT,                                                  \
				.flags = XML_REQUIRED | XML_ZERO_IS_MAX,                           \
				XML_FIELD(0, type, lease.expiry)},                                 \
				{.name = "@unit",                                                  \
					.kind = XML_WORD,                                          \
					XML_FIELD(0, type, lease.unit),                            \
					.words = unit_words},                                      \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}
static const struct xml_rule range_rows[] = {
	{.name = "@start",
		.kind = XML_IP,
		.flags = XML_REQUIRED,
		XML_FIELD(0, struct network_range, start)},
	{.name = "@end",
		.kind = XML_IP,
		.flags = XML_REQUIRED,
		XML_FIELD(0, struct network_range, end)},
	LEASE_ROW(struct network_range),
	{0},
};
#define DHCP_HOST(member) XML_FIELD(0, struct network_dhcp_host, member)
static const struct xml_rule dhcp_host_rows[] = {
	{.name = "@mac", .kind = XML_MAC, DHCP_HOST(mac)},
	{.name = "@id", .kind = XML_STRING, DHCP_HOST(id), .check = check_duid},
	{.name = "@name", .kind = XML_STRING, DHCP_HOST(name), .check = network_check_dns_name},
	{.name = "@ip", .kind = XML_IP, .flags = XML_REQUIRED, DHCP_HOST(ip)},
	LEASE_ROW(struct network_dhcp_host),
	{0},
};
#define IP(member) XML_FIELD(0, struct network_ip, member)
static const struct xml_array ranges = {
	.count_offset = offsetof(struct network_ip, n_ranges),
	.offset = {offsetof(struct network_ip, ranges)},
	.stride = {sizeof(struct network_range)},
	.max = NETWORK_MAX_RANGES,
};
static const struct xml_array dhcp_hosts = {
	.count_offset = offsetof(struct network_ip, n_hosts),
	.offset = {offsetof(struct network_ip, hosts)},
	.stride = {sizeof(struct network_dhcp_host)},
	.max = NETWORK_MAX_DHCP_HOSTS,
};
static const struct xml_rule bootp_rows[] = {
	{.name = "@file",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		IP(bootp_file),
		.check = check_boot_file},
	{.name = "@server", .kind = XML_STRING, IP(bootp_server), .check = network_check_dns_name},
	{0},
};
static const struct xml_rule dhcp_rows[] = {
	{.name = "range", .kind = XML_ARRAY, .array = &ranges, .rows = range_rows},
	{.name = "host", .kind = XML_ARRAY, .array = &dhcp_hosts, .rows = dhcp_host_rows},
	{.name = "bootp", .kind = XML_ELEMENT, .rows = bootp_rows},
	{0},
};
static const struct xml_rule tftp_rows[] = {
	{.name = "@root",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		IP(tftp_root),
		.check = xml_check_path},
	{0},
};
static const struct xml_word family_words[] = {
	{.word = "ipv4", .value = 4},
	{.word = "ipv6", .value = 6},
	{0},
};
#define FAMILY_ROW(type)                                                                           \
	{                                                                                          \
		.name = "@family", .kind = XML_WORD, XML_FIELD(0, type, family),                   \
		.words = family_words                                                              \
	}
#define ADDRESS_ROW(type)                                                                          \
	{                                                                                          \
		.name = "@address", .kind = XML_IP, .flags = XML_REQUIRED, XML_FIELD(0, type, ip)  \
	}
#define NETMASK_ROWS(type)                                                                         \
	{.name = "@netmask", .kind = XML_IP, XML_FIELD(0, type, netmask)},                         \
	{                                                                                          \
		.name = "@prefix", .kind = XML_UINT, XML_FIELD(0, type, prefix)                    \
	}
static const struct xml_rule ip_rows[] = {
	FAMILY_ROW(struct network_ip),
	ADDRESS_ROW(struct network_ip),
	NETMASK_ROWS(struct network_ip),
	{.name = "@localPtr", .kind = XML_ENUM, .names = VM_ENUM_TRISTATE, IP(local_ptr)},
	{.name = "tftp", .kind = XML_ELEMENT, .rows = tftp_rows},
	{.name = "dhcp", .kind = XML_ELEMENT, .rows = dhcp_rows},
	{0},
};
static const struct xml_rule route_rows[] = {
	FAMILY_ROW(struct network_route),
	ADDRESS_ROW(struct network_route),
	NETMASK_ROWS(struct network_route),
	{.name = "@gateway",
		.kind = XML_IP,
		.flags = XML_REQUIRED,
		XML_FIELD(0, struct network_route, gateway)},
	{.name = "@metric", .kind = XML_UINT, XML_FIELD(0, struct network_route, metric)},
	{0},
};

/* <portgroup> */

#define NO_VIRTUALPORT                                                                             \
	REFUSE("virtualport",                                                                      \
		"ports of Open vSwitch and of 802.1Qbg or Qbh switches are not supported; remove " \
		"it")
static const struct xml_rule group_switch_rows[] = {
	NETWORK_SWITCH_ROWS(struct network_portgroup, port),
	{0},
};
static const struct xml_rule portgroup_rows[] = {
	{.name = "@name",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		XML_FIELD(0, struct network_portgroup, name),
		.check = vm_name_check},
	{.name = "@default",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		XML_FIELD(0, struct network_portgroup, is_default),
		.words = net_yes_words},
	NET_TRUST_ROW(0, struct network_portgroup, port.flags),
	NET_VLAN_ROW(0, struct network_portgroup, port.vlan),
	NO_VIRTUALPORT,
	NET_BANDWIDTH_ROW(0, struct network_portgroup, port.bandwidth),
	{.name = "vmmd:switch", .kind = XML_ELEMENT, .rows = group_switch_rows},
	{0},
};

static const struct xml_rule network_rows[] = {
	CONNECTIONS,
	KEEP("@ipv6", "guests always reach each other by IPv6"),
	NET_TRUST_ROW(0, struct network_config, port.flags),
	{.name = "name",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		NETWORK(net.name),
		.check = vm_name_check,
		.why = "<name>"},
	{.name = "uuid", .kind = XML_UUID, NETWORK(net.uuid)},
	KEEP("title", NULL),
	KEEP("description", NULL),
	{.name = "metadata", .kind = XML_KEEP},
	{.name = "forward",
		.kind = XML_ELEMENT,
		.rows = forward_rows,
		.after = after_forward,
		.print_if = has_forward},
	{.name = "bridge", .kind = XML_ELEMENT, .rows = bridge_rows},
	NET_MTU_ROW(0, struct network_config, net.mtu),
	{.name = "mac", .kind = XML_ELEMENT, .rows = mac_rows},
	{.name = "domain", .kind = XML_ELEMENT, .rows = domain_rows},
	{.name = "dns", .kind = XML_ELEMENT, .rows = dns_rows},
	NET_VLAN_ROW(0, struct network_config, port.vlan),
	NET_BANDWIDTH_ROW(0, struct network_config, net.bandwidth),
	NET_PORT_ROW(0, struct network_config, port.flags),
	{.name = "ip",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(ips, n_ips, NETWORK_MAX_IPS),
		.rows = ip_rows},
	{.name = "route",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(routes, n_routes, NETWORK_MAX_ROUTES),
		.rows = route_rows},
	NO_VIRTUALPORT,
	{.name = "portgroup",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(portgroups, n_portgroups, NETWORK_MAX_PORTGROUPS),
		.rows = portgroup_rows},
	{.name = "vmmd:team", .kind = XML_ELEMENT, .rows = network_team_rows},
	{.name = "vmmd:switch", .kind = XML_ELEMENT, .rows = network_switch_rows},
	{.name = "vmmd:forward",
		.kind = XML_ARRAY,
		.array = NETWORK_ARRAY(forwards, n_forwards, NETWORK_MAX_FORWARDS),
		.rows = network_forward_rows},
	KEEP("dnsmasq:options", "options of dnsmasq are not passed on"),
	{0},
};

const struct xml_rule network_root = {.name = "network", .kind = XML_ELEMENT, .rows = network_rows};

/* Elements on their own: base 0 is the item. */
const struct xml_rule network_dhcp_host_rule = {
	.name = "host", .kind = XML_ELEMENT, .rows = dhcp_host_rows};
const struct xml_rule network_range_rule = {
	.name = "range", .kind = XML_ELEMENT, .rows = range_rows};
const struct xml_rule network_uplink_rule = {
	.name = "interface", .kind = XML_ELEMENT, .rows = uplink_rows};
const struct xml_rule network_portgroup_rule = {
	.name = "portgroup", .kind = XML_ELEMENT, .rows = portgroup_rows};
const struct xml_rule network_dns_host_rule = {
	.name = "host", .kind = XML_ELEMENT, .rows = dns_host_rows};
const struct xml_rule network_txt_rule = {.name = "txt", .kind = XML_ELEMENT, .rows = txt_rows};
const struct xml_rule network_srv_rule = {.name = "srv", .kind = XML_ELEMENT, .rows = srv_rows};
const struct xml_rule network_port_forward_rule = {
	.name = "vmmd:forward", .kind = XML_ELEMENT, .rows = network_forward_rows};
