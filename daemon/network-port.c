/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports of networks: made when a domain starts, released when it ends: see network.h. What links
 * them is network-link.c's. Tested by tests/unit/test-network-port.c. */
#include <stdio.h>
#include <string.h>

#include "config/net-addr.h"
#include "daemon/domain-internal.h"
#include "daemon/domain-nic.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "daemon/stats-view.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define MAX_IFNAMES (NETWORK_MAX * NET_MAX_PORTS)

/* Lookup. */

struct network_port *network_find_number(const struct network *n, unsigned number)
{
	struct list *pos;

	list_for_each (pos, &n->ports) {
		struct network_port *port = list_entry(pos, struct network_port, link);

		if (port->number == number)
			return port;
	}
	return NULL;
}

/* Call 'found' for each port of each network until it answers true; that port, or NULL. */
static struct network_port *find_port(const struct manager *m,
	bool (*found)(const struct network_port *port, const void *what), const void *what)
{
	struct list *net, *pos;

	list_for_each (net, &m->networks) {
		struct network *n = list_entry(net, struct network, link);

		list_for_each (pos, &n->ports) {
			struct network_port *port = list_entry(pos, struct network_port, link);

			if (found(port, what))
				return port;
		}
	}
	return NULL;
}

struct owner {
	const uint8_t *domain;
	unsigned nic;
};

static bool has_owner(const struct network_port *port, const void *what)
{
	const struct owner *owner = what;

	return port->nic == owner->nic && memcmp(port->domain, owner->domain, 16) == 0;
}

static bool has_domain(const struct network_port *port, const void *what)
{
	return memcmp(port->domain, what, 16) == 0;
}

static bool has_mac(const struct network_port *port, const void *what)
{
	return memcmp(port->config.mac, what, NET_MAC_LEN) == 0;
}

static bool has_ifname(const struct network_port *port, const void *what)
{
	return streq(port->ifname, what);
}

const struct network_port *network_find_port(
	const struct manager *m, const uint8_t domain[16], unsigned nic)
{
	return find_port(m, has_owner, &(struct owner){domain, nic});
}

const struct network_port *network_find_mac(const struct manager *m, const uint8_t mac[6])
{
	return find_port(m, has_mac, mac);
}

const struct network_port *network_find_ifname(const struct manager *m, const char *ifname)
{
	return find_port(m, has_ifname, ifname);
}

const struct net_port_counters *network_port_counters(const struct network_port *port)
{
	const struct stats_view *stats = port->network->stats;

	return stats ? &stats_view_network(stats)->ports[port->number] : NULL;
}

unsigned network_n_ports(const struct network *n)
{
	struct list *pos;
	unsigned count = 0;

	list_for_each (pos, &n->ports)
		count++;
	return count;
}

unsigned network_prefix_of(const struct network *n, const struct net_ip *ip)
{
	for (unsigned i = 0; i < n->config->n_ips; i++) {
		const struct net_ip *own = &n->config->ips[i].ip;

		if (net_ip_within(ip, own))
			return own->prefix;
	}
	return 0;
}

void network_note_address(
	struct network *n, unsigned number, const uint8_t mac[NET_MAC_LEN], const struct net_ip *ip)
{
	struct network_port *port = network_find_number(n, number);
	unsigned i;

	/* The worker is not believed beyond what this port may be. */
	if (!port || memcmp(mac, port->config.mac, NET_MAC_LEN) != 0 ||
		(ip->family != 4 && ip->family != 6))
		return;
	for (i = 0; i < port->n_ips; i++)
		if (port->ips[i].family == ip->family &&
			memcmp(port->ips[i].bytes, ip->bytes, sizeof(ip->bytes)) == 0)
			break;
	if (i == NETWORK_PORT_IPS)
		i = 0; /* the oldest gives way */
	if (i < port->n_ips)
		memmove(&port->ips[i], &port->ips[i + 1], (port->n_ips - i - 1) * sizeof(*ip));
	else
		port->n_ips++;
	port->ips[port->n_ips - 1] = *ip;
}

/* Life of ports. */

static struct network_port *port_new(struct network *n, unsigned number)
{
	struct network_port *port = calloc(1, sizeof(*port));

	if (!port)
		return NULL;
	port->network = n;
	port->number = number;
	for (unsigned i = 0; i < MAX_IFNAMES; i++) {
		char name[NET_IFNAME_MAX];
		unsigned nic;

		(void)snprintf(name, sizeof(name), "vnet%u", i);
		if (find_port(n->manager, has_ifname, name) ||
			domain_nic_find(n->manager, name, &nic))
			continue;
		memcpy(port->ifname, name, sizeof(name));
		break;
	}
	list_add_tail(&n->ports, &port->link);
	return port;
}

void network_port_free(struct network_port *port)
{
	list_del(&port->link);
	free(port);
}

void network_free_ports(struct network *n)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &n->ports)
		network_port_free(list_entry(pos, struct network_port, link));
}

struct network_port *network_port_adopt(
	struct network *n, unsigned number, const uint8_t domain[16], unsigned nic)
{
	struct network_port *port;

	if (number == 0 || number >= NET_MAX_PORTS || network_find_number(n, number))
		return NULL;
	port = port_new(n, number);
	if (!port)
		return NULL;
	memcpy(port->domain, domain, 16);
	port->nic = nic;
	port->linked = true;
	return port;
}

/* Attaching a domain: all checks first. */

static unsigned free_number(const struct network *n)
{
	for (unsigned i = 1; i < NET_MAX_PORTS; i++)
		if (!network_find_number(n, i))
			return i;
	return 0;
}

int network_resolve_port(const struct network *n, const struct domain *d, unsigned nic,
	const struct net_port_config *asked, struct net_port_config *ret)
{
	const struct domain_nic *host = &d->live->nics[domain_nic_index(d, nic)];

	if (network_config_port(n->config, host->portgroup, asked, ret) < 0)
		return -ENOENT;
	if (!ret->mtu)
		ret->mtu = n->config->net.mtu;
	if (network_is_mirror_target(n, d, nic)) {
		/* Of every VLAN, with its tag; for whoever it was. */
		ret->flags |= NET_PORT_MIRROR | NET_PORT_PROMISCUOUS;
		ret->vlan = (struct net_vlan){0};
	}
	return 0;
}

/* libvirt's rules of <inbound floor=>. 'port' has it already, or NULL. */
static int check_floor(const struct network *n, const struct network_port *port,
	const struct net_port_config *config, struct error *error)
{
	uint64_t sum = config->bandwidth.in.floor, average = n->config->net.bandwidth.in.average;
	char mac[NET_MAC_STRING_SIZE];
	struct list *pos;

	if (!sum)
		return 0;
	net_mac_format(config->mac, mac);
	if (!average)
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"Invalid use of 'floor' on interface with MAC address %s - network '%s' "
			"has "
			"no inbound QoS set",
			mac, n->name);
	list_for_each (pos, &n->ports) {
		const struct network_port *other = list_entry(pos, struct network_port, link);

		if (other != port)
			sum += other->config.bandwidth.in.floor;
	}
	if (sum > average)
		return error_set(error, ERROR_OPERATION_INVALID,
			"Cannot plug '%s' interface into '%s' because it would overcommit 'inbound "
			"average' on network '%s'",
			mac, n->config->bridge, n->name);
	return 0;
}

int network_attach_nic(struct domain *d, unsigned i, struct error *error)
{
	int index = domain_nic_index(d, i);
	const struct domain_nic *nic = &d->live->nics[index];
	struct net_port_config *config = &d->live->vm.nics[index].port;
	struct net_port_config resolved;
	const struct network_port *other;
	struct network_port *port;
	struct network *n;
	unsigned number;
	int r;

	n = network_find_name(d->manager, nic->network);
	if (!n)
		return error_set(error, ERROR_NO_NETWORK, "no network with matching name '%s'",
			nic->network);
	if (n->phase != NETWORK_ACTIVE)
		return error_set(
			error, ERROR_OPERATION_INVALID, "network '%s' is not active", n->name);
	if (network_resolve_port(n, d, i, config, &resolved) < 0)
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"network '%s' has no portgroup '%s'", n->name, nic->portgroup);
	other = network_find_mac(d->manager, config->mac);
	if (other && other->network == n) {
		const struct domain *owner = manager_find_uuid(d->manager, other->domain);

		return error_set(error, ERROR_OPERATION_FAILED,
			"the MAC address %02x:%02x:%02x:%02x:%02x:%02x is in use on network '%s' "
			"by domain '%s'",
			config->mac[0], config->mac[1], config->mac[2], config->mac[3],
			config->mac[4], config->mac[5], n->name, owner ? owner->name : "?");
	}
	r = check_floor(n, NULL, &resolved, error);
	if (r < 0)
		return r;
	number = free_number(n);
	if (!number)
		return error_set(error, ERROR_OPERATION_FAILED,
			"network '%s' has %d ports, and all are taken", n->name, NET_MAX_PORTS - 1);
	port = port_new(n, number);
	if (!port)
		return error_set(error, ERROR_NO_MEMORY, "port");
	*config = resolved;
	memcpy(port->domain, d->uuid, 16);
	port->nic = i;
	port->config = *config;
	return 0;
}

static void release(struct network_port *port)
{
	struct network *n = port->network;

	network_unlink_port(port);
	network_port_free(port);
	(void)network_save_status(n);
}

void network_detach_nic(struct domain *d, unsigned nic)
{
	struct network_port *port = find_port(d->manager, has_owner, &(struct owner){d->uuid, nic});

	if (port)
		release(port);
}

void network_link_nic(struct domain *d, unsigned nic)
{
	struct network_port *port = find_port(d->manager, has_owner, &(struct owner){d->uuid, nic});

	if (!port)
		return;
	network_link_port(port);
	(void)network_save_status(port->network);
}

void network_detach_domain(struct domain *d)
{
	struct network_port *port;

	while ((port = find_port(d->manager, has_domain, d->uuid)))
		release(port);
}

void network_drop_dead_ports(struct network *n)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &n->ports) {
		struct network_port *port = list_entry(pos, struct network_port, link);
		const struct domain *d = manager_find_uuid(n->manager, port->domain);

		if (d && domain_is_active(d))
			continue;
		network_unlink_port(port);
		network_port_free(port);
	}
	(void)network_save_status(n);
}

/* Who watches hears of a link that an administrator takes down or up. */
static void tell_link(
	const struct domain *d, struct network_port *port, const struct net_port_config *new)
{
	char uuid[UUID_STRING_LEN + 1], mac[NET_MAC_STRING_SIZE];
	const struct event_field fields[] = {{"domain", uuid}, {"mac", mac}};

	if (!((port->config.flags ^ new->flags) & NET_PORT_LINK_DOWN))
		return;
	uuid_format(d->uuid, uuid);
	net_mac_format(new->mac, mac);
	manager_emit_network(d->manager, EVENT_LINK, port->network,
		new->flags &NET_PORT_LINK_DOWN ? "Down" : "Up", fields, ARRAY_SIZE(fields));
}

static void set_port(struct network_port *port, const struct net_port_config *config)
{
	struct proto_port message = {.port = port->number, .config = *config};

	port->config = *config;
	/* Their peers check by the old configuration: they are made anew when they are wanted again. */
	network_drop_directs(port);
	if (port->linked && port->network->phase == NETWORK_ACTIVE)
		(void)worker_request(port->network->worker, PROTO_PORT_SET, &message,
			sizeof(message), NULL, 0, NETWORK_REQUEST_USEC, NULL, NULL);
}

/* The domain's worker is asked; the network's has it already. */
struct port_change {
	struct domain *domain; /* valid: pending requests are answered before a domain is freed */
	unsigned nic;
	struct net_port_config old, new;
	domain_done_fn done;
	void *userdata;
};

/* Refused: both ends of the cable are as the worker has it, unless somebody has changed them again. */
static void on_port_changed(void *userdata, const struct error *error)
{
	_cleanup_(freep) struct port_change *change = userdata;
	struct domain *d = change->domain;
	struct network_port *port =
		find_port(d->manager, has_owner, &(struct owner){d->uuid, change->nic});

	if (error && port && memcmp(&port->config, &change->new, sizeof(change->new)) == 0) {
		int i = domain_nic_index(d, change->nic);
		/* 'old' may be what another one asked for, and was refused. */
		struct net_port_config as_it_is =
			i >= 0 ? *domain_nic_asked(d, (unsigned)i) : change->old;

		tell_link(d, port, &as_it_is);
		set_port(port, &as_it_is);
	}
	change->done(change->userdata, error);
}

int network_update_port(struct domain *d, unsigned nic, const struct net_port_config *config,
	domain_done_fn done, void *userdata, struct error *error)
{
	struct network_port *port = find_port(d->manager, has_owner, &(struct owner){d->uuid, nic});
	struct port_change *change;
	int r = port ? check_floor(port->network, port, config, error) : 0;

	if (r < 0 || !port)
		return r < 0 ? r : domain_set_nic(d, nic, config, done, userdata, error);
	change = malloc(sizeof(*change));
	if (!change)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*change = (struct port_change){d, nic, port->config, *config, done, userdata};
	r = domain_set_nic(d, nic, config, on_port_changed, change, error);
	if (r < 0) {
		free(change);
		return r;
	}
	tell_link(d, port, config);
	set_port(port, config);
	if (port->network->uplinks_down)
		network_tell_guest(port);
	return 0;
}
