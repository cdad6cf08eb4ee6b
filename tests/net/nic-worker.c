/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain's worker without a machine: one vNIC with the fabric's own switch and links (devices/net/nic.c), whose guest
 * sends numbered frames to its partner for ever, and counts. As a network's worker it is the shipped one, which lies beside
 * it as VMMD_WORKER says. So that links between processes can be tested without KVM.
 *
 * The partner of address …:01 is …:02, and the other way round. Counted where the vNIC's statistics are: tx_packets sent,
 * rx_packets received, rx_gso received that did not follow the one before.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/net/nic.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/proto.h"
#include "vmm-core/stats.h"

#define BURST_NS UINT64_C(1000000)
#define BURST    8

struct packet {
	struct proto_header header;
	uint8_t payload[PROTO_MAX_PAYLOAD];
};

struct worker {
	struct loop *loop;
	struct loop_source *control;
	struct vm_config config;
	struct net_port_counters *counts; /* what the test looks at */
	struct net_port_counters counters;
	struct port port;
	struct nic *nic;
	struct loop_timer timer;
	uint32_t sent, expected;
};

static struct worker worker;

/* The guest. */

static int guest_transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	uint32_t number;

	(void)port;
	(void)tci;
	if (frame->ethertype != 0x88b6 ||
		frame_copy(frame, 14, &number, sizeof(number)) != sizeof(number))
		return 0;
	/* What was sent before there was a way to here does not count. */
	if (worker.expected && number != worker.expected)
		net_count(&worker.counts->rx_gso, 1);
	worker.expected = number + 1;
	net_count(&worker.counts->rx_packets, 1);
	return 0;
}

static const struct port_ops guest_ops = {.transmit = guest_transmit};

/* False: no room, it comes again. */
static bool send_next(void)
{
	uint8_t bytes[64] = {[12] = 0x88, [13] = 0xb6};
	struct iovec iov = {bytes, sizeof(bytes)};
	uint32_t number = worker.sent + 1;
	struct frame frame;

	memcpy(bytes, worker.config.nics[0].port.mac, NET_MAC_LEN);
	memcpy(bytes + NET_MAC_LEN, bytes, NET_MAC_LEN);
	bytes[NET_MAC_LEN - 1] ^= 3;
	memcpy(bytes + 14, &number, sizeof(number));
	if (frame_init(&frame, NULL, &iov, 1, sizeof(bytes), FRAME_MAX, -1) != NET_DROP_NONE)
		abort();
	if (nic_send(worker.nic, &frame, false) == -EAGAIN)
		return false;
	worker.sent = number;
	net_count(&worker.counts->tx_packets, 1);
	return true;
}

static void send_burst(void)
{
	for (unsigned i = 0; i < BURST && send_next(); i++)
		;
	nic_flush(worker.nic);
}

static void on_timer(struct loop_timer *timer, uint64_t now_ns)
{
	send_burst();
	(void)loop_timer_set(timer, now_ns + BURST_NS);
}

static void on_space(struct port *port)
{
	(void)port; /* the next burst is soon */
}

/* The daemon. */

static void send_message(
	enum proto_type type, uint32_t seq, int error, const void *payload, size_t len)
{
	struct packet p = {.header = {.version = PROTO_VERSION,
				   .type = (uint16_t)type,
				   .seq = seq,
				   .len = (uint32_t)len,
				   .error = error}};

	memcpy(p.payload, payload, len);
	(void)send_packet(PROTO_CONTROL_FD, &p, sizeof(p.header) + len, NULL, 0);
}

static void send_state(enum proto_type type)
{
	struct proto_state s = {
		.state = worker.nic ? PROTO_VM_RUNNING : PROTO_VM_NEW, .nics = worker.nic ? 1 : 0};

	memcpy(s.uuid, worker.config.uuid, sizeof(s.uuid));
	send_message(type, 0, 0, &s, sizeof(s));
}

static int start(const struct packet *p, int *fds)
{
	struct vm_stats_page *stats = MAP_FAILED;
	struct proto_start s;
	int r;

	memcpy(&s, p->payload, sizeof(s));
	for (unsigned i = 0; i < s.n_fds; i++)
		if (s.fds[i].kind == PROTO_FD_STATS)
			stats = mmap(NULL, sizeof(*stats), PROT_READ | PROT_WRITE, MAP_SHARED,
				fds[i], 0);
	r = memfd_read_sealed(fds[0], &worker.config, sizeof(worker.config));
	if (r < 0 || stats == MAP_FAILED)
		return -EINVAL;
	stats->magic = STATS_MAGIC;
	stats->version = STATS_VERSION;
	worker.counts = &stats->nics[0];
	worker.port =
		(struct port){.ops = &guest_ops, .kind = PORT_VNIC, .counters = &worker.counters};
	r = nic_new(
		worker.loop, &worker.config.nics[0].port, 0, &worker.port, on_space, &worker.nic);
	if (r < 0)
		return r;
	nic_set_offloads(worker.nic, UINT32_MAX);
	loop_timer_init(&worker.timer, worker.loop, on_timer);
	return loop_timer_set(&worker.timer, loop_now_ns(worker.loop) + BURST_NS);
}

static int link_add(const struct packet *p, int *fds)
{
	struct proto_link link;
	struct nic_link l;

	memcpy(&link, p->payload, sizeof(link));
	l = (struct nic_link){.id = link.id,
		.peer_port = link.peer_port,
		.ring_data = link.ring_data,
		.peer = link.peer,
		.own_ring = TAKE_FD(fds[0]),
		.peer_ring = TAKE_FD(fds[1]),
		.own_bell = TAKE_FD(fds[2]),
		.peer_bell = TAKE_FD(fds[3])};
	return nic_link_add(worker.nic, &l);
}

static int list_links(void)
{
	struct nic_link_state links[NIC_MAX_LINKS];
	struct proto_links told = {.n = nic_links(worker.nic, links)};

	for (unsigned i = 0; i < told.n; i++)
		told.links[i] = (struct proto_link_state){.id = links[i].id,
			.peer_port = (uint16_t)links[i].peer_port,
			.flags = links[i].in_use ? PROTO_LINK_ON : 0,
			.frames = links[i].frames};
	send_message(PROTO_LINKS, 0, 0, &told, sizeof(told));
	return 0;
}

static int handle(const struct packet *p, int *fds)
{
	struct proto_link_id id;

	memcpy(&id, p->payload, sizeof(id));
	switch (p->header.type) {
	case PROTO_START:
		/* It outlives the daemon from now on. */
		(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
		return start(p, fds);
	case PROTO_LINK_ADD:
		return link_add(p, fds);
	case PROTO_LINK_USE:
		return nic_link_use(worker.nic, id.id, id.flags & PROTO_LINK_ON);
	case PROTO_LINK_REMOVE:
		return nic_link_remove(worker.nic, id.id);
	case PROTO_LINK_LIST:
		return list_links();
	default:
		return -ENOTSUP;
	}
}

static void on_control(void *opaque, uint32_t events)
{
	struct proto_reason reason = {.text = "no"};
	int fds[PROTO_MAX_FDS], r;
	unsigned n_fds = 0;
	struct packet p;
	ssize_t n = recv_packet(PROTO_CONTROL_FD, &p, sizeof(p), fds, PROTO_MAX_FDS, &n_fds);

	(void)opaque;
	(void)events;
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		worker.control = loop_source_remove(worker.control);
		if (!worker.nic)
			exit(EXIT_FAILURE);
		return;
	}
	if (p.header.type == PROTO_QUIT)
		exit(EXIT_SUCCESS);
	r = handle(&p, fds);
	send_message(PROTO_REPLY, p.header.seq, r, &reason, r < 0 ? sizeof(reason) : 0);
	for (unsigned i = 0; i < n_fds; i++)
		(void)safe_close(fds[i]);
}

static void talk(void)
{
	(void)fd_set_nonblock(PROTO_CONTROL_FD, true);
	if (loop_add_fd(worker.loop, PROTO_CONTROL_FD, EPOLLIN, on_control, NULL, &worker.control) <
		0)
		abort();
	send_state(PROTO_HELLO);
}

static void on_listen(void *opaque, uint32_t events)
{
	int fd = accept4(PROTO_LISTEN_FD, NULL, NULL, SOCK_CLOEXEC);

	(void)opaque;
	(void)events;
	if (fd < 0)
		return;
	worker.control = loop_source_remove(worker.control);
	(void)dup3(fd, PROTO_CONTROL_FD, O_CLOEXEC);
	close(fd);
	talk();
}

int main(int argc, char **argv)
{
	struct loop_source *source;

	if (argc > 1 && strncmp(argv[1], "net:", 4) == 0) {
		(void)execl(VMMD_WORKER, "vmmd-worker", argv[1], (char *)NULL);
		return EXIT_FAILURE;
	}
	(void)fd_set_nonblock(PROTO_LISTEN_FD, true);
	if (loop_new(&worker.loop) < 0 ||
		loop_add_fd(worker.loop, PROTO_LISTEN_FD, EPOLLIN, on_listen, NULL, &source) < 0)
		return EXIT_FAILURE;
	talk();
	return loop_run(worker.loop) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
