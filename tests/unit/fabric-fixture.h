/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fabric on one loop, without processes: vNICs (nic.c), the links between them (link.c) and a network's worker
 * (devices/fabric/network.c), over real rings and bells. The daemon's part is played here. For the tests of it.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/net/capture.h"
#include "devices/net/nic.h"
#include "devices/net/ring.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/network.h"
#include "vmm-core/stats.h"

#define MAX_VMS  64
#define MAX_SEEN 4096
#define RING     RING_MIN_DATA

/* A machine with one vNIC: what its guest was given. */
struct vm {
	struct port port; /* first */
	struct net_port_counters counters;
	struct net_port_config config;
	struct nic *nic;
	unsigned number; /* of its port */
	unsigned room;   /* frames that the guest has buffers for */
	bool has_space;
	unsigned n_seen, n_flushes;
	uint32_t seen[MAX_SEEN]; /* the frames' numbers */
	uint32_t seen_len[MAX_SEEN];
	int32_t seen_tci;
};

struct world {
	struct loop *loop;
	struct network *network;
	struct net_stats_page *stats;
	struct vm vms[MAX_VMS];
	unsigned n_events[PROTO_NET_EVENT_KIND_X_MAX];
	struct proto_net_event last;
	int hostile_file; /* the network's peer's file of the last link, kept by a test */
};

static inline int vm_transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct vm *vm = container_of(port, struct vm, port);
	uint32_t number;

	if (!vm->room)
		return -EAGAIN;
	vm->room--;
	assert_true(frame_copy(frame, 14, &number, sizeof(number)) == sizeof(number));
	if (vm->n_seen < MAX_SEEN) {
		vm->seen[vm->n_seen] = number;
		vm->seen_len[vm->n_seen] = frame->len;
	}
	vm->n_seen++;
	vm->seen_tci = tci;
	return 0;
}

static inline void vm_flush(struct port *port)
{
	container_of(port, struct vm, port)->n_flushes++;
}

static inline void vm_space(struct port *port)
{
	container_of(port, struct vm, port)->has_space = true;
}

static const struct port_ops vm_ops = {.transmit = vm_transmit, .flush = vm_flush};

static inline bool on_event(void *opaque, const struct proto_net_event *event)
{
	struct world *w = opaque;

	w->n_events[event->kind]++;
	w->last = *event;
	return true;
}

/* The daemon's part: the files and bells of a link. */
struct ends {
	int own[2], peer[2], bell[2];
};

static inline struct ends make_ends(void)
{
	struct ends e;

	for (int i = 0; i < 2; i++) {
		char path[64];

		e.own[i] = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(ftruncate(e.own[i], RING_FILE_SIZE(RING)), 0);
		assert_int_equal(fcntl(e.own[i], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", e.own[i]);
		e.peer[!i] = open(path, O_RDONLY | O_CLOEXEC);
		e.bell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	return e;
}

static inline struct nic_link nic_end(const struct ends *e, unsigned end, uint32_t id)
{
	return (struct nic_link){.id = id,
		.ring_data = RING,
		.own_ring = e->own[end],
		.peer_ring = e->peer[end],
		.own_bell = dup(e->bell[end]),
		.peer_bell = dup(e->bell[!end])};
}

static inline void close_bells(const struct ends *e)
{
	close(e->bell[0]);
	close(e->bell[1]);
}

static inline int link_star(struct world *w, struct vm *vm)
{
	struct proto_port message = {.port = vm->number, .ring_data = RING, .config = vm->config};
	struct ends e = make_ends();
	int fds[PROTO_LINK_FDS] = {e.own[0], e.peer[0], dup(e.bell[0]), dup(e.bell[1])}, r;
	struct nic_link end = nic_end(&e, 1, NIC_STAR);

	r = network_port_add(w->network, &message, fds);
	assert_int_equal(nic_link_add(vm->nic, &end), 0);
	close_bells(&e);
	return r;
}

/* How long the world's loop may look for frames before it sleeps. */
static uint16_t fixture_poll_us;

static inline struct vm *add_vm(struct world *w, unsigned i, const struct net_port_config *config)
{
	struct vm *vm = &w->vms[i];

	vm->config = config ? *config : (struct net_port_config){0};
	memcpy(vm->config.mac, (uint8_t[]){0x52, 0x54, 0, 0, 0, (uint8_t)(i + 1)}, 6);
	vm->port = (struct port){
		.ops = &vm_ops, .kind = PORT_VNIC, .counters = &vm->counters, .cookie = i};
	vm->number = i + 1;
	vm->room = UINT32_MAX;
	assert_int_equal(nic_new(w->loop, &vm->config, fixture_poll_us * NSEC_PER_USEC, &vm->port,
				 vm_space, &vm->nic),
		0);
	nic_set_offloads(vm->nic, UINT32_MAX);
	return vm;
}

static inline int setup(void **state)
{
	static struct net_config config;
	struct network_owner owner = {.event = on_event};
	struct world *w = calloc(1, sizeof(*w));
	char reason[PROTO_REASON_MAX] = "";
	struct network_fds fds;

	owner.opaque = w;
	assert_int_equal(loop_new(&w->loop), 0);
	net_config_init(&config);
	(void)strcpy(config.name, "red");
	config.poll_us = fixture_poll_us;
	network_fds_init(&fds);
	fds.stats = memfd_create("stats", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fds.stats, sizeof(struct net_stats_page)), 0);
	w->stats = mmap(NULL, sizeof(struct net_stats_page), PROT_READ, MAP_SHARED, fds.stats, 0);
	assert_int_equal(network_new(&config, &fds, w->loop, &owner, &w->network, reason), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(link_star(w, add_vm(w, i, NULL)), 0);
	*state = w;
	return 0;
}

static inline int teardown(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < MAX_VMS; i++)
		(void)nic_free(w->vms[i].nic);
	(void)network_free(w->network);
	(void)munmap(w->stats, sizeof(*w->stats));
	(void)loop_free(w->loop);
	free(w);
	return 0;
}

/* Until nothing happens for 'ms'. */
static inline void settle_ms(struct world *w, unsigned ms)
{
	while (loop_run_once(w->loop, ms * NSEC_PER_MSEC) > 0)
		;
}

static inline void settle(struct world *w)
{
	settle_ms(w, 20);
}

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static inline int send_frame(
	struct vm *from, const uint8_t *to, uint32_t number, size_t len, bool last)
{
	static uint8_t bytes[FRAME_MAX];
	struct iovec iov = {bytes, len};
	struct frame frame;

	memcpy(bytes, to, 6);
	memcpy(bytes + 6, from->config.mac, 6);
	bytes[12] = 0x88; /* a local experiment: no protocol of the switch's */
	bytes[13] = 0xb6;
	memcpy(bytes + 14, &number, sizeof(number));
	assert_int_equal(frame_init(&frame, NULL, &iov, 1, (uint32_t)len, FRAME_MAX, -1), 0);
	return nic_send(from->nic, &frame, last);
}

static inline void send_one(struct vm *from, const uint8_t *to, uint32_t number)
{
	assert_int_equal(send_frame(from, to, number, 64, false), 0);
	nic_flush(from->nic);
}

static inline void forget(struct world *w)
{
	for (unsigned i = 0; i < MAX_VMS; i++)
		w->vms[i].n_seen = 0;
}

static inline void add_direct(struct vm *a, struct vm *b, uint32_t id)
{
	struct ends e = make_ends();
	struct nic_link ea = nic_end(&e, 0, id), eb = nic_end(&e, 1, id);

	ea.peer = b->config;
	ea.peer_port = b->number;
	eb.peer = a->config;
	eb.peer_port = a->number;
	assert_int_equal(nic_link_add(a->nic, &ea), 0);
	assert_int_equal(nic_link_add(b->nic, &eb), 0);
	close_bells(&e);
}
