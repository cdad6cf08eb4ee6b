/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest's virtio driver for unit tests: rings in guest memory, and on top of them a driver that finds its device over
 * ECAM, negotiates and drives it through the bus as a guest would. It knows the layouts from the specification
 * and shares no header with the devices.
 *
 *	struct fake_driver d;
 *	fake_driver_probe(&d, f, 4);                     device type 4 on bus 0
 *	fake_driver_start(&d, UINT64_MAX);               all features that are offered, all queues, DRIVER_OK
 *	head = fake_driver_add(&d, 0, parts, n);         a chain
 *	fake_driver_kick(&d, 0);                         doorbell, and one turn of the loop
 *	fake_driver_used(&d, 0, &head, &len);            what came back
 *
 * Buffers come from fake_driver_alloc(): guest memory from FAKE_DRIVER_HEAP up, never given back.
 */
#pragma once

#include "tests/fakes/fake-machine.h"

#define FAKE_DRIVER_HEAP UINT64_C(0x10000)
#define FAKE_MAX_QUEUES  32
#define FAKE_RING_MAX    1024

#define FAKE_NEXT     0x1
#define FAKE_WRITE    0x2
#define FAKE_INDIRECT 0x4

struct fake_ring {
	struct guest_mem *mem;
	unsigned size;
	uint64_t desc, avail, used; /* guest addresses */
	unsigned next_desc;         /* descriptors are handed out in turn */
	uint16_t avail_idx, last_used;
};

/* One buffer of a chain. */
struct fake_part {
	uint64_t addr;
	uint32_t len;
	bool writable;
};

/* Bytes of memory a ring of 'size' takes. */
uint64_t fake_ring_bytes(unsigned size);
/* Lay it out at 'base' (16-byte aligned), zeroed: descriptors, available ring, used ring. */
void fake_ring_init(struct fake_ring *r, struct guest_mem *mem, uint64_t base, unsigned size);
/* Raw access, for the cases no honest driver would write. */
void fake_ring_set_desc(const struct fake_ring *r, uint64_t table, unsigned index, uint64_t addr,
	uint32_t len, uint16_t flags, uint16_t next);
/* Put 'head' into the available ring and raise the index. */
void fake_ring_offer(struct fake_ring *r, uint16_t head);
void fake_ring_set_avail_idx(struct fake_ring *r, uint16_t idx);
/* Build a chain of direct descriptors and offer it. Answers its head. */
uint16_t fake_ring_add(struct fake_ring *r, const struct fake_part *parts, unsigned n);
/* The same through an indirect table at 'table'. */
uint16_t fake_ring_add_indirect(
	struct fake_ring *r, uint64_t table, const struct fake_part *parts, unsigned n);
/* The next used entry; asks to be interrupted for the one after it. False: none. */
bool fake_ring_used(struct fake_ring *r, uint32_t *ret_id, uint32_t *ret_len);
uint16_t fake_ring_used_idx(const struct fake_ring *r);
uint16_t fake_ring_used_flags(const struct fake_ring *r);
uint16_t fake_ring_avail_event(const struct fake_ring *r);
void fake_ring_set_used_event(const struct fake_ring *r, uint16_t event);
void fake_ring_set_avail_flags(const struct fake_ring *r, uint16_t flags);

struct fake_driver {
	struct fake_machine *f;
	unsigned slot;
	uint64_t common, isr, config, notify; /* windows; config 0: none */
	uint32_t notify_multiplier, config_len;
	uint64_t msix_table;
	unsigned cfg_cap; /* of VIRTIO_PCI_CAP_PCI_CFG */
	unsigned n_msix, n_queues;
	uint64_t features; /* negotiated */
	uint64_t heap;
	struct fake_ring rings[FAKE_MAX_QUEUES];
};

/* Configuration space through ECAM. */
uint64_t fake_pci_read(struct fake_machine *f, unsigned slot, unsigned offset, unsigned size);
void fake_pci_write(
	struct fake_machine *f, unsigned slot, unsigned offset, unsigned size, uint64_t value);

/* Find the device of virtio type 'type', read its capabilities, allow bus mastering. False: not there. */
bool fake_driver_probe(struct fake_driver *d, struct fake_machine *f, unsigned type);
/* The same from slot 'slot' on, for the second of a kind; its buffers begin where the first's do: move 'heap'. */
bool fake_driver_probe_from(
	struct fake_driver *d, struct fake_machine *f, unsigned type, unsigned slot);
uint64_t fake_driver_alloc(struct fake_driver *d, uint64_t len);
/* The steps, */
void fake_driver_reset(struct fake_driver *d);
bool fake_driver_negotiate(struct fake_driver *d, uint64_t wanted);
void fake_driver_setup_queue(struct fake_driver *d, unsigned index, unsigned size);
void fake_driver_enable_msix(struct fake_driver *d);
/* or all of them; MSI-X vector 0 is the configuration's, n + 1 is queue n's, with data 0x40 + vector. */
void fake_driver_start(struct fake_driver *d, uint64_t wanted);

uint64_t fake_common_read(struct fake_driver *d, unsigned offset, unsigned size);
void fake_common_write(struct fake_driver *d, unsigned offset, unsigned size, uint64_t value);
uint8_t fake_driver_status(struct fake_driver *d);
uint64_t fake_config_read(struct fake_driver *d, unsigned offset, unsigned size);
void fake_config_write(struct fake_driver *d, unsigned offset, unsigned size, uint64_t value);

uint16_t fake_driver_add(
	struct fake_driver *d, unsigned queue, const struct fake_part *parts, unsigned n);
/* Ring the doorbell, then turn the loop until nothing is left to do (at most 64 turns). */
void fake_driver_kick(struct fake_driver *d, unsigned queue);
void fake_driver_turn(struct fake_driver *d);
bool fake_driver_used(struct fake_driver *d, unsigned queue, uint32_t *ret_id, uint32_t *ret_len);
/* Interrupts of a vector since the last call; -1: not routed. */
int fake_driver_interrupts(struct fake_driver *d, unsigned vector);
