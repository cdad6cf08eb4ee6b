/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ports of a switch: their configuration digested, their addresses, their mirrors. See vswitch.h.
 *
 * Tested by tests/unit/test-vswitch.c.
 */
#include "devices/net/vswitch-internal.h"

#include <errno.h>

#define LEARN_DEFAULT 64

/* Limits. */

void vswitch_meter_set(struct meter *meter, const struct token_limit *limit)
{
	if (meter->on == (limit->rate != 0) && meter->limit.rate == limit->rate &&
		meter->limit.burst == limit->burst && meter->limit.peak == limit->peak)
		return;
	meter->on = limit->rate != 0;
	meter->limit = *limit;
	token_bucket_init(&meter->bucket, limit);
}

/* libvirt gives rates to tc(8) as "kbps", 1000 bytes a second, and bursts as "kb", 1024 bytes. */
static uint64_t rate_of(uint64_t kilobytes)
{
	return MIN(kilobytes, UINT64_MAX / 1000) * 1000;
}

static uint64_t burst_of(uint64_t kib)
{
	return MIN(kib, UINT64_MAX / 1024) * 1024;
}

void vswitch_meter_set_rate(struct meter *meter, const struct net_rate *rate)
{
	vswitch_meter_set(meter,
		&(struct token_limit){.rate = rate_of(rate->average),
			.burst = burst_of(rate->burst),
			.peak = rate_of(rate->peak)});
}

static void set_meters(struct port_state *s, const struct net_port_config *config)
{
	vswitch_meter_set(
		&s->storms[STORM_BROADCAST], &(struct token_limit){.rate = config->broadcast_pps});
	vswitch_meter_set(
		&s->storms[STORM_MULTICAST], &(struct token_limit){.rate = config->multicast_pps});
	vswitch_meter_set(
		&s->storms[STORM_UNKNOWN], &(struct token_limit){.rate = config->unknown_pps});
	vswitch_meter_set(
		&s->floor, &(struct token_limit){.rate = rate_of(config->bandwidth.in.floor)});
	vswitch_meter_set_rate(&s->in, &config->bandwidth.in);
	vswitch_meter_set_rate(&s->out, &config->bandwidth.out);
}

/* Configuration. */

/* What the switch relies on; the rest is net_port_config_validate()'s. */
static bool is_valid(const struct net_port_config *config)
{
	return !(config->mac[0] & 1) && !(config->flags & ~NET_PORT_FLAGS) &&
		(!config->mtu || config->mtu >= NET_MTU_MIN) && config->n_ips <= NET_MAX_PORT_IPS &&
		config->learn_limit <= NET_LEARN_MAX;
}

static bool has_own_address(const struct port_state *s)
{
	return s->port->kind == PORT_VNIC || s->port->kind == PORT_HOST;
}

/* The addresses that it has beside its own stay unambiguous in these VLANs. */
static bool addresses_fit(
	const struct vswitch *sw, const struct port_state *s, const struct vlan *vlan)
{
	uint64_t own = has_own_address(s) ? fdb_mac(s->config.mac) : 0;
	struct list *pos;

	list_for_each (pos, &s->fdb.statics) {
		const struct fdb_entry *e = list_entry(pos, struct fdb_entry, link);

		if (e->key != own && fdb_conflicts(&sw->fdb, e->key, vlan, &s->fdb))
			return false;
	}
	return true;
}

/* Change what may fail: addresses and the room for learned ones. On failure all is as before. */
static int set_addresses(struct vswitch *sw, struct port_state *s,
	const struct net_port_config *config, const struct vlan *vlan)
{
	uint64_t was = fdb_mac(s->config.mac), mac = fdb_mac(config->mac);
	bool learns = has_own_address(s) && config->flags & NET_PORT_LEARN;
	bool changes = has_own_address(s) && mac && mac != was;
	size_t limit = learns ? (config->learn_limit ?: LEARN_DEFAULT) : 0;
	struct vlan old = s->vlan;
	int r = 0;

	if (!addresses_fit(sw, s, vlan))
		return -EEXIST;
	if (has_own_address(s) && mac && fdb_conflicts(&sw->fdb, mac, vlan, &s->fdb))
		return -EEXIST;
	s->vlan = *vlan;
	if (changes)
		r = fdb_add_static(&sw->fdb, &s->fdb, mac);
	if (r == 0) {
		r = fdb_port_set_limit(&sw->fdb, &s->fdb, limit,
			(config->age_s ?: NET_AGE_DEFAULT) * NSEC_PER_SEC);
		if (r < 0 && changes)
			(void)fdb_remove_static(&sw->fdb, &s->fdb, mac);
	}
	if (r < 0) {
		s->vlan = old;
		return r;
	}
	if (has_own_address(s) && was && was != mac)
		(void)fdb_remove_static(&sw->fdb, &s->fdb, was);
	return 0;
}

/* Ports that others must know of. Made anew whenever a port has changed. */
static void find_special(struct vswitch *sw)
{
	struct list *pos;

	list_init(&sw->watchers);
	sw->n_promiscuous = sw->n_ip_learners = 0;
	list_for_each (pos, &sw->ports) {
		struct port_state *s = list_port_state(pos);

		list_init(&s->watch_link);
		if (s->is_watcher)
			list_add_tail(&sw->watchers, &s->watch_link);
		sw->n_promiscuous += s->is_watcher && s->flags & NET_PORT_PROMISCUOUS;
		sw->n_ip_learners += (s->flags & NET_PORT_LEARN_IPS) != 0;
	}
}

/* What was learned of a port's IP addresses holds for the MAC address and the kind of learning that it was learned with. */
static void forget_other_ips(struct port_state *s, const struct net_port_config *config)
{
	if (!(config->flags & NET_PORT_LEARN_IPS) ||
		memcmp(s->config.mac, config->mac, NET_MAC_LEN) ||
		s->config.n_ips != config->n_ips ||
		memcmp(s->config.ips, config->ips, config->n_ips * sizeof(config->ips[0])))
		s->guard = (struct guard_learned){0};
}

static int configure(struct vswitch *sw, struct port_state *s, const struct net_port_config *config)
{
	uint16_t mtu = config->mtu ? MIN(config->mtu, sw->config.mtu) : sw->config.mtu;
	struct vlan vlan;
	int r;

	if (!is_valid(config))
		return -EINVAL;
	r = vlan_init(&vlan, &config->vlan, s->port->kind == PORT_UPLINK && s->port->guarded);
	if (r < 0)
		return r;
	r = set_addresses(sw, s, config, &vlan);
	if (r < 0)
		return r;
	forget_other_ips(s, config);
	s->config = *config;
	/* What it teaches is not its own address. */
	if (config->flags & NET_PORT_LEARN)
		s->config.flags |= NET_PORT_ALLOW_FORGED;
	s->flags = s->config.flags;
	s->max_len = mtu + FRAME_MIN;
	s->is_uplink = s->port->kind == PORT_UPLINK;
	s->is_checked = !s->is_uplink || s->port->guarded;
	s->is_watcher = has_own_address(s) && s->flags & (NET_PORT_PROMISCUOUS | NET_PORT_LEARN);
	set_meters(s, config);
	fdb_port_prune(&sw->fdb, &s->fdb);
	if (sw->mcast)
		mcast_prune_port(sw->mcast, s->index, &s->vlan);
	/* Without memory for its addresses, questions about them go to everybody. */
	if (sw->neigh && has_own_address(s))
		(void)neigh_set_port(sw->neigh, s->index, config, &s->vlan);
	return 0;
}

/* Coming and going. */

static void free_state(struct vswitch *sw, struct port_state *s)
{
	fdb_port_done(&sw->fdb, &s->fdb);
	if (sw->mcast)
		mcast_remove_port(sw->mcast, s->index);
	if (sw->neigh)
		neigh_remove_port(sw->neigh, s->index);
	free(s->pairs);
	free(s);
}

static int make_state(struct vswitch *sw, struct port *port, unsigned index,
	const struct net_port_config *config, struct port_state **ret_state)
{
	struct port_state *s = calloc(1, sizeof(*s));
	int r = 0;

	if (!s)
		return -ENOMEM;
	s->port = port;
	s->index = index;
	fdb_port_init(&sw->fdb, &s->fdb, &s->vlan);
	if (sw->ops.pair && port->kind == PORT_VNIC) {
		s->pairs = calloc(NET_MAX_PORTS, sizeof(struct pair));
		r = s->pairs ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = configure(sw, s, config);
	if (r < 0) {
		free_state(sw, s);
		return r;
	}
	*ret_state = s;
	return 0;
}

static void choose_uplink(struct vswitch *sw)
{
	struct list *pos;

	sw->uplink = NULL;
	list_for_each (pos, &sw->ports) {
		struct port_state *s = list_port_state(pos);

		if (s->is_uplink && !s->port->guarded) {
			sw->uplink = s;
			return;
		}
	}
}

int vswitch_add(struct vswitch *sw, struct port *port, const struct net_port_config *config)
{
	unsigned index = 0;
	int r;

	assert(!sw->busy);
	assert(!port->sw);
	assert(port->ops && port->counters && port->kind < PORT_KIND_X_MAX);
	while (index < NET_MAX_PORTS && sw->slots[index])
		index++;
	if (index == NET_MAX_PORTS)
		return -ENOSPC;
	r = make_state(sw, port, index, config, &port->state);
	if (r < 0)
		return r;
	port->sw = sw;
	port->dirty = false;
	list_init(&port->dirty_link);
	list_add_tail(&sw->ports, &port->link);
	sw->slots[index] = port->state;
	choose_uplink(sw);
	find_special(sw);
	return 0;
}

int vswitch_reconfigure(struct vswitch *sw, struct port *port, const struct net_port_config *config)
{
	int r;

	assert(!sw->busy);
	assert(port->sw == sw);
	r = configure(sw, port->state, config);
	if (r == 0)
		find_special(sw);
	return r;
}

static void end_mirrors(struct vswitch *sw, const struct port *port)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sw->n_mirrors; i++)
		if (sw->mirrors[i].from != port && sw->mirrors[i].to != port)
			sw->mirrors[n++] = sw->mirrors[i];
	sw->n_mirrors = n;
}

void vswitch_remove(struct vswitch *sw, struct port *port)
{
	struct port_state *s = port->state;

	assert(!sw->busy);
	assert(port->sw == sw);
	end_mirrors(sw, port);
	for (unsigned i = 0; i < s->index; i++)
		if (sw->slots[i] && sw->slots[i]->pairs)
			sw->slots[i]->pairs[s->index] = (struct pair){0};
	list_del(&port->link);
	list_del(&port->dirty_link);
	port->dirty = false;
	sw->slots[s->index] = NULL;
	port->sw = NULL;
	port->state = NULL;
	free_state(sw, s);
	choose_uplink(sw);
	find_special(sw);
}

/* Addresses and mirrors. */

int vswitch_add_address(struct vswitch *sw, struct port *port, const uint8_t mac[NET_MAC_LEN])
{
	assert(!sw->busy);
	assert(port->sw == sw);
	return fdb_add_static(&sw->fdb, &port->state->fdb, fdb_mac(mac));
}

int vswitch_remove_address(struct vswitch *sw, struct port *port, const uint8_t mac[NET_MAC_LEN])
{
	assert(!sw->busy);
	assert(port->sw == sw);
	return fdb_remove_static(&sw->fdb, &port->state->fdb, fdb_mac(mac));
}

int vswitch_mirror(struct vswitch *sw, struct port *from, unsigned dir, struct port *to)
{
	unsigned i = 0;

	assert(!sw->busy);
	assert((!from || from->sw == sw) && to->sw == sw);
	if ((from && from->kind == PORT_MIRROR) || to->kind != PORT_MIRROR ||
		dir & ~(VSWITCH_MIRROR_TX | VSWITCH_MIRROR_RX | VSWITCH_MIRROR_AS_SEEN))
		return -EINVAL;
	while (i < sw->n_mirrors && (sw->mirrors[i].from != from || sw->mirrors[i].to != to))
		i++;
	if (!(dir & (VSWITCH_MIRROR_TX | VSWITCH_MIRROR_RX))) {
		if (i < sw->n_mirrors)
			sw->mirrors[i] = sw->mirrors[--sw->n_mirrors];
		return 0;
	}
	if (i == VSWITCH_MAX_MIRRORS)
		return -ENOSPC;
	if (i == sw->n_mirrors)
		sw->n_mirrors++;
	sw->mirrors[i] = (struct mirror){from, to, dir};
	return 0;
}
