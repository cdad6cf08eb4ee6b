/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A vNIC's switch and its links: see nic.h. Tested by tests/unit/test-fabric.c and tests/unit/test-nic-tap.c. */
#include "devices/net/nic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "devices/net/capture.h"
#include "devices/net/link.h"
#include "devices/net/offload.h"
#include "devices/net/port-tap.h"

struct direct {
	struct link link; /* first */
	struct list node;
	struct nic *nic;
	uint32_t peer_port;
	uint8_t mac[NET_MAC_LEN]; /* the peer's */
	bool wanted, in_use;      /* to send by it; the marks may have to wait for room */
	bool star_marked;         /* the first of the two marks is on its way */
	bool closing;             /* to be removed when the guest has taken what is in it */
	uint16_t sent_seq;        /* of our marks */
	uint16_t star_seq;        /* of the peer's last mark that the star brought */
	uint16_t held_seq;        /* what a held link waits for */
	struct loop_timer mark_timer;
	struct net_port_counters counters; /* what passes is counted at the vNIC's port */
};

struct nic {
	struct vswitch *sw;
	struct port *device; /* the device's: not in the switch itself */
	struct port port;    /* in its place: makes frames fit the guest first */
	struct net_port_config config;
	uint32_t takes; /* offloads of the guest */
	void (*space)(struct port *port);
	struct links links;
	struct link star;
	bool has_star;
	struct net_port_counters star_counters; /* or the tap's */
	struct port_tap tap;
	int tap_fd; /* -EBADF: there is none */
	struct list directs;
	unsigned n_directs;
	struct loop_timer hold_timer; /* armed while a send waits for room */
	struct loop_timer age_timer;
	struct captures captures;
	struct offload_scratch scratch;
	uint64_t batch_ns; /* when what was sent since the last flush began; 0: nothing was */
};

/* Towards the device. */

struct fixing {
	struct nic *nic;
	int32_t tci;
	unsigned n_out;
};

static int emit_fixed(void *opaque, const struct frame *frame)
{
	struct fixing *fixing = opaque;
	struct port *device = fixing->nic->device;
	int r = device->ops->transmit(device, frame, fixing->tci);

	if (r == 0)
		fixing->n_out++;
	/* The frame can wait for room as a whole only. */
	return r == -EAGAIN && fixing->n_out ? -ENOBUFS : r;
}

static int port_transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct nic *nic = container_of(port, struct nic, port);
	struct fixing fixing = {.nic = nic, .tci = tci};

	if (!offload_needs_fixup(frame, nic->takes))
		return nic->device->ops->transmit(nic->device, frame, tci);
	return offload_fixup(frame, &nic->scratch, emit_fixed, &fixing);
}

static void port_flush(struct port *port)
{
	struct nic *nic = container_of(port, struct nic, port);

	if (nic->device->ops->flush)
		nic->device->ops->flush(nic->device);
}

static const struct port_ops nic_port_ops = {.transmit = port_transmit, .flush = port_flush};

/* From the device. */

static void on_space(void *opaque)
{
	struct nic *nic = opaque;

	loop_timer_stop(&nic->hold_timer);
	nic->space(nic->device);
}

static void on_hold(struct loop_timer *timer, uint64_t now_ns)
{
	struct nic *nic = container_of(timer, struct nic, hold_timer);

	(void)now_ns;
	nic->space(nic->device);
}

int nic_send(struct nic *nic, struct frame *frame, bool last)
{
	uint64_t now_ns, retry_ns;

	/* Reading the clock takes a third of what the switch takes for a frame: once for a batch. */
	if (!nic->batch_ns)
		nic->batch_ns = loop_now_ns(nic->links.loop);
	now_ns = nic->batch_ns;
	if (vswitch_input(nic->sw, &nic->port, frame, now_ns) != -EAGAIN)
		return 0;
	retry_ns = vswitch_retry_ns(&nic->port);
	/* A limit on the rate delays, whatever the caller thinks; only a full receiver may be given up. */
	if (last && retry_ns <= now_ns) {
		vswitch_drop(&nic->port, NET_DROP_FULL);
		return 0;
	}
	(void)loop_timer_set(&nic->hold_timer, retry_ns > now_ns ? retry_ns : now_ns + NIC_HOLD_NS);
	return -EAGAIN;
}

void nic_flush(struct nic *nic)
{
	nic->batch_ns = 0;
	vswitch_flush(nic->sw);
}

void nic_ready(struct nic *nic)
{
	links_retry(&nic->links);
	port_tap_ready(&nic->tap);
}

/* Links. */

static struct direct *find_direct(struct nic *nic, uint32_t id)
{
	struct list *pos;

	list_for_each (pos, &nic->directs) {
		struct direct *d = list_entry(pos, struct direct, node);

		if (d->link.id == id && !d->closing)
			return d;
	}
	return NULL;
}

/* A mark on the star: link, number, and who it is for; the network's worker puts the sender in the place of the last. On
 * the direct link itself: the number. */
static uint64_t star_cookie(const struct direct *d)
{
	return (uint64_t)d->link.id << 32 | (uint64_t)d->sent_seq << 16 | d->peer_port;
}

static bool no_room(int r)
{
	return r == -EAGAIN || r == -ENOBUFS;
}

/* Send by it from now on: a mark behind what went by the star, and one in front of what will go here, which holds that back
 * at the peer until the other has come. False: no room for one of them now. */
static bool try_use(struct nic *nic, struct direct *d)
{
	if (!d->star_marked) {
		d->sent_seq++;
		if (nic->has_star && no_room(link_mark(&nic->star, star_cookie(d)))) {
			d->sent_seq--;
			return false;
		}
		d->star_marked = true;
	}
	if (nic->has_star && no_room(link_mark(&d->link, d->sent_seq)))
		return false;
	d->star_marked = false;
	d->in_use = true;
	(void)vswitch_add_address(nic->sw, &d->link.port, d->mac);
	return true;
}

static void on_links_space(void *opaque)
{
	struct nic *nic = opaque;
	struct list *pos;

	list_for_each (pos, &nic->directs) {
		struct direct *d = list_entry(pos, struct direct, node);

		if (d->wanted && !d->in_use)
			(void)try_use(nic, d);
	}
	on_space(nic);
}

/* All that is in it. False: the guest has no room for it. */
static bool drain_direct(struct direct *d)
{
	link_drain(&d->link, true);
	return !d->link.blocked;
}

static bool let_go(struct direct *d)
{
	loop_timer_stop(&d->mark_timer);
	link_hold(&d->link, false);
	return drain_direct(d);
}

static void on_mark_timer(struct loop_timer *timer, uint64_t now_ns)
{
	struct direct *d = container_of(timer, struct direct, mark_timer);

	(void)now_ns;
	d->star_seq = d->held_seq;
	(void)let_go(d);
	vswitch_flush(d->nic->sw);
}

static bool has_come(const struct direct *d, uint16_t seq)
{
	return (int16_t)(uint16_t)(d->star_seq - seq) >= 0;
}

/* Of a direct link: what is behind this must not pass what the peer sent by the star before. */
static int on_direct_mark(struct direct *d, uint16_t seq)
{
	if (has_come(d, seq))
		return 1;
	d->held_seq = seq;
	link_hold(&d->link, true);
	(void)loop_timer_set(&d->mark_timer, loop_now_ns(d->nic->links.loop) + NIC_MARK_NS);
	return 1;
}

static int on_mark(void *opaque, struct link *link, uint64_t cookie)
{
	struct nic *nic = opaque;
	struct direct *d;

	if (link != &nic->star)
		return on_direct_mark(container_of(link, struct direct, link), (uint16_t)cookie);
	d = find_direct(nic, (uint32_t)(cookie >> 32));
	if (!d || d->peer_port != (uint16_t)cookie)
		return 1;
	d->star_seq = (uint16_t)(cookie >> 16);
	/* What waited for this comes before what is behind it on the star. */
	return !d->link.held || !has_come(d, d->held_seq) || let_go(d);
}

static void stop_using(struct nic *nic, struct direct *d)
{
	d->wanted = false;
	if (d->in_use)
		(void)vswitch_remove_address(nic->sw, &d->link.port, d->mac);
	d->in_use = false;
}

static void on_broken(void *opaque, struct link *link)
{
	struct nic *nic = opaque;

	if (link != &nic->star)
		stop_using(nic, container_of(link, struct direct, link));
}

static void remove_direct(struct nic *nic, struct direct *d)
{
	stop_using(nic, d);
	loop_timer_stop(&d->mark_timer);
	vswitch_remove(nic->sw, &d->link.port);
	link_close(&d->link);
	list_del(&d->node);
	nic->n_directs--;
	free(d);
}

/* What came by direct links before the peers went back to the star is delivered before the star's. */
static bool before_star(void *opaque)
{
	struct nic *nic = opaque;
	struct list *pos, *tmp;
	bool go = true;

	list_for_each_safe (pos, tmp, &nic->directs) {
		struct direct *d = list_entry(pos, struct direct, node);

		if (!d->link.held)
			go = drain_direct(d) && go;
		if (d->closing && link_is_empty(&d->link))
			remove_direct(nic, d);
	}
	return go;
}

static const struct links_ops links_ops = {
	.broken = on_broken,
	.mark = on_mark,
	.space = on_links_space,
	.before = before_star,
};

static void close_star(struct nic *nic)
{
	if (!nic->has_star)
		return;
	vswitch_remove(nic->sw, &nic->star.port);
	link_close(&nic->star);
	nic->has_star = false;
}

static struct link_fds fds_of(const struct nic_link *link)
{
	return (struct link_fds){link->own_ring, link->peer_ring, link->own_bell, link->peer_bell};
}

/* The star is of the vNIC's own VLANs: the network's worker sends what the port is to see, and takes what it may send. */
static struct net_port_config star_config(const struct nic *nic)
{
	return (struct net_port_config){.vlan = nic->config.vlan, .mtu = nic->config.mtu};
}

static void close_tap(struct nic *nic)
{
	if (nic->tap_fd < 0)
		return;
	if (nic->tap.port.sw)
		vswitch_remove(nic->sw, &nic->tap.port);
	port_tap_done(&nic->tap);
	nic->tap_fd = safe_close(nic->tap_fd);
}

int nic_set_tap(struct nic *nic, int fd)
{
	struct net_port_config config = star_config(nic);
	int r;

	if (nic->tap_fd >= 0 || nic->has_star || nic->n_directs) {
		(void)safe_close(fd);
		return -EEXIST;
	}
	nic->tap_fd = fd;
	nic->tap = (struct port_tap){.port = {.kind = PORT_UPLINK, .counters = &nic->star_counters},
		.patient = true,
		.poll_ns = nic->links.poll_ns};
	r = port_tap_init(&nic->tap, nic->links.loop, fd);
	if (r == 0)
		r = vswitch_add(nic->sw, &nic->tap.port, &config);
	if (r < 0)
		close_tap(nic);
	return r;
}

static int add_star(struct nic *nic, const struct nic_link *spec)
{
	struct net_port_config config = star_config(nic);
	struct link_fds fds = fds_of(spec);
	int r;

	close_star(nic);
	nic->star = (struct link){.port = {.kind = PORT_UPLINK, .counters = &nic->star_counters}};
	nic->star.is_last = true;
	r = link_open(&nic->star, &nic->links, NIC_STAR, spec->ring_data, &fds);
	if (r < 0)
		return r;
	r = vswitch_add(nic->sw, &nic->star.port, &config);
	if (r < 0) {
		link_close(&nic->star);
		return r;
	}
	nic->has_star = true;
	/* Sends that the old one refused. */
	on_space(nic);
	return 0;
}

static void close_fds(const struct nic_link *link)
{
	(void)safe_close(link->own_ring);
	(void)safe_close(link->peer_ring);
	(void)safe_close(link->own_bell);
	(void)safe_close(link->peer_bell);
}

static int add_direct(struct nic *nic, const struct nic_link *spec)
{
	struct link_fds fds = fds_of(spec);
	struct direct *d;
	int r;

	if (find_direct(nic, spec->id) || nic->n_directs >= NIC_MAX_LINKS) {
		close_fds(spec);
		return find_direct(nic, spec->id) ? -EEXIST : -ENOSPC;
	}
	d = calloc(1, sizeof(*d));
	if (!d) {
		close_fds(spec);
		return -ENOMEM;
	}
	d->nic = nic;
	d->peer_port = spec->peer_port;
	memcpy(d->mac, spec->peer.mac, NET_MAC_LEN);
	d->link.port =
		(struct port){.kind = PORT_UPLINK, .guarded = true, .counters = &d->counters};
	loop_timer_init(&d->mark_timer, nic->links.loop, on_mark_timer);
	r = link_open(&d->link, &nic->links, spec->id, spec->ring_data, &fds);
	if (r == 0) {
		r = vswitch_add(nic->sw, &d->link.port, &spec->peer);
		if (r < 0)
			link_close(&d->link);
	}
	if (r < 0) {
		free(d);
		return r;
	}
	list_add_tail(&nic->directs, &d->node);
	nic->n_directs++;
	return 0;
}

int nic_link_add(struct nic *nic, const struct nic_link *link)
{
	if (nic->tap_fd >= 0) {
		close_fds(link);
		return -EEXIST;
	}
	return link->id == NIC_STAR ? add_star(nic, link) : add_direct(nic, link);
}

int nic_link_use(struct nic *nic, uint32_t id, bool on)
{
	struct direct *d = find_direct(nic, id);
	struct list *pos;

	if (id == NIC_ALL && !on) {
		list_for_each (pos, &nic->directs)
			stop_using(nic, list_entry(pos, struct direct, node));
		return 0;
	}
	if (!d)
		return -ENOENT;
	if (!on) {
		stop_using(nic, d);
		return 0;
	}
	d->wanted = true;
	if (!d->in_use)
		(void)try_use(nic, d);
	return 0;
}

/* What it still holds was sent before, and is delivered first, however long that takes. */
static void drain_and_remove(struct nic *nic, struct direct *d)
{
	stop_using(nic, d);
	d->star_seq = d->held_seq;
	(void)let_go(d);
	vswitch_flush(nic->sw);
	d->closing = !link_is_empty(&d->link);
	if (!d->closing)
		remove_direct(nic, d);
}

int nic_link_remove(struct nic *nic, uint32_t id)
{
	struct list *pos, *tmp;
	struct direct *d;

	if (id == NIC_STAR) {
		if (!nic->has_star)
			return -ENOENT;
		close_star(nic);
		return 0;
	}
	d = find_direct(nic, id);
	if (!d && id != NIC_ALL)
		return -ENOENT;
	if (d) {
		drain_and_remove(nic, d);
		return 0;
	}
	list_for_each_safe (pos, tmp, &nic->directs)
		drain_and_remove(nic, list_entry(pos, struct direct, node));
	return 0;
}

unsigned nic_links(const struct nic *nic, struct nic_link_state ret[NIC_MAX_LINKS])
{
	struct list *pos;
	unsigned n = 0;

	list_for_each (pos, &nic->directs) {
		const struct direct *d = list_entry(pos, struct direct, node);

		if (d->closing)
			continue;
		ret[n++] = (struct nic_link_state){.id = d->link.id,
			.peer_port = d->peer_port,
			.in_use = d->wanted,
			.frames = d->counters.rx_packets + d->counters.tx_packets};
	}
	return n;
}

/* Life and configuration. */

static void arm_ageing(struct nic *nic)
{
	uint64_t deadline_ns = vswitch_deadline(nic->sw);

	if (deadline_ns != nic->age_timer.deadline_ns)
		(void)loop_timer_set(&nic->age_timer, deadline_ns);
}

static void on_age(struct loop_timer *timer, uint64_t now_ns)
{
	struct nic *nic = container_of(timer, struct nic, age_timer);

	vswitch_poll(nic->sw, now_ns);
	arm_ageing(nic);
}

int nic_new(struct loop *loop, const struct net_port_config *config, uint64_t poll_ns,
	struct port *port, void (*space)(struct port *port), struct nic **ret_nic)
{
	_cleanup_(nic_freep) struct nic *nic = calloc(1, sizeof(*nic));
	struct vswitch_config sw = {
		.mtu = config->mtu ? config->mtu : NET_MTU_DEFAULT, .blame_sender = true};
	int r;

	if (!nic)
		return -ENOMEM;
	if (getrandom(sw.seed, sizeof(sw.seed), 0) != sizeof(sw.seed))
		return -EIO;
	list_init(&nic->directs);
	nic->tap_fd = -EBADF;
	nic->config = *config;
	nic->device = port;
	nic->space = space;
	nic->port = (struct port){.ops = &nic_port_ops,
		.kind = PORT_VNIC,
		.counters = port->counters,
		.cookie = port->cookie};
	r = vswitch_new(&sw, NULL, NULL, &nic->sw);
	if (r < 0)
		return r;
	links_init(&nic->links, loop, nic->sw, poll_ns, &links_ops, nic);
	nic->links.patient = true;
	captures_init(&nic->captures, loop, nic->sw);
	loop_timer_init(&nic->hold_timer, loop, on_hold);
	loop_timer_init(&nic->age_timer, loop, on_age);
	r = vswitch_add(nic->sw, &nic->port, config);
	if (r < 0)
		return r;
	*ret_nic = TAKE_PTR(nic);
	return 0;
}

struct nic *nic_free(struct nic *nic)
{
	if (!nic)
		return NULL;
	if (nic->sw) {
		struct list *pos, *tmp;

		list_for_each_safe (pos, tmp, &nic->directs)
			remove_direct(nic, list_entry(pos, struct direct, node));
		close_star(nic);
		close_tap(nic);
		links_done(&nic->links);
		captures_done(&nic->captures);
		loop_timer_stop(&nic->hold_timer);
		loop_timer_stop(&nic->age_timer);
		if (nic->port.sw)
			vswitch_remove(nic->sw, &nic->port);
		(void)vswitch_free(nic->sw);
	}
	free(nic);
	return NULL;
}

void nic_set_offloads(struct nic *nic, uint32_t guest_takes)
{
	nic->takes = guest_takes;
}

int nic_reconfigure(struct nic *nic, const struct net_port_config *config)
{
	struct net_port_config star;
	int r = vswitch_reconfigure(nic->sw, &nic->port, config);

	if (r < 0)
		return r;
	nic->config = *config;
	star = star_config(nic);
	if (nic->has_star)
		(void)vswitch_reconfigure(nic->sw, &nic->star.port, &star);
	if (nic->tap_fd >= 0)
		(void)vswitch_reconfigure(nic->sw, &nic->tap.port, &star);
	arm_ageing(nic);
	return 0;
}

int nic_capture(struct nic *nic, uint32_t direction, uint32_t snaplen, int fd, int counts_fd)
{
	const struct capture_spec spec = {
		.port = &nic->port, .direction = direction, .snaplen = snaplen};

	return captures_add(&nic->captures, &spec, fd, counts_fd);
}

const struct net_port_config *nic_config(const struct nic *nic)
{
	return &nic->config;
}

/* RFC 903: "who am I", as hypervisors announce a guest that moved; switches look at the source address only. */
void nic_announce(struct nic *nic)
{
	uint8_t rarp[60] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, [12] = 0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3};
	struct iovec iov = {rarp, sizeof(rarp)};
	struct frame frame;

	memcpy(rarp + 6, nic->config.mac, NET_MAC_LEN);
	memcpy(rarp + 22, nic->config.mac, NET_MAC_LEN);
	memcpy(rarp + 32, nic->config.mac, NET_MAC_LEN);
	if (frame_init(&frame, NULL, &iov, 1, sizeof(rarp), sizeof(rarp), -1) == NET_DROP_NONE)
		(void)nic_send(nic, &frame, true);
	nic_flush(nic);
}
