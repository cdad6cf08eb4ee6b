/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * proto.h from a hostile worker, as the daemon reads it: whatever arrives, only checked values reach the callbacks,
 * every request is answered once, and no fd stays.
 *
 * Input: the first byte's bit 0 says "adopted"; then items: a byte below 0xe0 sends the packet whose length (up to
 * that many bytes) and content follow, with the fds of bit 0 of its length's top byte; 0xe0 and above sends a request.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/domain-internal.h"
#include "daemon/worker-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_UPLINKS 2

struct fuzz {
	unsigned requests, replies, hellos;
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_state(const struct proto_state *s)
{
	check(s->state < PROTO_VM_STATE_X_MAX && s->reason < PROTO_VM_REASON_X_MAX);
	check(memchr(s->text, 0, sizeof(s->text)) && str_is_clean_utf8(s->text));
}

static void on_hello(void *opaque, const struct proto_state *s)
{
	struct fuzz *f = opaque;

	check_state(s);
	check(++f->hellos == 1);
}

static void on_state(void *opaque, const struct proto_state *s)
{
	check_state(s);
	check(((struct fuzz *)opaque)->hellos == 1 && s->state != PROTO_VM_NEW);
}

static void on_notice(void *opaque, const struct proto_notice *n)
{
	check(((struct fuzz *)opaque)->hellos == 1 && n->kind < PROTO_NOTICE_KIND_X_MAX);
	check(memchr(n->text, 0, sizeof(n->text)) && str_is_clean_utf8(n->text));
}

static void on_net_event(void *opaque, const struct proto_net_event *e)
{
	check(((struct fuzz *)opaque)->hellos == 1 && e->kind < PROTO_NET_EVENT_KIND_X_MAX);
	check(memchr(e->text, 0, sizeof(e->text)) && str_is_clean_utf8(e->text));
}

/* What passes can be indexed with, and has words. */
static bool on_team_state(void *opaque, const struct net_team_state *s)
{
	check(((struct fuzz *)opaque)->hellos == 1);
	if (!net_team_state_is_valid(s, N_UPLINKS))
		return false;
	check(s->n_members <= N_UPLINKS && net_enum_to_string(NET_ENUM_TEAM_POLICY, s->policy));
	for (unsigned i = 0; i < NET_TEAM_BUCKETS; i++)
		check(s->map[i] < N_UPLINKS || s->map[i] == NET_TEAM_NO_MEMBER);
	for (unsigned i = 0; i < s->n_members; i++) {
		const struct net_team_member *m = &s->members[i];

		check(net_enum_to_string(NET_ENUM_ROLE, m->role));
		check(!streq(team_member_state_to_string(m->state), "unknown"));
		check(!streq(lacp_mux_name(m->lacp.mux), "unknown"));
	}
	return true;
}

static bool on_vcpus(void *opaque, const struct proto_vcpus *vcpus)
{
	check(((struct fuzz *)opaque)->hellos == 1);
	return vcpus->bits[0] & 1;
}

static void on_cpuid(void *opaque, const struct proto_cpuid *cpuid)
{
	const struct vm_cpu asked = {0};
	struct vm_cpu given;

	check(((struct fuzz *)opaque)->hellos == 1 && cpuid->n <= VM_MAX_CPUID_LEAVES);
	domain_cpu_given(cpuid, &asked, &given);
	check(given.mode == VM_CPU_MODE_CUSTOM && given.n_features <= VM_MAX_CPU_FEATURES &&
		*given.model);
}

static bool on_links(void *opaque, const struct proto_links *links)
{
	check(((struct fuzz *)opaque)->hellos == 1 && links->nic < VM_MAX_NICS);
	check(links->n <= PROTO_MAX_LINKS);
	for (unsigned i = 0; i < links->n; i++)
		check(links->links[i].id != PROTO_LINK_ALL && links->links[i].peer_port);
	return links->n != 1;
}

static bool on_team_report(void *opaque, const struct net_team_report *r)
{
	check(((struct fuzz *)opaque)->hellos == 1);
	if (!net_team_report_is_valid(r, N_UPLINKS, UINT64_MAX))
		return false;
	check(r->from < N_UPLINKS || r->from == NET_TEAM_NO_MEMBER);
	check(r->to < N_UPLINKS || r->to == NET_TEAM_NO_MEMBER);
	check(r->n_macs <= NET_TEAM_REPORT_MACS && r->switched_ns >= r->detected_ns);
	check(!streq(team_cause_to_string(r->cause), "unknown"));
	check(!streq(team_detector_to_string(r->detector), "unknown"));
	return true;
}

static void on_silent(void *opaque)
{
	(void)opaque;
}

static void on_gone(void *opaque, const struct worker_exit *how)
{
	(void)opaque;
	(void)how;
	abort(); /* there is no process to go */
}

static void on_reply(void *userdata, int error, const char *text)
{
	struct fuzz *f = userdata;

	check(error <= 0 && error >= -4095 && str_is_clean_utf8(text));
	check(++f->replies <= f->requests);
}

static const struct worker_ops ops = {
	.hello = on_hello,
	.state = on_state,
	.notice = on_notice,
	.net_event = on_net_event,
	.team_state = on_team_state,
	.team_report = on_team_report,
	.links = on_links,
	.vcpus = on_vcpus,
	.cpuid = on_cpuid,
	.silent = on_silent,
	.gone = on_gone,
};

/* One item at data[0..size); answers how many bytes it took. */
static size_t item(struct fuzz *f, struct worker *w, int peer, const uint8_t *data, size_t size)
{
	char drop[PROTO_MAX_PAYLOAD + 64];
	size_t len;

	if (data[0] >= 0xe0) {
		if (worker_request(w, PROTO_PAUSE, NULL, 0, NULL, 0, 1000000000, on_reply, f) == 0)
			f->requests++;
		(void)!recv(peer, drop, sizeof(drop), MSG_DONTWAIT);
		return 1;
	}
	if (size < 3)
		return size;
	len = (size_t)data[1] | (size_t)(data[2] & 0x1f) << 8;
	if (len > size - 3)
		len = size - 3;
	if (len)
		(void)send_packet(peer, data + 3, len, &peer, data[2] >> 7);
	(void)worker_drain(w, WORKER_MAX_BATCH);
	return 3 + len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct worker *w = calloc(1, sizeof(*w));
	struct fuzz f = {0};
	int pair[2];

	log_init("fuzz", LOG_CRIT, false);
	check(w &&
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	check(sd_event_new(&w->event) >= 0);
	w->ops = &ops;
	w->opaque = &f;
	w->pidfd = w->jail_error_fd = w->fd = -EBADF;
	w->is_gone = true; /* nothing to kill */
	w->adopted = size && (data[0] & 1);
	check(worker_connect_fd(w, pair[0]) == 0);
	for (size_t at = 1; at < size && w->fd >= 0;)
		at += item(&f, w, pair[1], data + at, size - at);
	worker_disconnect(w, -ECONNRESET);
	check(f.replies == f.requests);
	(void)worker_free(w);
	close(pair[1]);
	return 0;
}
