/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The uplinks of a network: see uplinks.h. */
#include "devices/fabric/uplinks.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "devices/fabric/team-news.h"
#include "devices/net/capture.h"
#include "devices/net/port-packet.h"
#include "devices/net/port-tap.h"
#include "vmm-core/base/strutil.h"

#define POLL_MS        100
#define NETLINK_SIZE   16384 /* one message about a link; a longer one is a hint as well */
#define NETLINK_BUDGET 32    /* messages read in a turn of the loop */

enum sight { SIGHT_NONE, SIGHT_DOWN, SIGHT_UP, SIGHT_GONE };

struct member {
	struct uplinks *uplinks;
	unsigned index;
	struct net_uplink uplink;
	union {
		struct port port; /* first of both */
		struct port_packet packet;
		struct port_tap tap;
	};
	enum sight seen; /* by the last poll */
};

struct uplinks {
	struct port port; /* the switch's UPLINK */
	struct loop *loop;
	struct vswitch *sw;
	struct team *team;
	struct network_owner owner;
	struct net_port_counters *counters;
	struct loop_timer poll_timer, team_timer;
	struct loop_source *netlink;
	int netlink_fd;
	uint64_t poll_ns;
	struct team_news news;
	bool looked;  /* at all links, once */
	bool sending; /* within the port's transmit() */
	const struct frame *incoming;
	struct captures captures; /* by member */
	unsigned n;
	struct member members[NET_MAX_UPLINKS];
};

static struct uplinks *uplinks_of(struct port *port)
{
	return container_of(port, struct uplinks, port);
}

/* The team's deadline, and what there is to tell, may be another by anything that was done with it. */
static void arm_team(struct uplinks *u)
{
	uint64_t deadline_ns = team_deadline(u->team);

	if (deadline_ns != u->team_timer.deadline_ns)
		(void)loop_timer_set(&u->team_timer, deadline_ns);
	if (u->looked)
		team_news_check(&u->news);
}

static void on_team_timer(struct loop_timer *timer, uint64_t now_ns)
{
	struct uplinks *u = container_of(timer, struct uplinks, team_timer);

	(void)team_poll(u->team, now_ns);
	arm_team(u);
}

/* What the team asks for. */

static void count_sent(struct net_port_counters *c, const struct frame *frame)
{
	net_count(&c->rx_packets, 1);
	net_count(&c->rx_bytes, frame->len);
	if (frame->flags & FRAME_MULTICAST)
		net_count(&c->rx_multicast, 1);
	if (frame->hdr.gso_type != NET_HDR_GSO_NONE)
		net_count(&c->rx_gso, 1);
}

static int on_transmit(void *opaque, unsigned member, const struct frame *frame, int32_t tci)
{
	struct uplinks *u = opaque;
	struct member *m = &u->members[member];
	int r;

	if (!m->port.ops)
		return -ENODEV;
	r = m->port.ops->transmit(&m->port, frame, tci);
	if (u->captures.n && r == 0)
		captures_show(&u->captures, member, CAPTURE_OUT, frame, tci);
	if (u->sending)
		u->port.counters = m->port.counters; /* the switch counts there, whatever it was */
	else if (r == 0)
		count_sent(m->port.counters, frame);
	return r;
}

static uint32_t on_pending(void *opaque, unsigned member)
{
	struct uplinks *u = opaque;
	struct member *m = &u->members[member];

	if (m->uplink.kind != NET_UPLINK_PACKET || m->seen == SIGHT_GONE)
		return 0;
	return port_packet_pending(&m->packet);
}

static bool on_is_local(
	void *opaque, const uint8_t mac[NET_MAC_LEN], uint16_t vid, uint32_t *ret_cookie)
{
	struct uplinks *u = opaque;
	uint64_t age_ns;
	const struct port *port = vswitch_find(u->sw, mac, vid, loop_now_ns(u->loop), &age_ns);

	if (!port || port == &u->port)
		return false;
	/* Who is heard from outside and has been silent in here for a while has moved out: as the switch sees it. */
	if (u->incoming && mac == frame_src(u->incoming) && age_ns >= VSWITCH_REFLECT_NS)
		return false;
	*ret_cookie = port->cookie;
	return true;
}

struct address_walk {
	const struct uplinks *uplinks;
	void (*found)(void *arg, uint32_t cookie, const uint8_t mac[NET_MAC_LEN], uint16_t vid);
	void *arg;
};

/* A static address is one in every VLAN of its port. Of a port that may use all of them, the untagged one stands for all. */
static void walk_address(void *opaque, const struct vswitch_entry *entry)
{
	const struct address_walk *walk = opaque;
	const struct net_vlan *vlan = &vswitch_port_config(entry->port)->vlan;

	if (entry->port == &walk->uplinks->port)
		return;
	if (!entry->is_static || vlan->mode == NET_VLAN_ANY) {
		walk->found(walk->arg, entry->port->cookie, entry->mac, entry->vid);
		return;
	}
	for (uint32_t i = 0; i < vlan->n_tags; i++)
		walk->found(walk->arg, entry->port->cookie, entry->mac, vlan->tags[i]);
}

static void on_each_address(void *opaque,
	void (*found)(void *arg, uint32_t cookie, const uint8_t mac[NET_MAC_LEN], uint16_t vid),
	void *arg)
{
	struct uplinks *u = opaque;
	struct address_walk walk = {u, found, arg};

	vswitch_each_address(u->sw, loop_now_ns(u->loop), walk_address, &walk);
}

static unsigned on_each_ip(void *opaque, const uint8_t mac[NET_MAC_LEN], uint16_t vid,
	struct net_ip ips[TEAM_NOTIFY_IPS])
{
	struct uplinks *u = opaque;

	return vswitch_ips_of(u->sw, mac, vid, loop_now_ns(u->loop), ips, TEAM_NOTIFY_IPS);
}

static void on_report(void *opaque, const struct net_team_report *report)
{
	struct uplinks *u = opaque;

	team_news_report(&u->news, report);
}

static const struct team_ops team_ops = {
	.transmit = on_transmit,
	.report = on_report,
	.pending = on_pending,
	.is_local = on_is_local,
	.each_address = on_each_address,
	.each_ip = on_each_ip,
};

/* Links. */

static enum sight look(const struct member *m, uint32_t *ret_mbps)
{
	int r;

	*ret_mbps = 0;
	if (m->uplink.kind == NET_UPLINK_TAP)
		r = port_tap_link(&m->tap, m->uplinks->netlink_fd);
	else
		r = m->packet.source ? port_packet_link(&m->packet, ret_mbps) : -ENODEV;
	if (r == -ENODEV)
		return SIGHT_GONE;
	return r > 0 ? SIGHT_UP : SIGHT_DOWN;
}

static void member_close(struct member *m)
{
	if (m->uplink.kind == NET_UPLINK_TAP)
		port_tap_done(&m->tap);
	else
		port_packet_done(&m->packet);
	/* The next one here may be of the other kind. */
	m->tap = (struct port_tap){0};
	m->packet = (struct port_packet){0};
}

static void poll_member(struct member *m, enum team_detector by, uint64_t now_ns)
{
	struct uplinks *u = m->uplinks;
	uint32_t mbps;

	if (m->seen == SIGHT_GONE)
		return;
	m->seen = look(m, &mbps);
	if (m->seen == SIGHT_GONE) {
		member_close(m);
		team_member_gone(u->team, m->index, by, now_ns);
	} else {
		team_set_link(u->team, m->index, m->seen == SIGHT_UP, mbps, true, by, now_ns);
	}
}

static void poll_all(struct uplinks *u, enum team_detector by, uint64_t now_ns)
{
	for (unsigned i = 0; i < u->n; i++)
		poll_member(&u->members[i], by, now_ns);
	u->looked = true;
	arm_team(u);
}

static void on_poll_timer(struct loop_timer *timer, uint64_t now_ns)
{
	struct uplinks *u = container_of(timer, struct uplinks, poll_timer);

	poll_all(u, TEAM_BY_POLL, now_ns);
	(void)loop_timer_set(timer, now_ns + u->poll_ns);
}

static bool is_member(const struct uplinks *u, const char *ifname, size_t len)
{
	for (unsigned i = 0; i < u->n; i++)
		if (len <= NET_IFNAME_MAX && strncmp(u->members[i].uplink.ifname, ifname, len) == 0)
			return true;
	return false;
}

/* Is one of our NICs meant? */
static bool concerns_us(const struct uplinks *u, struct nlmsghdr *message)
{
	struct ifinfomsg *info = NLMSG_DATA(message);
	int len = (int)message->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*info));

	if ((message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK) || len < 0)
		return false;
	for (struct rtattr *a = IFLA_RTA(info); RTA_OK(a, len); a = RTA_NEXT(a, len))
		if (a->rta_type == IFLA_IFNAME)
			return is_member(u, RTA_DATA(a), RTA_PAYLOAD(a));
	return false;
}

static void on_netlink(void *opaque, uint32_t events)
{
	struct uplinks *u = opaque;
	union {
		struct nlmsghdr header;
		uint8_t bytes[NETLINK_SIZE];
	} buffer;
	bool hint = false;

	(void)events;
	for (unsigned i = 0; i < NETLINK_BUDGET; i++) {
		ssize_t n = recv(u->netlink_fd, &buffer, sizeof(buffer), MSG_DONTWAIT | MSG_TRUNC);
		int left = n > (ssize_t)sizeof(buffer) ? 0 : (int)n;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		/* Something was lost, or does not fit: anything may have happened. */
		hint |= n < 0 || n > (ssize_t)sizeof(buffer);
		if (n < 0 && errno != ENOBUFS) {
			u->netlink = loop_source_remove(u->netlink);
			break;
		}
		for (struct nlmsghdr *m = &buffer.header; left > 0 && NLMSG_OK(m, (unsigned)left);
			m = NLMSG_NEXT(m, left))
			hint |= concerns_us(u, m);
	}
	if (hint)
		poll_all(u, TEAM_BY_NETLINK, loop_now_ns(u->loop));
}

/* Frames. */

static int transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct uplinks *u = uplinks_of(port);
	int r;

	u->sending = true;
	r = team_transmit(u->team, frame, tci, vswitch_sender(u->sw)->cookie, loop_now_ns(u->loop));
	u->sending = false;
	return r;
}

static void flush(struct port *port)
{
	arm_team(uplinks_of(port));
}

static const struct port_ops uplink_port_ops = {.transmit = transmit, .flush = flush};

static void input(struct member *m, struct frame *frame, uint64_t now_ns)
{
	struct uplinks *u = m->uplinks;
	struct team_verdict verdict;

	/* As the UPLINK port's rules have it (vlan.h, ANY). */
	frame->vid = frame->tagged ? frame->tci & 0xfff : 0;
	if (u->captures.n)
		captures_show(
			&u->captures, m->index, CAPTURE_IN, frame, frame->tagged ? frame->tci : -1);
	u->incoming = frame;
	verdict = team_input(u->team, m->index, frame, now_ns);
	u->incoming = NULL;
	u->port.counters = m->port.counters;
	if (verdict.kind == TEAM_DROP)
		vswitch_drop(&u->port, verdict.reason);
	else if (verdict.kind == TEAM_DELIVER &&
		vswitch_input(u->sw, &u->port, frame, now_ns) == -EAGAIN)
		vswitch_drop(&u->port, NET_DROP_FULL);
}

static void on_packet(struct port_packet *packet, struct frame *frame, uint64_t now_ns)
{
	input(container_of(packet, struct member, packet), frame, now_ns);
}

static void on_tap(struct port_tap *tap, struct frame *frame, uint64_t now_ns)
{
	input(container_of(tap, struct member, tap), frame, now_ns);
}

static void input_done(struct member *m, uint64_t now_ns)
{
	struct uplinks *u = m->uplinks;

	vswitch_flush(u->sw);
	/* An error on its socket: the link is gone, or the NIC. */
	if (m->uplink.kind == NET_UPLINK_TAP ? !m->tap.source : !m->packet.source)
		poll_member(m, TEAM_BY_SOCKET, now_ns);
	arm_team(u);
}

static void on_packet_done(struct port_packet *packet, uint64_t now_ns)
{
	input_done(container_of(packet, struct member, packet), now_ns);
}

static void on_tap_done(struct port_tap *tap, uint64_t now_ns)
{
	input_done(container_of(tap, struct member, tap), now_ns);
}

/* Life. */

static int member_open(struct member *m, struct loop *loop, int fd)
{
	struct port port = {.kind = PORT_UPLINK, .counters = &m->uplinks->counters[m->index]};
	int r;

	if (fd < 0)
		return -EBADF;
	if (m->uplink.kind == NET_UPLINK_TAP) {
		m->tap =
			(struct port_tap){.port = port, .input = on_tap, .input_done = on_tap_done};
		r = port_tap_init(&m->tap, loop, fd);
	} else {
		m->packet = (struct port_packet){
			.port = port, .input = on_packet, .input_done = on_packet_done};
		r = port_packet_init(&m->packet, loop, fd, m->uplink.ifname);
	}
	if (r < 0)
		member_close(m);
	return r;
}

static int open_members(
	struct uplinks *u, const struct net_config *config, const struct network_fds *fds)
{
	int r = 0;

	for (; r == 0 && u->n < config->n_uplinks; u->n++) {
		struct member *m = &u->members[u->n];

		m->uplinks = u;
		m->index = u->n;
		m->uplink = config->uplinks[u->n];
		r = member_open(m, u->loop, fds->uplinks[u->n]);
	}
	return r;
}

static int open_netlink(struct uplinks *u, int fd)
{
	u->netlink_fd = fd;
	if (fd < 0)
		return 0; /* polls alone do as well */
	return loop_add_fd(u->loop, fd, EPOLLIN, on_netlink, u, &u->netlink);
}

int uplinks_new(const struct net_config *config, const struct network_fds *fds,
	const uint64_t seed[2], struct loop *loop, struct vswitch *sw,
	struct net_port_counters *counters, const struct network_owner *owner,
	struct uplinks **ret_uplinks)
{
	_cleanup_(uplinks_freep) struct uplinks *u = calloc(1, sizeof(*u));
	struct net_port_config port = {.mtu = config->mtu};
	int r;

	if (!u)
		return -ENOMEM;
	u->port = (struct port){.ops = &uplink_port_ops, .kind = PORT_UPLINK, .counters = counters};
	u->loop = loop;
	u->owner = *owner;
	u->counters = counters;
	u->poll_ns = (config->team.poll_ms ? config->team.poll_ms : POLL_MS) * NSEC_PER_MSEC;
	captures_init(&u->captures, loop, NULL);
	loop_timer_init(&u->poll_timer, loop, on_poll_timer);
	loop_timer_init(&u->team_timer, loop, on_team_timer);
	r = team_new(
		&config->team, config->uplinks, config->n_uplinks, seed, &team_ops, u, &u->team);
	if (r < 0)
		return r;
	team_news_init(&u->news, loop, &u->owner, u->team);
	r = vswitch_add(sw, &u->port, &port);
	if (r < 0)
		return r;
	u->sw = sw;
	r = open_members(u, config, fds);
	if (r == 0)
		r = open_netlink(u, fds->rtnetlink);
	if (r == 0)
		r = loop_timer_set(&u->poll_timer, loop_now_ns(loop));
	if (r < 0)
		return r;
	*ret_uplinks = TAKE_PTR(u);
	return 0;
}

struct uplinks *uplinks_free(struct uplinks *u)
{
	if (!u)
		return NULL;
	if (u->poll_timer.loop) {
		loop_timer_stop(&u->poll_timer);
		loop_timer_stop(&u->team_timer);
	}
	team_news_done(&u->news);
	u->netlink = loop_source_remove(u->netlink);
	captures_done(&u->captures);
	for (unsigned i = 0; i < u->n; i++)
		member_close(&u->members[i]);
	if (u->port.sw)
		vswitch_remove(u->sw, &u->port);
	(void)team_free(u->team);
	free(u);
	return NULL;
}

/* Ports, and NICs that come back. */

void uplinks_port_added(struct uplinks *u, uint32_t cookie)
{
	/* A team without room for it spreads it as it does unknown ones. */
	(void)team_port_added(u->team, cookie);
	arm_team(u);
}

void uplinks_port_removed(struct uplinks *u, uint32_t cookie)
{
	team_port_removed(u->team, cookie);
	arm_team(u);
}

static bool is_valid(const struct net_uplink *uplink)
{
	return memchr(uplink->ifname, 0, sizeof(uplink->ifname)) && uplink->ifname[0] &&
		uplink->kind < NET_UPLINK_X_MAX && uplink->role < NET_ROLE_X_MAX;
}

int uplinks_add(struct uplinks *u, unsigned member, const struct net_uplink *uplink, int fd)
{
	uint64_t now_ns = loop_now_ns(u->loop);
	struct member *m;
	int r;

	if (member > u->n || member >= NET_MAX_UPLINKS || !is_valid(uplink))
		return -EINVAL;
	m = &u->members[member];
	if (member < u->n && m->seen != SIGHT_GONE)
		return -EEXIST;
	if (!streq(m->uplink.ifname, uplink->ifname))
		memset(&u->counters[member], 0, sizeof(u->counters[member]));
	m->uplinks = u;
	m->index = member;
	m->uplink = *uplink;
	r = member_open(m, u->loop, fd);
	if (r < 0)
		return r;
	r = team_member_added(u->team, member, uplink, now_ns);
	if (r < 0) {
		member_close(m);
		return r;
	}
	m->seen = SIGHT_NONE;
	u->n = MAX(u->n, member + 1);
	poll_all(u, TEAM_BY_POLL, now_ns);
	return 0;
}

int uplinks_remove(struct uplinks *u, unsigned member)
{
	struct member *m;

	if (member >= u->n)
		return -EINVAL;
	m = &u->members[member];
	*m->uplink.ifname = 0;
	if (m->seen == SIGHT_GONE)
		return 0;
	/* It can still be sent over, for the last word to its partner. */
	team_member_gone(u->team, member, TEAM_BY_ADMIN, loop_now_ns(u->loop));
	member_close(m);
	m->seen = SIGHT_GONE;
	arm_team(u);
	return 0;
}

int uplinks_capture(struct uplinks *u, const struct proto_capture *capture, int fd, int counts_fd)
{
	const struct capture_spec spec = {.key = capture->index,
		.direction = capture->direction,
		.snaplen = capture->snaplen};

	if (capture->index < u->n)
		return captures_add(&u->captures, &spec, fd, counts_fd);
	(void)safe_close(fd);
	(void)safe_close(counts_fd);
	return -ENODEV;
}

/* The daemon. */

void uplinks_connected(struct uplinks *u)
{
	team_news_restart(&u->news);
}

int uplinks_tell(struct uplinks *u)
{
	if (!u->looked)
		poll_all(u, TEAM_BY_POLL, loop_now_ns(u->loop));
	return team_news_tell_state(&u->news);
}

int uplinks_test(struct uplinks *u, const struct proto_team_test *test)
{
	int r;

	if (test->ms > PROTO_TEST_MAX_MS || test->flags & ~PROTO_TEST_FORCE)
		return -EINVAL;
	r = team_test(u->team, test->member, test->ms, test->flags & PROTO_TEST_FORCE,
		loop_now_ns(u->loop));
	arm_team(u);
	return r < 0 ? r : team_news_tell_state(&u->news);
}
