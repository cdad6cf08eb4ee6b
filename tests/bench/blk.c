/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The disk path against its limit (P15): reads of one O_DIRECT file through a synthetic virtqueue, virtio-blk, the block
 * layer and io_uring, as the worker's loop runs them; through io_uring alone, submitting and waiting in one system call;
 * and, where it is installed, through `qemu-img bench`. The queue is handed to the device as the loop does after a kick;
 * the row "with doorbell" has the eventfd in between that a guest's kick costs (P9) and neither peer pays. The
 * interrupt's eventfd is written in all rows. All read the same blocks in the same order, in turns
 * (vmmd, raw, qemu, vmmd, …), so that a disk whose speed drifts treats all alike. Prints medians and the median of the
 * ratios of neighbours; nothing here passes or fails.
 *
 *	bench-blk [FOLDER [ROUNDS]]	default: /var/tmp, 15; FOLDER must have direct I/O
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "devices/pci/pci.h"
#include "devices/virtio/virtio-pci.h"
#include "tests/bench/measure.h"
#include "tests/fakes/fake-driver.h"
#include "vmm-core/base/uring.h"

#define FILE_SIZE  MIB(256)
#define MAX_DEPTH  64
#define MAX_ROUNDS 100
#define BATCH      64
#define RAM        MIB(128)
#define QEMU_IMG   "/usr/bin/qemu-img"

struct workload {
	const char *name;
	unsigned depth, n; /* requests in flight; in a round */
	uint32_t size;
	bool doorbell; /* kicked by eventfd */
	uint64_t
		stride; /* from one request to the next, modulo the file: prime to it, so that all is read */
};

static const struct workload workloads[] = {
	{"4 KiB scattered, QD 1", 1, 4000, 4096, false, 4099 * 4096},
	{"  with doorbell", 1, 4000, 4096, true, 4099 * 4096},
	{"4 KiB scattered, QD 32", 32, 16000, 4096, false, 4099 * 4096},
	{"  with doorbell", 32, 16000, 4096, true, 4099 * 4096},
	{"1 MiB sequential, QD 4", 4, 256, 1 << 20, false, 1 << 20},
};

struct context {
	char path[4096];
	int fd;
	uint8_t *buffers;
	struct fake_machine *f;
	struct device *root, *dev;
	struct fake_driver d;
	uint64_t ring_headers, ring_status, ring_buffers;
};

_noreturn_ static void fail(const char *what, int error)
{
	die("bench-blk: %s: %s", what, strerror(error < 0 ? -error : error));
}

static double now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static uint64_t offset_of(const struct workload *w, unsigned i)
{
	return (uint64_t)i * w->stride % FILE_SIZE;
}

static void make_file(struct context *c, const char *folder)
{
	(void)snprintf(c->path, sizeof(c->path), "%s/vmmd-bench-XXXXXX", folder);
	c->fd = mkostemp(c->path, O_DIRECT | O_CLOEXEC);
	if (c->fd < 0 || ftruncate(c->fd, (off_t)FILE_SIZE) < 0)
		fail(c->path, errno);
}

/* Both sides read into the same memory, the guest's: what its pages are like decides about the larger reads. */
static void fill_file(struct context *c)
{
	c->buffers = guest_mem_ptr(c->f->m.mem, GPA(c->ring_buffers), MAX_DEPTH * MIB(1));
	memset(c->buffers, 0x5a, MAX_DEPTH * MIB(1));
	for (uint64_t at = 0; at < FILE_SIZE; at += MIB(4))
		if (pwrite(c->fd, c->buffers, MIB(4), (off_t)at) != (ssize_t)MIB(4))
			fail(c->path, errno);
	(void)fsync(c->fd);
}

/* Requests per second of io_uring alone. */

static void raw_read(
	struct context *c, struct uring *ring, const struct workload *w, unsigned i, uint64_t slot)
{
	struct io_uring_sqe *sqe = uring_sqe(ring);

	sqe->opcode = IORING_OP_READ;
	sqe->addr = (uint64_t)(uintptr_t)(c->buffers + slot * w->size);
	sqe->len = w->size;
	sqe->off = offset_of(w, i);
	sqe->user_data = slot;
}

/* qemu-img takes a while to start, in which the disk rests: let it rest before the others, too. */
static void rest(void)
{
	const struct timespec ts = {.tv_nsec = 50000000};

	(void)nanosleep(&ts, NULL);
}

static double run_raw(struct context *c, const struct workload *w)
{
	struct uring_completion done[BATCH];
	unsigned started = 0, finished = 0;
	struct uring *ring;
	double t;
	int r;

	rest();
	r = uring_new(MAX_DEPTH, &c->fd, 1, &ring);
	if (r < 0)
		fail("io_uring", r);
	t = now_s();
	for (; started < w->depth; started++)
		raw_read(c, ring, w, started, started);
	while (finished < w->n) {
		unsigned n;

		r = uring_wait(ring);
		if (r < 0)
			fail("io_uring", r);
		n = uring_reap(ring, done, BATCH);
		for (unsigned i = 0; i < n; i++) {
			if (done[i].result != (int32_t)w->size)
				fail("raw read", done[i].result < 0 ? done[i].result : EIO);
			if (started < w->n)
				raw_read(c, ring, w, started++, done[i].user_data);
		}
		finished += n;
	}
	t = now_s() - t;
	(void)uring_free(ring);
	return w->n / t;
}

/* Requests per second of the device. */

static void make_device(struct context *c)
{
	int r;

	c->f = fake_machine_new(RAM);
	fake_machine_enable_doorbells(c->f);
	c->f->config.n_disks = 1;
	c->f->config.disks[0] =
		(struct vm_disk){.target = "vda", .queues = 1, .cache = VM_DISK_CACHE_NONE};
	c->f->fds.disks[0] = dup(c->fd);
	r = device_new(&q35_host_class, &c->f->m, 0, &c->root);
	if (r == 0)
		r = device_new(&virtio_blk_pci_class.class, &c->f->m, 0, &c->dev);
	if (r == 0)
		r = q35_host_class.ops->machine_done(c->root);
	if (r < 0 || !fake_driver_probe(&c->d, c->f, 2))
		fail("virtio-blk-pci", r);
	fake_driver_start(&c->d, UINT64_MAX);
	c->ring_headers = fake_driver_alloc(&c->d, 16 * MAX_DEPTH);
	c->ring_status = fake_driver_alloc(&c->d, MAX_DEPTH);
	c->d.heap = ALIGN_UP(c->d.heap, 4096);
	c->ring_buffers = fake_driver_alloc(&c->d, MAX_DEPTH * MIB(1));
}

static void free_device(struct context *c)
{
	(void)device_free(c->dev);
	(void)device_free(c->root);
	(void)fake_machine_free(c->f);
}

/* Slot n has descriptors 3n, 3n + 1 and 3n + 2 for ever. */
static void device_read_block(
	struct context *c, const struct workload *w, unsigned i, unsigned slot)
{
	struct fake_ring *r = &c->d.rings[0];
	uint64_t header[2] = {0, offset_of(w, i) / 512};
	uint64_t at = c->ring_headers + 16 * (uint64_t)slot;
	unsigned desc = 3 * slot;

	(void)guest_mem_write(c->f->m.mem, GPA(at), header, sizeof(header));
	fake_ring_set_desc(r, r->desc, desc, at, 16, FAKE_NEXT, (uint16_t)(desc + 1));
	fake_ring_set_desc(r, r->desc, desc + 1, c->ring_buffers + (uint64_t)slot * w->size,
		w->size, FAKE_NEXT | FAKE_WRITE, (uint16_t)(desc + 2));
	fake_ring_set_desc(r, r->desc, desc + 2, c->ring_status + slot, 1, FAKE_WRITE, 0);
	fake_ring_offer(r, (uint16_t)desc);
}

/* Ring the doorbell if the device asked for it (2.7.10). */
static void kick(struct context *c, const struct workload *w, uint16_t before)
{
	struct fake_ring *r = &c->d.rings[0];
	uint16_t event = fake_ring_avail_event(r), now = r->avail_idx;

	if ((uint16_t)(now - event - 1) >= (uint16_t)(now - before))
		return;
	if (w->doorbell)
		fake_bus_write(c->f, BUS_MMIO, c->d.notify, 2, 0);
	else
		virtio_handle_kick(virtio_pci_device(c->dev), 0);
}

static uint8_t *status_of(struct context *c, unsigned slot)
{
	return guest_mem_ptr(c->f->m.mem, GPA(c->ring_status + slot), 1);
}

static double run_device(struct context *c, const struct workload *w)
{
	struct fake_ring *r = &c->d.rings[0];
	unsigned started = 0, finished = 0;
	uint16_t before = r->avail_idx;
	uint32_t id, len;
	double t;

	rest();
	t = now_s();
	for (; started < w->depth; started++)
		device_read_block(c, w, started, started);
	kick(c, w, before);
	while (finished < w->n) {
		if (fake_ring_used_idx(r) == r->last_used &&
			loop_run_once(c->f->m.loop, LOOP_NEVER) < 0)
			fail("loop", EIO);
		before = r->avail_idx;
		while (fake_ring_used(r, &id, &len)) {
			finished++;
			if (len != w->size + 1 || *status_of(c, id / 3) != 0)
				fail("device read", EIO);
			*status_of(c, id / 3) = 0xff;
			if (started < w->n)
				device_read_block(c, w, started++, id / 3);
		}
		if (before != r->avail_idx)
			kick(c, w, before);
	}
	return w->n / (now_s() - t);
}

/* Requests per second as qemu-img counts them; 0 when it is missing. */
static double run_qemu(struct context *c, const struct workload *w)
{
	char command[8192], line[256];
	double seconds = 0;
	FILE *f;

	(void)snprintf(command, sizeof(command),
		QEMU_IMG
		" bench -t none -i io_uring -f raw -c %u -d %u -s %u -S %llu '%s' 2>/dev/null",
		w->n, w->depth, w->size, (unsigned long long)w->stride, c->path);
	f = popen(command, "re");
	while (f && fgets(line, sizeof(line), f))
		(void)sscanf(line, "Run completed in %lf seconds", &seconds);
	if (f)
		(void)pclose(f);
	return seconds > 0 ? w->n / seconds : 0;
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void measure(struct context *c, const struct workload *w, unsigned rounds)
{
	double device[MAX_ROUNDS], raw[MAX_ROUNDS], qemu[MAX_ROUNDS];
	double to_raw[MAX_ROUNDS], to_qemu[MAX_ROUNDS];
	bool have_qemu = access(QEMU_IMG, X_OK) == 0;

	(void)run_device(c, w);
	(void)run_raw(c, w);
	for (unsigned i = 0; i < rounds; i++) {
		device[i] = run_device(c, w);
		raw[i] = run_raw(c, w);
		/* Against the mean of both neighbours. */
		to_raw[i] = (device[i] + run_device(c, w)) / 2 / raw[i];
		qemu[i] = have_qemu ? run_qemu(c, w) : 0;
		have_qemu = qemu[i] > 0;
		to_qemu[i] = have_qemu ? device[i] / qemu[i] : 0;
	}
	(void)printf("%-24s %9.0f %9.0f %9.3f", w->name, median(device, rounds),
		median(raw, rounds), median(to_raw, rounds));
	if (have_qemu)
		(void)printf(" %9.0f %9.3f\n", median(qemu, rounds), median(to_qemu, rounds));
	else
		(void)printf(" %9s %9s\n", "-", "-");
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 15;
	struct context c = {0};

	if (rounds < 1 || rounds > MAX_ROUNDS)
		fail("ROUNDS", EINVAL);
	make_file(&c, argc > 1 ? argv[1] : "/var/tmp");
	make_device(&c);
	fill_file(&c);
	(void)printf("P15 blk.iops, %u rounds; requests per second, medians\n", rounds);
	(void)printf("%-24s %9s %9s %9s %9s %9s\n", "", "vmmd", "raw", "vmmd/raw", "qemu-img",
		"vmmd/qemu");
	for (size_t i = 0; i < ARRAY_SIZE(workloads); i++)
		measure(&c, &workloads[i], rounds);
	(void)unlink(c.path);
	free_device(&c);
	(void)close(c.fd);
	return 0;
}
