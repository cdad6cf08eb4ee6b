/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML: <interface>. The code behind it is in domain-hooks-net.c.
 *
 * Tested by tests/unit/test-domain-xml-devices.c.
 */
#include "config/domain-rules.h"
#include "config/net-rules.h"

#define NIC(member)      XML_FIELD(0, struct vm_nic, member)
#define HOST_NIC(member) XML_FIELD(1, struct domain_nic, member)

#define WRITE_NETWORK "; write type='network' with <source network='…'/>"
#define NO_SOCKETS    "networks of sockets are not supported" WRITE_NETWORK
static const struct xml_word type_words[] = {
	{.word = "network", .value = DOMAIN_NIC_NETWORK},
	{.word = "bridge", .value = DOMAIN_NIC_BRIDGE},
	{.word = "ethernet", .value = DOMAIN_NIC_ETHERNET},
	{"user", DOMAIN_NIC_NETWORK, CONTRACT_ADAPTED,
		"served by network 'default', whose gateway translates addresses"},
	{.word = "direct", .value = DOMAIN_NIC_DIRECT},
	{"hostdev", 0, CONTRACT_REFUSED, "host devices are not there yet" WRITE_NETWORK},
	{"vhostuser", 0, CONTRACT_REFUSED, "vhost-user is not supported" WRITE_NETWORK},
	{"vdpa", 0, CONTRACT_REFUSED, "vDPA is not supported" WRITE_NETWORK},
	{"internal", 0, CONTRACT_REFUSED,
		"define a network without <forward> and write type='network'"},
	{"null", 0, CONTRACT_REFUSED, "write type='network' and <link state='down'/>"},
	{"mcast", 0, CONTRACT_REFUSED, NO_SOCKETS},
	{"server", 0, CONTRACT_REFUSED, NO_SOCKETS},
	{"client", 0, CONTRACT_REFUSED, NO_SOCKETS},
	{"udp", 0, CONTRACT_REFUSED, NO_SOCKETS},
	{"vds", 0, CONTRACT_REFUSED, "VMware only" WRITE_NETWORK},
	{0},
};

static uint8_t type_of(const struct xml_place *place)
{
	const struct domain_nic *nic = place->base[1];

	return nic->type;
}

static bool is_network(const struct xml_place *place, const struct xml_formatter *f)
{
	(void)f;
	return type_of(place) == DOMAIN_NIC_NETWORK;
}

/* A running domain also says into which bridge its network goes. */
static bool has_bridge(const struct xml_place *place, const struct xml_formatter *f)
{
	return type_of(place) == DOMAIN_NIC_BRIDGE || f->user;
}

static bool is_ethernet(const struct xml_place *place, const struct xml_formatter *f)
{
	(void)f;
	return type_of(place) == DOMAIN_NIC_ETHERNET;
}

static bool is_direct(const struct xml_place *place, const struct xml_formatter *f)
{
	(void)f;
	return type_of(place) == DOMAIN_NIC_DIRECT;
}

static const struct xml_rule mac_rows[] = {
	{.name = "@address", .kind = XML_MAC, .flags = XML_REQUIRED, NIC(port.mac)},
	KEEP("@type", "VMware only"),
	KEEP("@check", "VMware only"),
	{0},
};
static const struct xml_word mode_words[] = {
	{.word = "vepa", .value = DOMAIN_NIC_VEPA},
	{.word = "private", .value = DOMAIN_NIC_PRIVATE},
	{.word = "bridge", .value = DOMAIN_NIC_MACVLAN_BRIDGE},
	{.word = "passthrough", .value = DOMAIN_NIC_PASSTHROUGH},
	{0},
};
static const struct xml_rule source_rows[] = {
	{.name = "@network",
		.kind = XML_STRING,
		HOST_NIC(network),
		.check = vm_name_check,
		.print_if = is_network},
	{.name = "@portgroup",
		.kind = XML_STRING,
		HOST_NIC(portgroup),
		.check = vm_name_check,
		.print_if = is_network},
	{.name = "@portid",
		.kind = XML_CUSTOM,
		.format = domain_format_portid,
		.why = "the port is made at each start"},
	{.name = "@bridge",
		.kind = XML_STRING,
		HOST_NIC(bridge),
		.check = net_check_ifname,
		.print_if = has_bridge},
	{.name = "@dev",
		.kind = XML_STRING,
		HOST_NIC(dev),
		.check = net_check_ifname,
		.print_if = is_direct},
	{.name = "@mode",
		.kind = XML_WORD,
		HOST_NIC(mode),
		.words = mode_words,
		.print_if = is_direct},
	KEEP("ip", "the host gives its side of a tap the addresses: ip(8), networkd"),
	KEEP("route", "the host gives its side of a tap the routes: ip(8), networkd"),
	{0},
};

static const struct xml_word managed_words[] = {
	{.word = "no", .value = 1},
	{.word = "yes", .value = 0},
	{0},
};
static const struct xml_rule target_rows[] = {
	{.name = "@dev", .kind = XML_STRING, HOST_NIC(target), .check = net_check_ifname},
	{.name = "@managed",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		HOST_NIC(existing_tap),
		.words = managed_words,
		.print_if = is_ethernet},
	{0},
};

#define ONLY_VIRTIO "there is no such card; write <model type='virtio'/>"
static const struct xml_word model_words[] = {
	{.word = "virtio"},
	{"virtio-non-transitional", 0, CONTRACT_ADAPTED, "served by a virtio 1.2 device: virtio"},
	{"virtio-transitional", 0, CONTRACT_ADAPTED, "served by a virtio 1.2 device: virtio"},
	{"*", 0, CONTRACT_REFUSED, ONLY_VIRTIO},
	{0},
};
static const struct xml_rule model_rows[] = {
	{.name = "@type",
		.kind = XML_CONST,
		.flags = XML_REQUIRED,
		.fixed = "virtio",
		.words = model_words,
		.why = "type='virtio'"},
	{0},
};

static const struct xml_word off_words[] = {
	{.word = "off", .value = 1},
	{.word = "on", .value = 0},
	{0},
};
#define OFFLOAD(attribute, which)                                                                  \
	{                                                                                          \
		.name = (attribute), .kind = XML_BIT, .bit = (which), NIC(offloads_off),           \
		.words = off_words                                                                 \
	}
static const struct xml_rule host_rows[] = {
	OFFLOAD("@csum", VM_NIC_NO_HOST_CSUM),
	KEEP("@gso", "drivers of virtio 1.0 and later know tso4, tso6 and ufo only"),
	OFFLOAD("@tso4", VM_NIC_NO_HOST_TSO4),
	OFFLOAD("@tso6", VM_NIC_NO_HOST_TSO6),
	OFFLOAD("@ecn", VM_NIC_NO_HOST_ECN),
	OFFLOAD("@ufo", VM_NIC_NO_HOST_UFO),
	OFFLOAD("@mrg_rxbuf", VM_NIC_NO_MRG_RXBUF),
	{0},
};
static const struct xml_rule guest_rows[] = {
	OFFLOAD("@csum", VM_NIC_NO_GUEST_CSUM),
	OFFLOAD("@tso4", VM_NIC_NO_GUEST_TSO4),
	OFFLOAD("@tso6", VM_NIC_NO_GUEST_TSO6),
	OFFLOAD("@ecn", VM_NIC_NO_GUEST_ECN),
	OFFLOAD("@ufo", VM_NIC_NO_GUEST_UFO),
	{0},
};
static const struct xml_rule driver_rows[] = {
	KEEP("@name", "the worker moves the frames itself"),
	{.name = "@queues", .kind = XML_UINT, NIC(queues)},
	{.name = "@rx_queue_size", .kind = XML_UINT, NIC(rx_queue_size)},
	{.name = "@tx_queue_size", .kind = XML_UINT, NIC(tx_queue_size)},
	KEEP("@txmode", "the worker's loop sends"),
	KEEP("@ioeventfd", "queues are always kicked by an eventfd"),
	KEEP("@event_idx", "the event index is always offered"),
	{.name = "@poll_us", .kind = XML_UINT, NIC(poll_us)},
	KEEP("@rss", "queues are chosen by the flow"),
	KEEP("@rss_hash_report", "queues are chosen by the flow"),
	VIRTIO_DRIVER_ROWS,
	{.name = "host", .kind = XML_ELEMENT, .rows = host_rows},
	{.name = "guest", .kind = XML_ELEMENT, .rows = guest_rows},
	{0},
};

#define OPEN     "it allows what is allowed anyway"
#define WITH_IP6 "IPv6 is allowed too, from its own addresses"
#define WITH_IP  "the sender's IP address is checked too"
static const struct xml_word filter_words[] = {
	{"clean-traffic", DOMAIN_FILTER_CLEAN, CONTRACT_ADAPTED, WITH_IP6},
	{"clean-traffic-gateway", DOMAIN_FILTER_CLEAN_GATEWAY, CONTRACT_ADAPTED, WITH_IP6},
	{.word = "no-mac-spoofing", .value = DOMAIN_FILTER_MAC},
	{.word = "no-ip-spoofing", .value = DOMAIN_FILTER_IP},
	{.word = "no-ipv6-spoofing", .value = DOMAIN_FILTER_IPV6},
	{.word = "no-arp-spoofing", .value = DOMAIN_FILTER_ARP},
	{.word = "no-arp-ip-spoofing", .value = DOMAIN_FILTER_ARP_IP},
	{"no-arp-mac-spoofing", DOMAIN_FILTER_ARP_MAC, CONTRACT_ADAPTED, WITH_IP},
	{.word = "vmmd-no-dhcp-server", .value = DOMAIN_FILTER_DHCP},
	{.word = "vmmd-no-router", .value = DOMAIN_FILTER_ROUTER},
	{.word = "vmmd-strict", .value = DOMAIN_FILTER_STRICT},
	{"allow-arp", DOMAIN_FILTER_ALLOW_ARP, CONTRACT_ADAPTED, OPEN},
	{"allow-dhcp", DOMAIN_FILTER_ALLOW_DHCP, CONTRACT_ADAPTED, OPEN},
	{"allow-dhcp-server", DOMAIN_FILTER_ALLOW_DHCP_SERVER, CONTRACT_ADAPTED, OPEN},
	{"allow-dhcpv6", DOMAIN_FILTER_ALLOW_DHCPV6, CONTRACT_ADAPTED, OPEN},
	{"allow-dhcpv6-server", DOMAIN_FILTER_ALLOW_DHCPV6_SERVER, CONTRACT_ADAPTED, OPEN},
	{"allow-incoming-ipv4", DOMAIN_FILTER_ALLOW_IN_IPV4, CONTRACT_ADAPTED, OPEN},
	{"allow-incoming-ipv6", DOMAIN_FILTER_ALLOW_IN_IPV6, CONTRACT_ADAPTED, OPEN},
	{"allow-ipv4", DOMAIN_FILTER_ALLOW_IPV4, CONTRACT_ADAPTED, OPEN},
	{"allow-ipv6", DOMAIN_FILTER_ALLOW_IPV6, CONTRACT_ADAPTED, OPEN},
	{"*", 0, CONTRACT_REFUSED,
		"there is no such filter, and nothing is let through unchecked; write for example "
		"clean-traffic, no-ip-spoofing or vmmd-strict"},
	{0},
};
static const struct xml_word learning_words[] = {
	{.word = "any", .value = DOMAIN_LEARN_ANY},
	{"dhcp", DOMAIN_LEARN_DHCP, CONTRACT_ADAPTED,
		"the first address seen counts, whether from DHCP or not"},
	{.word = "none", .value = DOMAIN_LEARN_NONE},
	{0},
};
static const struct xml_rule learning_rows[] = {
	{.name = "@value",
		.kind = XML_WORD,
		.flags = XML_REQUIRED,
		HOST_NIC(ip_learning),
		.words = learning_words},
	{0},
};
static const struct xml_rule ip_rows[] = {
	{.name = "@name", .kind = XML_CUSTOM, .format = domain_format_ip_name},
	{.name = "@value",
		.kind = XML_IP,
		.flags = XML_REQUIRED,
		.offset = 0,
		.size = sizeof(struct net_ip)},
	{0},
};
static const struct xml_array ips = {
	.count_offset = offsetof(struct vm_nic, port.n_ips),
	.offset = {offsetof(struct vm_nic, port.ips)},
	.stride = {sizeof(struct net_ip)},
	.max = NET_MAX_PORT_IPS,
};
static const struct xml_rule filterref_rows[] = {
	{.name = "@filter",
		.kind = XML_WORD,
		.flags = XML_REQUIRED,
		HOST_NIC(filter),
		.words = filter_words},
	{.name = "parameter",
		.kind = XML_ARRAY,
		.match = domain_is_ip_parameter,
		.array = &ips,
		.rows = ip_rows},
	{.name = "parameter",
		.kind = XML_ELEMENT,
		.when = "name=CTRL_IP_LEARNING",
		.rows = learning_rows},
	KEEP("parameter", "the filter has no such parameter"),
	{0},
};

static const struct xml_word link_words[] = {
	{.word = "down", .value = 1},
	{.word = "up", .value = 0},
	{0},
};
static const struct xml_rule link_rows[] = {
	{.name = "@state",
		.kind = XML_BIT,
		.flags = XML_REQUIRED,
		.bit = NET_PORT_LINK_DOWN,
		NIC(port.flags),
		.words = link_words},
	{0},
};
static const struct xml_rule boot_rows[] = {
	{.name = "@order",
		.kind = XML_UINT,
		.flags = XML_REQUIRED,
		NIC(boot_order),
		.verdict = CONTRACT_IGNORED,
		.why = "the kernel is booted, not a device"},
	KEEP("@loadparm", "not a feature of x86 machines"),
	{0},
};

const struct xml_rule domain_interface_rows[] = {
	{.name = "@type",
		.kind = XML_WORD,
		.flags = XML_REQUIRED,
		HOST_NIC(type),
		.words = type_words,
		.why = "type='network'"},
	DROP("@managed", "host devices only"),
	NET_TRUST_ROW(0, struct vm_nic, port.flags),
	{.name = "mac", .kind = XML_ELEMENT, .rows = mac_rows},
	{.name = "source", .kind = XML_ELEMENT, .rows = source_rows},
	REFUSE("virtualport",
		"ports of Open vSwitch and of 802.1Qbg or Qbh switches are not supported; remove "
		"it"),
	NET_VLAN_ROW(0, struct vm_nic, port.vlan),
	NET_BANDWIDTH_ROW(0, struct vm_nic, port.bandwidth),
	NET_PORT_ROW(0, struct vm_nic, port.flags),
	KEEP("ip", "the guest sets its own addresses"),
	KEEP("route", "the guest sets its own routes"),
	REFUSE("portForward", "remove it and add a <vmmd:forward> to the network"),
	REFUSE("script",
		"scripts are not run; remove it, set the tap up beforehand and write <target "
		"dev='…' managed='no'/>"),
	REFUSE("downscript", "scripts are not run; remove it"),
	KEEP("backenddomain", "Xen only"),
	{.name = "target", .kind = XML_ELEMENT, .rows = target_rows},
	KEEP("guest", "containers only"),
	{.name = "model", .kind = XML_ELEMENT, .flags = XML_ALWAYS, .rows = model_rows},
	{.name = "driver", .kind = XML_ELEMENT, .rows = driver_rows},
	KEEP("backend", "the worker moves the frames itself"),
	{.name = "filterref",
		.kind = XML_ELEMENT,
		.rows = filterref_rows,
		.after = domain_after_filterref},
	{.name = "link", .kind = XML_ELEMENT, .rows = link_rows},
	NET_MTU_ROW(0, struct vm_nic, port.mtu),
	KEEP("teaming", "there is no host device that this interface could stand in for"),
	KEEP("tune", "frames wait in the worker's ring, whose size is fixed"),
	KEEP("coalesce", "interrupts are held back by the event index"),
	{.name = "boot", .kind = XML_ELEMENT, .rows = boot_rows},
	ALIAS("net"),
	KEEP("rom", "the kernel is booted, not a device"),
	DROP("acpi", "slots have no ACPI index"),
	PCI_ADDRESS(NIC(pci)),
	{0},
};
const struct xml_array domain_interfaces = {
	.count_offset = offsetof(struct vm_config, n_nics),
	.offset = {offsetof(struct vm_config, nics), offsetof(struct domain_config, nics)},
	.stride = {sizeof(struct vm_nic), sizeof(struct domain_nic)},
	.max = VM_MAX_NICS,
};
