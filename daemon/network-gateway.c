/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network's gateway (gateway.h): made from what the XML says, started before the network's worker and kept while workers
 * come and go.
 *
 * Tested by tests/unit/test-network-gateway.c, and by the system tests with real programs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/net-addr.h"
#include "daemon/cgroup.h"
#include "daemon/gateway.h"
#include "daemon/host-net.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

bool network_wants_gateway(const struct network_config *config)
{
	return config->n_ips > 0 && config->forward != NETWORK_BRIDGE &&
		config->forward != NETWORK_PRIVATE;
}

static uint32_t lease_seconds(const struct network_lease *lease)
{
	static const uint32_t units[NETWORK_LEASE_X_MAX] = {
		[NETWORK_LEASE_DEFAULT] = 60,
		[NETWORK_LEASE_SECONDS] = 1,
		[NETWORK_LEASE_MINUTES] = 60,
		[NETWORK_LEASE_HOURS] = 3600,
	};
	uint64_t seconds = (uint64_t)lease->expiry * units[lease->unit];

	if (lease->expiry == UINT32_MAX)
		return GATEWAY_LEASE_INFINITE;
	return (uint32_t)MIN(seconds, (uint64_t)GATEWAY_LEASE_INFINITE - 1);
}

static int too_many(
	const struct network_config *config, const char *what, unsigned max, struct error *error)
{
	return error_set(error, ERROR_CONFIG_UNSUPPORTED, "network '%s' has more than %u %s",
		config->net.name, max, what);
}

/* One <ip>: its address, and what DHCP gives there. */
static int add_ip(struct gateway_config *g, const struct network_config *config,
	const struct network_ip *ip, struct error *error)
{
	if (g->n_ips >= GATEWAY_MAX_IPS)
		return too_many(config, "addresses", GATEWAY_MAX_IPS, error);
	g->local_ptr[g->n_ips] = ip->local_ptr == VM_TRISTATE_YES;
	g->ips[g->n_ips++] = ip->ip;
	for (unsigned i = 0; i < ip->n_ranges; i++) {
		if (g->n_ranges >= GATEWAY_MAX_RANGES)
			return too_many(config, "ranges of DHCP", GATEWAY_MAX_RANGES, error);
		g->ranges[g->n_ranges++] = (struct gateway_range){ip->ranges[i].start,
			ip->ranges[i].end, lease_seconds(&ip->ranges[i].lease)};
	}
	for (unsigned i = 0; i < ip->n_hosts; i++) {
		const struct network_dhcp_host *from = &ip->hosts[i];
		struct gateway_host *to = &g->hosts[g->n_hosts];

		if (g->n_hosts >= GATEWAY_MAX_HOSTS)
			return too_many(config, "hosts of DHCP", GATEWAY_MAX_HOSTS, error);
		to->has_mac = !net_mac_is_zero(from->mac);
		memcpy(to->mac, from->mac, NET_MAC_LEN);
		(void)str_copy(to->id, sizeof(to->id), from->id);
		(void)str_copy(to->name, sizeof(to->name), from->name);
		to->ip = from->ip;
		to->lease_s = lease_seconds(&from->lease);
		g->n_hosts++;
	}
	if (*ip->bootp_file)
		(void)str_copy(g->bootp_file, sizeof(g->bootp_file), ip->bootp_file);
	if (*ip->bootp_server)
		(void)str_copy(g->bootp_server, sizeof(g->bootp_server), ip->bootp_server);
	if (*ip->tftp_root && str_copy(g->tftp_root, sizeof(g->tftp_root), ip->tftp_root) < 0)
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"network '%s': the folder of TFTP has too long a name", config->net.name);
	return 0;
}

static void add_dns(struct gateway_config *g, const struct network_config *config)
{
	g->dns = config->dns_enable != VM_TRISTATE_NO;
	g->dns_local_only = config->forward == NETWORK_ISOLATED;
	g->dns_forward_plain = config->dns_forward_plain_names != VM_TRISTATE_NO;
	g->dns_hosts_file = true;
	g->domain_local_only = config->domain_local_only == VM_TRISTATE_YES;
	(void)str_copy(g->domain, sizeof(g->domain), config->domain);
	for (unsigned i = 0; i < config->n_dns_hosts; i++) {
		const struct network_dns_host *from = &config->dns_hosts[i];
		struct gateway_dns_host *to = &g->dns_hosts[g->n_dns_hosts++];

		to->ip = from->ip;
		to->n_names = MIN(from->n_names, (uint32_t)GATEWAY_MAX_DNS_NAMES);
		for (unsigned j = 0; j < to->n_names; j++)
			(void)str_copy(to->names[j], sizeof(to->names[j]), from->names[j]);
	}
	for (unsigned i = 0; i < config->n_txts; i++) {
		struct gateway_txt *to = &g->txt[g->n_txt++];

		(void)str_copy(to->name, sizeof(to->name), config->txts[i].name);
		(void)str_copy(to->value, sizeof(to->value), config->txts[i].value);
	}
	for (unsigned i = 0; i < config->n_srvs; i++) {
		const struct network_srv *from = &config->srvs[i];
		struct gateway_srv *to = &g->srv[g->n_srv++];

		(void)str_copy(to->service, sizeof(to->service), from->service);
		(void)str_copy(
			to->protocol, sizeof(to->protocol), from->protocol == 2 ? "udp" : "tcp");
		(void)str_copy(to->domain, sizeof(to->domain), from->domain);
		(void)str_copy(to->target, sizeof(to->target), from->target);
		to->port = from->port;
		to->priority = from->priority;
		to->weight = from->weight;
	}
	for (unsigned i = 0; i < config->n_forwarders; i++) {
		struct gateway_forwarder *to = &g->forwarders[g->n_forwarders++];

		to->ip = config->forwarders[i].ip;
		(void)str_copy(to->domain, sizeof(to->domain), config->forwarders[i].domain);
	}
}
static_assert(NETWORK_MAX_DNS_HOSTS <= GATEWAY_MAX_DNS_HOSTS, "all fit");
static_assert(NETWORK_MAX_TXTS <= GATEWAY_MAX_RECORDS, "all fit");
static_assert(NETWORK_MAX_SRVS <= GATEWAY_MAX_RECORDS, "all fit");
static_assert(NETWORK_MAX_FORWARDERS <= GATEWAY_MAX_FORWARDERS, "all fit");
static_assert(NETWORK_MAX_ROUTES <= GATEWAY_MAX_ROUTES, "all fit");
static_assert(NETWORK_MAX_FORWARDS <= GATEWAY_MAX_FORWARDS, "all fit");

/* What user space cannot do is for the kernel. */
static enum gateway_kind kind_of(const struct network_config *config)
{
	static const enum gateway_kind kinds[NETWORK_FORWARD_X_MAX] = {
		[NETWORK_ISOLATED] = GATEWAY_ISOLATED,
		[NETWORK_NAT] = GATEWAY_NAT,
		[NETWORK_ROUTE] = GATEWAY_ROUTE,
		[NETWORK_OPEN] = GATEWAY_OPEN,
	};
	bool kernel = *config->forward_dev || config->nat_start.family || config->nat_port_start;

	return config->forward == NETWORK_NAT && kernel ? GATEWAY_MASQUERADE
							: kinds[config->forward];
}

static void add_ways(struct gateway_config *g, const struct network_config *config)
{
	(void)str_copy(g->dev, sizeof(g->dev), config->forward_dev);
	for (unsigned i = 0; i < config->n_routes; i++)
		g->routes[g->n_routes++] = (struct gateway_route){
			config->routes[i].ip, config->routes[i].gateway, config->routes[i].metric};
	if (g->kind == GATEWAY_MASQUERADE) {
		g->nat_first = config->nat_start;
		g->nat_last = config->nat_end;
		g->nat_port_first = config->nat_port_start;
		g->nat_port_last = config->nat_port_end;
		g->nat_ipv6 = config->nat_ipv6 == VM_TRISTATE_YES;
	}
	for (unsigned i = 0; i < config->n_forwards; i++) {
		const struct network_port_forward *from = &config->forwards[i];

		g->forwards[g->n_forwards++] = (struct gateway_forward){
			.proto = from->protocol == 2 ? GATEWAY_UDP : GATEWAY_TCP,
			.host = from->address,
			.host_port = from->port,
			.guest = from->to,
			.guest_port = from->to_port ? from->to_port : from->port,
		};
	}
}

int network_gateway_config(
	const struct network_config *config, struct gateway_config *ret, struct error *error)
{
	struct gateway_config *g = ret;
	int r = 0;

	memset(g, 0, sizeof(*g));
	(void)str_copy(g->name, sizeof(g->name), config->net.name);
	memcpy(g->uuid, config->net.uuid, sizeof(g->uuid));
	g->kind = kind_of(config);
	(void)str_copy(g->ifname, sizeof(g->ifname),
		*config->bridge                  ? config->bridge
			: g->kind == GATEWAY_NAT ? "vmmd0"
						 : "vmmd%d");
	memcpy(g->mac, config->net.host_port.mac, NET_MAC_LEN);
	g->mtu = config->net.mtu;
	for (unsigned i = 0; i < config->n_ips && r == 0; i++)
		r = add_ip(g, config, &config->ips[i], error);
	add_dns(g, config);
	add_ways(g, config);
	return r;
}

/* The real one. */

static void on_ready(void *opaque, int tap_fd)
{
	struct network *n = opaque;

	(void)safe_close(n->tap_fd);
	n->tap_fd = tap_fd;
	network_gateway_ready(n, NULL);
}

static void on_failed(void *opaque, const struct error *error)
{
	network_gateway_ready(opaque, error);
}

static void on_lease(void *opaque, const struct gateway_lease *lease, bool gone)
{
	struct network *n = opaque;
	char ip[NET_IP_STRING_SIZE], mac[NET_MAC_STRING_SIZE] = "", expiry[24] = "";
	const struct event_field fields[] = {
		{"ip", ip},
		{"mac", mac},
		{"hostname", lease->hostname},
		{"expiry_s", expiry},
	};

	net_ip_format(&lease->ip, ip);
	if (lease->has_mac)
		net_mac_format(lease->mac, mac);
	if (lease->expiry_s && !gone)
		(void)snprintf(expiry, sizeof(expiry), "%" PRIu64, lease->expiry_s);
	manager_emit_network(n->manager, EVENT_LEASE, n, gone ? "Released" : "Assigned", fields,
		ARRAY_SIZE(fields));
}

/* Out of the daemon's control group: what ends that must not end them. */
static void on_started(void *opaque, const char *program, pid_t pid)
{
	const struct network *n = opaque;
	char description[NET_NAME_MAX + 64], unit[64];

	if (!n->manager->cgroup_root)
		return;
	(void)snprintf(unit, sizeof(unit), "gateway-%s", program);
	(void)snprintf(description, sizeof(description), "%s of the gateway of network %s", program,
		n->name);
	cgroup_move(n->manager->cgroup_root, unit, description, pid);
}

static const struct gateway_ops gateway_ops = {
	.ready = on_ready, .failed = on_failed, .lease = on_lease, .started = on_started};

/* What both ways to a gateway need: the configuration (to be freed) and the place. */
struct prepared {
	struct gateway_config *config;
	char path[4400], state[4200];
	struct gateway_place place;
};

static int prepare(struct network *n, int dir_fd, struct prepared *ret, struct error *error)
{
	const struct store *store = n->manager->store;
	char uuid[UUID_STRING_LEN + 1];
	int r;

	ret->config = malloc(sizeof(*ret->config));
	if (!ret->config)
		return error_set(error, ERROR_NO_MEMORY, "gateway");
	r = network_gateway_config(n->config, ret->config, error);
	if (r < 0)
		return r;
	uuid_format(n->uuid, uuid);
	(void)snprintf(ret->path, sizeof(ret->path), "%s/networks/%s", store->runtime_dir, uuid);
	(void)snprintf(ret->state, sizeof(ret->state), "%s/networks", store->state_dir);
	ret->place = (struct gateway_place){
		.runtime_fd = dir_fd,
		.runtime_path = ret->path,
		.state_fd = store->networks.definitions_fd,
		.state_path = ret->state,
		.log_fd = store->log_fd,
	};
	return 0;
}

/* The way out is by sockets of the host, so both can be there; but guests take its addresses for their own network's. */
static void warn_of_overlap(const struct network *n)
{
	char ifname[NET_IFNAME_MAX], text[NET_IP_STRING_SIZE];

	for (unsigned i = 0; i < n->config->n_ips; i++) {
		const struct net_ip *ip = &n->config->ips[i].ip;

		if (host_net_find_overlap(ip, ifname) < 0)
			continue;
		net_ip_format(ip, text);
		log_warning("network '%s': the host has addresses of %s/%u at '%s' already: guests "
			    "cannot reach what is behind it; if they should, give the network "
			    "others (vmctl net-edit %s)",
			n->name, text, ip->prefix, ifname, n->name);
	}
}

int network_start_gateway(struct network *n, int dir_fd, struct error *error)
{
	struct prepared p;
	int r = prepare(n, dir_fd, &p, error);

	warn_of_overlap(n);
	if (r == 0)
		r = gateway_new(
			n->manager->event, p.config, &p.place, &gateway_ops, n, &n->gateway, error);
	free(p.config);
	return r;
}

int network_adopt_gateway(struct network *n, int dir_fd)
{
	struct error e = {0};
	struct prepared p;
	int r = prepare(n, dir_fd, &p, &e);

	if (r == 0)
		r = gateway_adopt(
			n->manager->event, p.config, &p.place, &gateway_ops, n, &n->gateway, &e);
	free(p.config);
	if (r < 0)
		log_warning("network '%s' lost its gateway: %s", n->name,
			*e.message ? e.message : "it ended while no vmmd ran");
	return r;
}
