/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the fuzzers of single virtio devices share: a machine with the PCI root and one device, and a driver with small rings above
 * the buffers, which are in the first 64 KiB. The operations here are the same for every device; each fuzzer numbers its own.
 */
#pragma once

#include "devices/pci/pci.h"
#include "devices/virtio/virtio-pci.h"
#include "tests/fakes/fake-driver.h"
#include "tests/fuzz/fuzz-input.h"

#define RIG_RAM       MIB(1)
#define RIG_RING_SIZE 16
#define RIG_SPACE     0x10000 /* where buffers are; rings are above */
#define RIG_MAX_TURNS 64      /* of the loop, until a device must have become quiet */

struct rig {
	struct fake_machine *f;
	struct device *root, *dev;
	struct fake_driver d;
	bool ready; /* rings are set up */
};

/* Reset, and start with these features, as far as they are offered, and the queues that have a bit. */
static inline void rig_start(struct rig *rig, uint64_t features, unsigned queues)
{
	fake_driver_reset(&rig->d);
	for (unsigned i = 0; i < RIG_MAX_TURNS && fake_driver_status(&rig->d); i++)
		loop_fake_advance(rig->f->m.loop, 1);
	expect(fake_driver_status(&rig->d) == 0);
	rig->d.heap = FAKE_DRIVER_HEAP + RIG_SPACE;
	rig->ready = fake_driver_negotiate(&rig->d, features | VIRTIO_BIT(VIRTIO_F_VERSION_1));
	for (unsigned i = 0; rig->ready && queues >> i; i++)
		if (queues >> i & 1)
			fake_driver_setup_queue(&rig->d, i, RIG_RING_SIZE);
	fake_common_write(&rig->d, 0x14, 1, 0xf);
	fake_driver_turn(&rig->d);
}

/* The devices of rig->f, once it is configured; 'slot' is the device's. */
static inline void rig_build(struct rig *rig, const struct device_class *class, unsigned slot)
{
	expect(device_new(&q35_host_class, &rig->f->m, 0, &rig->root) >= 0 &&
		device_new(class, &rig->f->m, 0, &rig->dev) >= 0 &&
		q35_host_class.ops->machine_done(rig->root) >= 0 &&
		fake_driver_probe(&rig->d, rig->f, slot));
}

static inline void rig_done(struct rig *rig)
{
	(void)device_free(rig->dev);
	(void)device_free(rig->root);
	(void)fake_machine_free(rig->f);
}

/* Write memory: address (16 bits), 'n' bytes. */
static inline void rig_poke(struct rig *rig, unsigned n, struct input *in)
{
	uint64_t addr = take(in, 2);

	for (unsigned i = 0; i < n; i++) {
		uint8_t byte = (uint8_t)take(in, 1);

		expect(guest_mem_write(rig->f->m.mem, GPA(addr + i), &byte, 1) >= 0);
	}
}

/* A part of a chain: flags (1 writable, 2 indirect) come from the input, the rest is given. */
static inline void rig_add(
	struct fake_ring *r, uint64_t addr, uint32_t len, bool last, struct input *in)
{
	unsigned at = r->next_desc, next = (at + 1) % RIG_RING_SIZE, how = (unsigned)take(in, 1);

	fake_ring_set_desc(r, r->desc, at, addr, len,
		(uint16_t)((how & 1 ? FAKE_WRITE : 0) | (how & 2 ? FAKE_INDIRECT : 0) |
			(last ? 0 : FAKE_NEXT)),
		(uint16_t)next);
	r->next_desc = next;
}

/* Offer a chain: count, then for each part address (16 bits), length (16 bits, times 8 when the top bit is set), flags. */
static inline void rig_offer(struct rig *rig, unsigned queue, struct input *in)
{
	unsigned n = (unsigned)take(in, 1) % RIG_RING_SIZE + 1;
	struct fake_ring *r = &rig->d.rings[queue];
	unsigned head = r->next_desc;

	for (unsigned i = 0; i < n; i++) {
		uint64_t addr = take(in, 2);
		uint32_t len = (uint32_t)take(in, 2);

		rig_add(r, addr, len & 0x8000 ? (len & 0x7fff) * 8 : len, i + 1 == n, in);
	}
	fake_ring_offer(r, (uint16_t)head);
}

/* Pause, save, load into the same device, resume. Returns what loading said. */
static inline int rig_reload(struct rig *rig)
{
	struct state_writer writer;
	struct state_reader reader;
	size_t offset = 0;
	int r;

	expect(rig->dev->class->ops->quiesce(rig->dev));
	state_writer_init(&writer);
	expect(device_save(rig->dev, &writer) == 0);
	expect(state_next(writer.data, writer.len, &offset, &reader) == 1);
	r = device_load(rig->dev, &reader);
	state_writer_done(&writer);
	rig->dev->class->ops->resume(rig->dev);
	fake_driver_turn(&rig->d);
	return r;
}
