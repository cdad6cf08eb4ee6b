/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the fabric is measured against: limits (memcpy, the bare ring between two processes) and other ways from one process
 * to another. Senders write a number into each frame of a pool as large as a guest's, receivers copy or read frames to such
 * a pool and look at the number.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/net/ring.h"
#include "tests/bench/fabric-bench.h"
#include "vmm-core/proto.h"

#define SHOW_EVERY 64 /* frames, as LINK_BUDGET */

/* Frames with headers, each on lines of its own. */
struct pool {
	unsigned n, next;
	size_t step;
	uint8_t *bytes;
};

static void make_pool(struct pool *p, uint32_t size, unsigned from)
{
	p->n = bench_pool_frames(size);
	p->next = 0;
	p->step = ALIGN_UP(HDR_LEN + (size_t)size, 64);
	p->bytes = aligned_alloc(64, p->n * p->step);
	if (!p->bytes)
		bench_die("pool", ENOMEM);
	for (unsigned i = 0; i < p->n; i++)
		bench_make_frame(
			p->bytes + i * p->step, p->bytes + i * p->step + HDR_LEN, size, from);
}

static uint8_t *next_of(struct pool *p)
{
	uint8_t *at = p->bytes + p->next * p->step;

	p->next = p->next + 1 == p->n ? 0 : p->next + 1;
	return at;
}

/* memcpy: one thread. */

static void work_memcpy(struct run *run, void *arg)
{
	struct tally tally = {0};
	struct pool from, to;

	(void)arg;
	make_pool(&from, run->size, 0);
	make_pool(&to, run->size, 0);
	for (uint64_t seq = 0;; seq++) {
		uint8_t *source = next_of(&from), *copy = next_of(&to);

		bench_put_seq(source + HDR_LEN, seq);
		memcpy(copy, source, HDR_LEN + run->size);
		bench_count(&tally, bench_get_seq(copy + HDR_LEN));
		if (seq % SHOW_EVERY == 0)
			bench_show(run->shared, &tally);
	}
}

static bool start_memcpy(struct run *run)
{
	bench_fork(run, work_memcpy, NULL);
	return true;
}

/* The bare ring: what the fabric stands on, with a bell for those who sleep, and without switch, device and loop. */

struct ring_end {
	int own, peer, own_bell, peer_bell;
	bool copies;
};

static void open_ring(struct ring *ring, const struct ring_end *end)
{
	int r = ring_open(ring, end->own, end->peer, PROTO_RING_DATA);

	if (r < 0)
		bench_die("ring", r);
}

static void ring_it(const struct ring_end *end)
{
	uint64_t one = 1;

	(void)!write(end->peer_bell, &one, sizeof(one));
}

static void wait_for_bell(const struct ring_end *end)
{
	uint64_t count;

	if (read(end->own_bell, &count, sizeof(count)) < 0)
		bench_die("bell", errno);
}

static void put_frame(struct ring *ring, const struct ring_end *end, uint8_t *frame, uint32_t size)
{
	struct iovec iov = {frame + HDR_LEN, size};
	struct ring_meta meta = {0};
	int r;

	memcpy(meta.hdr, frame, HDR_LEN);
	while ((r = ring_put(ring, &meta, &iov, 1, size)) == -EAGAIN) {
		if (ring_publish(ring))
			ring_it(end);
		wait_for_bell(end);
	}
	if (r < 0)
		bench_die("ring", r);
}

static void work_ring_sender(struct run *run, void *arg)
{
	const struct ring_end *end = arg;
	struct ring ring;
	struct pool pool;

	open_ring(&ring, end);
	make_pool(&pool, run->size, 0);
	for (uint64_t seq = 0;; seq++) {
		uint8_t *frame = next_of(&pool);

		bench_put_seq(frame + HDR_LEN, seq);
		put_frame(&ring, end, frame, run->size);
		if (pool.next == 0 && ring_publish(&ring))
			ring_it(end);
	}
}

/* The next frame, if need be after a sleep. */
static void get_frame(struct ring *ring, const struct ring_end *end, struct ring_frame *ret)
{
	int r;

	while ((r = ring_get(ring, ret)) == 0) {
		if (ring_release(ring))
			ring_it(end);
		if (!ring_park(ring))
			continue;
		wait_for_bell(end);
		ring_unpark(ring);
	}
	if (r < 0)
		bench_die("ring", r);
}

/* Every line of it is read. */
static uint64_t look_at(const struct ring_frame *f)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < f->len; i += 64)
		sum += *(const volatile uint8_t *)(f->data + i);
	return sum;
}

static void work_ring_receiver(struct run *run, void *arg)
{
	const struct ring_end *end = arg;
	struct tally tally = {0};
	struct ring_frame f;
	struct ring ring;
	struct pool pool;

	open_ring(&ring, end);
	make_pool(&pool, run->size, 1);
	for (;;) {
		get_frame(&ring, end, &f);
		if (end->copies) {
			uint8_t *to = next_of(&pool);

			memcpy(to, f.meta.hdr, HDR_LEN);
			memcpy(to + HDR_LEN, f.data, f.len);
			bench_count(&tally, bench_get_seq(to + HDR_LEN));
		} else {
			(void)look_at(&f);
			bench_count(&tally, bench_get_seq(f.data));
		}
		ring_done(&ring);
		if (tally.received % SHOW_EVERY == 0) {
			if (ring_release(&ring))
				ring_it(end);
			bench_show(run->shared, &tally);
		}
	}
}

static bool start_rings(struct run *run, bool copies)
{
	struct ring_end ends[2] = {{.copies = copies}, {.copies = copies}};

	for (unsigned i = 0; i < 2; i++) {
		char path[64];

		ends[i].own = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (ends[i].own < 0 ||
			ftruncate(ends[i].own, RING_FILE_SIZE(PROTO_RING_DATA)) < 0 ||
			fcntl(ends[i].own, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
			bench_die("memfd", errno);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[i].own);
		ends[!i].peer = open(path, O_RDONLY | O_CLOEXEC);
		ends[i].own_bell = ends[!i].peer_bell = eventfd(0, EFD_CLOEXEC);
	}
	bench_fork(run, work_ring_receiver, &ends[1]);
	bench_fork(run, work_ring_sender, &ends[0]);
	for (unsigned i = 0; i < 2; i++) {
		(void)close(ends[i].own);
		(void)close(ends[i].peer);
		(void)close(ends[i].own_bell);
	}
	return true;
}

static bool start_ring(struct run *run)
{
	return start_rings(run, true);
}

static bool start_ring_read(struct run *run)
{
	return start_rings(run, false);
}

/* Frames by read() and write(): taps, sockets. */

struct endpoint {
	int fd;
	uint32_t skip; /* of the header: it does not travel */
};

static void put_message(const struct endpoint *e, struct run *run, uint8_t *frame, uint64_t seq)
{
	size_t len = HDR_LEN + run->size - e->skip;

	bench_put_seq(frame + HDR_LEN, seq);
	while (write(e->fd, frame + e->skip, len) < 0)
		if (errno != ENOBUFS && errno != EINTR && errno != EAGAIN)
			bench_die("write", errno);
}

/* The next frame that is one of ours; its number. */
static uint64_t get_message(const struct endpoint *e, struct run *run, uint8_t *frame)
{
	size_t len = HDR_LEN + run->size - e->skip;
	ssize_t n;

	while ((n = read(e->fd, frame + e->skip, len + 1)) != (ssize_t)len)
		if (n < 0 && errno != EINTR)
			bench_die("read", errno);
	return bench_get_seq(frame + HDR_LEN);
}

static void work_message_sender(struct run *run, void *arg)
{
	const struct endpoint *e = arg;
	struct pool pool;
	uint64_t seq = 0;

	make_pool(&pool, run->size, 0);
	for (; run->mode == MODE_FLOOD; seq++)
		put_message(e, run, next_of(&pool), seq);
	for (;; seq++) {
		uint64_t begin_ns = bench_now_ns();

		put_message(e, run, next_of(&pool), seq);
		while (get_message(e, run, pool.bytes) != seq)
			;
		bench_rtt(run->shared, bench_now_ns() - begin_ns);
		while (run->mode == MODE_IDLE)
			(void)pause();
	}
}

static void work_message_receiver(struct run *run, void *arg)
{
	const struct endpoint *e = arg;
	struct tally tally = {0};
	struct pool pool, answers;

	make_pool(&pool, run->size, 1);
	make_pool(&answers, run->size, 1);
	/* Switches learn where we are. */
	put_message(e, run, next_of(&answers), UINT64_MAX);
	for (;;) {
		uint64_t seq = get_message(e, run, next_of(&pool));

		bench_count(&tally, seq);
		bench_show(run->shared, &tally);
		if (run->mode != MODE_FLOOD)
			put_message(e, run, next_of(&answers), seq);
	}
}

static bool start_messages(struct run *run, struct endpoint *e)
{
	bench_fork(run, work_message_receiver, &e[1]);
	bench_fork(run, work_message_sender, &e[0]);
	(void)close(e[0].fd);
	(void)close(e[1].fd);
	return true;
}

static bool start_unix(struct run *run)
{
	struct endpoint e[2];
	int fds[2], bytes = MIB(1);

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) < 0)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
		e[i] = (struct endpoint){.fd = fds[i]};
	}
	return start_messages(run, e);
}

static bool command(const char *line)
{
	int status = system(line);

	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int open_tap(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), hdr = HDR_LEN;

	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &hdr) < 0 ||
		ioctl(fd, TUNSETOFFLOAD, offloads) < 0)
		return -1;
	return fd;
}

bool bench_make_bridge(int ret_taps[2])
{
	for (unsigned i = 0; i < 2; i++) {
		ret_taps[i] = open_tap(i ? "bench1" : "bench0");
		if (ret_taps[i] < 0)
			return false;
	}
	(void)command("ip link del benchbr 2>/dev/null");
	return command("ip link add benchbr type bridge mcast_snooping 0 && "
		       "ip link set dev bench0 master benchbr up && "
		       "ip link set dev bench1 master benchbr up && ip link set dev benchbr up");
}

static bool start_bridge(struct run *run)
{
	struct endpoint e[2] = {0};
	int taps[2];

	if (!bench_make_bridge(taps))
		return false;
	for (unsigned i = 0; i < 2; i++)
		e[i].fd = taps[i];
	return start_messages(run, e);
}

/* vde_switch, by Debian's libvdeplug, which is only looked for when this runs. */
struct vde_plug {
	void *(*open)(char *url, char *description, int version, void *args);
	int (*datafd)(void *connection);
};

static bool load_vde(struct vde_plug *plug)
{
	void *lib = dlopen("libvdeplug.so.2", RTLD_NOW);

	if (!lib)
		return false;
	*(void **)&plug->open = dlsym(lib, "vde_open_real");
	*(void **)&plug->datafd = dlsym(lib, "vde_datafd");
	return plug->open && plug->datafd;
}

static void work_vde_switch(struct run *run, void *arg)
{
	char folder[4096];
	int null = open("/dev/null", O_RDWR), input[2];

	(void)run;
	/* It ends with its input. */
	if (pipe(input) < 0 || dup2(input[0], 0) < 0)
		_exit(127);
	(void)snprintf(folder, sizeof(folder), "%s", (const char *)arg);
	(void)dup2(null, 1);
	(void)dup2(null, 2);
	(void)execlp("vde_switch", "vde_switch", "-s", folder, NULL);
	_exit(127);
}

static bool start_vde(struct run *run)
{
	static unsigned serial;
	char folder[4096], control[4096 + 8];
	struct endpoint e[2];
	struct vde_plug plug;

	if (!load_vde(&plug) || !command("command -v vde_switch >/dev/null"))
		return false;
	(void)snprintf(folder, sizeof(folder), "%s/vde%u", run->tmp, serial++);
	(void)snprintf(control, sizeof(control), "%s/ctl", folder);
	bench_fork(run, work_vde_switch, folder);
	for (unsigned i = 0; i < 200 && access(control, F_OK) < 0; i++)
		(void)usleep(5000);
	for (unsigned i = 0; i < 2; i++) {
		void *connection = plug.open(folder, (char[]){"bench"}, 1, NULL);

		if (!connection)
			return false;
		e[i] = (struct endpoint){.fd = plug.datafd(connection), .skip = HDR_LEN};
	}
	return start_messages(run, e);
}

const struct path peer_ring = {
	.name = "bare ring, copied out", .max_size = UINT32_MAX, .start = start_ring};
const struct path peer_ring_read = {
	.name = "bare ring, read in place", .max_size = UINT32_MAX, .start = start_ring_read};
const struct path peer_memcpy = {
	.name = "memcpy, once, one thread", .max_size = UINT32_MAX, .start = start_memcpy};
const struct path peer_bridge = {.name = "Linux bridge, two taps",
	.max_size = UINT32_MAX,
	.ping = true,
	.start = start_bridge};
const struct path peer_vde = {
	.name = "vde_switch", .max_size = 1500, .ping = true, .start = start_vde};
const struct path peer_unix = {
	.name = "unix datagrams", .max_size = UINT32_MAX, .ping = true, .start = start_unix};
