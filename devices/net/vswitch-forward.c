/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who gets a frame: see vswitch.h. Tested by tests/unit/test-vswitch.c. */
#include "devices/net/vswitch-internal.h"

#include <errno.h>

static int drop(struct port_state *src, enum net_drop reason)
{
	vswitch_drop(src->port, reason);
	return 0;
}

/* True: the port has sent as much as it may for now. */
static bool must_wait(struct port_state *src, uint64_t now_ns)
{
	if (meter_ready(&src->out, now_ns))
		return false;
	src->retry_ns = token_bucket_ready_ns(&src->out.bucket, now_ns);
	return true;
}

/* 'r' is vswitch_deliver()'s, of the one receiver that mattered: the frame is lost, and its sender's loss. */
static bool is_lost(const struct vswitch *sw, int r)
{
	return r > 0 && sw->config.blame_sender;
}

/* It is on its way: nothing can make it come again. */
static int sent(
	struct vswitch *sw, struct port_state *src, const struct frame *frame, uint64_t now_ns)
{
	vswitch_count_tx(src, frame);
	meter_charge(&src->out, now_ns, frame->len);
	if (sw->n_mirrors)
		vswitch_mirror_copies(sw, src, VSWITCH_MIRROR_TX, frame);
	return 0;
}

/* Unicast. */

/* Where unknown addresses are, as seen from 'src'; NULL: nowhere. */
static struct port_state *way_out(
	const struct vswitch *sw, const struct port_state *src, const struct frame *frame)
{
	struct port_state *up = sw->uplink;

	if (!up || vswitch_may_reach(src, up) != NET_DROP_NONE || !vlan_has(&up->vlan, frame->vid))
		return NULL;
	return up;
}

/* Ports that see what is not for them: promiscuous ones all, learning ones what nobody is known to have ('unknown'), as
 * it may be for somebody behind them. Answers how many there were; '*ret_guessed': a learning one among them. */
static unsigned show(struct vswitch *sw, struct port_state *src, const struct port_state *dst,
	const struct frame *frame, uint64_t now_ns, bool unknown, bool *ret_guessed)
{
	unsigned n = 0;
	struct list *pos;

	list_for_each (pos, &sw->watchers) {
		struct port_state *p = list_entry(pos, struct port_state, watch_link);
		bool promiscuous = p->flags & NET_PORT_PROMISCUOUS;

		if (p == dst || (!promiscuous && !unknown) ||
			vswitch_may_reach(src, p) != NET_DROP_NONE ||
			!vlan_has(&p->vlan, frame->vid) || p->flags & NET_PORT_LINK_DOWN)
			continue;
		(void)vswitch_deliver(sw, src, p, frame, now_ns, false);
		*ret_guessed |= !promiscuous;
		n++;
	}
	return n;
}

static int unicast_known(struct vswitch *sw, struct port_state *src, struct port_state *dst,
	const struct frame *frame, uint64_t now_ns)
{
	enum net_drop reason = vswitch_may_reach(src, dst);
	bool guessed = false;
	int r;

	if (reason != NET_DROP_NONE)
		return drop(src, reason);
	if (must_wait(src, now_ns))
		return -EAGAIN;
	r = vswitch_deliver(sw, src, dst, frame, now_ns, true);
	if (r == -EAGAIN)
		return r;
	if (sw->n_promiscuous)
		(void)show(sw, src, dst, frame, now_ns, false, &guessed);
	if (is_lost(sw, r))
		return drop(src, (enum net_drop)r);
	(void)sent(sw, src, frame, now_ns);
	if (r == 0 && src->pairs)
		vswitch_count_pair(sw, src, dst, now_ns);
	return 0;
}

static int unicast_unknown(
	struct vswitch *sw, struct port_state *src, const struct frame *frame, uint64_t now_ns)
{
	struct port_state *up = way_out(sw, src, frame);
	struct meter *storm = &src->storms[STORM_UNKNOWN];
	bool guess = meter_ready(storm, now_ns), guessed = false;
	unsigned n;
	int lost = 0;

	if (!up && list_empty(&sw->watchers))
		return drop(src, NET_DROP_UNKNOWN);
	if (!up && !guess)
		return drop(src, NET_DROP_STORM);
	if (must_wait(src, now_ns))
		return -EAGAIN;
	if (up)
		lost = vswitch_deliver(sw, src, up, frame, now_ns, true);
	if (lost == -EAGAIN)
		return lost;
	n = show(sw, src, up, frame, now_ns, guess, &guessed);
	if (guessed)
		meter_charge(storm, now_ns, 1);
	if (!up && !n)
		return drop(src, NET_DROP_UNKNOWN);
	return !n && is_lost(sw, lost) ? drop(src, (enum net_drop)lost)
				       : sent(sw, src, frame, now_ns);
}

static int unicast(
	struct vswitch *sw, struct port_state *src, const struct frame *frame, uint64_t now_ns)
{
	const struct fdb_entry *e =
		fdb_find(&sw->fdb, fdb_mac(frame_dst(frame)), frame->vid, now_ns);

	if (e)
		return unicast_known(sw, src, fdb_port_state(e->port), frame, now_ns);
	return unicast_unknown(sw, src, frame, now_ns);
}

/* Floods. */

struct flood {
	const struct port_state *only;   /* the one who is asked, or NULL */
	const struct mcast_set *members; /* of the group, or NULL: everybody */
};

static bool wants(const struct vswitch *sw, const struct port_state *src,
	const struct port_state *dst, const struct frame *frame, const struct flood *flood)
{
	if (dst->port->kind == PORT_MIRROR || (dst->is_uplink && dst != sw->uplink) ||
		dst->flags & NET_PORT_LINK_DOWN || vswitch_may_reach(src, dst) != NET_DROP_NONE ||
		!vlan_has(&dst->vlan, frame->vid))
		return false;
	if (frame->flags & FRAME_RESERVED)
		return dst->is_uplink || dst->flags & NET_PORT_ALLOW_BPDU;
	if (dst->flags & NET_PORT_PROMISCUOUS)
		return true;
	if (flood->only)
		return dst == flood->only;
	return !flood->members || dst->is_uplink || mcast_set_has(flood->members, dst->index);
}

/* The ports that a multicast frame is for; false: all. */
static bool members_of(struct vswitch *sw, const struct frame *frame, uint64_t now_ns, bool report,
	struct mcast_set *ret_set)
{
	if (!sw->mcast || frame->flags & FRAME_BROADCAST)
		return false;
	if (report)
		return mcast_routers(
			sw->mcast, frame->vid, frame->flags & FRAME_ICMP6, now_ns, ret_set);
	return mcast_find(sw->mcast, fdb_mac(frame_dst(frame)), frame->vid, now_ns, ret_set);
}

static int flood(struct vswitch *sw, struct port_state *src, const struct frame *frame,
	uint64_t now_ns, bool report)
{
	bool broadcast = frame->flags & FRAME_BROADCAST;
	struct meter *storm = &src->storms[broadcast ? STORM_BROADCAST : STORM_MULTICAST];
	struct mcast_set members;
	struct flood to = {0};
	struct list *pos;
	int lost = 0, r;

	if (!meter_ready(storm, now_ns))
		return drop(src, NET_DROP_STORM);
	if (must_wait(src, now_ns))
		return -EAGAIN;
	to.only = vswitch_answerer(sw, src, frame, now_ns);
	if (members_of(sw, frame, now_ns, report, &members))
		to.members = &members;
	list_for_each (pos, &sw->ports) {
		struct port_state *dst = list_port_state(pos);

		if (!wants(sw, src, dst, frame, &to))
			continue;
		r = vswitch_deliver(sw, src, dst, frame, now_ns, false);
		if (dst == sw->uplink)
			lost = r;
	}
	meter_charge(storm, now_ns, 1);
	return is_lost(sw, lost) ? drop(src, (enum net_drop)lost) : sent(sw, src, frame, now_ns);
}

static int forward(struct vswitch *sw, struct port_state *src, struct frame *frame, uint64_t now_ns)
{
	enum net_drop reason = vswitch_check(sw, src, frame, now_ns);
	bool report;

	if (reason != NET_DROP_NONE)
		return drop(src, reason);
	if (src->fdb.limit)
		fdb_learn(&sw->fdb, &src->fdb, fdb_mac(frame_src(frame)), frame->vid, now_ns);
	report = vswitch_snoop(sw, src, frame, now_ns);
	return frame->flags & FRAME_MULTICAST ? flood(sw, src, frame, now_ns, report)
					      : unicast(sw, src, frame, now_ns);
}

int vswitch_input(struct vswitch *sw, struct port *port, struct frame *frame, uint64_t now_ns)
{
	int r;

	assert(!sw->busy);
	assert(port->sw == sw);
	sw->busy = true;
	sw->n_frames++;
	sw->sender = port;
	r = forward(sw, port->state, frame, now_ns);
	sw->busy = false;
	return r;
}

uint64_t vswitch_retry_ns(const struct port *port)
{
	return port->state->retry_ns;
}
