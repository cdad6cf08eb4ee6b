/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What iothreads are for: two disks, each driven as fast as it answers, in one loop of one thread, and with an iothread each, in turns. A
 * disk's driver runs in the thread of its loop, as in bench-blk: what is compared is virtio-blk, the block layer and io_uring, twice in one
 * thread and once in each of two. The images are of memory, so that they are no bottleneck that both share: what the processors do is all
 * there is. Prints medians of both disks' requests per second together, and the median of the ratios of neighbours, of which no more
 * than 2 can be expected and only with two processors to be had; nothing here passes or fails.
 *
 *	bench-iothreads [ROUNDS]	default: 15
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "devices/pci/pci.h"
#include "devices/virtio/virtio-pci.h"
#include "tests/bench/measure.h"
#include "tests/fakes/fake-driver.h"

#define N_DISKS    2
#define FILE_SIZE  MIB(64)
#define DEPTH      32
#define N_REQUESTS 20000
#define MAX_ROUNDS 100
#define RAM        MIB(64)
#define STRIDE     (UINT64_C(1031) * 4096) /* prime to the file's blocks, so that all is read */

static const uint32_t sizes[] = {512, 4096, 65536};

struct disk {
	struct device *dev;
	struct fake_driver d;
	uint64_t headers, statuses, buffers; /* guest addresses */
	unsigned started, finished;
};

struct machine_at { /* its disks have these homes */
	struct fake_machine *f;
	struct device *root;
	struct loop *loops[N_DISKS];
	struct disk disks[N_DISKS];
	unsigned n_loops;
};

_noreturn_ static void fail(const char *what, int error)
{
	die("bench-iothreads: %s: %s", what, strerror(error < 0 ? -error : error));
}

static double now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int make_image(void)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);
	static char block[1 << 20];

	memset(block, 0x5a, sizeof(block));
	for (uint64_t at = 0; at < FILE_SIZE; at += sizeof(block))
		if (pwrite(fd, block, sizeof(block), (off_t)at) != (ssize_t)sizeof(block))
			fail("image", errno);
	return fd;
}

static void make_machine(struct machine_at *m, unsigned n_loops)
{
	int r;

	*m = (struct machine_at){.f = fake_machine_new(RAM), .n_loops = n_loops};
	fake_machine_enable_doorbells(m->f);
	loop_set_locking(m->f->m.loop, true);
	m->f->config.n_disks = N_DISKS;
	r = device_new(&q35_host_class, &m->f->m, 0, &m->root);
	for (unsigned i = 0; r == 0 && i < n_loops; i++) {
		r = loop_new(&m->loops[i]);
		if (r < 0)
			break;
		loop_set_locking(m->loops[i], true);
		/* No thread's yet. */
		loop_give(m->loops[i], 0);
	}
	for (unsigned i = 0; r == 0 && i < N_DISKS; i++) {
		m->f->config.disks[i].queues = 1;
		m->f->fds.disks[i] = make_image();
		r = device_new_at(m->loops[i % n_loops], &virtio_blk_pci_class.class, &m->f->m, i,
			&m->disks[i].dev);
	}
	if (r == 0)
		r = device_machine_done(m->root);
	if (r < 0)
		fail("virtio-blk-pci", r);
}

static void start_drivers(struct machine_at *m)
{
	for (unsigned i = 0; i < N_DISKS; i++) {
		struct fake_driver *d = &m->disks[i].d;

		if (!fake_driver_probe_from(d, m->f, 2, i ? m->disks[0].d.slot + 1 : 0))
			fail("no disk", ENODEV);
		d->heap = MIB(4) + i * MIB(16);
		fake_driver_start(d, UINT64_MAX);
		m->disks[i].headers = fake_driver_alloc(d, 16 * DEPTH);
		m->disks[i].statuses = fake_driver_alloc(d, DEPTH);
		d->heap = ALIGN_UP(d->heap, 4096);
		m->disks[i].buffers = fake_driver_alloc(d, DEPTH * KIB(64));
	}
}

static void free_machine(struct machine_at *m)
{
	for (unsigned i = 0; i < N_DISKS; i++)
		(void)device_free(m->disks[i].dev);
	(void)device_free(m->root);
	for (unsigned i = 0; i < m->n_loops; i++)
		(void)loop_free(m->loops[i]);
	(void)fake_machine_free(m->f);
}

/* Slot n has descriptors 3n, 3n + 1 and 3n + 2 for ever. */
static void add(struct disk *disk, uint32_t size, unsigned slot)
{
	struct fake_ring *r = &disk->d.rings[0];
	uint64_t header[2] = {0, (uint64_t)disk->started * STRIDE % FILE_SIZE / 512};
	uint64_t at = disk->headers + 16 * (uint64_t)slot;
	unsigned desc = 3 * slot;

	(void)guest_mem_write(disk->d.f->m.mem, GPA(at), header, sizeof(header));
	fake_ring_set_desc(r, r->desc, desc, at, 16, FAKE_NEXT, (uint16_t)(desc + 1));
	fake_ring_set_desc(r, r->desc, desc + 1, disk->buffers + (uint64_t)slot * KIB(64), size,
		FAKE_NEXT | FAKE_WRITE, (uint16_t)(desc + 2));
	fake_ring_set_desc(r, r->desc, desc + 2, disk->statuses + slot, 1, FAKE_WRITE, 0);
	fake_ring_offer(r, (uint16_t)desc);
	disk->started++;
}

/* As a guest's: by the doorbell, if the device asked for it (2.7.10). */
static void kick(struct disk *disk, uint16_t before)
{
	struct fake_ring *r = &disk->d.rings[0];
	uint16_t event = fake_ring_avail_event(r), now = r->avail_idx;

	if ((uint16_t)(now - event - 1) < (uint16_t)(now - before))
		fake_bus_write(disk->d.f, BUS_MMIO, disk->d.notify, 2, 0);
}

/* Take answers, and ask for as much again. */
static void refill(struct disk *disk, uint32_t size)
{
	struct fake_ring *r = &disk->d.rings[0];
	uint16_t before = r->avail_idx;
	uint32_t id, len;

	while (fake_ring_used(r, &id, &len)) {
		disk->finished++;
		if (len != size + 1)
			fail("read", EIO);
		if (disk->started < N_REQUESTS)
			add(disk, size, id / 3);
	}
	if (before != r->avail_idx)
		kick(disk, before);
}

struct driver {
	struct loop *loop;
	struct disk *disks[N_DISKS];
	unsigned n;
	uint32_t size;
	pthread_t thread;
};

static bool is_done(const struct driver *driver)
{
	for (unsigned i = 0; i < driver->n; i++)
		if (driver->disks[i]->finished < N_REQUESTS)
			return false;
	return true;
}

static void *drive(void *arg)
{
	struct driver *driver = arg;

	loop_lock(driver->loop);
	loop_give(driver->loop, pthread_self());
	loop_unlock(driver->loop);
	for (unsigned i = 0; i < driver->n; i++) {
		struct disk *disk = driver->disks[i];

		disk->started = disk->finished = 0;
		for (unsigned slot = 0; slot < DEPTH; slot++)
			add(disk, driver->size, slot);
		kick(disk, (uint16_t)(disk->d.rings[0].avail_idx - DEPTH));
	}
	while (!is_done(driver)) {
		if (loop_run_once(driver->loop, LOOP_NEVER) < 0)
			fail("loop", EIO);
		for (unsigned i = 0; i < driver->n; i++)
			refill(driver->disks[i], driver->size);
	}
	return NULL;
}

/* Both disks' requests per second. */
static double run(struct machine_at *m, uint32_t size)
{
	struct driver drivers[N_DISKS] = {0};
	double t;

	for (unsigned i = 0; i < N_DISKS; i++) {
		struct driver *driver = &drivers[i % m->n_loops];

		driver->loop = m->loops[i % m->n_loops];
		driver->size = size;
		driver->disks[driver->n++] = &m->disks[i];
	}
	t = now_s();
	for (unsigned i = 0; i < m->n_loops; i++)
		if (pthread_create(&drivers[i].thread, NULL, drive, &drivers[i]))
			fail("thread", EAGAIN);
	for (unsigned i = 0; i < m->n_loops; i++)
		(void)pthread_join(drivers[i].thread, NULL);
	return N_DISKS * N_REQUESTS / (now_s() - t);
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void measure(struct machine_at *one, struct machine_at *two, uint32_t size, unsigned rounds)
{
	double in_one[MAX_ROUNDS], in_two[MAX_ROUNDS], ratio[MAX_ROUNDS];

	(void)run(one, size);
	(void)run(two, size);
	for (unsigned i = 0; i < rounds; i++) {
		in_one[i] = run(one, size);
		in_two[i] = run(two, size);
		/* Against the mean of both neighbours. */
		ratio[i] = in_two[i] / ((in_one[i] + run(one, size)) / 2);
	}
	(void)printf("%5u bytes, QD %u         %9.0f %9.0f %9.2f\n", size, DEPTH,
		median(in_one, rounds), median(in_two, rounds), median(ratio, rounds));
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 15;
	struct machine_at one, two;

	if (rounds < 1 || rounds > MAX_ROUNDS)
		fail("ROUNDS", EINVAL);
	make_machine(&one, 1);
	start_drivers(&one);
	make_machine(&two, N_DISKS);
	start_drivers(&two);
	(void)printf(
		"P15 blk.iops of two disks, %u rounds; requests per second, medians\n", rounds);
	(void)printf("%-24s %9s %9s %9s\n", "", "one loop", "iothreads", "ratio");
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		measure(&one, &two, sizes[i], rounds);
	free_machine(&one);
	free_machine(&two);
	return 0;
}
