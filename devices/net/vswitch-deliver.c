/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving a frame to one port, and what is counted on the way. See vswitch.h. Tested by tests/unit/test-vswitch.c. */
#include "devices/net/vswitch-internal.h"

#include <errno.h>

static void count_rx_drop(struct port_state *dst, enum net_drop reason)
{
	net_count(&dst->port->counters->rx_drops[reason], 1);
	net_count(&dst->port->counters->rx_dropped, 1);
}

void vswitch_drop(struct port *port, enum net_drop reason)
{
	assert(reason > NET_DROP_NONE && reason < NET_DROP_X_MAX);
	net_count(&port->counters->tx_drops[reason], 1);
	net_count(&port->counters->tx_dropped, 1);
}

void vswitch_count_tx(struct port_state *src, const struct frame *frame)
{
	struct net_port_counters *c = src->port->counters;

	net_count(&c->tx_packets, 1);
	net_count(&c->tx_bytes, frame->len);
	if (frame->hdr.gso_type != NET_HDR_GSO_NONE)
		net_count(&c->tx_gso, 1);
}

static void count_rx(struct port_state *dst, const struct frame *frame)
{
	struct net_port_counters *c = dst->port->counters;

	net_count(&c->rx_packets, 1);
	net_count(&c->rx_bytes, frame->len);
	if (frame->flags & FRAME_MULTICAST)
		net_count(&c->rx_multicast, 1);
	if (frame->hdr.gso_type != NET_HDR_GSO_NONE)
		net_count(&c->rx_gso, 1);
}

static enum net_drop reason_of(int error)
{
	switch (error) {
	case -EAGAIN:
	case -ENOBUFS:
		return NET_DROP_FULL;
	case -ENETDOWN:
		return NET_DROP_NO_UPLINK;
	case -EMSGSIZE:
		return NET_DROP_MTU;
	case -ENOLINK:
		return NET_DROP_LINK_DOWN;
	default:
		return NET_DROP_PEER;
	}
}

static int transmit(
	struct vswitch *sw, struct port_state *dst, const struct frame *frame, int32_t tci)
{
	struct port *port = dst->port;

	if (!port->dirty) {
		port->dirty = true;
		list_add_tail(&sw->dirty, &port->dirty_link);
	}
	return port->ops->transmit(port, frame, tci);
}

/* Mirrors. */

static int32_t mirrored_tci(
	const struct mirror *m, const struct port_state *watched, const struct frame *frame)
{
	uint16_t priority = frame->tagged ? frame->tci & ~VLAN_VID : 0;
	int32_t tci;

	if (m->dir & VSWITCH_MIRROR_AS_SEEN && vlan_egress(&watched->vlan, frame, &tci))
		return tci;
	return frame->vid || frame->tagged ? priority | frame->vid : -1;
}

void vswitch_mirror_copies(struct vswitch *sw, const struct port_state *watched, unsigned dir,
	const struct frame *frame)
{
	for (unsigned i = 0; i < sw->n_mirrors; i++) {
		const struct mirror *m = &sw->mirrors[i];
		struct port_state *to = m->to->state;
		int r;

		if ((m->from && m->from != watched->port) || !(m->dir & dir) ||
			to->copied == sw->n_frames || to->flags & NET_PORT_LINK_DOWN)
			continue;
		to->copied = sw->n_frames;
		r = transmit(sw, to, frame, mirrored_tci(m, watched, frame));
		if (r < 0)
			count_rx_drop(to, reason_of(r));
		else
			count_rx(to, frame);
	}
}

/* One receiver. */

/* A second tag makes a frame 4 bytes longer, as the first one does. A frame that is still to be cut has its size checked
 * by who cuts it. */
static bool is_too_long(const struct port_state *dst, const struct frame *frame)
{
	if (frame->len <= dst->max_len || frame->hdr.gso_type != NET_HDR_GSO_NONE)
		return false;
	return frame->len > dst->max_len + (vlan_has_inner_tag(frame) ? 4 : 0);
}

/* Why the receiver cannot be given it. */
static enum net_drop check_receiver(
	const struct port_state *dst, const struct frame *frame, uint64_t now_ns, int32_t *ret_tci)
{
	if (dst->flags & NET_PORT_LINK_DOWN)
		return NET_DROP_LINK_DOWN;
	if (!vlan_egress(&dst->vlan, frame, ret_tci))
		return NET_DROP_VLAN;
	if (is_too_long(dst, frame))
		return NET_DROP_MTU;
	return meter_ready(&dst->in, now_ns) ? NET_DROP_NONE : NET_DROP_RATE;
}

/* The network's limit that holds between these two, or NULL. */
static struct meter *shared_meter(
	struct vswitch *sw, const struct port_state *src, const struct port_state *dst)
{
	bool from = src->port->kind == PORT_VNIC, to = dst->port->kind == PORT_VNIC;

	if (from && (dst->port->kind == PORT_HOST || dst == sw->uplink))
		return &sw->out;
	if (to && (src->port->kind == PORT_HOST || src == sw->uplink))
		return &sw->in;
	return NULL;
}

/* Within its floor a port is given what comes in whatever the others have taken; it counts for the whole all the same, so
 * that they wait. */
static bool shared_ready(const struct vswitch *sw, const struct meter *shared,
	const struct port_state *dst, uint64_t now_ns)
{
	return !shared || meter_ready(shared, now_ns) ||
		(shared == &sw->in && dst->floor.on && meter_ready(&dst->floor, now_ns));
}

int vswitch_deliver(struct vswitch *sw, struct port_state *src, struct port_state *dst,
	const struct frame *frame, uint64_t now_ns, bool may_wait)
{
	struct meter *shared = shared_meter(sw, src, dst);
	enum net_drop reason;
	int32_t tci = -1;
	int r;

	reason = check_receiver(dst, frame, now_ns, &tci);
	if (reason == NET_DROP_NONE && !shared_ready(sw, shared, dst, now_ns)) {
		if (may_wait && shared == &sw->out) {
			src->retry_ns = token_bucket_ready_ns(&shared->bucket, now_ns);
			return -EAGAIN;
		}
		reason = NET_DROP_RATE;
	}
	if (reason == NET_DROP_NONE) {
		r = transmit(sw, dst, frame, tci);
		if (r == -EAGAIN && may_wait) {
			src->retry_ns = 0;
			return r;
		}
		if (r < 0)
			reason = reason_of(r);
	}
	if (reason != NET_DROP_NONE) {
		count_rx_drop(dst, reason);
		return (int)reason;
	}
	count_rx(dst, frame);
	meter_charge(&dst->in, now_ns, frame->len);
	if (shared)
		meter_charge(shared, now_ns, frame->len);
	if (shared == &sw->in)
		meter_charge(&dst->floor, now_ns, frame->len);
	if (sw->n_mirrors)
		vswitch_mirror_copies(sw, dst, VSWITCH_MIRROR_RX, frame);
	return 0;
}

void vswitch_count_pair(
	struct vswitch *sw, struct port_state *src, struct port_state *dst, uint64_t now_ns)
{
	struct port_state *low = src->index < dst->index ? src : dst;
	struct port_state *high = low == src ? dst : src;
	struct pair *pair;

	if (!src->pairs || !dst->pairs)
		return;
	pair = &low->pairs[high->index];
	if (!pair->n || now_ns - pair->since_ns > VSWITCH_PAIR_NS)
		*pair = (struct pair){.since_ns = now_ns, .told_ns = pair->told_ns};
	if (++pair->n < VSWITCH_PAIR_FRAMES)
		return;
	if (pair->told_ns && now_ns - pair->told_ns < VSWITCH_PAIR_TELL_NS)
		return;
	pair->told_ns = now_ns;
	sw->ops.pair(sw->opaque, low->port, high->port);
}
