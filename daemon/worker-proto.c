/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conversation with a worker: requests with deadlines, answers, events. Every packet is copied once into a local
 * buffer and checked as a whole before anything acts on it. The process itself is worker.c's.
 *
 * Tested by tests/unit/test-worker.c.
 */
#include "daemon/worker-internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

struct packet {
	struct proto_header header;
	char payload[PROTO_MAX_PAYLOAD];
};

uint64_t worker_answer_usec = WORKER_ANSWER_USEC;

static void set_hung(struct worker *w, bool hung)
{
	if (w->hung == hung)
		return;
	w->hung = hung;
	if (w->ops->hung)
		w->ops->hung(w->opaque, hung);
}

void worker_violates(struct worker *w, const char *what)
{
	if (w->violation)
		return;
	w->violation = true;
	(void)snprintf(w->violation_text, sizeof(w->violation_text), "%s", what);
	log_warning("worker %d broke the protocol: %s; killing it", (int)w->pid, what);
	worker_kill(w);
	worker_disconnect(w, -ECONNRESET);
}

static void pending_done(struct worker_pending *p, int error, const char *text)
{
	worker_reply_fn reply = p->reply;
	void *userdata = p->userdata;

	p->timer = sd_event_source_disable_unref(p->timer);
	p->seq = 0;
	p->reply = NULL;
	if (reply)
		reply(userdata, error, text);
}

void worker_disconnect(struct worker *w, int error)
{
	w->io_source = sd_event_source_disable_unref(w->io_source);
	w->hello_timer = sd_event_source_disable_unref(w->hello_timer);
	w->fd = safe_close(w->fd);
	w->hello = w->probing = false;
	for (size_t i = 0; i < WORKER_MAX_PENDING; i++)
		if (w->pending[i].seq)
			pending_done(&w->pending[i], error, "");
}

/* NUL-terminated within its field, then cleaned in place. */
static bool take_text(char text[PROTO_REASON_MAX])
{
	if (!memchr(text, 0, PROTO_REASON_MAX))
		return false;
	text_clean(text);
	return true;
}

static const char *on_state(struct worker *w, const struct packet *packet)
{
	struct proto_state s;

	if (packet->header.len != sizeof(s) || packet->header.seq != 0)
		return "a state of the wrong length";
	memcpy(&s, packet->payload, sizeof(s));
	if (s.state >= PROTO_VM_STATE_X_MAX || s.reason >= PROTO_VM_REASON_X_MAX)
		return "an unknown state";
	if (!take_text(s.text))
		return "a text without an end";
	if (packet->header.type == PROTO_STATE) {
		if (!w->hello)
			return "a state before HELLO";
		if (s.state == PROTO_VM_NEW)
			return "a state that goes back to new";
		w->ops->state(w->opaque, &s);
		return NULL;
	}
	if (w->hello)
		return "a second HELLO";
	/* A new worker has not been told yet who it is. */
	if (s.state != PROTO_VM_NEW && memcmp(s.uuid, w->uuid, 16) != 0)
		return "the HELLO of another vm";
	if (!w->adopted && s.state != PROTO_VM_NEW)
		return "a vm before START";
	w->hello = true;
	w->hello_timer = sd_event_source_disable_unref(w->hello_timer);
	w->ops->hello(w->opaque, &s);
	return NULL;
}

static const char *on_notice(struct worker *w, const struct packet *packet)
{
	struct proto_notice n;

	if (packet->header.len != sizeof(n) || packet->header.seq != 0)
		return "a notice of the wrong length";
	if (!w->hello)
		return "a notice before HELLO";
	memcpy(&n, packet->payload, sizeof(n));
	if (n.kind >= PROTO_NOTICE_KIND_X_MAX)
		return "an unknown notice";
	if (!take_text(n.text))
		return "a text without an end";
	w->ops->notice(w->opaque, &n);
	return NULL;
}

static const char *on_net_event(struct worker *w, const struct packet *packet)
{
	struct proto_net_event e;

	if (packet->header.len != sizeof(e) || packet->header.seq != 0)
		return "a network event of the wrong length";
	if (!w->hello)
		return "a network event before HELLO";
	memcpy(&e, packet->payload, sizeof(e));
	if (e.kind >= PROTO_NET_EVENT_KIND_X_MAX)
		return "an unknown network event";
	if (!take_text(e.text))
		return "a text without an end";
	w->ops->net_event(w->opaque, &e);
	return NULL;
}

static const char *on_team_state(struct worker *w, const struct packet *packet)
{
	struct net_team_state s;

	if (packet->header.len != sizeof(s) || packet->header.seq != 0)
		return "a state of a team of the wrong length";
	if (!w->hello)
		return "a state of a team before HELLO";
	memcpy(&s, packet->payload, sizeof(s));
	if (!w->ops->team_state || !w->ops->team_state(w->opaque, &s))
		return "a state of a team that cannot be";
	return NULL;
}

static const char *on_team_report(struct worker *w, const struct packet *packet)
{
	struct net_team_report r;

	if (packet->header.len != sizeof(r) || packet->header.seq != 0)
		return "a report of the wrong length";
	if (!w->hello)
		return "a report before HELLO";
	memcpy(&r, packet->payload, sizeof(r));
	if (!w->ops->team_report || !w->ops->team_report(w->opaque, &r))
		return "a report that cannot be";
	return NULL;
}

static bool links_are_possible(const struct proto_links *links)
{
	if (links->nic >= VM_MAX_NICS || links->n > PROTO_MAX_LINKS)
		return false;
	for (unsigned i = 0; i < links->n; i++) {
		const struct proto_link_state *l = &links->links[i];

		if (l->id == PROTO_LINK_STAR || l->id == PROTO_LINK_ALL || !l->peer_port ||
			l->peer_port >= NET_MAX_PORTS || l->flags & ~PROTO_LINK_ON)
			return false;
		for (unsigned j = 0; j < i; j++)
			if (links->links[j].id == l->id)
				return false;
	}
	return true;
}

static const char *on_links(struct worker *w, const struct packet *packet)
{
	struct proto_links links;

	if (packet->header.len != sizeof(links) || packet->header.seq != 0)
		return "links of the wrong length";
	if (!w->hello)
		return "links before HELLO";
	memcpy(&links, packet->payload, sizeof(links));
	if (!links_are_possible(&links) || !w->ops->links || !w->ops->links(w->opaque, &links))
		return "links that cannot be";
	return NULL;
}

static const char *on_vcpus(struct worker *w, const struct packet *packet)
{
	struct proto_vcpus vcpus;

	if (packet->header.len != sizeof(vcpus) || packet->header.seq != 0)
		return "vCPUs of the wrong length";
	if (!w->hello)
		return "vCPUs before HELLO";
	memcpy(&vcpus, packet->payload, sizeof(vcpus));
	if (!w->ops->vcpus || !w->ops->vcpus(w->opaque, &vcpus))
		return "vCPUs that cannot be";
	return NULL;
}

static const char *on_memories(struct worker *w, const struct packet *packet)
{
	struct proto_memories memories;

	if (packet->header.len != sizeof(memories) || packet->header.seq != 0)
		return "memory devices of the wrong length";
	if (!w->hello)
		return "memory devices before HELLO";
	memcpy(&memories, packet->payload, sizeof(memories));
	if (!w->ops->memories || !w->ops->memories(w->opaque, &memories))
		return "memory devices that cannot be";
	return NULL;
}

static const char *on_cpuid(struct worker *w, const struct packet *packet)
{
	struct proto_cpuid cpuid;

	if (packet->header.len != sizeof(cpuid) || packet->header.seq != 0)
		return "leaves of CPUID of the wrong length";
	if (!w->hello)
		return "leaves of CPUID before HELLO";
	memcpy(&cpuid, packet->payload, sizeof(cpuid));
	if (!w->ops->cpuid || cpuid.n > VM_MAX_CPUID_LEAVES)
		return "leaves of CPUID that cannot be";
	w->ops->cpuid(w->opaque, &cpuid);
	return NULL;
}

static const char *on_reply(struct worker *w, const struct packet *packet)
{
	int32_t error = packet->header.error;
	struct proto_reason reason = {0};

	if (error > 0 || error < -4095)
		return "a reply with a wrong errno";
	if (packet->header.len != (error ? sizeof(reason) : 0))
		return "a reply of the wrong length";
	memcpy(&reason, packet->payload, packet->header.len);
	if (!take_text(reason.text))
		return "a text without an end";
	for (size_t i = 0; packet->header.seq && i < WORKER_MAX_PENDING; i++) {
		if (w->pending[i].seq != packet->header.seq)
			continue;
		pending_done(&w->pending[i], error, reason.text);
		return NULL;
	}
	return "a reply nobody asked for";
}

/* Answers what is wrong with the packet, NULL if nothing. */
static const char *on_packet(struct worker *w, const struct packet *packet, size_t len)
{
	if (len < sizeof(packet->header) || packet->header.len != len - sizeof(packet->header))
		return "a packet of the wrong length";
	if (packet->header.version != PROTO_VERSION)
		return "another protocol version";
	switch (packet->header.type) {
	case PROTO_HELLO:
	case PROTO_STATE:
		return on_state(w, packet);
	case PROTO_NOTICE:
		return on_notice(w, packet);
	case PROTO_NET_EVENT:
		return on_net_event(w, packet);
	case PROTO_TEAM_STATE:
		return on_team_state(w, packet);
	case PROTO_TEAM_REPORT:
		return on_team_report(w, packet);
	case PROTO_LINKS:
		return on_links(w, packet);
	case PROTO_VCPUS:
		return on_vcpus(w, packet);
	case PROTO_MEMORIES:
		return on_memories(w, packet);
	case PROTO_CPUID:
		return on_cpuid(w, packet);
	case PROTO_REPLY:
		return on_reply(w, packet);
	default:
		return "an unknown message type";
	}
}

bool worker_drain(struct worker *w, unsigned max_unasked)
{
	for (unsigned i = 0, unasked = 0;
		i < WORKER_MAX_BATCH && unasked < max_unasked && w->fd >= 0; i++) {
		struct packet packet;
		const char *wrong;
		unsigned n_fds;
		ssize_t n;

		n = recv_packet(w->fd, &packet, sizeof(packet), NULL, 0, &n_fds);
		if (n == -EAGAIN)
			return true;
		if (n == -EMSGSIZE) {
			worker_violates(w, "a packet that is too long or carries fds");
			return false;
		}
		if (n <= 0)
			return false;
		wrong = on_packet(w, &packet, (size_t)n);
		unasked += packet.header.type != PROTO_REPLY;
		if (wrong)
			worker_violates(w, wrong);
		else
			set_hung(w, false);
	}
	return w->fd >= 0;
}

static int on_exit_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct worker *w = userdata;

	(void)source;
	(void)usec;
	worker_violates(w, "its control socket ended, the process did not");
	return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct worker *w = userdata;

	(void)source;
	(void)fd;
	(void)revents;
	/* What it says by itself may cost us more than it: a status is saved, limits change, events go out. */
	if (worker_drain(w, 1) || w->violation)
		return 0;
	/* The end of the connection: the process is about to be gone, or else something is wrong with it. */
	worker_disconnect(w, -ECONNRESET);
	(void)sd_event_add_time_relative(
		w->event, &w->exit_timer, CLOCK_MONOTONIC, WORKER_EXIT_USEC, 0, on_exit_timer, w);
	return 0;
}

static int on_hello_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct worker *w = userdata;

	(void)source;
	(void)usec;
	w->hello_timer = sd_event_source_disable_unref(w->hello_timer);
	if (!w->adopted)
		worker_violates(w, "no HELLO in time");
	w->ops->silent(w->opaque);
	return 0;
}

int worker_connect_fd(struct worker *w, int fd)
{
	int r;

	if (fd >= 0) {
		r = sd_event_add_io(w->event, &w->io_source, fd, EPOLLIN, on_io, w);
		if (r < 0)
			return r;
		(void)sd_event_source_set_ratelimit(
			w->io_source, UINT64_C(1000000), WORKER_RATE_BURST);
	}
	r = sd_event_add_time_relative(w->event, &w->hello_timer, CLOCK_MONOTONIC,
		fd >= 0 ? WORKER_HELLO_USEC : 0, 0, on_hello_timer, w);
	if (r < 0) {
		w->io_source = sd_event_source_disable_unref(w->io_source);
		return r;
	}
	w->fd = fd;
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct worker_pending *p = userdata;
	worker_reply_fn reply = p->reply;

	(void)source;
	(void)usec;
	/* The place stays taken: the answer may still come, and it must find its seq. */
	p->timer = sd_event_source_disable_unref(p->timer);
	p->reply = NULL;
	if (reply)
		reply(p->userdata, -ETIMEDOUT, "");
	return 0;
}

static struct worker_pending *find_free(struct worker *w)
{
	for (size_t i = 0; i < WORKER_MAX_PENDING; i++)
		if (!w->pending[i].seq)
			return &w->pending[i];
	return NULL;
}

int worker_request(struct worker *w, enum proto_type type, const void *payload, size_t len,
	const int *fds, unsigned n_fds, uint64_t timeout_usec, worker_reply_fn reply,
	void *userdata)
{
	struct worker_pending *p = find_free(w);
	struct packet packet;
	int r;

	assert(len <= PROTO_MAX_PAYLOAD);
	if (w->fd < 0 || (!w->hello && !w->adopted))
		return -ENOTCONN;
	if (!p)
		return -EBUSY;
	if (++w->last_seq == 0)
		w->last_seq = 1;
	packet.header = (struct proto_header){
		.version = PROTO_VERSION,
		.type = (uint16_t)type,
		.seq = w->last_seq,
		.len = (uint32_t)len,
	};
	if (len)
		memcpy(packet.payload, payload, len);
	r = sd_event_add_time_relative(
		w->event, &p->timer, CLOCK_MONOTONIC, timeout_usec, 0, on_deadline, p);
	if (r < 0)
		return r;
	r = send_packet(w->fd, &packet, sizeof(packet.header) + len, fds, n_fds);
	if (r < 0) {
		p->timer = sd_event_source_disable_unref(p->timer);
		return r == -EPIPE || r == -ECONNRESET ? -ENOTCONN : r;
	}
	p->worker = w;
	p->seq = w->last_seq;
	p->reply = reply;
	p->userdata = userdata;
	return 0;
}

/* It has left a request without an answer for longer than that may take. */
static bool has_overdue(const struct worker *w)
{
	for (size_t i = 0; i < WORKER_MAX_PENDING; i++)
		if (w->pending[i].seq && !w->pending[i].reply)
			return true;
	return false;
}

static void on_pong(void *userdata, int error, const char *text)
{
	struct worker *w = userdata;

	(void)text;
	w->probing = false;
	if (error == -ETIMEDOUT)
		set_hung(w, true);
}

bool worker_probe(struct worker *w)
{
	uint64_t now;
	int r;

	/* Who is hung is asked already. */
	if (!w->hello || w->hung || w->probing ||
		sd_event_now(w->event, CLOCK_MONOTONIC, &now) < 0 ||
		(w->probed_usec && now - w->probed_usec < WORKER_PROBE_USEC))
		return false;
	w->probed_usec = now;
	r = worker_request(w, PROTO_PING, NULL, 0, NULL, 0, worker_answer_usec, on_pong, w);
	w->probing = r == 0;
	/* It does not even read. */
	if ((r == -EAGAIN || r == -EBUSY) && has_overdue(w))
		set_hung(w, true);
	return w->probing;
}

bool worker_is_hung(const struct worker *w)
{
	return w->hung;
}
