/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virtio-mem: blocks that come and go, what the host wishes, hostile drivers, resets, save and load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/pci/pci.h"
#include "devices/virtio/virtio-pci.h"
#include "tests/fakes/fake-driver.h"
#include "vmm-core/guest-plug.h"
#include "vmm-core/layout.h"
#include "vmm-core/stats.h"

#define RAM    MIB(16)
#define BLOCK  MIB(2)
#define SIZE   MIB(640) /* five extents */
#define EXTENT MIB(128)
#define ROOM   GIB(4)

enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };
enum { ACK, NACK, BUSY, ERROR };
enum { PLUGGED, UNPLUGGED, MIXED };

struct slot {
	uint64_t gpa, size;
	void *host;
};

struct fixture {
	struct fake_machine *f;
	struct device *root, *dev;
	struct vm_stats_page page;
	struct fake_driver d;
	int fd; /* of the room */
	struct slot slots[GUEST_PLUG_FIRST_SLOT + VM_MAX_MEMORIES * GUEST_PLUG_MAX_SLOTS];
	int fail_slot; /* -errno of the next one */
	uint64_t base;
	uint16_t state; /* of the last answer */
};

static int set_slot(void *opaque, unsigned slot, uint64_t gpa, uint64_t size, void *host)
{
	struct fixture *fx = opaque;
	int r = fx->fail_slot;

	assert_true(slot >= GUEST_PLUG_FIRST_SLOT && slot < ARRAY_SIZE(fx->slots));
	fx->fail_slot = 0;
	if (r == 0)
		fx->slots[slot] = (struct slot){gpa, size, host};
	return r;
}

/* How far the guest reaches, in slots that join. */
static uint64_t reach(const struct fixture *fx)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < GUEST_PLUG_MAX_SLOTS; i++) {
		const struct slot *s = &fx->slots[GUEST_PLUG_FIRST_SLOT + i];

		if (!s->size)
			continue;
		assert_int_equal(s->gpa, fx->base + sum);
		assert_int_equal(s->gpa - fx->base,
			(uint8_t *)s->host - (uint8_t *)fx->slots[GUEST_PLUG_FIRST_SLOT].host);
		sum += s->size;
	}
	return sum;
}

static void prepare(struct fixture *fx, uint64_t requested)
{
	static const struct guest_plug_ops ops = {.set_slot = set_slot};
	struct guest_file room = {.size = ROOM, .page_len = 4096};

	*fx = (struct fixture){.f = fake_machine_new(RAM)};
	fx->fd = memfd_create("room", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fx->fd, ROOM), 0);
	room.fd = fx->fd;
	assert_int_equal(guest_plug_init(&fx->f->mem, &room, &ops, fx), 0);
	assert_int_equal(guest_plug_add(&fx->f->mem, 0, SIZE, BLOCK), 0);
	fx->base = guest_plug_find(&fx->f->mem, 0)->base;
	assert_int_equal(fx->base, GIB(4));
	fx->f->config.n_memories = 1;
	fx->f->config.memories[0] = (struct vm_memory){.size_kib = SIZE / 1024,
		.requested_kib = requested / 1024,
		.block_kib = BLOCK / 1024};
	fx->f->m.stats = &fx->page;
}

static void make_device(struct fixture *fx)
{
	assert_int_equal(device_new(&q35_host_class, &fx->f->m, 0, &fx->root), 0);
	assert_int_equal(device_new(&virtio_mem_pci_class.class, &fx->f->m, 0, &fx->dev), 0);
	assert_int_equal(q35_host_class.ops->machine_done(fx->root), 0);
	assert_true(fake_driver_probe(&fx->d, fx->f, 24));
}

static void build(struct fixture *fx, uint64_t requested)
{
	prepare(fx, requested);
	make_device(fx);
	fake_driver_start(&fx->d, UINT64_MAX);
}

static void destroy(struct fixture *fx)
{
	(void)device_free(fx->dev);
	assert_null(fx->f->m.memories[0]);
	(void)device_free(fx->root);
	(void)fake_machine_free(fx->f);
}

static int want(struct fixture *fx, uint64_t bytes)
{
	return fx->f->m.memory_ops->set(fx->f->m.memories[0], bytes);
}

static uint64_t size_of(const struct fixture *fx)
{
	uint64_t size = fx->f->m.memory_ops->size(fx->f->m.memories[0]);

	assert_int_equal(fx->page.memories[0].plugged, size);
	return size;
}

static uint64_t window(struct fixture *fx, unsigned offset)
{
	return fake_config_read(&fx->d, offset, 4) | fake_config_read(&fx->d, offset + 4, 4) << 32;
}

/* Pages of the memory file that take memory. */
static uint64_t resident(const struct fixture *fx)
{
	struct stat st;

	assert_int_equal(fstat(fx->fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void offer(struct fixture *fx, uint16_t type, uint64_t addr, uint16_t n, uint64_t at)
{
	struct {
		uint16_t type, pad1[3];
		uint64_t addr;
		uint16_t n, pad2[3];
	} req = {.type = type, .addr = addr, .n = n};
	struct fake_part parts[] = {{at, sizeof(req), false}, {at + 64, 10, true}};

	assert_int_equal(guest_mem_write(&fx->f->mem, GPA(at), &req, sizeof(req)), 0);
	(void)fake_driver_add(&fx->d, 0, parts, 2);
}

/* The answer's type, -1: none yet. */
static int read_answer(struct fixture *fx, uint64_t at)
{
	struct {
		uint16_t type, pad[3], state;
	} resp;
	uint32_t id, len;

	if (!fake_driver_used(&fx->d, 0, &id, &len))
		return -1;
	assert_int_equal(len, 10);
	assert_int_equal(guest_mem_read(&fx->f->mem, GPA(at + 64), &resp, 10), 0);
	fx->state = resp.state;
	return resp.type;
}

static int request_at(struct fixture *fx, uint16_t type, uint64_t addr, uint16_t n)
{
	uint64_t at = 0x8000;
	int r = -1;

	offer(fx, type, addr, n, at);
	fake_driver_kick(&fx->d, 0);
	for (unsigned i = 0; r < 0 && i < 64; i++) {
		r = read_answer(fx, at);
		if (r < 0)
			loop_fake_advance(fx->f->m.loop, 1);
		fake_driver_turn(&fx->d);
	}
	return r;
}

/* By block. */
static int request(struct fixture *fx, uint16_t type, uint64_t first, uint16_t n)
{
	return request_at(fx, type, fx->base + first * BLOCK, n);
}

static int state_of(struct fixture *fx, uint64_t first, uint16_t n)
{
	assert_int_equal(request(fx, STATE, first, n), ACK);
	return fx->state;
}

static uint8_t *block(struct fixture *fx, uint64_t i)
{
	return guest_mem_ptr(&fx->f->mem, GPA(fx->base + i * BLOCK), BLOCK);
}

/* Up and down: what is plugged is memory, what was unplugged is the host's again and reads as zeroes. */
static void test_up_and_down(void **state)
{
	struct fixture fx;
	uint64_t before;

	(void)state;
	build(&fx, MIB(64));
	assert_int_equal(window(&fx, 0), BLOCK);
	assert_int_equal(window(&fx, 16), fx.base);
	assert_int_equal(window(&fx, 24), SIZE);
	assert_int_equal(window(&fx, 32), EXTENT);
	assert_int_equal(window(&fx, 40), 0);
	assert_int_equal(window(&fx, 48), MIB(64));
	assert_int_equal(reach(&fx), EXTENT);
	assert_null(block(&fx, 0));
	before = resident(&fx);
	assert_int_equal(request(&fx, PLUG, 0, 32), ACK);
	assert_int_equal(window(&fx, 40), MIB(64));
	assert_int_equal(size_of(&fx), MIB(64));
	assert_int_equal(guest_mem_span(&fx.f->mem, GPA(fx.base + 5), UINT64_MAX), MIB(64) - 5);
	assert_int_equal(guest_mem_span(&fx.f->mem, GPA(fx.base + MIB(64)), UINT64_MAX), 0);
	/* Nothing takes memory before it is used. */
	assert_int_equal(resident(&fx), before);
	for (unsigned i = 0; i < 32; i++)
		memset(block(&fx, i), 0xa5, 8192);
	assert_int_equal(resident(&fx) - before, 32 * 8192);
	assert_int_equal(request(&fx, UNPLUG, 8, 20), ACK);
	assert_int_equal(fx.page.memories[0].calls, 1);
	assert_int_equal(fx.page.memories[0].unplugs, 20 * BLOCK);
	assert_int_equal(resident(&fx) - before, 12 * 8192);
	assert_null(block(&fx, 8));
	assert_null(block(&fx, 27));
	assert_int_equal(*block(&fx, 7), 0xa5);
	assert_int_equal(*block(&fx, 28), 0xa5);
	assert_int_equal(state_of(&fx, 8, 20), UNPLUGGED);
	assert_int_equal(state_of(&fx, 0, 8), PLUGGED);
	assert_int_equal(state_of(&fx, 7, 2), MIXED);
	assert_int_equal(state_of(&fx, 27, 2), MIXED);
	assert_int_equal(request(&fx, PLUG, 8, 20), ACK);
	assert_int_equal(*block(&fx, 8), 0);
	assert_int_equal(size_of(&fx), MIB(64));
	destroy(&fx);
}

/* What the host wishes: told by an interrupt, no more is granted, and the guest reaches no further. */
static void test_wishes(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, 0);
	assert_int_equal(reach(&fx), 0);
	assert_int_equal(request(&fx, PLUG, 0, 1), ERROR); /* nothing is usable */
	(void)fake_driver_interrupts(&fx.d, 0);
	assert_int_equal(want(&fx, MIB(130)), 0);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 1);
	assert_int_equal(window(&fx, 48), MIB(130));
	assert_int_equal(window(&fx, 32), 2 * EXTENT);
	assert_int_equal(reach(&fx), 2 * EXTENT);
	assert_int_equal(want(&fx, MIB(130)), 0);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 0);
	assert_int_equal(request(&fx, PLUG, 60, 66), NACK);
	assert_int_equal(request(&fx, PLUG, 60, 65), ACK);
	assert_int_equal(request(&fx, PLUG, 0, 1), NACK);
	/* Down: nothing is taken away, and no more comes. What is usable stays so. */
	assert_int_equal(want(&fx, MIB(2)), 0);
	assert_int_equal(window(&fx, 32), 2 * EXTENT);
	assert_int_equal(size_of(&fx), MIB(130));
	assert_int_equal(request(&fx, UNPLUG, 60, 65), ACK);
	assert_int_equal(request(&fx, PLUG, 127, 1), ACK);
	assert_int_equal(request(&fx, PLUG, 126, 1), NACK);
	/* More than there is, and half a block. */
	assert_int_equal(want(&fx, SIZE + BLOCK), -EINVAL);
	assert_int_equal(want(&fx, BLOCK + 4096), -EINVAL);
	assert_int_equal(want(&fx, UINT64_MAX), -EINVAL);
	assert_int_equal(window(&fx, 48), MIB(2));
	/* KVM refuses the second of two slots: as it was, and what there is more of is no harm. */
	fx.fail_slot = -ENOMEM;
	assert_int_equal(want(&fx, SIZE), -ENOMEM);
	assert_int_equal(window(&fx, 48), MIB(2));
	assert_int_equal(want(&fx, SIZE), 0);
	assert_int_equal(reach(&fx), SIZE);
	/* The last block of the device. */
	assert_int_equal(request(&fx, PLUG, SIZE / BLOCK - 1, 1), ACK);
	assert_int_equal(request(&fx, PLUG, SIZE / BLOCK - 1, 2), ERROR);
	destroy(&fx);
}

/* All of it, and the usable region is what is wished again. */
static void test_unplug_all(void **state)
{
	struct fixture fx;
	uint64_t before;

	(void)state;
	build(&fx, SIZE);
	before = resident(&fx);
	assert_int_equal(request(&fx, PLUG, 0, 100), ACK);
	assert_int_equal(request(&fx, PLUG, 200, 120), ACK);
	memset(block(&fx, 310), 1, BLOCK);
	memset(block(&fx, 99), 1, BLOCK);
	assert_int_equal(want(&fx, MIB(100)), 0);
	assert_int_equal(request(&fx, UNPLUG_ALL, 0, 0), ACK);
	assert_int_equal(size_of(&fx), 0);
	assert_int_equal(window(&fx, 32), EXTENT);
	assert_int_equal(reach(&fx), EXTENT);
	assert_int_equal(resident(&fx), before);
	/* With nothing there, it is the same. */
	assert_int_equal(request(&fx, UNPLUG_ALL, UINT64_MAX, UINT16_MAX), ACK);
	assert_int_equal(request(&fx, PLUG, 64, 1), ERROR);
	assert_int_equal(request(&fx, PLUG, 0, 50), ACK);
	destroy(&fx);
}

/* Ranges that are none. */
static void test_bad_ranges(void **state)
{
	static const struct {
		uint64_t off;
		uint16_t n;
	} bad[] = {
		{0, 0},
		{1, 1},
		{4096, 1},
		{BLOCK / 2, 1},
		{EXTENT, 1},
		{EXTENT - BLOCK, 2},
		{0, UINT16_MAX},
		{(uint64_t)-BLOCK, 1},
		{(uint64_t)-BLOCK, 2},
		{UINT64_MAX - GIB(4), 1},
		{(uint64_t)-GIB(4), 1}, /* the machine's RAM */
		{SIZE, 1},
	};
	struct fixture fx;

	(void)state;
	build(&fx, MIB(128));
	assert_int_equal(request(&fx, PLUG, 0, 2), ACK);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		for (uint16_t type = PLUG; type <= STATE; type++)
			if (type != UNPLUG_ALL &&
				request_at(&fx, type, fx.base + bad[i].off, bad[i].n) != ERROR)
				fail_msg("range %u, request %u", i, type);
	/* What is there cannot come, what is not cannot go, in part neither. */
	assert_int_equal(request(&fx, PLUG, 1, 1), ERROR);
	assert_int_equal(request(&fx, PLUG, 1, 2), ERROR);
	assert_int_equal(request(&fx, UNPLUG, 2, 1), ERROR);
	assert_int_equal(request(&fx, UNPLUG, 1, 2), ERROR);
	for (unsigned type = STATE + 1; type <= UINT16_MAX; type += 1111)
		assert_int_equal(request(&fx, (uint16_t)type, 0, 1), ERROR);
	assert_int_equal(size_of(&fx), 2 * BLOCK);
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	destroy(&fx);
}

/* Chains that are no requests. */
static void test_bad_chains(void **state)
{
	static const struct fake_part bad[][2] = {
		{{0x8000, 23, false}, {0x9000, 10, true}},
		{{0x8000, 24, false}, {0x9000, 9, true}},
		{{0x8000, 24, false}, {0x9000, 10, false}},
		{{0x8000, 24, true}, {0x9000, 10, true}},
		{{0x8000, 24, false}, {RAM - 5, 10, true}},
		/* What is not plugged is no memory for devices either, */
		{{GIB(4), 24, false}, {0x9000, 10, true}},
		{{0x8000, 24, false}, {GIB(4), 10, true}},
		/* nor is where plugged and unplugged meet. */
		{{0x8000, 24, false}, {GIB(4) + 2 * BLOCK - 5, 10, true}},
	};
	struct fixture fx;

	(void)state;
	build(&fx, MIB(128));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		if (i == ARRAY_SIZE(bad) - 1)
			assert_int_equal(request(&fx, PLUG, 1, 1), ACK);
		(void)fake_driver_add(&fx.d, 0, bad[i], 2);
		fake_driver_kick(&fx.d, 0);
		if (fake_driver_status(&fx.d) != 0x4f)
			fail_msg("chain %u", i);
		fake_driver_start(&fx.d, UINT64_MAX);
	}
	assert_int_equal(state_of(&fx, 1, 1), PLUGGED);
	destroy(&fx);
}

/* A request in the block that it unplugs, with its answer: the driver loses both, nobody else anything. */
static void test_saws_its_branch(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, MIB(128));
	assert_int_equal(request(&fx, PLUG, 0, 1), ACK);
	offer(&fx, UNPLUG, fx.base, 1, fx.base + 4096);
	fake_driver_kick(&fx.d, 0);
	loop_fake_advance(fx.f->m.loop, 1);
	assert_int_equal(size_of(&fx), 0);
	assert_int_equal(fake_ring_used_idx(&fx.d.rings[0]), 2);
	/* A ring in memory that goes. */
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	destroy(&fx);
}

/* Blocks have memory before they are there; without any, BUSY and nothing kept. */
static void test_populated(void **state)
{
	struct fixture fx;
	uint64_t before;

	(void)state;
	prepare(&fx, SIZE);
	fx.f->config.memory_allocation = VM_ALLOCATION_IMMEDIATE;
	make_device(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	before = resident(&fx);
	/* More than a turn's worth. */
	assert_int_equal(request(&fx, PLUG, 0, 40), ACK);
	assert_int_equal(resident(&fx) - before, 40 * BLOCK);
	/* Behind the end of the file there is none: of 40 blocks 20 can be had. */
	assert_int_equal(ftruncate(fx.fd, (off_t)(120 * BLOCK)), 0);
	assert_int_equal(request(&fx, PLUG, 100, 40), BUSY);
	assert_int_equal(size_of(&fx), 40 * BLOCK);
	assert_int_equal(resident(&fx) - before, 40 * BLOCK);
	assert_int_equal(request(&fx, PLUG, 100, 20), ACK);
	destroy(&fx);
}

/* While one request is worked on the next one waits; a reset of the driver waits too, and a wish that comes down counts. */
static void test_turns(void **state)
{
	struct fixture fx;

	(void)state;
	prepare(&fx, SIZE);
	fx.f->config.memory_allocation = VM_ALLOCATION_IMMEDIATE;
	make_device(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	offer(&fx, PLUG, fx.base, 40, 0x8000);
	offer(&fx, PLUG, fx.base + 40 * BLOCK, 1, 0x9000);
	fake_driver_kick(&fx.d, 0);
	assert_int_equal(fake_ring_used_idx(&fx.d.rings[0]), 0);
	assert_false(fx.dev->class->ops->quiesce(fx.dev));
	assert_int_equal(want(&fx, 39 * BLOCK), 0);
	fx.dev->class->ops->resume(fx.dev);
	for (unsigned i = 0; i < 8; i++) {
		loop_fake_advance(fx.f->m.loop, 1);
		fake_driver_turn(&fx.d);
	}
	assert_int_equal(read_answer(&fx, 0x8000), BUSY);
	assert_int_equal(read_answer(&fx, 0x9000), ACK);
	/* The driver resets the device in the middle: what was begun is given up, for which nobody waits long. */
	assert_int_equal(want(&fx, SIZE), 0);
	offer(&fx, PLUG, fx.base, 40, 0x8000);
	fake_driver_kick(&fx.d, 0);
	fake_common_write(&fx.d, 0x14, 1, 0);
	assert_int_not_equal(fake_driver_status(&fx.d), 0);
	for (unsigned i = 0; i < 8; i++)
		loop_fake_advance(fx.f->m.loop, 1);
	assert_int_equal(fake_driver_status(&fx.d), 0);
	assert_int_equal(size_of(&fx), BLOCK);
	destroy(&fx);
}

/* A driver's reset leaves everything, the machine's nothing. */
static void test_resets(void **state)
{
	struct fixture fx;
	uint64_t before;

	(void)state;
	build(&fx, SIZE);
	before = resident(&fx);
	assert_int_equal(request(&fx, PLUG, 3, 5), ACK);
	memset(block(&fx, 3), 0x5a, BLOCK);
	assert_int_equal(want(&fx, EXTENT), 0);
	fake_driver_reset(&fx.d);
	assert_int_equal(size_of(&fx), 5 * BLOCK);
	assert_int_equal(*block(&fx, 3), 0x5a);
	assert_int_equal(reach(&fx), SIZE);
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_int_equal(state_of(&fx, 3, 5), PLUGGED);
	device_reset(fx.dev);
	assert_int_equal(size_of(&fx), 0);
	assert_null(block(&fx, 3));
	assert_int_equal(resident(&fx), before);
	assert_int_equal(reach(&fx), EXTENT);
	assert_int_equal(fx.page.memories[0].requested, EXTENT);
	destroy(&fx);
}

/* The first change is told at once, then at most one a second, the last always, and the goal at once. */
static void test_told(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, 100 * BLOCK);
	for (unsigned i = 0; i < 99; i++)
		assert_int_equal(request(&fx, PLUG, i, 1), ACK);
	assert_int_equal(fx.f->n_requests, 1);
	assert_int_equal(fx.f->requests[0], MACHINE_MEMORY);
	loop_fake_advance(fx.f->m.loop, 2 * NSEC_PER_SEC);
	assert_int_equal(fx.f->n_requests, 2);
	assert_int_equal(request(&fx, UNPLUG, 0, 1), ACK);
	assert_int_equal(request(&fx, PLUG, 0, 1), ACK);
	assert_int_equal(fx.f->n_requests, 3);
	assert_int_equal(request(&fx, PLUG, 99, 1), ACK);
	assert_int_equal(fx.f->n_requests, 4);
	/* No news, no wake-up. */
	loop_fake_advance(fx.f->m.loop, 100 * NSEC_PER_SEC);
	assert_int_equal(fx.f->n_requests, 4);
	/* Other registers are not the driver's to write. */
	for (unsigned offset = 0; offset < 56; offset += 8)
		fake_config_write(&fx.d, offset, 4, 0);
	assert_int_equal(window(&fx, 48), 100 * BLOCK);
	destroy(&fx);
}

static void test_save(void **state)
{
	struct fixture fx, other;

	(void)state;
	build(&fx, SIZE);
	assert_int_equal(request(&fx, PLUG, 7, 60), ACK);
	assert_int_equal(want(&fx, 2 * EXTENT), 0);
	prepare(&other, 0);
	make_device(&other);
	assert_int_equal(fake_save_load(fx.dev, other.dev), 0);
	assert_int_equal(size_of(&other), 60 * BLOCK);
	assert_int_equal(reach(&other), SIZE);
	assert_int_equal(other.page.memories[0].requested, 2 * EXTENT);
	assert_null(block(&other, 6));
	assert_non_null(block(&other, 7));
	destroy(&other);
	/* Another device is none of it. */
	prepare(&other, 0);
	guest_plug_remove(&other.f->mem, 0);
	assert_int_equal(guest_plug_add(&other.f->mem, 0, MIB(64), BLOCK), 0);
	other.f->config.memories[0].size_kib = 65536;
	make_device(&other);
	{
		struct state_writer w;
		struct state_reader r;
		size_t offset = 0;

		state_writer_init(&w);
		assert_int_equal(device_save(fx.dev, &w), 0);
		assert_int_equal(state_next(w.data, w.len, &offset, &r), 1);
		assert_int_equal(device_load(other.dev, &r), -EBADMSG);
		state_writer_done(&w);
	}
	assert_int_equal(size_of(&other), 0);
	destroy(&other);
	destroy(&fx);
}

/* Which node it belongs to, where there are any. */
static void test_node(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, 0);
	assert_false(fx.d.features & VIRTIO_BIT(0));
	destroy(&fx);
	prepare(&fx, 0);
	fx.f->config.n_cells = 2;
	fx.f->config.memories[0].node = 1;
	make_device(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_true(fx.d.features & VIRTIO_BIT(0));
	assert_int_equal(fake_config_read(&fx.d, 8, 2), 1);
	destroy(&fx);
}

/* Drivers of before UNPLUGGED_INACCESSIBLE are served. */
static void test_old_driver(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, SIZE);
	assert_true(fx.d.features & VIRTIO_BIT(1));
	fake_driver_start(&fx.d, ~VIRTIO_BIT(1));
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	assert_int_equal(request(&fx, PLUG, 0, 1), ACK);
	destroy(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_up_and_down),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_unplug_all),
		cmocka_unit_test(test_bad_ranges),
		cmocka_unit_test(test_bad_chains),
		cmocka_unit_test(test_saws_its_branch),
		cmocka_unit_test(test_populated),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_save),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_old_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
