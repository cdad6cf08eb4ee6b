/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest's virtio driver for tests: see fake-driver.h. */
#include "tests/fakes/fake-driver.h"

#include <string.h>

#define MSIX_ADDRESS UINT64_C(0xfee00000)
#define MSIX_DATA    0x40

static void put16(struct guest_mem *mem, uint64_t addr, uint16_t v)
{
	int r = guest_mem_write(mem, GPA(addr), &v, sizeof(v));

	assert(r >= 0);
	(void)r;
}

static uint16_t get16(struct guest_mem *mem, uint64_t addr)
{
	uint16_t v;
	int r = guest_mem_read(mem, GPA(addr), &v, sizeof(v));

	assert(r >= 0);
	(void)r;
	return v;
}

uint64_t fake_ring_bytes(unsigned size)
{
	return ALIGN_UP(16 * (uint64_t)size + 6 + 2 * size, 16) + 6 + 8 * (uint64_t)size + 16;
}

void fake_ring_init(struct fake_ring *r, struct guest_mem *mem, uint64_t base, unsigned size)
{
	uint64_t avail = base + 16 * (uint64_t)size;
	void *p = guest_mem_ptr(mem, GPA(base), fake_ring_bytes(size));

	assert(p && size <= FAKE_RING_MAX);
	memset(p, 0, fake_ring_bytes(size));
	*r = (struct fake_ring){
		.mem = mem,
		.size = size,
		.desc = base,
		.avail = avail,
		.used = ALIGN_UP(avail + 6 + 2 * size, 16),
	};
}

void fake_ring_set_desc(const struct fake_ring *r, uint64_t table, unsigned index, uint64_t addr,
	uint32_t len, uint16_t flags, uint16_t next)
{
	uint64_t at = table + 16 * (uint64_t)index;
	int ret = guest_mem_write(r->mem, GPA(at), &addr, sizeof(addr));

	ret |= guest_mem_write(r->mem, GPA(at + 8), &len, sizeof(len));
	assert(ret >= 0);
	(void)ret;
	put16(r->mem, at + 12, flags);
	put16(r->mem, at + 14, next);
}

void fake_ring_offer(struct fake_ring *r, uint16_t head)
{
	put16(r->mem, r->avail + 4 + 2 * (uint64_t)(r->avail_idx % r->size), head);
	fake_ring_set_avail_idx(r, (uint16_t)(r->avail_idx + 1));
}

void fake_ring_set_avail_idx(struct fake_ring *r, uint16_t idx)
{
	r->avail_idx = idx;
	put16(r->mem, r->avail + 2, idx);
}

uint16_t fake_ring_add(struct fake_ring *r, const struct fake_part *parts, unsigned n)
{
	unsigned head = r->next_desc;

	for (unsigned i = 0; i < n; i++) {
		unsigned at = r->next_desc, next = (at + 1) % r->size;
		uint16_t flags = (uint16_t)((parts[i].writable ? FAKE_WRITE : 0) |
			(i + 1 < n ? FAKE_NEXT : 0));

		fake_ring_set_desc(
			r, r->desc, at, parts[i].addr, parts[i].len, flags, (uint16_t)next);
		r->next_desc = next;
	}
	fake_ring_offer(r, (uint16_t)head);
	return (uint16_t)head;
}

uint16_t fake_ring_add_indirect(
	struct fake_ring *r, uint64_t table, const struct fake_part *parts, unsigned n)
{
	unsigned head = r->next_desc;

	for (unsigned i = 0; i < n; i++)
		fake_ring_set_desc(r, table, i, parts[i].addr, parts[i].len,
			(uint16_t)((parts[i].writable ? FAKE_WRITE : 0) |
				(i + 1 < n ? FAKE_NEXT : 0)),
			(uint16_t)(i + 1));
	fake_ring_set_desc(r, r->desc, head, table, 16 * n, FAKE_INDIRECT, 0);
	r->next_desc = (head + 1) % r->size;
	fake_ring_offer(r, (uint16_t)head);
	return (uint16_t)head;
}

uint16_t fake_ring_used_idx(const struct fake_ring *r)
{
	return get16(r->mem, r->used + 2);
}

uint16_t fake_ring_used_flags(const struct fake_ring *r)
{
	return get16(r->mem, r->used);
}

uint16_t fake_ring_avail_event(const struct fake_ring *r)
{
	return get16(r->mem, r->used + 4 + 8 * (uint64_t)r->size);
}

void fake_ring_set_used_event(const struct fake_ring *r, uint16_t event)
{
	put16(r->mem, r->avail + 4 + 2 * (uint64_t)r->size, event);
}

void fake_ring_set_avail_flags(const struct fake_ring *r, uint16_t flags)
{
	put16(r->mem, r->avail, flags);
}

bool fake_ring_used(struct fake_ring *r, uint32_t *ret_id, uint32_t *ret_len)
{
	uint64_t at = r->used + 4 + 8 * (uint64_t)(r->last_used % r->size);

	if (fake_ring_used_idx(r) == r->last_used)
		return false;
	if (guest_mem_read(r->mem, GPA(at), ret_id, 4) < 0 ||
		guest_mem_read(r->mem, GPA(at + 4), ret_len, 4) < 0)
		abort();
	r->last_used++;
	fake_ring_set_used_event(r, r->last_used);
	return true;
}

static uint64_t ecam(unsigned slot, unsigned offset)
{
	return LAYOUT_ECAM_BASE + ((uint64_t)slot << 15) + offset;
}

uint64_t fake_pci_read(struct fake_machine *f, unsigned slot, unsigned offset, unsigned size)
{
	return bus_read(f->m.bus, BUS_MMIO, ecam(slot, offset), size);
}

void fake_pci_write(
	struct fake_machine *f, unsigned slot, unsigned offset, unsigned size, uint64_t value)
{
	bus_write(f->m.bus, BUS_MMIO, ecam(slot, offset), size, value);
}

static uint64_t bar_address(struct fake_driver *d, unsigned bar)
{
	uint64_t low = fake_pci_read(d->f, d->slot, 0x10 + 4 * bar, 4), addr = low & ~UINT64_C(15);

	if ((low & 6) == 4)
		addr |= fake_pci_read(d->f, d->slot, 0x14 + 4 * bar, 4) << 32;
	return addr;
}

static void read_virtio_cap(struct fake_driver *d, unsigned cap)
{
	unsigned type = (unsigned)fake_pci_read(d->f, d->slot, cap + 3, 1);
	unsigned bar = (unsigned)fake_pci_read(d->f, d->slot, cap + 4, 1);
	uint64_t at;

	if (type == 5) {
		d->cfg_cap = cap;
		return;
	}
	at = bar_address(d, bar) + fake_pci_read(d->f, d->slot, cap + 8, 4);
	if (type == 1)
		d->common = at;
	if (type == 2) {
		d->notify = at;
		d->notify_multiplier = (uint32_t)fake_pci_read(d->f, d->slot, cap + 16, 4);
	}
	if (type == 3)
		d->isr = at;
	if (type == 4) {
		d->config = at;
		d->config_len = (uint32_t)fake_pci_read(d->f, d->slot, cap + 12, 4);
	}
}

static void read_caps(struct fake_driver *d)
{
	unsigned cap = (unsigned)fake_pci_read(d->f, d->slot, 0x34, 1);

	for (unsigned n = 0; cap && n < 32; n++) {
		unsigned id = (unsigned)fake_pci_read(d->f, d->slot, cap, 1);

		if (id == 0x09)
			read_virtio_cap(d, cap);
		if (id == 0x11) {
			uint64_t table = fake_pci_read(d->f, d->slot, cap + 4, 4);

			d->n_msix = (fake_pci_read(d->f, d->slot, cap + 2, 2) & 0x7ff) + 1;
			d->msix_table = bar_address(d, table & 7) + (table & ~UINT64_C(7));
			fake_pci_write(d->f, d->slot, cap + 2, 2, 0x8000);
		}
		cap = (unsigned)fake_pci_read(d->f, d->slot, cap + 1, 1);
	}
}

bool fake_driver_probe(struct fake_driver *d, struct fake_machine *f, unsigned type)
{
	return fake_driver_probe_from(d, f, type, 0);
}

bool fake_driver_probe_from(
	struct fake_driver *d, struct fake_machine *f, unsigned type, unsigned slot)
{
	*d = (struct fake_driver){.f = f, .heap = FAKE_DRIVER_HEAP};
	for (d->slot = slot; d->slot < 32; d->slot++)
		if (fake_pci_read(f, d->slot, 0, 4) == (0x1af4 | (uint64_t)(0x1040 + type) << 16))
			break;
	if (d->slot == 32)
		return false;
	fake_pci_write(f, d->slot, 4, 2, 0x6);
	read_caps(d);
	d->n_queues = (unsigned)fake_common_read(d, 0x12, 2);
	return d->common && d->notify && d->isr && d->n_queues <= FAKE_MAX_QUEUES;
}

uint64_t fake_driver_alloc(struct fake_driver *d, uint64_t len)
{
	uint64_t at = d->heap;

	d->heap = ALIGN_UP(d->heap + len, 16);
	assert(guest_mem_ptr(d->f->m.mem, GPA(at), len));
	return at;
}

uint64_t fake_common_read(struct fake_driver *d, unsigned offset, unsigned size)
{
	return bus_read(d->f->m.bus, BUS_MMIO, d->common + offset, size);
}

void fake_common_write(struct fake_driver *d, unsigned offset, unsigned size, uint64_t value)
{
	bus_write(d->f->m.bus, BUS_MMIO, d->common + offset, size, value);
}

uint8_t fake_driver_status(struct fake_driver *d)
{
	return (uint8_t)fake_common_read(d, 0x14, 1);
}

uint64_t fake_config_read(struct fake_driver *d, unsigned offset, unsigned size)
{
	return bus_read(d->f->m.bus, BUS_MMIO, d->config + offset, size);
}

void fake_config_write(struct fake_driver *d, unsigned offset, unsigned size, uint64_t value)
{
	bus_write(d->f->m.bus, BUS_MMIO, d->config + offset, size, value);
}

void fake_driver_reset(struct fake_driver *d)
{
	fake_common_write(d, 0x14, 1, 0);
}

bool fake_driver_negotiate(struct fake_driver *d, uint64_t wanted)
{
	uint64_t offered = 0;

	fake_common_write(d, 0x14, 1, 0x3);
	for (unsigned i = 0; i < 2; i++) {
		fake_common_write(d, 0x00, 4, i);
		offered |= fake_common_read(d, 0x04, 4) << (32 * i);
	}
	d->features = offered & wanted;
	for (unsigned i = 0; i < 2; i++) {
		fake_common_write(d, 0x08, 4, i);
		fake_common_write(d, 0x0c, 4, (uint32_t)(d->features >> (32 * i)));
	}
	fake_common_write(d, 0x14, 1, 0xb);
	return fake_driver_status(d) & 0x8;
}

void fake_driver_setup_queue(struct fake_driver *d, unsigned index, unsigned size)
{
	struct fake_ring *r = &d->rings[index];

	fake_common_write(d, 0x16, 2, index);
	if (!size)
		size = (unsigned)fake_common_read(d, 0x18, 2);
	fake_ring_init(r, d->f->m.mem, fake_driver_alloc(d, fake_ring_bytes(size)), size);
	fake_common_write(d, 0x18, 2, size);
	fake_common_write(d, 0x1a, 2, index + 1);
	fake_common_write(d, 0x20, 4, (uint32_t)r->desc);
	fake_common_write(d, 0x24, 4, r->desc >> 32);
	fake_common_write(d, 0x28, 4, (uint32_t)r->avail);
	fake_common_write(d, 0x2c, 4, r->avail >> 32);
	fake_common_write(d, 0x30, 8, r->used);
	fake_common_write(d, 0x1c, 2, 1);
}

void fake_driver_enable_msix(struct fake_driver *d)
{
	for (unsigned i = 0; i < d->n_msix; i++) {
		uint64_t entry = d->msix_table + 16 * (uint64_t)i;

		bus_write(d->f->m.bus, BUS_MMIO, entry, 8, MSIX_ADDRESS);
		bus_write(d->f->m.bus, BUS_MMIO, entry + 8, 4, MSIX_DATA + i);
		bus_write(d->f->m.bus, BUS_MMIO, entry + 12, 4, 0);
	}
}

void fake_driver_start(struct fake_driver *d, uint64_t wanted)
{
	bool ok;

	fake_driver_reset(d);
	fake_driver_enable_msix(d);
	ok = fake_driver_negotiate(d, wanted);
	assert(ok);
	(void)ok;
	fake_common_write(d, 0x10, 2, 0);
	for (unsigned i = 0; i < d->n_queues; i++)
		fake_driver_setup_queue(d, i, 0);
	fake_common_write(d, 0x14, 1, 0xf);
	fake_driver_turn(d);
}

uint16_t fake_driver_add(
	struct fake_driver *d, unsigned queue, const struct fake_part *parts, unsigned n)
{
	return fake_ring_add(&d->rings[queue], parts, n);
}

void fake_driver_turn(struct fake_driver *d)
{
	for (unsigned i = 0; i < 64; i++)
		if (loop_run_once(d->f->m.loop, 0) <= 0)
			return;
}

void fake_driver_kick(struct fake_driver *d, unsigned queue)
{
	fake_bus_write(
		d->f, BUS_MMIO, d->notify + (uint64_t)d->notify_multiplier * queue, 2, queue);
	fake_driver_turn(d);
}

bool fake_driver_used(struct fake_driver *d, unsigned queue, uint32_t *ret_id, uint32_t *ret_len)
{
	return fake_ring_used(&d->rings[queue], ret_id, ret_len);
}

int fake_driver_interrupts(struct fake_driver *d, unsigned vector)
{
	return fake_msi_count(d->f, MSIX_DATA + vector);
}
