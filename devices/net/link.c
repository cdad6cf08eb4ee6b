/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Links: see link.h. Tested by tests/unit/test-fabric.c and tests/unit/test-link.c. */
#include "devices/net/link.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"

static struct link *link_of(struct port *port)
{
	return container_of(port, struct link, port);
}

static void ring_bell(const struct link *link)
{
	uint64_t one = 1;

	/* A bell that is full has been rung. */
	(void)!write(link->peer_bell, &one, sizeof(one));
}

/* Go on in a later turn of the loop, after the others. A timer for now would do it too, and costs an interrupt. */
static void ring_own_bell(const struct link *link)
{
	uint64_t one = 1;

	(void)!write(link->own_bell, &one, sizeof(one));
}

static void arm(struct links *links, uint64_t deadline_ns)
{
	if (deadline_ns < links->timer.deadline_ns)
		(void)loop_timer_set(&links->timer, deadline_ns);
}

/* The peer broke the rules, or the ring cannot be used any more. */
static void break_link(struct link *link)
{
	if (!link->open)
		return;
	link->open = false;
	if (link->blocked)
		link->links->n_blocked--;
	link->blocked = false;
	link->source = loop_source_remove(link->source);
	loop_poller_stop(&link->poller);
	link->links->ops->broken(link->links->opaque, link);
}

/* From the switch. */

static int refuse(struct link *link)
{
	uint64_t now_ns = loop_now_ns(link->links->loop);

	if (!link->full) {
		link->full = true;
		link->full_until_ns = now_ns + LINK_HOLD_NS;
	}
	return now_ns < link->full_until_ns ? -EAGAIN : -ENOBUFS;
}

static int transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct link *link = link_of(port);
	struct iovec iov[FRAME_MAX_IOV];
	struct ring_meta meta = {0};
	uint8_t scratch[4];
	struct net_hdr hdr;
	uint32_t len;
	unsigned n;
	int r;

	if (!link->open)
		return -EPIPE;
	/* The tag travels beside the frame. */
	n = frame_iov(frame, -1, scratch, iov, &hdr, &len);
	memcpy(meta.hdr, &hdr, sizeof(meta.hdr));
	if (tci >= 0) {
		meta.flags |= RING_META_TAGGED;
		meta.vlan_tci = (uint16_t)tci;
	}
	meta.flow_hash = frame->hash;
	r = ring_put(&link->ring, &meta, iov, n, len);
	if (r == -EAGAIN)
		return refuse(link);
	return r;
}

static void flush(struct port *port)
{
	struct link *link = link_of(port);

	if (link->open && ring_publish(&link->ring))
		ring_bell(link);
}

static const struct port_ops link_port_ops = {.transmit = transmit, .flush = flush};

/* From the ring. */

/* Deal with link->next. 1: done; 0: done, and no more for now; -EAGAIN: its receiver has no room. */
static int deliver(struct link *link, uint64_t now_ns)
{
	const struct ring_frame *next = &link->next;
	struct iovec iov = {.iov_base = (void *)(uintptr_t)next->data, .iov_len = next->len};
	struct net_hdr hdr;
	struct frame frame;
	enum net_drop reason;

	if (next->meta.flags & RING_META_MARK)
		return link->links->ops->mark(link->links->opaque, link, next->meta.cookie);
	memcpy(&hdr, next->meta.hdr, sizeof(hdr));
	reason = frame_init(&frame, &hdr, &iov, 1, next->len, FRAME_MAX,
		next->meta.flags & RING_META_TAGGED ? next->meta.vlan_tci : -1);
	if (reason != NET_DROP_NONE) {
		vswitch_drop(&link->port, reason);
		return 1;
	}
	if (vswitch_input(link->links->sw, &link->port, &frame, now_ns) == -EAGAIN)
		return -EAGAIN;
	return 1;
}

static void block(struct link *link)
{
	uint64_t retry_ns = vswitch_retry_ns(&link->port);

	if (!link->blocked)
		link->links->n_blocked++;
	link->blocked = true;
	if (retry_ns)
		arm(link->links, retry_ns);
	else if (!link->links->patient)
		arm(link->links, loop_now_ns(link->links->loop) + LINK_HOLD_NS);
}

/* One frame. 1: dealt with; 0: there is none; -EAGAIN: blocked; -EBADMSG: broken. */
static int step(struct link *link, uint64_t now_ns)
{
	int r = ring_get(&link->ring, &link->next);

	if (r <= 0)
		return r;
	r = deliver(link, now_ns);
	if (r == -EAGAIN)
		return r;
	/* What was delivered may have closed the link. */
	if (!link->open)
		return 0;
	ring_done(&link->ring);
	return r == 1 ? 1 : -EAGAIN;
}

/* There is nothing more. False: now there is. */
static bool rest(struct link *link)
{
	return loop_rest(&link->poller) || ring_park(&link->ring);
}

/* As step(), up to 'limit' and the budget ('all': without one); and when there is nothing more, the link rests. */
static int drain_frames(struct link *link, bool all, uint64_t limit, uint64_t now_ns)
{
	uint64_t begin = ring_position(&link->ring);
	unsigned budget = all ? UINT32_MAX : LINK_BUDGET;
	int r = 1;

	if (!all)
		limit = MIN(limit, begin + LINK_BUDGET_BYTES);
	while (r == 1 && !link->held && budget-- && ring_position(&link->ring) < limit) {
		r = step(link, now_ns);
		if (r == 0 && link->open && !rest(link))
			r = 1;
	}
	return r;
}

static void drain(struct link *link, bool all)
{
	uint64_t now_ns = loop_now_ns(link->links->loop), limit = UINT64_MAX;
	bool go = true;
	int r;

	if (!link->open || link->held)
		return;
	if (link->is_last && link->links->ops->before) {
		/* The snapshot comes first: what is put in later was sent after what the others hold now. */
		limit = ring_seen(&link->ring);
		go = link->links->ops->before(link->links->opaque);
		if (ring_position(&link->ring) >= limit)
			limit = UINT64_MAX; /* empty: to come to rest */
	}
	if (link->blocked) {
		link->blocked = false;
		link->links->n_blocked--;
	}
	r = go ? drain_frames(link, all, limit, now_ns) : -EAGAIN;
	if (r == -EBADMSG) {
		break_link(link);
		return;
	}
	if (link->open && ring_release(&link->ring))
		ring_bell(link);
	if (r == -EAGAIN)
		block(link);
	else if (r == 1 && !link->held)
		ring_own_bell(link);
}

void link_drain(struct link *link, bool all)
{
	drain(link, all);
}

void link_hold(struct link *link, bool hold)
{
	link->held = hold;
}

bool link_is_empty(struct link *link)
{
	return !link->open || ring_seen(&link->ring) == ring_position(&link->ring);
}

int link_mark(struct link *link, uint64_t cookie)
{
	int r;

	if (!link->open)
		return -EPIPE;
	r = ring_put_mark(&link->ring, cookie);
	if (r == -EAGAIN)
		return refuse(link);
	if (r == 0)
		flush(&link->port);
	return r;
}

/* Whoever is drained may have others closed (links_ops.before). */
static void retry(struct links *links)
{
	struct list todo;

	list_init(&todo);
	list_splice(&todo, &links->all);
	while (!list_empty(&todo)) {
		struct link *link = list_entry(todo.next, struct link, node);

		list_del(&link->node);
		list_add_tail(&links->all, &link->node);
		if (link->blocked)
			drain(link, false);
	}
	vswitch_flush(links->sw);
}

void links_retry(struct links *links)
{
	if (links->n_blocked)
		retry(links);
}

static void on_timer(struct loop_timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	retry(container_of(timer, struct links, timer));
}

/* Frames for us, or room for ours, or both. */
static void on_bell(void *opaque, uint32_t events)
{
	struct link *link = opaque;
	struct links *links = link->links;
	bool has_space;
	uint64_t count;

	(void)events;
	if (read(link->own_bell, &count, sizeof(count)) < 0 && errno != EAGAIN) {
		break_link(link);
		return;
	}
	ring_unpark(&link->ring);
	has_space = link->full && ring_has_space(&link->ring);
	if (has_space)
		link->full = false;
	drain(link, false);
	/* This one may be closed by it. */
	if (has_space) {
		links_retry(links);
		if (links->ops->space)
			links->ops->space(links->opaque);
	}
	vswitch_flush(links->sw);
}

/* The loop looks. Who waits for something else does not wait for frames. */
static bool poll(struct loop_poller *poller)
{
	struct link *link = container_of(poller, struct link, poller);
	struct vswitch *sw = link->links->sw;

	if (!link->open || link->held || link->blocked || link_is_empty(link))
		return false;
	drain(link, false);
	vswitch_flush(sw);
	return true;
}

static bool park(struct loop_poller *poller)
{
	struct link *link = container_of(poller, struct link, poller);

	return !link->open || link->held || link->blocked || ring_park(&link->ring);
}

void links_init(struct links *links, struct loop *loop, struct vswitch *sw, uint64_t poll_ns,
	const struct links_ops *ops, void *opaque)
{
	*links = (struct links){
		.loop = loop, .sw = sw, .poll_ns = poll_ns, .ops = ops, .opaque = opaque};
	list_init(&links->all);
	loop_timer_init(&links->timer, loop, on_timer);
}

void links_done(struct links *links)
{
	assert(list_empty(&links->all));
	loop_timer_stop(&links->timer);
}

int link_open(struct link *link, struct links *links, uint32_t id, size_t ring_data,
	const struct link_fds *fds)
{
	int r;

	link->port.ops = &link_port_ops;
	link->links = links;
	link->id = id;
	link->own_bell = fds->own_bell;
	link->peer_bell = fds->peer_bell;
	list_add_tail(&links->all, &link->node);
	loop_poller_init(&link->poller, links->loop, links->poll_ns, poll, park);
	r = ring_open(&link->ring, fds->own_ring, fds->peer_ring, ring_data);
	(void)safe_close(fds->own_ring);
	(void)safe_close(fds->peer_ring);
	if (r == 0)
		r = loop_add_fd(links->loop, link->own_bell, EPOLLIN, on_bell, link, &link->source);
	link->open = r == 0;
	if (r < 0) {
		link_close(link);
		return r;
	}
	if (!ring_park(&link->ring))
		/* The peer was here first. */
		ring_own_bell(link);
	return 0;
}

void link_close(struct link *link)
{
	if (!link->links)
		return;
	if (link->blocked)
		link->links->n_blocked--;
	link->source = loop_source_remove(link->source);
	loop_poller_stop(&link->poller);
	ring_close(&link->ring);
	link->own_bell = safe_close(link->own_bell);
	link->peer_bell = safe_close(link->peer_bell);
	list_del(&link->node);
	link->links = NULL;
	link->open = link->blocked = false;
}
