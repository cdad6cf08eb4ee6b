/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fabric's paths, from the one guest's virtqueue to the other's: real virtio-net devices with real nics, on real loops
 * with their lock held, in two processes, joined by a direct link or through a third with the network's worker. Only the
 * machine is the tests' fake, and the guest is played on the same thread: it fills its transmit queue and kicks by eventfd
 * (as a vCPU's exit would), takes what was received, gives the buffers back. So a worker's CPU time has a guest's driver in
 * it, and the two never overlap, as they do in a machine that has a processor for each.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/net/ring.h"
#include "devices/pci/pci.h"
#include "devices/virtio/virtio-net.h"
#include "tests/bench/fabric-bench.h"
#include "tests/fakes/fake-driver.h"
#include "vmm-core/network.h"
#include "vmm-core/stats.h"

#define RAM      MIB(8)
#define RX       0
#define TX       1
#define PART     32768 /* of a large frame in one descriptor */
#define RX_SMALL 1536
#define RX_BIG   4096
#define POLL_US  200 /* a wake-up there and back, on a slow host too */

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
static_assert(sizeof(struct desc) == 16, "virtio 1.2, 2.7.5");

/* A queue as the guest has it: what fake_driver laid out, by pointers. */
struct queue {
	unsigned size;
	struct desc *desc;
	uint16_t *avail;        /* flags, idx, ring, used_event */
	_Atomic uint16_t *used; /* flags, idx; ring of two words each; avail_event */
	uint16_t avail_idx, shown_idx, used_idx;
	int kick_fd;
};

struct vm {
	struct run *run;
	unsigned number; /* 0: sends, 1: receives */
	struct fake_machine *f;
	struct device *root, *dev;
	struct fake_driver d;
	struct vm_stats_page stats;
	struct queue tx, rx;
	/* Frames to send, each with its header in front of it, in chains that never change. */
	unsigned n_slots, per_slot, n_out, next_slot;
	uint8_t *slots[POOL_FRAMES];
	uint64_t seq;
	/* Buffers to receive to. */
	uint8_t *buffers[VIRTQ_MAX_SIZE];
	struct tally tally;
	uint64_t last_received; /* number of the last frame */
};

/* What a link consists of, made before its ends are forked. */
struct ends {
	int own[2], peer[2], bell[2];
};

struct links {
	struct ends direct;
	struct ends star[2];
	bool through_worker;
	/* In a Linux bridge; NULL: none. With 'through_worker' the first is the host port of the sender's network. */
	const int *taps;
};

/* The guest. */

static void open_queue(struct vm *vm, unsigned index, struct queue *q)
{
	const struct fake_ring *r = &vm->d.rings[index];
	uint64_t bell = vm->d.notify + (uint64_t)vm->d.notify_multiplier * index;

	*q = (struct queue){.size = r->size, .kick_fd = -1};
	q->desc = guest_mem_ptr(vm->f->m.mem, GPA(r->desc), 1);
	q->avail = guest_mem_ptr(vm->f->m.mem, GPA(r->avail), 1);
	q->used = guest_mem_ptr(vm->f->m.mem, GPA(r->used), 1);
	for (unsigned i = 0; i < vm->f->n_doorbells; i++)
		if (vm->f->doorbells[i].addr == bell)
			q->kick_fd = vm->f->doorbells[i].fd;
	if (q->kick_fd < 0)
		bench_die("doorbell", ENOENT);
}

static void offer(struct queue *q, unsigned head)
{
	q->avail[2 + q->avail_idx++ % q->size] = (uint16_t)head;
}

/* 2.7.13.3: show what was offered, kick if the device wants to know (2.7.10, with the event index). */
static void show(struct queue *q)
{
	uint16_t old = q->shown_idx, event;
	uint64_t one = 1;

	if (old == q->avail_idx)
		return;
	atomic_thread_fence(memory_order_release);
	*(volatile uint16_t *)&q->avail[1] = q->shown_idx = q->avail_idx;
	atomic_thread_fence(memory_order_seq_cst);
	event = q->used[2 + 4 * q->size];
	if ((uint16_t)(q->avail_idx - event - 1) < (uint16_t)(q->avail_idx - old) &&
		write(q->kick_fd, &one, sizeof(one)) < 0)
		bench_die("doorbell", errno);
}

static bool is_used(const struct queue *q)
{
	return atomic_load_explicit(&q->used[1], memory_order_acquire) != q->used_idx;
}

/* The head of the next chain that came back. */
static unsigned take_used(struct queue *q)
{
	return atomic_load_explicit(
		&q->used[2 + 4 * (q->used_idx++ % q->size)], memory_order_relaxed);
}

/* Interrupt at this entry, not before. */
static void want_interrupt(struct queue *q, uint16_t at)
{
	*(volatile uint16_t *)&q->avail[2 + q->size] = at;
	atomic_thread_fence(memory_order_seq_cst);
}

static void make_slot(struct vm *vm, unsigned slot)
{
	uint32_t len = HDR_LEN + vm->run->size;
	uint64_t at = fake_driver_alloc(&vm->d, len);
	unsigned head = slot * vm->per_slot;

	vm->slots[slot] = guest_mem_ptr(vm->f->m.mem, GPA(at), len);
	bench_make_frame(vm->slots[slot], vm->slots[slot] + HDR_LEN, vm->run->size, vm->number);
	for (unsigned i = 0; i < vm->per_slot; i++) {
		uint32_t part = MIN(len, (uint32_t)PART);

		vm->tx.desc[head + i] = (struct desc){
			.addr = at,
			.len = part,
			.flags = i + 1 < vm->per_slot ? FAKE_NEXT : 0,
			.next = (uint16_t)(head + i + 1),
		};
		at += part;
		len -= part;
	}
}

static void make_buffers(struct vm *vm)
{
	uint32_t len = vm->run->size > RX_SMALL - HDR_LEN ? RX_BIG : RX_SMALL;

	for (unsigned i = 0; i < vm->rx.size; i++) {
		uint64_t at = fake_driver_alloc(&vm->d, len);

		vm->buffers[i] = guest_mem_ptr(vm->f->m.mem, GPA(at), len);
		vm->rx.desc[i] = (struct desc){.addr = at, .len = len, .flags = FAKE_WRITE};
		offer(&vm->rx, i);
	}
	show(&vm->rx);
}

static void start_guest(struct vm *vm)
{
	fake_driver_start(&vm->d, UINT64_MAX);
	open_queue(vm, TX, &vm->tx);
	open_queue(vm, RX, &vm->rx);
	vm->per_slot = DIV_ROUND_UP(HDR_LEN + vm->run->size, PART);
	vm->n_slots = MIN(bench_pool_frames(vm->run->size), vm->tx.size / vm->per_slot);
	for (unsigned i = 0; i < vm->n_slots; i++)
		make_slot(vm, i);
	make_buffers(vm);
}

/* Up to 'max' frames more into the queue. */
static unsigned guest_send(struct vm *vm, unsigned max)
{
	unsigned n = 0;

	while (is_used(&vm->tx)) {
		(void)take_used(&vm->tx);
		vm->n_out--;
	}
	for (; n < max && vm->n_out < vm->n_slots; n++, vm->n_out++) {
		unsigned slot = vm->next_slot;

		bench_put_seq(vm->slots[slot] + HDR_LEN, vm->seq++);
		offer(&vm->tx, slot * vm->per_slot);
		vm->next_slot = slot + 1 == vm->n_slots ? 0 : slot + 1;
	}
	/* As drivers do: not before three quarters of it are done. */
	want_interrupt(&vm->tx, (uint16_t)(vm->tx.used_idx + vm->n_out * 3 / 4));
	show(&vm->tx);
	return n;
}

/* All frames that have come; the buffers go back. */
static unsigned guest_receive(struct vm *vm)
{
	unsigned n = 0;

	do {
		while (is_used(&vm->rx)) {
			unsigned id = take_used(&vm->rx), more;
			const uint8_t *buffer = vm->buffers[id];
			uint16_t n_buffers;

			memcpy(&n_buffers, buffer + 10, sizeof(n_buffers));
			vm->last_received = bench_get_seq(buffer + HDR_LEN);
			bench_count(&vm->tally, vm->last_received);
			offer(&vm->rx, id);
			for (more = n_buffers; more > 1; more--)
				offer(&vm->rx, take_used(&vm->rx));
			n++;
		}
		show(&vm->rx);
		want_interrupt(&vm->rx, vm->rx.used_idx);
	} while (is_used(&vm->rx));
	if (n) {
		bench_show(vm->run->shared, &vm->tally);
		bench_open_window(vm->run, vm->tally.next_seq);
	}
	return n;
}

/* The machine. */

static void port_config(unsigned of, struct net_port_config *config)
{
	*config = (struct net_port_config){0};
	bench_mac(of, config->mac);
}

static void make_machine(struct vm *vm, int tap)
{
	vm->f = fake_machine_new(RAM);
	/* Its clock stands; this one runs, and takes the lock as the worker's does. */
	(void)loop_free(vm->f->m.loop);
	if (loop_new(&vm->f->m.loop) < 0)
		bench_die("loop", ENOMEM);
	loop_set_locking(vm->f->m.loop, true);
	fake_machine_enable_doorbells(vm->f);
	vm->f->m.stats = &vm->stats;
	port_config(vm->number, &vm->f->config.nics[0].port);
	vm->f->config.nics[0].poll_us = (uint16_t)vm->run->poll_us;
	vm->f->config.n_nics = 1;
	vm->f->fds.nics[0] = tap;
	if (device_new(&q35_host_class, &vm->f->m, 0, &vm->root) < 0 ||
		device_new(&virtio_net_pci_class.class, &vm->f->m, 0, &vm->dev) < 0 ||
		q35_host_class.ops->machine_done(vm->root) < 0 ||
		!fake_driver_probe(&vm->d, vm->f, 1))
		bench_die("virtio-net", EINVAL);
}

static struct ends make_ends(void)
{
	struct ends e;

	for (unsigned i = 0; i < 2; i++) {
		char path[64];

		e.own[i] = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (e.own[i] < 0 || ftruncate(e.own[i], RING_FILE_SIZE(PROTO_RING_DATA)) < 0 ||
			fcntl(e.own[i], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
			bench_die("memfd", errno);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", e.own[i]);
		e.peer[!i] = open(path, O_RDONLY | O_CLOEXEC);
		e.bell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (e.peer[!i] < 0 || e.bell[i] < 0)
			bench_die("eventfd", errno);
	}
	return e;
}

static void take_end(const struct ends *e, unsigned end, int fds[PROTO_LINK_FDS])
{
	fds[0] = e->own[end];
	fds[1] = e->peer[end];
	fds[2] = e->bell[end];
	fds[3] = e->bell[!end];
}

/* Of the parent, once its children have them. */
static void close_ends(const struct ends *e)
{
	for (unsigned i = 0; i < 2; i++) {
		(void)close(e->own[i]);
		(void)close(e->peer[i]);
		(void)close(e->bell[i]);
	}
}

/* The daemon's part. */
static void connect_vm(struct vm *vm, const struct links *links)
{
	struct proto_link link = {.id = links->through_worker ? PROTO_LINK_STAR : 1,
		.ring_data = PROTO_RING_DATA,
		.peer_port = !vm->number + 1U};
	struct proto_link_id use = {.id = 1, .flags = PROTO_LINK_ON};
	const struct machine_nic_ops *ops = vm->f->m.nic_ops;
	int fds[PROTO_LINK_FDS], r;

	if (links->through_worker) {
		take_end(&links->star[vm->number], 0, fds);
	} else {
		port_config(!vm->number, &link.peer);
		take_end(&links->direct, vm->number, fds);
	}
	r = ops->link_add(vm->dev, &link, fds);
	if (r == 0 && !links->through_worker)
		r = ops->link_use(vm->dev, &use);
	if (r < 0)
		bench_die("link", r);
}

static void turn(struct vm *vm, uint64_t timeout_ns)
{
	int r = loop_run_once(vm->f->m.loop, timeout_ns);

	if (r < 0)
		bench_die("loop", r);
}

/* The other side has come so far that sending is worth while; the next turn of flood() looks how far. */
static void on_window(void *opaque, uint32_t events)
{
	struct vm *vm = opaque;
	uint64_t count;

	(void)events;
	(void)!read(vm->run->window_bell, &count, sizeof(count));
}

static bool window_is_open(struct vm *vm)
{
	struct shared *s = vm->run->shared;

	if (bench_window(vm->run, vm->seq))
		return true;
	atomic_store_explicit(&s->wanted_seq, vm->seq - vm->run->window / 2, memory_order_relaxed);
	atomic_store_explicit(&s->waits, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	return bench_window(vm->run, vm->seq);
}

static void flood(struct vm *vm)
{
	struct loop_source *source;

	if (loop_add_fd(vm->f->m.loop, vm->run->window_bell, EPOLLIN, on_window, vm, &source) < 0)
		bench_die("window", errno);
	for (;;) {
		uint64_t open = bench_window(vm->run, vm->seq);
		unsigned n = guest_send(vm, (unsigned)MIN(open, (uint64_t)UINT32_MAX));

		turn(vm, n || (!open && window_is_open(vm)) ? 0 : LOOP_NEVER);
	}
}

static void receive(struct vm *vm, bool answer)
{
	for (;;) {
		turn(vm, LOOP_NEVER);
		if (guest_receive(vm) && answer)
			(void)guest_send(vm, 1);
	}
}

static void ping(struct vm *vm)
{
	for (bool idle = false; !idle; idle = vm->run->mode == MODE_IDLE) {
		uint64_t begin_ns = bench_now_ns();

		(void)guest_send(vm, 1);
		while (!guest_receive(vm))
			turn(vm, LOOP_NEVER);
		bench_rtt(vm->run->shared, bench_now_ns() - begin_ns);
	}
	for (;;)
		turn(vm, LOOP_NEVER);
}

/* It has a tap of its own, and no links. */
static bool is_on_tap(const struct links *links, unsigned number)
{
	return links->taps && (number || !links->through_worker);
}

static struct vm *make_vm(struct run *run, const struct links *links, unsigned number)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	bool on_tap = is_on_tap(links, number);

	if (!vm)
		bench_die("vm", ENOMEM);
	vm->run = run;
	vm->number = number;
	make_machine(vm, on_tap ? links->taps[number] : -EBADF);
	start_guest(vm);
	if (!on_tap)
		connect_vm(vm, links);
	return vm;
}

static void work_vm(struct run *run, const struct links *links, unsigned number)
{
	struct vm *vm = make_vm(run, links, number);

	if (number)
		receive(vm, run->mode != MODE_FLOOD);
	else if (run->mode == MODE_FLOOD)
		flood(vm);
	else
		ping(vm);
}

static void work_sender(struct run *run, void *arg)
{
	work_vm(run, arg, 0);
}

static void work_receiver(struct run *run, void *arg)
{
	work_vm(run, arg, 1);
}

static bool on_event(void *opaque, const struct proto_net_event *event)
{
	/* That the two talk: the daemon would make a link for them. */
	(void)opaque;
	(void)event;
	return true;
}

static struct loop *make_network(const struct run *run, const struct links *links)
{
	static struct net_config config;
	const struct network_owner owner = {.event = on_event};
	char reason[PROTO_REASON_MAX] = "";
	struct network *network;
	struct network_fds fds;
	struct loop *loop;
	int r = loop_new(&loop);

	net_config_init(&config);
	(void)strcpy(config.name, "bench");
	config.poll_us = (uint16_t)run->poll_us;
	network_fds_init(&fds);
	if (links->taps) {
		config.has_host_port = 1;
		config.host_port.flags =
			NET_PORT_LEARN | NET_PORT_ALLOW_FORGED | NET_PORT_PROMISCUOUS;
		fds.host_tap = links->taps[0];
	}
	fds.stats = memfd_create("stats", MFD_CLOEXEC);
	if (r < 0 || ftruncate(fds.stats, sizeof(struct net_stats_page)) < 0 ||
		network_new(&config, &fds, loop, &owner, &network, reason) < 0)
		bench_die(reason, EINVAL);
	for (unsigned i = 0; i < (links->taps ? 1 : 2); i++) {
		struct proto_port port = {.port = i + 1, .ring_data = PROTO_RING_DATA};
		int ends[PROTO_LINK_FDS];

		port_config(i, &port.config);
		take_end(&links->star[i], 1, ends);
		r = network_port_add(network, &port, ends);
		if (r < 0)
			bench_die("port", r);
	}
	return loop;
}

static void work_network(struct run *run, void *arg)
{
	int r = loop_run(make_network(run, arg));

	bench_die("network", r);
}

uint64_t bench_count_vm(struct run *run, bool through_worker, uint64_t frames)
{
	struct links links = {.through_worker = through_worker};
	struct loop *network = NULL;
	struct vm *a, *b;

	if (through_worker) {
		links.star[0] = make_ends();
		links.star[1] = make_ends();
		network = make_network(run, &links);
	} else {
		links.direct = make_ends();
	}
	a = make_vm(run, &links, 0);
	b = make_vm(run, &links, 1);
	while (b->tally.received < frames) {
		(void)guest_send(a, POOL_FRAMES);
		turn(a, 0);
		if (network)
			(void)loop_run_once(network, 0);
		turn(b, 0);
		(void)guest_receive(b);
	}
	return b->tally.received;
}

static bool start_direct(struct run *run)
{
	struct links links = {.direct = make_ends()};

	bench_fork(run, work_receiver, &links);
	bench_fork(run, work_sender, &links);
	close_ends(&links.direct);
	return true;
}

static bool start_star(struct run *run)
{
	struct links links = {.star = {make_ends(), make_ends()}, .through_worker = true};

	bench_fork(run, work_network, &links);
	bench_fork(run, work_receiver, &links);
	bench_fork(run, work_sender, &links);
	close_ends(&links.star[0]);
	close_ends(&links.star[1]);
	return true;
}

/* Taps that do not block, as the daemon makes them. */
static bool make_taps(int ret_taps[2])
{
	if (!bench_make_bridge(ret_taps))
		return false;
	for (unsigned i = 0; i < 2; i++)
		if (fcntl(ret_taps[i], F_SETFL, O_NONBLOCK) < 0)
			return false;
	return true;
}

static bool start_taps(struct run *run)
{
	int taps[2];
	struct links links = {.taps = taps};

	if (!make_taps(taps))
		return false;
	bench_fork(run, work_receiver, &links);
	bench_fork(run, work_sender, &links);
	close(taps[0]);
	close(taps[1]);
	return true;
}

static bool start_network_tap(struct run *run)
{
	int taps[2];
	struct links links = {.star = {make_ends()}, .through_worker = true, .taps = taps};

	if (!make_taps(taps))
		return false;
	bench_fork(run, work_network, &links);
	bench_fork(run, work_receiver, &links);
	bench_fork(run, work_sender, &links);
	close_ends(&links.star[0]);
	close(taps[0]);
	close(taps[1]);
	return true;
}

const struct path vm_direct = {.name = "vmmd, direct link",
	.max_size = UINT32_MAX,
	.ping = true,
	.windowed = true,
	.start = start_direct};
const struct path vm_star = {.name = "vmmd, by the network's worker",
	.max_size = UINT32_MAX,
	.ping = true,
	.windowed = true,
	.start = start_star};
const struct path vm_direct_poll = {.name = "vmmd, polling, direct link",
	.max_size = UINT32_MAX,
	.ping = true,
	.windowed = true,
	.poll_us = POLL_US,
	.start = start_direct};
const struct path vm_star_poll = {.name = "vmmd, polling, by the network's worker",
	.max_size = UINT32_MAX,
	.ping = true,
	.windowed = true,
	.poll_us = POLL_US,
	.start = start_star};
const struct path vm_open = {
	.name = "vmmd, no window, direct link", .max_size = UINT32_MAX, .start = start_direct};
const struct path vm_taps = {.name = "vmmd, taps in a Linux bridge",
	.max_size = UINT32_MAX,
	.ping = true,
	.start = start_taps};
const struct path vm_network_tap = {.name = "vmmd, a network's tap in a Linux bridge",
	.max_size = UINT32_MAX,
	.ping = true,
	.start = start_network_tap};
