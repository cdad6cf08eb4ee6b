/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Life of a switch, and what is asked about it: see vswitch.h. */
#include "devices/net/vswitch.h"

#include <errno.h>

#include "devices/net/vswitch-internal.h"

static int make_tables(struct vswitch *sw)
{
	const struct vswitch_config *config = &sw->config;
	int r = 0;

	if (config->snoop_multicast)
		r = mcast_new(config->seed, &sw->mcast);
	if (r == 0 && (config->arp_suppress || sw->ops.address))
		r = neigh_new(config->seed, &sw->neigh);
	return r;
}

int vswitch_new(const struct vswitch_config *config, const struct vswitch_ops *ops, void *opaque,
	struct vswitch **ret_sw)
{
	_cleanup_(vswitch_freep) struct vswitch *sw = NULL;
	int r;

	assert(config);
	assert(ret_sw);
	sw = calloc(1, sizeof(*sw));
	if (!sw)
		return -ENOMEM;
	sw->config = *config;
	if (!sw->config.mtu)
		sw->config.mtu = NET_MTU_DEFAULT;
	if (ops)
		sw->ops = *ops;
	sw->opaque = opaque;
	list_init(&sw->ports);
	list_init(&sw->dirty);
	list_init(&sw->watchers);
	vswitch_meter_set_rate(&sw->in, &config->bandwidth.in);
	vswitch_meter_set_rate(&sw->out, &config->bandwidth.out);
	r = fdb_init(&sw->fdb, config->seed);
	if (r == 0)
		r = make_tables(sw);
	if (r < 0)
		return r;
	*ret_sw = TAKE_PTR(sw);
	return 0;
}

struct vswitch *vswitch_free(struct vswitch *sw)
{
	if (!sw)
		return NULL;
	assert(list_empty(&sw->ports));
	fdb_done(&sw->fdb);
	mcast_free(sw->mcast);
	neigh_free(sw->neigh);
	free(sw);
	return NULL;
}

void vswitch_flush(struct vswitch *sw)
{
	while (!list_empty(&sw->dirty)) {
		struct port *port = list_entry(sw->dirty.next, struct port, dirty_link);

		list_del(&port->dirty_link);
		port->dirty = false;
		if (port->ops->flush)
			port->ops->flush(port);
	}
}

uint64_t vswitch_deadline(const struct vswitch *sw)
{
	uint64_t deadline_ns = fdb_deadline(&sw->fdb);

	if (sw->mcast)
		deadline_ns = MIN(deadline_ns, mcast_deadline(sw->mcast));
	return deadline_ns;
}

void vswitch_poll(struct vswitch *sw, uint64_t now_ns)
{
	fdb_age(&sw->fdb, now_ns);
	if (sw->mcast)
		mcast_age(sw->mcast, now_ns);
}

struct port *vswitch_find(const struct vswitch *sw, const uint8_t mac[NET_MAC_LEN], uint16_t vid,
	uint64_t now_ns, uint64_t *ret_age_ns)
{
	const struct fdb_entry *e = fdb_find(&sw->fdb, fdb_mac(mac), vid, now_ns);

	if (!e)
		return NULL;
	*ret_age_ns = e->is_static ? 0 : now_ns - e->seen_ns;
	return fdb_port_state(e->port)->port;
}

unsigned vswitch_ips_of(const struct vswitch *sw, const uint8_t mac[NET_MAC_LEN], uint16_t vid,
	uint64_t now_ns, struct net_ip *ret_ips, unsigned max)
{
	const struct fdb_entry *e = fdb_find(&sw->fdb, fdb_mac(mac), vid, now_ns);
	const struct port_state *s;

	if (!e || !sw->neigh)
		return 0;
	s = fdb_port_state(e->port);
	return neigh_of(sw->neigh, s->index, memcmp(s->config.mac, mac, NET_MAC_LEN) == 0, mac, vid,
		now_ns, ret_ips, max);
}

const struct port *vswitch_sender(const struct vswitch *sw)
{
	assert(sw->busy);
	return sw->sender;
}

const struct net_port_config *vswitch_port_config(const struct port *port)
{
	return &port->state->config;
}

struct walk {
	const struct vswitch *sw;
	uint64_t now_ns;
	void (*found)(void *opaque, const struct vswitch_entry *entry);
	void *opaque;
};

static void found_address(void *opaque, const struct fdb_entry *e)
{
	struct walk *walk = opaque;
	uint64_t mac = fdb_entry_mac(e);
	struct vswitch_entry entry = {
		.vid = e->is_static ? 0 : fdb_entry_vid(e),
		.is_static = e->is_static,
		.port = fdb_port_state(e->port)->port,
		.age_ns = e->is_static ? 0 : walk->now_ns - e->seen_ns,
	};

	memcpy(entry.mac, &mac, NET_MAC_LEN);
	walk->found(walk->opaque, &entry);
}

void vswitch_each_address(const struct vswitch *sw, uint64_t now_ns,
	void (*found)(void *opaque, const struct vswitch_entry *entry), void *opaque)
{
	struct walk walk = {sw, now_ns, found, opaque};

	fdb_each(&sw->fdb, now_ns, found_address, &walk);
}

static void found_member(
	void *opaque, uint64_t mac, uint16_t vid, unsigned port, uint64_t expires_ns)
{
	struct walk *walk = opaque;
	struct vswitch_entry entry = {.vid = vid, .port = walk->sw->slots[port]->port};

	if (expires_ns <= walk->now_ns)
		return;
	entry.age_ns = expires_ns - walk->now_ns;
	memcpy(entry.mac, &mac, NET_MAC_LEN);
	walk->found(walk->opaque, &entry);
}

void vswitch_each_group(const struct vswitch *sw, uint64_t now_ns,
	void (*found)(void *opaque, const struct vswitch_entry *entry), void *opaque)
{
	struct walk walk = {sw, now_ns, found, opaque};

	if (sw->mcast)
		mcast_each(sw->mcast, found_member, &walk);
}
