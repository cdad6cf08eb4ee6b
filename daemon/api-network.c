/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers around networks, their ports, and the vNICs of domains. Tested by tests/unit/test-dbus.c. */
#include <stdio.h>
#include <string.h>

#include "config/domain-xml.h"
#include "config/net-addr.h"
#include "config/network-update.h"
#include "daemon/api.h"
#include "daemon/job.h"
#include "daemon/domain-nic.h"
#include "daemon/gateway.h"
#include "daemon/host-neigh.h"
#include "daemon/network.h"
#include "daemon/stats-view.h"
#include "vmm-core/base/strutil.h"

#define XML_INACTIVE (1U << 0)
#define IF_INACTIVE  (1U << 0)

static void add_string(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

static void add_uint(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_mac(struct json_object *o, const uint8_t mac[NET_MAC_LEN])
{
	char text[18];

	(void)snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
	add_string(o, "mac", text);
}

static struct json_object *wrap(const char *name, struct json_object *value)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, name, value);
	return out;
}

static struct network *arg_network(const struct api_call *call, struct error *error)
{
	return network_find(call->manager, api_arg_string(call, "network"), error);
}

/* 'up' is there when the worker has told. */
static struct json_object *team_summary(const struct network *n)
{
	struct json_object *o = json_object_new_object();
	enum net_team_policy policy = n->config->net.team.policy;
	unsigned up = 0;

	if (policy == NET_TEAM_DEFAULT)
		policy = NET_TEAM_PORT_ID;
	add_string(o, "policy", net_enum_to_string(NET_ENUM_TEAM_POLICY, policy));
	add_uint(o, "uplinks", n->config->net.n_uplinks);
	if (!n->team || !n->team->known)
		return o;
	for (unsigned i = 0; i < n->team->state.n_members; i++)
		up += n->team->state.members[i].state == TEAM_MEMBER_UP;
	add_uint(o, "up", up);
	return o;
}

static struct json_object *summary(const struct network *n)
{
	struct json_object *o = json_object_new_object();
	char uuid[UUID_STRING_LEN + 1], trouble[192];

	uuid_format(n->uuid, uuid);
	add_string(o, "name", n->name);
	add_string(o, "uuid", uuid);
	add_bool(o, "active", network_is_active(n));
	add_bool(o, "persistent", network_is_persistent(n));
	add_bool(o, "autostart", n->autostart);
	add_string(o, "bridge", network_bridge(n));
	add_uint(o, "ports", network_n_ports(n));
	if (n->gateway && gateway_trouble(n->gateway, trouble, sizeof(trouble)))
		add_string(o, "trouble", trouble);
	if (n->config->net.n_uplinks)
		json_object_object_add(o, "team", team_summary(n));
	return o;
}

int api_list_networks(struct api_call *call, struct error *error)
{
	struct json_object *array = json_object_new_array();
	struct list *pos;

	(void)error;
	list_for_each (pos, &call->manager->networks)
		json_object_array_add(array, summary(list_entry(pos, struct network, link)));
	api_call_reply(call, wrap("networks", array));
	return 0;
}

int api_get_network(struct api_call *call, struct error *error)
{
	const struct network *n = arg_network(call, error);

	if (!n)
		return -ENOENT;
	api_call_reply(call, wrap("info", summary(n)));
	return 0;
}

int api_get_network_xml(struct api_call *call, struct error *error)
{
	const struct network *n = arg_network(call, error);
	_cleanup_(freep) char *xml = NULL;
	int r;

	if (!n || api_check_flags(call, XML_INACTIVE, error) < 0)
		return -EINVAL;
	r = network_format_xml(n, api_arg_uint(call, "flags") & XML_INACTIVE, &xml, error);
	if (r == 0)
		api_call_reply(call, wrap("xml", json_object_new_string(xml)));
	return r;
}

int api_define_network(struct api_call *call, struct error *error)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	struct network *n;
	int r;

	if (api_check_flags(call, API_FLAG_STRICT, error) < 0)
		return -EINVAL;
	r = network_define(call->manager, api_arg_string(call, "xml"),
		api_arg_string(call, "source"), api_define_flags(call), &n, &report, error);
	if (r == 0)
		api_call_reply(call, api_named_report(n->name, report));
	return r;
}

int api_create_network(struct api_call *call, struct error *error)
{
	_cleanup_(contract_report_freep) struct contract_report *report = NULL;
	struct api_create *create;
	struct network *n = NULL;
	int r;

	if (api_check_flags(call, API_FLAG_STRICT, error) < 0)
		return -EINVAL;
	create = api_create_new(call, error);
	if (!create)
		return -ENOMEM;
	r = network_create(call->manager, api_arg_string(call, "xml"),
		api_arg_string(call, "source"), api_define_flags(call), api_create_done, create, &n,
		&report, error);
	job_about_network(call->job, n);
	return api_create_started(create, r, n ? n->name : "", report);
}

int api_undefine_network(struct api_call *call, struct error *error)
{
	struct network *n = arg_network(call, error);
	int r = n ? network_undefine(n, error) : -ENOENT;

	if (r == 0)
		api_call_reply(call, NULL);
	return r;
}

static int operate(struct api_call *call,
	int (*operation)(struct network *, domain_done_fn, void *, struct error *),
	struct error *error)
{
	struct network *n = arg_network(call, error);
	int r;

	if (!n)
		return -ENOENT;
	r = operation(n, api_done, api_call_ref(call), error);
	if (r < 0)
		(void)api_call_unref(call);
	return r;
}

int api_start_network(struct api_call *call, struct error *error)
{
	return operate(call, network_start, error);
}

int api_destroy_network(struct api_call *call, struct error *error)
{
	return operate(call, network_destroy, error);
}

int api_set_network_autostart(struct api_call *call, struct error *error)
{
	struct network *n = arg_network(call, error);
	int r = n ? network_set_autostart(n, api_arg_bool(call, "on"), error) : -ENOENT;

	if (r == 0)
		api_call_reply(call, NULL);
	return r;
}

int api_update_network(struct api_call *call, struct error *error)
{
	struct network *n = arg_network(call, error);
	const char *xml = api_arg_string(call, "xml"), *source = api_arg_string(call, "source");
	uint32_t parent = api_arg_uint(call, "parent");
	const struct network_update update = {
		.command = api_arg_uint(call, "command"),
		.section = api_arg_uint(call, "section"),
		.parent_index = parent > INT32_MAX ? -1 : (int)parent,
		.xml = xml,
		.len = strlen(xml),
		.source = *source ? source : "xml",
	};
	bool is_live;
	int r;

	if (!n || api_check_flags(call, NETWORK_UPDATE_LIVE | NETWORK_UPDATE_CONFIG, error) < 0)
		return -EINVAL;
	/* Without flags: what runs, if it does. */
	is_live = network_is_active(n) && api_arg_uint(call, "flags") != NETWORK_UPDATE_CONFIG;
	r = network_update_section(n, &update, api_arg_uint(call, "flags"), error);
	if (r < 0)
		return r;
	if (!n->gateway || !is_live) {
		api_call_reply(call, NULL);
		return 0;
	}
	r = gateway_follow(n->gateway, api_done, api_call_ref(call), error);
	if (r < 0)
		(void)api_call_unref(call);
	return r;
}

static struct json_object *forward_to_json(const struct network_port_forward *w)
{
	struct json_object *o = json_object_new_object();
	char address[NET_IP_STRING_SIZE] = "", to[NET_IP_STRING_SIZE];

	if (w->address.family)
		net_ip_format(&w->address, address);
	net_ip_format(&w->to, to);
	add_string(o, "proto", w->protocol == 2 ? "udp" : "tcp");
	add_string(o, "address", address);
	add_uint(o, "port", w->port);
	add_string(o, "to", to);
	add_uint(o, "to_port", w->to_port ? w->to_port : w->port);
	return o;
}

int api_list_network_forwards(struct api_call *call, struct error *error)
{
	_cleanup_(network_config_freep) struct network_config *owned = NULL;
	const struct network *n = arg_network(call, error);
	const struct network_config *config;
	struct json_object *array;
	int r = 0;

	if (!n || api_check_flags(call, XML_INACTIVE, error) < 0)
		return -EINVAL;
	if (api_arg_uint(call, "flags") & XML_INACTIVE)
		r = network_definition(n, &owned, error);
	if (r < 0)
		return r;
	config = owned ? owned : n->config;
	array = json_object_new_array();
	for (uint32_t i = 0; i < config->n_forwards; i++)
		json_object_array_add(array, forward_to_json(&config->forwards[i]));
	api_call_reply(call, wrap("forwards", array));
	return 0;
}

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t read_at(const struct net_port_counters *c, size_t offset)
{
	return read_counter((const void *)((const char *)c + offset));
}

/* Of both ends of a vNIC's cable: a frame is dropped at one of them. */
static uint64_t both(
	const struct net_port_counters *c, const struct net_port_counters *other, size_t offset)
{
	return read_at(c, offset) + (other ? read_at(other, offset) : 0);
}

static void add_reasons(struct json_object *o, const char *prefix,
	const struct net_port_counters *c, const struct net_port_counters *other, size_t offset)
{
	for (unsigned i = 1; i < NET_DROP_X_MAX; i++) {
		uint64_t n = both(c, other, offset + i * sizeof(uint64_t));
		char key[64];

		(void)snprintf(key, sizeof(key), "%s_drop_%s", prefix,
			net_drop_to_string((enum net_drop)i));
		if (n)
			add_uint(o, key, n);
	}
}

/* Counters, from the guest's side. What passed is counted at 'c' alone; what was dropped, at 'other' (may be NULL), too. */
static void add_counters(struct json_object *o, const struct net_port_counters *c,
	const struct net_port_counters *other)
{
	add_uint(o, "rx_bytes", read_counter(&c->rx_bytes));
	add_uint(o, "rx_packets", read_counter(&c->rx_packets));
	add_uint(o, "rx_dropped", both(c, other, offsetof(struct net_port_counters, rx_dropped)));
	add_uint(o, "tx_bytes", read_counter(&c->tx_bytes));
	add_uint(o, "tx_packets", read_counter(&c->tx_packets));
	add_uint(o, "tx_dropped", both(c, other, offsetof(struct net_port_counters, tx_dropped)));
	add_reasons(o, "rx", c, other, offsetof(struct net_port_counters, rx_drops));
	add_reasons(o, "tx", c, other, offsetof(struct net_port_counters, tx_drops));
}

int api_list_network_ports(struct api_call *call, struct error *error)
{
	const struct network *n = arg_network(call, error);
	struct json_object *array;
	struct list *pos;

	if (!n)
		return -ENOENT;
	if (!network_is_active(n))
		return error_set(
			error, ERROR_OPERATION_INVALID, "network '%s' is not active", n->name);
	array = json_object_new_array();
	list_for_each (pos, &n->ports) {
		const struct network_port *port = list_entry(pos, struct network_port, link);
		const struct domain *d = manager_find_uuid(call->manager, port->domain);
		struct json_object *o = json_object_new_object();

		add_uint(o, "port", port->number);
		add_string(o, "domain", d ? d->name : "");
		add_string(o, "target", port->ifname);
		add_mac(o, port->config.mac);
		add_bool(o, "linked", port->linked);
		if (n->stats)
			add_counters(o, network_port_counters(port), NULL);
		json_object_array_add(array, o);
	}
	api_call_reply(call, wrap("ports", array));
	return 0;
}

int api_list_network_leases(struct api_call *call, struct error *error)
{
	const struct network *n = arg_network(call, error);
	const struct gateway_lease *leases;
	struct json_object *array;
	unsigned count;

	if (!n)
		return -ENOENT;
	if (!network_is_active(n))
		return error_set(
			error, ERROR_OPERATION_INVALID, "network '%s' is not active", n->name);
	count = n->gateway ? gateway_leases(n->gateway, &leases) : 0;
	array = json_object_new_array();
	for (unsigned i = 0; i < count; i++) {
		struct json_object *o = json_object_new_object();
		char text[NET_IP_STRING_SIZE];

		net_ip_format(&leases[i].ip, text);
		add_uint(o, "expiry_s", leases[i].expiry_s);
		if (leases[i].has_mac)
			add_mac(o, leases[i].mac);
		else
			add_string(o, "mac", "");
		add_string(o, "family", leases[i].ip.family == 4 ? "ipv4" : "ipv6");
		add_string(o, "address", text);
		add_uint(o, "prefix", network_prefix_of(n, &leases[i].ip));
		add_string(o, "hostname", leases[i].hostname);
		add_string(o, "client_id", leases[i].client_id);
		json_object_array_add(array, o);
	}
	api_call_reply(call, wrap("leases", array));
	return 0;
}

/* vNICs of a domain. */

static const char *const nic_types[DOMAIN_NIC_TYPE_X_MAX] = {
	[DOMAIN_NIC_NETWORK] = "network",
	[DOMAIN_NIC_BRIDGE] = "bridge",
	[DOMAIN_NIC_ETHERNET] = "ethernet",
	[DOMAIN_NIC_DIRECT] = "direct",
};

/* What the vNICs are asked of: the live configuration or the definition (to be freed). */
static int interfaces_of(const struct domain *d, bool inactive,
	const struct domain_config **ret_config, struct domain_config **ret_owned,
	struct error *error)
{
	*ret_owned = NULL;
	if (!inactive && d->live) {
		*ret_config = d->live;
		return 0;
	}
	if (!d->definition)
		return error_set(error, ERROR_OPERATION_INVALID,
			"the domain is transient: there is no inactive configuration");
	if (definition_parse(d->definition, ret_owned) < 0)
		return error_set(
			error, ERROR_INTERNAL, "cannot read the definition of '%s'", d->name);
	*ret_config = *ret_owned;
	return 0;
}

static const char *source_of(const struct domain_nic *nic)
{
	return nic->type == DOMAIN_NIC_NETWORK   ? nic->network
		: nic->type == DOMAIN_NIC_BRIDGE ? nic->bridge
		: nic->type == DOMAIN_NIC_DIRECT ? nic->dev
						 : "";
}

static void add_bandwidth(struct json_object *o, const struct net_bandwidth *b)
{
	add_uint(o, "inbound_average", b->in.average);
	add_uint(o, "inbound_peak", b->in.peak);
	add_uint(o, "inbound_burst", b->in.burst);
	add_uint(o, "inbound_floor", b->in.floor);
	add_uint(o, "outbound_average", b->out.average);
	add_uint(o, "outbound_peak", b->out.peak);
	add_uint(o, "outbound_burst", b->out.burst);
}

static struct json_object *interface_to_json(
	const struct domain *d, const struct domain_config *config, unsigned i, bool live)
{
	unsigned number = config->nics[i].number;
	const struct network_port *port = network_find_port(d->manager, d->uuid, number);
	struct json_object *o = json_object_new_object();

	add_string(o, "target", live ? domain_nic_target(d, number) : config->nics[i].target);
	add_string(o, "type", nic_types[config->nics[i].type]);
	add_string(o, "source", source_of(&config->nics[i]));
	add_string(o, "model", "virtio");
	add_mac(o, config->vm.nics[i].port.mac);
	add_bool(o, "link", !(config->vm.nics[i].port.flags & NET_PORT_LINK_DOWN));
	add_bandwidth(o, &config->vm.nics[i].port.bandwidth);
	if (live && d->stats)
		add_counters(o, &stats_view_page(d->stats)->nics[number],
			port ? network_port_counters(port) : NULL);
	return o;
}

int api_list_domain_interfaces(struct api_call *call, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *owned = NULL;
	bool inactive = api_arg_uint(call, "flags") & IF_INACTIVE;
	struct domain *d = api_arg_domain(call, error);
	const struct domain_config *config = NULL;
	struct json_object *array;
	int r;

	if (!d || api_check_flags(call, IF_INACTIVE, error) < 0)
		return -EINVAL;
	r = interfaces_of(d, inactive, &config, &owned, error);
	if (r < 0)
		return r;
	array = json_object_new_array();
	for (unsigned i = 0; i < config->vm.n_nics; i++)
		json_object_array_add(array, interface_to_json(d, config, i, config == d->live));
	api_call_reply(call, wrap("interfaces", array));
	return 0;
}

/* 'prefix' 0: not known. */
static void add_address(struct json_object *array, const char *target,
	const uint8_t mac[NET_MAC_LEN], const struct net_ip *ip, unsigned prefix)
{
	struct json_object *o = json_object_new_object();
	char text[NET_IP_STRING_SIZE];
	struct net_ip bare = *ip;

	bare.prefix = bare.family == 4 ? 32 : 128; /* to be printed without it */
	net_ip_format(&bare, text);
	add_string(o, "target", target);
	add_mac(o, mac);
	add_string(o, "family", bare.family == 4 ? "ipv4" : "ipv6");
	add_string(o, "address", text);
	add_uint(o, "prefix", prefix);
	json_object_array_add(array, o);
}

/* What the network's switch saw; where there is none, whom the host has met. */
static void add_addresses(struct json_object *array, const struct domain *d, unsigned i)
{
	unsigned number = d->live->nics[i].number;
	const struct network_port *port = network_find_port(d->manager, d->uuid, number);
	const uint8_t *mac = d->live->vm.nics[i].port.mac;
	struct net_ip met[NETWORK_PORT_IPS];
	int n = 0;

	for (unsigned j = 0; port && j < port->n_ips; j++)
		add_address(array, port->ifname, port->config.mac, &port->ips[j],
			network_prefix_of(port->network, &port->ips[j]));
	if (d->live->nics[i].type != DOMAIN_NIC_NETWORK)
		n = host_neigh_find(mac, met, ARRAY_SIZE(met));
	for (int j = 0; j < n; j++)
		add_address(array, domain_nic_target(d, number), mac, &met[j], 0);
}

int api_list_interface_addresses(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	struct json_object *array;

	if (!d)
		return -ENOENT;
	if (!domain_is_active(d))
		return error_set(error, ERROR_OPERATION_INVALID, "domain is not running");
	array = json_object_new_array();
	for (unsigned i = 0; d->live && i < d->live->vm.n_nics; i++)
		add_addresses(array, d, i);
	api_call_reply(call, wrap("addresses", array));
	return 0;
}

/* By target or address, as virsh takes both. Answers the index, or -EINVAL with 'error' set. */
int api_find_interface(const struct domain *d, const char *key, struct error *error)
{
	uint8_t mac[NET_MAC_LEN];
	bool is_mac = net_mac_parse(key, mac) == 0;

	for (unsigned i = 0; d->live && i < d->live->vm.n_nics; i++) {
		const char *target = domain_nic_target(d, d->live->nics[i].number);

		if (*target && streq(target, key))
			return (int)i;
		if (is_mac && memcmp(mac, d->live->vm.nics[i].port.mac, NET_MAC_LEN) == 0)
			return (int)i;
	}
	return error_set(
		error, ERROR_INVALID_ARGUMENT, "domain '%s' has no interface '%s'", d->name, key);
}

int api_change_interface(struct api_call *call, struct domain *d, unsigned index,
	const struct net_port_config *config, struct error *error)
{
	int r = network_update_port(
		d, d->live->nics[index].number, config, api_done, api_call_ref(call), error);

	if (r < 0)
		(void)api_call_unref(call);
	return r;
}

int api_set_interface_link(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	struct net_port_config config;
	int i;

	if (!d)
		return -ENOENT;
	if (!domain_is_active(d))
		return error_set(error, ERROR_OPERATION_INVALID, "domain is not running");
	i = api_find_interface(d, api_arg_string(call, "interface"), error);
	if (i < 0)
		return i;
	config = *domain_nic_asked(d, (unsigned)i);
	config.flags &= ~NET_PORT_LINK_DOWN;
	if (!api_arg_bool(call, "up"))
		config.flags |= NET_PORT_LINK_DOWN;
	return api_change_interface(call, d, (unsigned)i, &config, error);
}
