/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device whose home is another loop than the machine's (device.h), with a disk for example: two threads at once, what the one that
 * has only the disk's lock hands over, and the ends of a life while requests are in flight.
 *
 * The test is a vCPU and the machine's loop. The other thread either runs all the time, or one turn when it is told to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/pci/pci.h"
#include "devices/virtio/virtio-pci.h"
#include "tests/fakes/fake-driver.h"
#include "vmm-core/stats.h"

#define SIZE KIB(128)
#define RAM  MIB(4)
#define OK   0

struct fixture {
	struct fake_machine *f;
	struct loop *home;
	struct vm_stats_page *stats;
	struct device *root, *dev;
	struct fake_driver d;
	uint64_t header, data,
		status; /* guest addresses of the one request that is used again and again */
	_Atomic unsigned n_handed_over;
	int end_fd;
	struct loop_source *end;
};

static void on_request(void *opaque, enum machine_request request, int arg)
{
	struct fixture *fx = opaque;

	(void)arg;
	assert_int_equal(request, MACHINE_HANDED_OVER);
	fx->n_handed_over++;
}

static const struct machine_ops machine_ops = {.request = on_request};

static void on_end(void *opaque, uint32_t events)
{
	struct fixture *fx = opaque;

	(void)events;
	loop_exit(fx->home, 0);
}

static void prepare_request(struct fixture *fx)
{
	fx->header = fake_driver_alloc(&fx->d, 16);
	fx->data = fake_driver_alloc(&fx->d, 512);
	fx->status = fake_driver_alloc(&fx->d, 1);
}

static void build(struct fixture *fx, uint8_t io)
{
	int image = memfd_create("disk", MFD_CLOEXEC);

	assert_int_equal(ftruncate(image, SIZE), 0);
	assert_int_equal(pwrite(image, "content", 7, 0), 7);
	*fx = (struct fixture){.f = fake_machine_new(RAM)};
	fx->stats = calloc(1, sizeof(*fx->stats));
	fx->f->m.stats = fx->stats;
	fx->f->m.ops = &machine_ops;
	fx->f->m.ops_opaque = fx;
	loop_set_locking(fx->f->m.loop, true);
	assert_int_equal(loop_new(&fx->home), 0);
	loop_set_locking(fx->home, true);
	fx->end_fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(loop_add_fd(fx->home, fx->end_fd, EPOLLIN, on_end, fx, &fx->end), 0);
	/* Nobody's, as long as no thread runs it. */
	loop_give(fx->home, 0);
	fx->f->config.n_disks = 1;
	fx->f->config.disks[0].io = io;
	fx->f->config.disks[0].queues = 1;
	fx->f->fds.disks[0] = image;
	assert_int_equal(device_new(&q35_host_class, &fx->f->m, 0, &fx->root), 0);
	assert_int_equal(
		device_new_at(fx->home, &virtio_blk_pci_class.class, &fx->f->m, 0, &fx->dev), 0);
	assert_ptr_equal(device_loop(fx->dev), fx->home);
	assert_int_equal(device_machine_done(fx->root), 0);
	assert_true(fake_driver_probe(&fx->d, fx->f, 2));
	prepare_request(fx);
}

static void destroy(struct fixture *fx)
{
	(void)device_free(fx->dev);
	(void)device_free(fx->root);
	(void)loop_source_remove(fx->end);
	(void)close(fx->end_fd);
	(void)loop_free(fx->home);
	(void)fake_machine_free(fx->f);
	free(fx->stats);
}

static uint8_t *host(struct fixture *fx, uint64_t at)
{
	return guest_mem_ptr(fx->f->m.mem, GPA(at), 1);
}

/* Read the first sector: offered and kicked. */
static void read_disk(struct fixture *fx)
{
	struct fake_part parts[] = {
		{fx->header, 16, false}, {fx->data, 512, true}, {fx->status, 1, true}};

	memset(host(fx, fx->data), 0, 512);
	*host(fx, fx->status) = 0xee;
	(void)fake_driver_add(&fx->d, 0, parts, 3);
	fake_bus_write(fx->f, BUS_MMIO, fx->d.notify, 2, 0);
}

static bool is_answered(struct fixture *fx)
{
	uint32_t id, len;

	if (!fake_driver_used(&fx->d, 0, &id, &len))
		return false;
	assert_int_equal(len, 513);
	assert_int_equal(*host(fx, fx->status), OK);
	assert_memory_equal(host(fx, fx->data), "content", 7);
	return true;
}

/* The other thread. */

static void *run_home(void *arg)
{
	struct fixture *fx = arg;

	assert_int_equal(loop_run(fx->home), 0);
	return NULL;
}

static void *turn_home(void *arg)
{
	struct fixture *fx = arg;

	loop_lock(fx->home);
	loop_give(fx->home, pthread_self());
	loop_unlock(fx->home);
	assert_true(loop_run_once(fx->home, 10 * NSEC_PER_SEC) >= 0);
	loop_lock(fx->home);
	loop_give(fx->home, 0);
	loop_unlock(fx->home);
	return NULL;
}

/* Until something happens there. */
static void turn(struct fixture *fx)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, turn_home, fx), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* The machine's loop. */
static bool take_over(struct fixture *fx)
{
	if (!fx->n_handed_over)
		return false;
	fx->n_handed_over--;
	loop_lock(fx->f->m.loop);
	device_take_over(fx->dev);
	loop_unlock(fx->f->m.loop);
	return true;
}

/* What a vCPU can do to a disk's registers, and to its place, while requests go through. */
static void hammer(struct fixture *fx, unsigned round)
{
	unsigned slot = fx->d.slot;
	uint64_t command = fake_pci_read(fx->f, slot, PCI_REG_COMMAND, 2);

	assert_int_equal(fake_config_read(&fx->d, 0, 8), SIZE / 512);
	fake_config_write(&fx->d, 32, 1, round % 2);
	/* Decoding off and on: doorbells and ranges of the bus go and come. */
	fake_pci_write(fx->f, slot, PCI_REG_COMMAND, 2, command & ~(uint64_t)PCI_CMD_MEMORY);
	fake_pci_write(fx->f, slot, PCI_REG_COMMAND, 2, command);
	/* A vector that is masked, moved and unmasked. */
	bus_write(fx->f->m.bus, BUS_MMIO, fx->d.msix_table + 16 + 12, 4, 1);
	bus_write(fx->f->m.bus, BUS_MMIO, fx->d.msix_table + 16 + 8, 4, 0x41 + round % 2 * 16);
	bus_write(fx->f->m.bus, BUS_MMIO, fx->d.msix_table + 16 + 12, 4, 0);
	assert_int_equal(fake_driver_status(&fx->d), 0xf);
}

static void test_two_threads(void **state)
{
	struct fixture fx;
	pthread_t thread;
	uint64_t one = 1;

	(void)state;
	build(&fx, VM_DISK_IO_DEFAULT);
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_int_equal(pthread_create(&thread, NULL, run_home, &fx), 0);
	for (unsigned i = 0; i < 200; i++) {
		read_disk(&fx);
		do {
			hammer(&fx, i);
			(void)take_over(&fx);
		} while (!is_answered(&fx));
	}
	assert_int_equal(write(fx.end_fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(fx.stats->disks[0].rd_reqs, 200);
	destroy(&fx);
}

static bool line(struct fixture *fx)
{
	return irq_line_level(
		fx->f->m.irq, LAYOUT_GSI_INTX_BASE + fx->d.slot % LAYOUT_GSI_INTX_COUNT);
}

/* A line is the machine's. */
static void test_line_is_handed_over(void **state)
{
	struct fixture fx;
	unsigned cap;

	(void)state;
	build(&fx, VM_DISK_IO_THREADS);
	cap = container_of(fx.dev, struct virtio_pci, pci.dev)->pci.msix.cap;
	fake_pci_write(fx.f, fx.d.slot, cap + 2, 2, 0);
	assert_true(fake_driver_negotiate(&fx.d, UINT64_MAX));
	fake_driver_setup_queue(&fx.d, 0, 16);
	fake_common_write(&fx.d, 0x14, 1, 0xf);
	read_disk(&fx);
	while (!is_answered(&fx))
		turn(&fx);
	assert_false(line(&fx));
	assert_int_equal(fx.n_handed_over, 1);
	assert_true(take_over(&fx));
	assert_true(line(&fx));
	/* The driver sees why, and that ends it. */
	assert_int_equal(bus_read(fx.f->m.bus, BUS_MMIO, fx.d.isr, 1), 1);
	assert_false(line(&fx));
	/* One that is over before it was handed over does not come. */
	read_disk(&fx);
	while (!is_answered(&fx))
		turn(&fx);
	assert_int_equal(bus_read(fx.f->m.bus, BUS_MMIO, fx.d.isr, 1), 1);
	assert_true(take_over(&fx));
	assert_false(line(&fx));
	destroy(&fx);
}

/* A route that KVM does not have: the message waits, as pending, and is sent where routes can be changed. */
static void test_message_is_handed_over(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, VM_DISK_IO_THREADS);
	fake_driver_start(&fx.d, UINT64_MAX);
	bus_write(fx.f->m.bus, BUS_MMIO, fx.d.msix_table + 16 + 12, 4, 1);
	bus_write(fx.f->m.bus, BUS_MMIO, fx.d.msix_table + 16 + 8, 4, 0x77);
	fx.f->fail_next = -ENOSPC;
	bus_write(fx.f->m.bus, BUS_MMIO, fx.d.msix_table + 16 + 12, 4, 0);
	assert_int_equal(fx.f->fail_next, 0);
	read_disk(&fx);
	while (!is_answered(&fx))
		turn(&fx);
	assert_int_equal(fake_msi_count(fx.f, 0x77), -1);
	assert_int_equal(
		bus_read(fx.f->m.bus, BUS_MMIO, fx.d.msix_table + PCI_MSIX_PBA, 8), 1 << 1);
	assert_true(take_over(&fx));
	assert_int_equal(fake_msi_count(fx.f, 0x77), 1);
	assert_int_equal(bus_read(fx.f->m.bus, BUS_MMIO, fx.d.msix_table + PCI_MSIX_PBA, 8), 0);
	/* From now on it goes by itself. */
	read_disk(&fx);
	while (!is_answered(&fx))
		turn(&fx);
	assert_int_equal(fx.n_handed_over, 0);
	assert_int_equal(fake_msi_count(fx.f, 0x77), 1);
	destroy(&fx);
}

/* The driver resets the device while the host has a request: it ends when that does, on the machine's loop. */
static void test_reset_in_flight(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, VM_DISK_IO_THREADS);
	fake_driver_start(&fx.d, UINT64_MAX);
	read_disk(&fx);
	turn(&fx);
	fake_common_write(&fx.d, 0x14, 1, 0);
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	while (!fx.n_handed_over)
		turn(&fx);
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	assert_true(take_over(&fx));
	assert_int_equal(fake_driver_status(&fx.d), 0);
	assert_int_equal(fake_ring_used_idx(&fx.d.rings[0]), 0);
	destroy(&fx);
}

/* After a pause the other thread does nothing to the guest's memory, whatever comes. */
static void test_pause_in_flight(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, VM_DISK_IO_THREADS);
	fake_driver_start(&fx.d, UINT64_MAX);
	read_disk(&fx);
	turn(&fx);
	assert_false(device_quiesce(fx.dev));
	while (!device_quiesce(fx.dev))
		turn(&fx);
	assert_true(is_answered(&fx));
	read_disk(&fx);
	turn(&fx);
	assert_false(is_answered(&fx));
	assert_int_equal(*host(&fx, fx.status), 0xee);
	device_resume(fx.dev);
	while (!is_answered(&fx))
		turn(&fx);
	/* A reset of the machine makes void what was handed over. */
	fake_driver_reset(&fx.d);
	assert_true(fake_driver_negotiate(&fx.d, UINT64_MAX));
	device_hand_over(fx.dev);
	assert_int_equal(fx.n_handed_over, 1);
	assert_true(device_quiesce(fx.dev));
	device_reset(fx.dev);
	device_hand_over(fx.dev);
	assert_int_equal(fx.n_handed_over, 2);
	destroy(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_threads),
		cmocka_unit_test(test_line_is_handed_over),
		cmocka_unit_test(test_message_is_handed_over),
		cmocka_unit_test(test_reset_in_flight),
		cmocka_unit_test(test_pause_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
