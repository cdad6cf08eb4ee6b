/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a sender may do, and what its frames tell. See vswitch.h. */
#include "devices/net/vswitch-internal.h"

#include "devices/net/snoop.h"

#define ARP_REQUEST     1
#define ARP_OPER        6 /* offsets into an Ethernet/IPv4 ARP packet, RFC 826 */
#define ARP_SENDER_IP   14
#define ARP_TARGET_IP   24
#define ND_SOLICITATION 135 /* RFC 4861, 4.3 */
#define ND_TARGET       8
#define IPV6_SOURCE     8

/* May it send? */

/* IEEE 802.1Q-2018, table 8-1, and IEEE 802.3, annexes 31 and 57: these are for the neighbour on the cable. */
static bool is_link_local(const struct frame *f)
{
	uint8_t last = frame_dst(f)[NET_MAC_LEN - 1];

	return ((f->flags & FRAME_RESERVED) && (last == 1 || last == 2)) ||
		f->ethertype == NET_ETHERTYPE_MAC_CONTROL ||
		f->ethertype == NET_ETHERTYPE_SLOW_PROTOCOLS;
}

/* From outside, with the source address of somebody in here. */
static bool is_reflected(struct vswitch *sw, const struct frame *f, uint64_t now_ns)
{
	uint64_t mac = fdb_mac(frame_src(f));
	const struct fdb_entry *e = fdb_find(&sw->fdb, mac, f->vid, now_ns);

	if (!e)
		return false;
	if (e->is_static)
		return !fdb_port_state(e->port)->is_uplink;
	if (now_ns - e->seen_ns < VSWITCH_REFLECT_NS)
		return true;
	fdb_forget(&sw->fdb, mac, f->vid);
	return false;
}

enum net_drop vswitch_check(
	struct vswitch *sw, struct port_state *src, struct frame *frame, uint64_t now_ns)
{
	if (src->port->kind == PORT_MIRROR)
		return NET_DROP_ISOLATED;
	if (src->flags & NET_PORT_LINK_DOWN)
		return NET_DROP_LINK_DOWN;
	if (!vlan_ingress(&src->vlan, frame, &frame->vid))
		return NET_DROP_VLAN;
	if (is_link_local(frame))
		return NET_DROP_RESERVED;
	if (frame_src(frame)[0] & 1)
		return NET_DROP_SPOOF_MAC;
	if (src->is_uplink && is_reflected(sw, frame, now_ns))
		return NET_DROP_REFLECTED;
	if (!src->is_checked)
		return NET_DROP_NONE;
	if (src->flags & NET_PORT_LEARN_IPS)
		(void)guard_learn(&src->guard, &src->config, frame);
	return guard_check(&src->config, &src->guard, frame);
}

/* What it tells. */

static void heard_of(struct vswitch *sw, struct port_state *owner,
	const struct snoop_address *address, uint16_t vid, uint64_t now_ns)
{
	enum port_kind kind = owner->port->kind;
	int has;

	if (kind != PORT_VNIC && kind != PORT_HOST) {
		neigh_forget(sw->neigh, vid, &address->ip);
		return;
	}
	/* Who only asks for it does not take it away from whoever has it. */
	has = neigh_find(sw->neigh, vid, &address->ip, now_ns);
	if (address->source == SNOOP_DAD && has >= 0 && has != (int)owner->index)
		return;
	if (neigh_heard(sw->neigh, owner->index, vid, address->mac, &address->ip, now_ns) &&
		kind == PORT_VNIC && sw->ops.address)
		sw->ops.address(sw->opaque, owner->port, address->mac, &address->ip);
}

static void snoop_addresses(
	struct vswitch *sw, struct port_state *src, const struct frame *frame, uint64_t now_ns)
{
	struct snoop_result told;

	if (!snoop_address(frame, &told))
		return;
	for (unsigned i = 0; i < told.n; i++) {
		const struct snoop_address *address = &told.addresses[i];
		struct port_state *owner = src;

		if (address->source == SNOOP_DHCP ||
			memcmp(address->mac, frame_src(frame), NET_MAC_LEN)) {
			const struct fdb_entry *e =
				fdb_find(&sw->fdb, fdb_mac(address->mac), frame->vid, now_ns);

			owner = e ? fdb_port_state(e->port) : NULL;
		}
		if (!owner)
			continue;
		if (address->source == SNOOP_DHCP && owner->flags & NET_PORT_LEARN_IPS)
			(void)guard_learn_dhcp(&owner->guard, &owner->config, frame);
		if (sw->neigh)
			heard_of(sw, owner, address, frame->vid, now_ns);
	}
}

/* True: it is a report of who wants what. */
static bool snoop_groups(
	struct vswitch *sw, struct port_state *src, const struct frame *frame, uint64_t now_ns)
{
	struct snoop_groups told;

	if (!snoop_group(frame, &told))
		return false;
	if (told.kind == SNOOP_GROUP_QUERY) {
		if (told.n == 0)
			mcast_query(sw->mcast, src->index, frame->vid, frame->flags & FRAME_ICMP6,
				told.response_ms * NSEC_PER_MSEC, now_ns);
		return false;
	}
	if (told.truncated)
		mcast_join_all(sw->mcast, src->index, now_ns);
	for (unsigned i = 0; i < told.n; i++) {
		uint64_t mac = fdb_mac(told.groups[i].mac);

		if (told.groups[i].join)
			mcast_join(sw->mcast, src->index, mac, frame->vid, now_ns);
		else
			mcast_leave(sw->mcast, src->index, mac, frame->vid, now_ns);
	}
	return true;
}

bool vswitch_snoop(
	struct vswitch *sw, struct port_state *src, const struct frame *frame, uint64_t now_ns)
{
	if (frame->flags & (FRAME_ARP | FRAME_ICMP6 | FRAME_UDP) &&
		(sw->neigh || sw->n_ip_learners))
		snoop_addresses(sw, src, frame, now_ns);
	return frame->flags & (FRAME_IGMP | FRAME_ICMP6) && sw->mcast &&
		snoop_groups(sw, src, frame, now_ns);
}

/* Who is asked? */

/* A question, not an announcement (sender and target are the same) and not a probe (there is no sender): those are for
 * everybody. RFC 5227. */
static bool asked_by_arp(const struct frame *f, struct net_ip *ret_ip)
{
	const uint8_t *arp = f->head + f->l3;
	static const uint8_t none[4];

	if (arp[ARP_OPER] != 0 || arp[ARP_OPER + 1] != ARP_REQUEST ||
		!memcmp(arp + ARP_SENDER_IP, none, 4) ||
		!memcmp(arp + ARP_SENDER_IP, arp + ARP_TARGET_IP, 4))
		return false;
	*ret_ip = (struct net_ip){.family = 4, .prefix = 32};
	memcpy(ret_ip->bytes, arp + ARP_TARGET_IP, 4);
	return true;
}

static bool asked_by_nd(const struct frame *f, struct net_ip *ret_ip)
{
	static const uint8_t none[16];

	if (f->head[f->l4] != ND_SOLICITATION || !memcmp(f->head + f->l3 + IPV6_SOURCE, none, 16))
		return false;
	*ret_ip = (struct net_ip){.family = 6, .prefix = 128};
	return frame_copy(f, f->l4 + ND_TARGET, ret_ip->bytes, 16) == 16;
}

struct port_state *vswitch_answerer(struct vswitch *sw, const struct port_state *src,
	const struct frame *frame, uint64_t now_ns)
{
	struct port_state *dst;
	struct net_ip ip;
	int index;

	if (!sw->config.arp_suppress)
		return NULL;
	if (frame->flags & FRAME_ARP ? !asked_by_arp(frame, &ip)
				     : !(frame->flags & FRAME_ICMP6) || !asked_by_nd(frame, &ip))
		return NULL;
	index = neigh_find(sw->neigh, frame->vid, &ip, now_ns);
	if (index < 0)
		return NULL;
	dst = sw->slots[index];
	if (vswitch_may_reach(src, dst) != NET_DROP_NONE || !vlan_has(&dst->vlan, frame->vid) ||
		dst->flags & NET_PORT_LINK_DOWN)
		return NULL;
	return dst;
}
