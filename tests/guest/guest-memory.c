/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio-mem from a guest's side. What is plugged lies above 4 GiB, where this guest's processor does not reach: it lets the device write there.
 *
 * Plugs as many blocks as it is told to, and has an answer written into each. Unplugs them one by one when it is told to have none, has
 * one again, and unplugs all. With "eject" it lets the device itself go when it is asked to, after the first time. Says on the serial port:
 * "ready", "plugged", "unplugged", "again".
 */
#include "guest.h"

#define VIRTIO_MEM  0x10581af4
#define FEATURES    (1U << 1) /* unplugged memory is not touched */
#define NO_VECTOR   0xffff
#define BLOCK       0x200000U
#define EXTENT      0x8000000U
#define C_USABLE    32
#define C_PLUGGED   40
#define C_REQUESTED 48
/* vmm-core/acpi/acpi-hw.h */
#define DOWN  0x634
#define EJECT 0x638

enum { PLUG, UNPLUG, UNPLUG_ALL, STATE };

static struct {
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc[2];
	uint16_t avail_flags, avail_idx, avail[2], used_event, pad;
	uint16_t used_flags, used_idx;
	struct {
		uint32_t id, len;
	} used[2];
	uint16_t avail_event;
} ring __attribute__((aligned(16)));

struct request {
	uint16_t type, pad1[3];
	uint64_t addr;
	uint16_t n, pad2[3];
};
struct response {
	uint16_t type, pad[3], state;
};

static struct request request;
static struct response response;
static struct guest_virtio mem;
static uint64_t base;

static uint64_t config64(unsigned offset)
{
	return mmio_read32(mem.config + offset) |
		(uint64_t)mmio_read32(mem.config + offset + 4) << 32;
}

/* The answer goes to 'at' (a guest address), or to 'response', whose type is answered. */
static unsigned ask_at(uint64_t at, unsigned type, unsigned first, unsigned n)
{
	request = (struct request){
		.type = (uint16_t)type, .addr = base + (uint64_t)first * BLOCK, .n = (uint16_t)n};
	response.type = 0xffff;
	ring.desc[0].addr = (uint32_t)&request;
	ring.desc[0].len = sizeof(request);
	ring.desc[0].flags = 1;
	ring.desc[0].next = 1;
	ring.desc[1].addr = at ? at : (uint32_t)&response;
	ring.desc[1].len = 10;
	ring.desc[1].flags = 2;
	ring.avail[ring.avail_idx % 2] = 0;
	__asm__ volatile("" ::: "memory");
	ring.avail_idx++;
	__asm__ volatile("" ::: "memory");
	virtio_kick(&mem);
	while (*(volatile uint16_t *)&ring.used_idx != ring.avail_idx)
		;
	return *(volatile uint16_t *)&response.type;
}

static unsigned ask(unsigned type, unsigned first, unsigned n)
{
	return ask_at(0, type, first, n);
}

static unsigned wait_for(bool more)
{
	while ((config64(C_REQUESTED) != 0) != more)
		;
	return (unsigned)(config64(C_REQUESTED) / BLOCK);
}

static unsigned up_and_down(void)
{
	unsigned n = wait_for(true);

	CHECK(config64(C_USABLE) == EXTENT);
	CHECK(ask(PLUG, 0, n + 1) == 1);
	CHECK(ask(PLUG, 0, n) == 0);
	CHECK(ask(PLUG, 0, 1) == 3);
	CHECK(config64(C_PLUGGED) == (uint64_t)n * BLOCK);
	for (unsigned i = 0; i < n; i++)
		(void)ask_at(base + (uint64_t)i * BLOCK + 4096, STATE, i, 1);
	CHECK(virtio_status(&mem) == 15);
	put_string("plugged\n");

	(void)wait_for(false);
	for (unsigned i = n; i-- > 0;)
		CHECK(ask(UNPLUG, i, 1) == 0);
	CHECK(config64(C_PLUGGED) == 0);
	put_string("unplugged\n");
	return 0;
}

unsigned guest_main(const struct hvm_start_info *info)
{
	const struct guest_ring where = {
		(uint32_t)&ring.desc, (uint32_t)&ring.avail_flags, (uint32_t)&ring.used_flags, 2};
	unsigned r;

	CHECK(virtio_find(&mem, VIRTIO_MEM) && mem.config);
	virtio_start(&mem, FEATURES, &where, NO_VECTOR);
	CHECK(virtio_status(&mem) == 15);
	base = config64(16);
	CHECK(base >> 32);
	put_string("ready\n");
	r = up_and_down();
	if (r)
		return r;
	if (guest_cmdline(info)[0] == 'e') {
		uint32_t slots;

		do
			slots = inl(DOWN);
		while (!slots);
		outl(EJECT, slots);
		return 0;
	}

	CHECK(wait_for(true) == 1);
	CHECK(ask(PLUG, 2, 1) == 0);
	(void)ask_at(base + 2 * BLOCK, STATE, 2, 1);
	put_string("again\n");
	(void)wait_for(false);
	CHECK(ask(UNPLUG_ALL, 0, 0) == 0);
	CHECK(config64(C_USABLE) == 0);
	CHECK(virtio_status(&mem) == 15);
	return 0;
}
