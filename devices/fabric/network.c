/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network in its worker: the switch, a link for each vNIC, the host's tap, the uplinks. See vmm-core/network.h. What a
 * port may do was decided by the daemon; here it is enforced. Tested by tests/unit/test-fabric.c.
 */
#include "vmm-core/network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "devices/fabric/uplinks.h"
#include "devices/net/capture.h"
#include "devices/net/link.h"
#include "devices/net/port-tap.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/stats.h"

/* A PAIR is told the daemon when it is worth a direct link; it may come again, if the daemon does nothing about it. */
struct net_port {
	struct link link; /* first */
	struct network *network;
	unsigned number;
};

struct network {
	struct net_config config;
	struct network_fds fds;
	struct network_owner owner;
	struct net_stats_page *stats;
	struct vswitch *sw;
	struct links links;
	struct loop_timer age_timer;
	struct port_tap host;    /* host.port.sw: NULL when the host takes no part */
	struct uplinks *uplinks; /* NULL: isolated */
	struct captures captures;
	struct net_port *ports[NET_MAX_PORTS];
};

void network_fds_init(struct network_fds *fds)
{
	*fds = (struct network_fds){.stats = -EBADF, .host_tap = -EBADF, .rtnetlink = -EBADF};
	for (unsigned i = 0; i < NET_MAX_UPLINKS; i++)
		fds->uplinks[i] = -EBADF;
}

void network_fds_done(struct network_fds *fds)
{
	fds->stats = safe_close(fds->stats);
	fds->host_tap = safe_close(fds->host_tap);
	fds->rtnetlink = safe_close(fds->rtnetlink);
	for (unsigned i = 0; i < NET_MAX_UPLINKS; i++)
		fds->uplinks[i] = safe_close(fds->uplinks[i]);
}

/* What happens. */

static void emit(struct network *n, const struct proto_net_event *event)
{
	(void)n->owner.event(n->owner.opaque, event);
}

static void on_broken(void *opaque, struct link *link)
{
	struct proto_net_event event = {.kind = PROTO_NET_LINK_BROKEN, .a = link->id};

	emit(opaque, &event);
}

/* A mark is passed on to the port that it names, with the sender's number in the place of the receiver's: whoever gets
 * it can believe that. */
static int on_mark(void *opaque, struct link *link, uint64_t cookie)
{
	struct network *n = opaque;
	unsigned to = (uint16_t)cookie;

	if (to >= NET_MAX_PORTS || !n->ports[to])
		return 1;
	/* A receiver that is congested loses it, and goes on after its timeout. */
	if (link_mark(&n->ports[to]->link, (cookie & ~(uint64_t)UINT16_MAX) | link->id) == -EAGAIN)
		return -EAGAIN;
	return 1;
}

static const struct links_ops links_ops = {.broken = on_broken, .mark = on_mark};

static void on_address(
	void *opaque, struct port *port, const uint8_t mac[NET_MAC_LEN], const struct net_ip *ip)
{
	struct proto_net_event event = {.kind = PROTO_NET_ADDRESS, .a = port->cookie, .ip = *ip};

	memcpy(event.mac, mac, NET_MAC_LEN);
	emit(opaque, &event);
}

static void on_pair(void *opaque, struct port *a, struct port *b)
{
	struct proto_net_event event = {.kind = PROTO_NET_PAIR, .a = a->cookie, .b = b->cookie};

	emit(opaque, &event);
}

static const struct vswitch_ops switch_ops = {.address = on_address, .pair = on_pair};

static void arm_ageing(struct network *n)
{
	uint64_t deadline_ns = vswitch_deadline(n->sw);

	if (deadline_ns != n->age_timer.deadline_ns)
		(void)loop_timer_set(&n->age_timer, deadline_ns);
}

static void on_age(struct loop_timer *timer, uint64_t now_ns)
{
	struct network *n = container_of(timer, struct network, age_timer);

	vswitch_poll(n->sw, now_ns);
	arm_ageing(n);
}

/* Life. */

static int map_stats(int fd, struct net_stats_page **ret, char *reason)
{
	struct stat st;
	void *page;

	if (fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size != sizeof(struct net_stats_page)) {
		(void)snprintf(reason, PROTO_REASON_MAX, "START: no statistics page");
		return -EINVAL;
	}
	page = mmap(NULL, sizeof(struct net_stats_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		(void)snprintf(
			reason, PROTO_REASON_MAX, "the statistics page: %s", strerror(errno));
		return -errno;
	}
	*ret = page;
	return 0;
}

/* The host's port, on its tap. */
static int add_host_port(struct network *n, struct loop *loop, char *reason)
{
	int r;

	if (!n->config.has_host_port)
		return 0;
	n->host.port.kind = PORT_HOST;
	n->host.port.counters = &n->stats->ports[0];
	r = n->fds.host_tap < 0 ? -EBADF : port_tap_init(&n->host, loop, n->fds.host_tap);
	if (r == 0)
		r = vswitch_add(n->sw, &n->host.port, &n->config.host_port);
	if (r < 0)
		(void)snprintf(reason, PROTO_REASON_MAX, "the host's port: %s", strerror(-r));
	return r;
}

/* Frames find their way out by it. */
static int add_uplinks(struct network *n, struct loop *loop, const uint64_t seed[2], char *reason)
{
	int r;

	if (!n->config.n_uplinks)
		return 0;
	r = uplinks_new(
		&n->config, &n->fds, seed, loop, n->sw, n->stats->uplinks, &n->owner, &n->uplinks);
	if (r < 0) {
		(void)snprintf(reason, PROTO_REASON_MAX, "the uplinks: %s", strerror(-r));
		return r;
	}
	if (n->config.has_host_port)
		uplinks_port_added(n->uplinks, n->host.port.cookie);
	return 0;
}

int network_new(const struct net_config *config, struct network_fds *fds, struct loop *loop,
	const struct network_owner *owner, struct network **ret_network, char *ret_reason)
{
	_cleanup_(network_freep) struct network *n = calloc(1, sizeof(*n));
	struct vswitch_config sw = {
		.mtu = config->mtu ? config->mtu : NET_MTU_DEFAULT,
		.arp_suppress = config->n_uplinks == 0,
		.snoop_multicast = true,
		.bandwidth = config->bandwidth,
	};
	int r;

	if (!n) {
		network_fds_done(fds);
		return -ENOMEM;
	}
	n->config = *config;
	n->fds = *fds;
	network_fds_init(fds);
	n->owner = *owner;
	r = map_stats(n->fds.stats, &n->stats, ret_reason);
	if (r < 0)
		return r;
	n->stats->magic = STATS_MAGIC;
	n->stats->version = STATS_VERSION;
	if (getrandom(sw.seed, sizeof(sw.seed), 0) != sizeof(sw.seed))
		return -EIO;
	r = vswitch_new(&sw, &switch_ops, n, &n->sw);
	if (r < 0) {
		(void)snprintf(ret_reason, PROTO_REASON_MAX, "the switch: %s", strerror(-r));
		return r;
	}
	links_init(&n->links, loop, n->sw, config->poll_us * NSEC_PER_USEC, &links_ops, n);
	captures_init(&n->captures, loop, n->sw);
	loop_timer_init(&n->age_timer, loop, on_age);
	loop_set_heartbeat(loop, &n->stats->heartbeat);
	r = add_host_port(n, loop, ret_reason);
	if (r == 0)
		r = add_uplinks(n, loop, sw.seed, ret_reason);
	if (r < 0)
		return r;
	*ret_network = TAKE_PTR(n);
	return 0;
}

static void remove_port(struct network *n, unsigned number)
{
	struct net_port *port = n->ports[number];

	if (n->uplinks)
		uplinks_port_removed(n->uplinks, number);
	vswitch_remove(n->sw, &port->link.port);
	link_close(&port->link);
	free(port);
	n->ports[number] = NULL;
}

struct network *network_free(struct network *n)
{
	if (!n)
		return NULL;
	for (unsigned i = 0; i < NET_MAX_PORTS; i++)
		if (n->ports[i])
			remove_port(n, i);
	captures_done(&n->captures);
	n->uplinks = uplinks_free(n->uplinks);
	if (n->sw) {
		port_tap_done(&n->host);
		if (n->host.port.sw)
			vswitch_remove(n->sw, &n->host.port);
		loop_timer_stop(&n->age_timer);
		loop_set_heartbeat(n->links.loop, NULL);
		links_done(&n->links);
		(void)vswitch_free(n->sw);
	}
	if (n->stats)
		(void)munmap(n->stats, sizeof(*n->stats));
	network_fds_done(&n->fds);
	free(n);
	return NULL;
}

/* Ports. */

static int check_port(const struct network *n, const struct proto_port *message, bool is_new)
{
	char reason[PROTO_REASON_MAX];

	if (message->port == 0 || message->port >= NET_MAX_PORTS)
		return -EINVAL;
	if (net_port_config_validate(&message->config, reason, sizeof(reason)) < 0)
		return -EINVAL;
	if (!n->ports[message->port] != is_new)
		return is_new ? -EEXIST : -ENODEV;
	if (is_new)
		return message->n_mirrors <= NET_MAX_MIRRORS ? 0 : -EINVAL;
	/* What it is stays. */
	return (n->ports[message->port]->link.port.kind == PORT_MIRROR) ==
			((message->config.flags & NET_PORT_MIRROR) != 0)
		? 0
		: -EINVAL;
}

static struct port *find_port(struct network *n, unsigned number)
{
	return number < NET_MAX_PORTS && n->ports[number] ? &n->ports[number]->link.port : NULL;
}

static int add_mirrors(struct network *n, const struct proto_port *message)
{
	for (uint32_t i = 0; i < message->n_mirrors; i++) {
		const struct proto_mirror *m = &message->mirrors[i];
		struct port *from = find_port(n, m->from), *to = find_port(n, m->to);
		int r = -EINVAL;

		if (from && to && m->direction && !(m->direction & ~(CAPTURE_IN | CAPTURE_OUT)))
			r = vswitch_mirror(n->sw, from,
				(m->direction & CAPTURE_OUT ? VSWITCH_MIRROR_TX : 0) |
					(m->direction & CAPTURE_IN ? VSWITCH_MIRROR_RX : 0),
				to);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_port(struct network *n, const struct proto_port *message,
	const struct link_fds *fds, struct net_port **ret_port)
{
	_cleanup_(freep) struct net_port *port = calloc(1, sizeof(*port));
	int r;

	if (!port) {
		(void)safe_close(fds->own_ring);
		(void)safe_close(fds->peer_ring);
		(void)safe_close(fds->own_bell);
		(void)safe_close(fds->peer_bell);
		return -ENOMEM;
	}
	port->network = n;
	port->number = message->port;
	port->link.port.kind = message->config.flags & NET_PORT_MIRROR ? PORT_MIRROR : PORT_VNIC;
	port->link.port.cookie = message->port;
	port->link.port.counters = &n->stats->ports[message->port];
	r = link_open(&port->link, &n->links, message->port, message->ring_data, fds);
	if (r < 0)
		return r;
	*ret_port = TAKE_PTR(port);
	return 0;
}

int network_port_add(struct network *n, const struct proto_port *message, int *fds)
{
	struct link_fds link_fds = {fds[0], fds[1], fds[2], fds[3]};
	struct net_port *port;
	int r;

	r = check_port(n, message, true);
	if (r < 0) {
		for (unsigned i = 0; i < PROTO_LINK_FDS; i++)
			(void)safe_close(fds[i]);
		return r;
	}
	r = open_port(n, message, &link_fds, &port);
	if (r < 0)
		return r;
	memset(port->link.port.counters, 0, sizeof(*port->link.port.counters));
	r = vswitch_add(n->sw, &port->link.port, &message->config);
	if (r < 0) {
		link_close(&port->link);
		free(port);
		return r;
	}
	n->ports[message->port] = port;
	if (n->uplinks)
		uplinks_port_added(n->uplinks, message->port);
	arm_ageing(n);
	r = add_mirrors(n, message);
	if (r < 0)
		remove_port(n, message->port);
	return r;
}

int network_port_set(struct network *n, const struct proto_port *message)
{
	int r = check_port(n, message, false);

	if (r == 0)
		r = vswitch_reconfigure(
			n->sw, &n->ports[message->port]->link.port, &message->config);
	arm_ageing(n);
	return r;
}

int network_port_remove(struct network *n, unsigned number)
{
	if (number >= NET_MAX_PORTS || !n->ports[number])
		return -ENODEV;
	remove_port(n, number);
	return 0;
}

int network_uplink_add(struct network *n, const struct proto_uplink *message, int fd)
{
	int r = -EINVAL;

	if (n->uplinks)
		r = uplinks_add(n->uplinks, message->index, &message->uplink, fd);
	if (r < 0) {
		(void)safe_close(fd);
		return r;
	}
	/* Whoever used the old one has let go of it. */
	(void)safe_close(n->fds.uplinks[message->index]);
	n->fds.uplinks[message->index] = fd;
	return 0;
}

int network_uplink_remove(struct network *n, unsigned index)
{
	int r = n->uplinks ? uplinks_remove(n->uplinks, index) : -EINVAL;

	if (r == 0)
		n->fds.uplinks[index] = safe_close(n->fds.uplinks[index]);
	return r;
}

int network_capture(struct network *n, const struct proto_capture *capture, int fd, int counts_fd)
{
	const struct capture_spec spec = {
		.direction = capture->direction, .snaplen = capture->snaplen};

	if (capture->index == PROTO_CAPTURE_SWITCH)
		return captures_add(&n->captures, &spec, fd, counts_fd);
	if (n->uplinks)
		return uplinks_capture(n->uplinks, capture, fd, counts_fd);
	(void)safe_close(fd);
	(void)safe_close(counts_fd);
	return -ENODEV;
}

void network_connected(struct network *n)
{
	if (n->uplinks)
		uplinks_connected(n->uplinks);
}

int network_team_look(struct network *n)
{
	return n->uplinks ? uplinks_tell(n->uplinks) : -ENOENT;
}

int network_team_test(struct network *n, const struct proto_team_test *test)
{
	return n->uplinks ? uplinks_test(n->uplinks, test) : -ENOENT;
}
