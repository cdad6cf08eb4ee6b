/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a network's worker will use, opened by the daemon; it goes with START_NETWORK.
 *
 * Tested by tests/unit/test-network.c.
 */
#include <fcntl.h>
#include <string.h>

#include "daemon/host-exclusive.h"
#include "daemon/host-link.h"
#include "daemon/host-net.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "daemon/stats-view.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

void network_resources_close(struct network_resources *res)
{
	for (unsigned i = 0; i < res->n; i++)
		(void)safe_close(res->fds[i]);
	res->n = 0;
	res->stats_fd = -EBADF;
}

static void add(struct network_resources *res, enum proto_fd_kind kind, unsigned index, int fd)
{
	assert(res->n < PROTO_MAX_FDS);
	res->what[res->n] = (struct proto_fd){.kind = (uint8_t)kind, .index = (uint8_t)index};
	res->fds[res->n++] = fd;
}

static bool is_held(const struct network *n, const char *ifname)
{
	for (unsigned i = 0; i < n->config->net.n_uplinks; i++)
		if (n->config->net.uplinks[i].exclusive &&
			streq(n->config->net.uplinks[i].ifname, ifname))
			return true;
	return false;
}

void network_give_back_nic(const struct network *n, const struct net_uplink *uplink)
{
	bool shared = false;
	struct list *pos;

	list_for_each (pos, &n->manager->networks) {
		const struct network *other = list_entry(pos, struct network, link);

		shared |= other != n && network_is_active(other) && is_held(other, uplink->ifname);
	}
	if (uplink->exclusive && !shared)
		host_exclusive_end(uplink->ifname);
}

void network_give_back_nics(const struct network *n)
{
	for (unsigned i = 0; i < n->config->net.n_uplinks; i++)
		network_give_back_nic(n, &n->config->net.uplinks[i]);
}

/* By its own device. 0: it is none that has one. */
static int open_tap(
	const struct network *n, struct net_uplink *uplink, int *ret_fd, struct error *error)
{
	struct host_uplink found;
	int r = host_link_open_uplink(uplink->ifname, &found, error);

	if (r < 0 || !found.is_tap)
		return r;
	if (uplink->exclusive && !found.is_exclusive) {
		(void)safe_close(found.fd);
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"network '%s': '%s' is a tap, and the host is what is at its other end; "
			"remove exclusive='yes'",
			n->name, uplink->ifname);
	}
	uplink->kind = NET_UPLINK_TAP;
	memcpy(uplink->mac, found.mac, NET_MAC_LEN);
	*ret_fd = found.fd;
	return 1;
}

static int open_packet(
	const struct network *n, struct net_uplink *uplink, int *ret_fd, struct error *error)
{
	enum host_net_view view = HOST_NET_OTHERS;
	int r = 0;

	if (uplink->exclusive) {
		view = HOST_NET_ALL;
		r = host_exclusive_check(uplink->ifname, error);
		if (r == 0)
			r = host_exclusive_begin(uplink->ifname, n->name, error);
	} else if (n->config->net.team.n_targets) {
		view = HOST_NET_ANSWERS;
	}
	if (r < 0)
		return r;
	uplink->kind = NET_UPLINK_PACKET;
	return host_net_open_packet(uplink->ifname, view, ret_fd, uplink->mac, error);
}

int network_open_uplink(
	const struct network *n, struct net_uplink *uplink, int *ret_fd, struct error *error)
{
	int r = open_tap(n, uplink, ret_fd, error);

	if (r == 0)
		return open_packet(n, uplink, ret_fd, error);
	return r < 0 ? r : 0;
}

static int open_uplinks(struct network_resources *res, const struct network *n,
	struct net_config *net, struct error *error)
{
	int fd, r;

	for (unsigned i = 0; i < net->n_uplinks; i++) {
		r = network_open_uplink(n, &net->uplinks[i], &fd, error);
		if (r < 0)
			return r;
		add(res, PROTO_FD_UPLINK, i, fd);
	}
	if (!net->n_uplinks)
		return 0;
	r = host_net_open_rtnetlink(&fd, error);
	if (r == 0)
		add(res, PROTO_FD_RTNETLINK, 0, fd);
	return r;
}

/* The gateway's tap, or one in a bridge of the host's. */
static int open_host_port(struct network_resources *res, struct network *n, struct net_config *net,
	struct error *error)
{
	const struct network_config *config = n->config;
	int fd, r;

	net->has_host_port = 0;
	if (network_wants_gateway(config)) {
		net->has_host_port = 1;
		add(res, PROTO_FD_HOST_TAP, 0, TAKE_FD(n->tap_fd));
		return 0;
	}
	if (config->forward != NETWORK_BRIDGE || !config->bridge[0] || net->n_uplinks)
		return 0;
	/* The kernel counts, and chooses the tap's address: what is behind it has many. */
	r = host_net_make_tap("vmmd%d", (const uint8_t[NET_MAC_LEN]){0}, net->mtu, &fd, error);
	if (r < 0)
		return r;
	net->has_host_port = 1;
	memset(net->host_port.mac, 0, NET_MAC_LEN);
	net->host_port.flags |= NET_PORT_LEARN | NET_PORT_ALLOW_FORGED | NET_PORT_PROMISCUOUS;
	add(res, PROTO_FD_HOST_TAP, 0, fd);
	return host_net_join_bridge(fd, config->bridge, error);
}

static int open_all(struct network_resources *res, struct network *n, struct error *error)
{
	struct net_config net = n->config->net;
	int fd, r;

	/* The configuration comes first, and is written last: what was opened is in it. */
	add(res, PROTO_FD_CONFIG, 0, -EBADF);
	fd = stats_view_create(STATS_NETWORK);
	if (fd < 0)
		return error_set_errno(error, fd, "cannot make the statistics page");
	add(res, PROTO_FD_STATS, 0, fd);
	res->stats_fd = fd;
	r = open_uplinks(res, n, &net, error);
	if (r == 0)
		r = open_host_port(res, n, &net, error);
	if (r < 0)
		return r;
	fd = memfd_from_data("vmmd-config", &net, sizeof(net));
	if (fd < 0)
		return error_set_errno(error, fd, "cannot make a memory file");
	res->fds[0] = fd;
	return 0;
}

int network_open(struct network *n, struct network_resources *ret, struct error *error)
{
	struct network_resources res = {.stats_fd = -EBADF};
	int r = open_all(&res, n, error);

	if (r < 0) {
		network_resources_close(&res);
		return r;
	}
	*ret = res;
	return 0;
}
