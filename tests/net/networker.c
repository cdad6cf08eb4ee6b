/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network's worker and what is around it: see networker.h. */
#include "tests/net/networker.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/host-net.h"
#include "devices/net/ring.h"
#include "vmm-core/base/fdio.h"

#define REPLY_MS 5000

const char *worker_path;
const uint8_t net_broadcast[NET_MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* The namespace. */

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, text, strlen(text));
		close(fd);
	}
}

bool try_ip(const char *commands)
{
	FILE *ip = popen("exec ip -batch - 2>&1", "w");

	assert_non_null(ip);
	(void)fputs(commands, ip);
	return pclose(ip) == 0;
}

void world_topology(struct world *w, const char *commands)
{
	(void)w;
	assert_true(try_ip(commands));
}

void set_link(const char *ifname, bool up)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

static int new_namespace(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	/* What the kernel says by itself is not looked at: quiet links, exact counts. */
	write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

void world_split(struct world *w)
{
	int ready[2];
	char path[64], byte;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	w->other_pid = fork();
	assert_true(w->other_pid >= 0);
	if (w->other_pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (new_namespace() >= 0)
			(void)!write(ready[1], "x", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)w->other_pid);
	w->other_ns = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(w->other_ns >= 0);
}

void world_enter(struct world *w, bool other)
{
	assert_int_equal(setns(other ? w->other_ns : w->own_ns, CLONE_NEWNET), 0);
}

struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	w->other_ns = -EBADF;
	w->own_ns = new_namespace();
	assert_true(w->own_ns >= 0);
	assert_int_equal(loop_new(&w->loop), 0);
	net_config_init(&w->config);
	(void)strcpy(w->config.name, "red");
	w->control_fd = -EBADF;
	for (unsigned i = 0; i < NET_MAX_UPLINKS; i++)
		w->uplink_fds[i] = -EBADF;
	return w;
}

void world_free(struct world *w)
{
	if (w->pid > 0) {
		(void)kill(w->pid, SIGKILL);
		(void)waitpid(w->pid, NULL, 0);
	}
	if (w->other_pid > 0) {
		(void)kill(w->other_pid, SIGKILL);
		(void)waitpid(w->other_pid, NULL, 0);
	}
	w->own_ns = safe_close(w->own_ns);
	w->other_ns = safe_close(w->other_ns);
	w->control = loop_source_remove(w->control);
	w->control_fd = safe_close(w->control_fd);
	for (unsigned i = 0; i < NET_MAX_UPLINKS; i++)
		w->uplink_fds[i] = safe_close(w->uplink_fds[i]);
	for (unsigned i = 0; i < w->n_vms; i++) {
		(void)nic_free(w->vms[i]->nic);
		free(w->vms[i]);
	}
	for (unsigned i = 0; i < w->n_probes; i++) {
		port_packet_done(&w->probes[i]->packet);
		close(w->probes[i]->fd);
		free(w->probes[i]);
	}
	if (w->stats)
		(void)munmap(w->stats, sizeof(*w->stats));
	(void)loop_free(w->loop);
	free(w);
}

/* What is seen. */

static void remember(struct record *r, const struct frame *frame, int32_t tci, uint64_t now_ns)
{
	struct seen *s = &r->seen[r->n];

	r->total++;
	if (r->n == MAX_SEEN)
		return;
	*s = (struct seen){.at_ns = now_ns,
		.ethertype = frame->ethertype,
		.tci = tci,
		.len = frame->len,
		.gso_type = frame->hdr.gso_type};
	memcpy(s->src, frame_src(frame), NET_MAC_LEN);
	memcpy(s->dst, frame_dst(frame), NET_MAC_LEN);
	(void)frame_copy(frame, 14, &s->number, sizeof(s->number));
	r->n++;
}

unsigned count_seen(const struct record *r, uint16_t ethertype, const uint8_t *src)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n; i++)
		n += r->seen[i].ethertype == ethertype &&
			(!src || memcmp(r->seen[i].src, src, NET_MAC_LEN) == 0);
	return n;
}

void forget_all(struct world *w)
{
	for (unsigned i = 0; i < w->n_vms; i++)
		w->vms[i]->record.n = w->vms[i]->record.total = 0;
	for (unsigned i = 0; i < w->n_probes; i++)
		w->probes[i]->record.n = w->probes[i]->record.total = 0;
}

/* The worker. */

static void on_control(void *opaque, uint32_t events)
{
	struct world *w = opaque;
	struct {
		struct proto_header header;
		uint8_t payload[PROTO_MAX_PAYLOAD];
	} m;
	unsigned n_fds;
	ssize_t n = recv_packet(w->control_fd, &m, sizeof(m), NULL, 0, &n_fds);

	(void)events;
	if (n <= 0) {
		w->control = loop_source_remove(w->control);
		return;
	}
	if (m.header.type == PROTO_REPLY) {
		w->reply.seq = m.header.seq;
		w->reply.error = m.header.error;
		w->reply.text[0] = 0;
		if (m.header.len == sizeof(struct proto_reason))
			memcpy(w->reply.text, m.payload, sizeof(struct proto_reason));
	} else if (m.header.type == PROTO_TEAM_STATE) {
		assert_int_equal(m.header.len, sizeof(w->state));
		memcpy(&w->state, m.payload, sizeof(w->state));
		assert_true(net_team_state_is_valid(&w->state, w->config.n_uplinks));
		w->n_states++;
	} else if (m.header.type == PROTO_TEAM_REPORT) {
		assert_int_equal(m.header.len, sizeof(w->reports[0]));
		assert_true(w->n_reports < MAX_REPORTS);
		memcpy(&w->reports[w->n_reports], m.payload, sizeof(w->reports[0]));
		assert_true(net_team_report_is_valid(
			&w->reports[w->n_reports++], w->config.n_uplinks, loop_now_ns(w->loop)));
	}
}

static void spawn(struct world *w)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	w->control_fd = pair[0];
	w->pid = fork();
	assert_true(w->pid >= 0);
	if (w->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)dup2(pair[1], 10);
		(void)dup2(10, PROTO_CONTROL_FD);
		(void)syscall(SYS_close_range, PROTO_LISTEN_FD, ~0U, 0);
		(void)execl(worker_path, "vmmd-worker", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	assert_int_equal(fd_set_nonblock(w->control_fd, true), 0);
	assert_int_equal(
		loop_add_fd(w->loop, w->control_fd, EPOLLIN, on_control, w, &w->control), 0);
}

struct answer {
	struct world *world;
	uint32_t seq;
};

static bool is_answered(void *arg)
{
	const struct answer *a = arg;

	return a->world->reply.seq == a->seq || !a->world->control;
}

int world_request(struct world *w, enum proto_type type, const void *payload, size_t len,
	const int *fds, unsigned n_fds)
{
	struct answer answer = {w, ++w->seq};
	struct {
		struct proto_header header;
		uint8_t payload[PROTO_MAX_PAYLOAD];
	} m = {.header = {.version = PROTO_VERSION,
		       .type = (uint16_t)type,
		       .seq = w->seq,
		       .len = (uint32_t)len}};

	memcpy(m.payload, payload, len);
	assert_int_equal(send_packet(w->control_fd, &m, sizeof(m.header) + len, fds, n_fds), 0);
	if (!world_until(w, REPLY_MS, is_answered, &answer) || !w->control) {
		int status = 0;

		(void)waitpid(w->pid, &status, WNOHANG);
		fail_msg("the worker did not answer to request %d (status %#x)", type, status);
	}
	if (w->reply.error)
		print_message("request %d: %d %s\n", type, w->reply.error, w->reply.text);
	return w->reply.error;
}

void world_uplink(struct world *w, const char *ifname)
{
	struct net_uplink *uplink = &w->config.uplinks[w->config.n_uplinks];
	struct error e = {0};

	(void)snprintf(uplink->ifname, sizeof(uplink->ifname), "%s", ifname);
	if (host_net_open_packet(ifname, HOST_NET_ANSWERS, &w->uplink_fds[w->config.n_uplinks],
		    uplink->mac, &e) < 0)
		fail_msg("%s", e.message);
	w->config.n_uplinks++;
}

void world_start(struct world *w)
{
	struct proto_start start = {.n_fds = 0};
	struct error e = {0};
	int fds[PROTO_MAX_FDS], stats = memfd_create("stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	unsigned n = 2;

	spawn(w);
	assert_int_equal(ftruncate(stats, sizeof(struct net_stats_page)), 0);
	w->stats = mmap(NULL, sizeof(struct net_stats_page), PROT_READ, MAP_SHARED, stats, 0);
	assert_true(w->stats != MAP_FAILED);
	fds[0] = memfd_from_data("config", &w->config, sizeof(w->config));
	fds[1] = stats;
	start.fds[1].kind = PROTO_FD_STATS;
	for (unsigned i = 0; i < w->config.n_uplinks; i++) {
		start.fds[n] = (struct proto_fd){.kind = PROTO_FD_UPLINK, .index = (uint8_t)i};
		fds[n++] = TAKE_FD(w->uplink_fds[i]);
	}
	if (w->config.n_uplinks) {
		start.fds[n] = (struct proto_fd){.kind = PROTO_FD_RTNETLINK};
		assert_int_equal(host_net_open_rtnetlink(&fds[n++], &e), 0);
	}
	start.n_fds = n;
	start.flags = START_FLAGS;
	assert_int_equal(world_request(w, PROTO_START_NETWORK, &start, sizeof(start), fds, n), 0);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

/* vNICs. */

static int vm_transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct vm *vm = container_of(port, struct vm, port);

	remember(&vm->record, frame, tci, loop_now_ns(vm->loop));
	return 0;
}

static void vm_space(struct port *port)
{
	(void)port;
}

static const struct port_ops vm_ops = {.transmit = vm_transmit};

static void make_ring(int *ret_own, int *ret_peer)
{
	char path[64];

	*ret_own = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(*ret_own, PROTO_RING_FILE), 0);
	assert_int_equal(fcntl(*ret_own, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", *ret_own);
	*ret_peer = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(*ret_peer >= 0);
}

static void link_star(struct world *w, struct vm *vm)
{
	struct proto_port message = {
		.port = vm->number, .ring_data = PROTO_RING_DATA, .config = vm->config};
	int own[2], peer[2], bell[2];
	struct nic_link end = {.id = NIC_STAR, .ring_data = PROTO_RING_DATA};

	for (unsigned i = 0; i < 2; i++) {
		make_ring(&own[i], &peer[!i]);
		bell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	assert_int_equal(world_request(w, PROTO_PORT_ADD, &message, sizeof(message),
				 (int[]){own[0], peer[0], bell[0], bell[1]}, PROTO_LINK_FDS),
		0);
	end.own_ring = own[1];
	end.peer_ring = peer[1];
	end.own_bell = bell[1];
	end.peer_bell = bell[0];
	assert_int_equal(nic_link_add(vm->nic, &end), 0);
	close(own[0]);
	close(peer[0]);
}

struct vm *world_add_vm(struct world *w, const struct net_port_config *config)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	assert_true(w->n_vms < MAX_VMS);
	w->vms[w->n_vms] = vm;
	if (config)
		vm->config = *config;
	vm->loop = w->loop;
	vm->number = ++w->n_vms;
	vm->config.mtu = w->config.mtu;
	memcpy(vm->config.mac, (uint8_t[]){0x52, 0x54, 0, 0, 0, (uint8_t)vm->number}, NET_MAC_LEN);
	vm->port = (struct port){.ops = &vm_ops, .kind = PORT_VNIC, .counters = &vm->counters};
	assert_int_equal(nic_new(w->loop, &vm->config, 0, &vm->port, vm_space, &vm->nic), 0);
	nic_set_offloads(vm->nic, UINT32_MAX);
	link_star(w, vm);
	return vm;
}

/* Probes. */

static void probe_input(struct port_packet *packet, struct frame *frame, uint64_t now_ns)
{
	struct probe *p = container_of(packet, struct probe, packet);

	remember(&p->record, frame, frame->tagged ? frame->tci : -1, now_ns);
}

static void probe_done(struct port_packet *packet, uint64_t now_ns)
{
	(void)packet;
	(void)now_ns;
}

struct probe *world_probe(struct world *w, const char *ifname)
{
	struct probe *p = calloc(1, sizeof(*p));
	uint8_t mac[NET_MAC_LEN];
	struct error e = {0};
	char name[NET_IFNAME_MAX] = "";

	assert_true(w->n_probes < MAX_PROBES);
	(void)snprintf(name, sizeof(name), "%s", ifname);
	p->loop = w->loop;
	p->packet.port.counters = &p->counters;
	p->packet.input = probe_input;
	p->packet.input_done = probe_done;
	if (host_net_open_packet(ifname, HOST_NET_ALL, &p->fd, mac, &e) < 0)
		fail_msg("%s", e.message);
	assert_int_equal(port_packet_init(&p->packet, w->loop, p->fd, name), 0);
	w->probes[w->n_probes++] = p;
	return p;
}

/* Frames. */

static void make_frame(struct frame *f, struct iovec *iov, uint8_t *bytes, const uint8_t *dst,
	const uint8_t *src, uint32_t number, size_t len, int32_t tci)
{
	memset(bytes, 0, len);
	memcpy(bytes, dst, NET_MAC_LEN);
	memcpy(bytes + NET_MAC_LEN, src, NET_MAC_LEN);
	frame_put_be16(bytes + 12, NET_TEST_TYPE);
	memcpy(bytes + 14, &number, sizeof(number));
	*iov = (struct iovec){bytes, len};
	assert_int_equal(frame_init(f, NULL, iov, 1, (uint32_t)len, FRAME_MAX, tci), 0);
}

int vm_send(struct vm *vm, const uint8_t *dst, uint32_t number, size_t len, int32_t tci)
{
	static uint8_t bytes[FRAME_MAX];
	struct frame frame;
	struct iovec iov;
	int r;

	make_frame(&frame, &iov, bytes, dst, vm->config.mac, number, len, tci);
	r = nic_send(vm->nic, &frame, false);
	nic_flush(vm->nic);
	return r;
}

void probe_send(struct probe *p, const uint8_t *dst, const uint8_t *src, uint32_t number,
	size_t len, int32_t tci)
{
	static uint8_t bytes[FRAME_MAX];
	struct frame frame;
	struct iovec iov;

	make_frame(&frame, &iov, bytes, dst, src, number, len, tci);
	/* A NIC without carrier may refuse. */
	(void)p->packet.port.ops->transmit(&p->packet.port, &frame, tci);
}

static void make_tso(struct frame *f, struct iovec *iov, uint8_t *bytes, const uint8_t *dst,
	const uint8_t *src, size_t len)
{
	struct net_hdr hdr = {.flags = NET_HDR_F_NEEDS_CSUM,
		.gso_type = NET_HDR_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1460,
		.csum_start = 34,
		.csum_offset = 16};
	uint8_t *ip = bytes + 14, *tcp = ip + 20;
	uint32_t sum = 0;

	memset(bytes, 0, len);
	memcpy(bytes, dst, NET_MAC_LEN);
	memcpy(bytes + NET_MAC_LEN, src, NET_MAC_LEN);
	frame_put_be16(bytes + 12, 0x0800);
	memcpy(ip, (uint8_t[]){0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2},
		20);
	frame_put_be16(ip + 2, (unsigned)(len - 14));
	for (unsigned i = 0; i < 20; i += 2)
		sum += frame_be16(ip + i);
	frame_put_be16(ip + 10, ~(sum + (sum >> 16)) & 0xffff);
	tcp[12] = 0x50;
	tcp[13] = 0x10;
	*iov = (struct iovec){bytes, len};
	assert_int_equal(frame_init(f, &hdr, iov, 1, (uint32_t)len, FRAME_MAX, -1), 0);
}

int vm_send_tso(struct vm *vm, const uint8_t *dst, size_t len)
{
	static uint8_t bytes[FRAME_MAX];
	struct frame frame;
	struct iovec iov;
	int r;

	make_tso(&frame, &iov, bytes, dst, vm->config.mac, len);
	r = nic_send(vm->nic, &frame, false);
	nic_flush(vm->nic);
	return r;
}

void probe_send_tso(struct probe *p, const uint8_t *dst, const uint8_t *src, size_t len)
{
	static uint8_t bytes[FRAME_MAX];
	struct frame frame;
	struct iovec iov;

	make_tso(&frame, &iov, bytes, dst, src, len);
	assert_int_equal(p->packet.port.ops->transmit(&p->packet.port, &frame, -1), 0);
}

/* Time. */

static bool never(void *arg)
{
	(void)arg;
	return false;
}

void world_run_ms(struct world *w, unsigned ms)
{
	(void)world_until(w, ms, never, NULL);
}

bool world_until(struct world *w, unsigned ms, bool (*is)(void *arg), void *arg)
{
	uint64_t end_ns = loop_now_ns(w->loop) + ms * NSEC_PER_MSEC, now_ns;

	while (!is(arg)) {
		now_ns = loop_now_ns(w->loop);
		if (now_ns >= end_ns)
			return is(arg);
		assert_true(loop_run_once(w->loop, end_ns - now_ns) >= 0);
	}
	return true;
}

struct wanted_report {
	const struct world *world;
	unsigned since, from, to;
	const struct net_team_report *found;
};

static bool has_report(void *arg)
{
	struct wanted_report *wanted = arg;

	for (unsigned i = wanted->since; i < wanted->world->n_reports && !wanted->found; i++) {
		const struct net_team_report *r = &wanted->world->reports[i];

		if (r->from == wanted->from && r->to == wanted->to)
			wanted->found = r;
	}
	return wanted->found;
}

const struct net_team_report *world_report(
	struct world *w, unsigned since, unsigned ms, unsigned from, unsigned to)
{
	struct wanted_report wanted = {w, since, from, to, NULL};

	(void)world_until(w, ms, has_report, &wanted);
	return wanted.found;
}

struct wanted_link {
	const struct world *world;
	unsigned member;
	bool up;
};

static bool guests_are(void *arg)
{
	const struct wanted_link *wanted = arg;

	return wanted->world->n_states && wanted->world->state.guests_up == wanted->up;
}

bool world_guests(struct world *w, unsigned ms, bool up)
{
	struct wanted_link wanted = {w, 0, up};

	return world_until(w, ms, guests_are, &wanted);
}

static bool link_is(void *arg)
{
	const struct wanted_link *wanted = arg;
	const struct net_team_member *m = &wanted->world->state.members[wanted->member];

	return wanted->world->n_states && !(m->flags & NET_TEAM_LINK) == !wanted->up;
}

bool world_link(struct world *w, unsigned ms, unsigned member, bool up)
{
	struct wanted_link wanted = {w, member, up};

	return world_until(w, ms, link_is, &wanted);
}
