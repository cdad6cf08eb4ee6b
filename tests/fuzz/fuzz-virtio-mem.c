/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzer of virtio-mem: the input is a driver with a small ring, the host's wishes, and time. The first byte's lowest bit says
 * whether blocks get their memory at once.
 *
 * An operation is a byte, of which the low nibble says what and the high nibble is a small number:
 *	0	write memory: address (16 bits) in the first 64 KiB, number + 1 bytes
 *	1	offer a chain: count, then for each part address (32 bits; the device begins at 1 << 31), length (8 bits), flags (1 writable, 2
 *		indirect)
 *	2	kick
 *	3	write 1 << (number % 4) bytes to the configuration at offset (8 bits): value (32 bits)
 *	4	the host wants this many blocks (16 bits), and number bytes
 *	5	number + 1 turns of time
 *	6	pause, save, load into the same device, resume
 *	7	the driver resets it, and starts it with these features (8 bits)
 *	8	the machine is reset
 *	9	a request: type (number), first block (16 bits), blocks (16 bits)
 */
#include "tests/fuzz/fuzz-rig.h"
#include "vmm-core/guest-plug.h"
#include "vmm-core/layout.h"
#include "vmm-core/stats.h"

#define BLOCK    MIB(2)
#define N_BLOCKS 200 /* two extents; few that get memory at once */
#define N_FEW    6
struct world {
	struct rig rig;
	struct vm_stats_page *page;
	uint64_t base, n_blocks;
	uint64_t reach; /* bytes that have slots */
};

static int set_slot(void *opaque, unsigned slot, uint64_t gpa, uint64_t size, void *host)
{
	struct world *w = opaque;

	(void)slot;
	(void)host;
	/* They come and go at the end. */
	expect(size ? gpa == w->base + w->reach : gpa < w->base + w->reach);
	w->reach = gpa - w->base + size;
	return 0;
}

static void build(struct world *w, bool populates)
{
	static const struct guest_plug_ops ops = {.set_slot = set_slot};
	const struct guest_file room = {.fd = -EBADF, .size = GIB(2), .page_len = 4096};

	w->rig.f = fake_machine_new(RIG_RAM);
	w->page = calloc(1, sizeof(*w->page));
	w->rig.f->m.stats = w->page;
	w->base = layout_plug_base(RIG_RAM);
	w->n_blocks = populates ? N_FEW : N_BLOCKS;
	w->rig.f->config.n_memories = 1;
	w->rig.f->config.memory_allocation = populates ? VM_ALLOCATION_IMMEDIATE : 0;
	w->rig.f->config.memories[0] = (struct vm_memory){.size_kib = w->n_blocks * BLOCK / 1024,
		.requested_kib = 4 * BLOCK / 1024,
		.block_kib = BLOCK / 1024};
	if (!w->page || guest_plug_init(&w->rig.f->mem, &room, &ops, w) < 0 ||
		guest_plug_add(&w->rig.f->mem, 0, w->n_blocks * BLOCK, BLOCK) < 0)
		abort();
	rig_build(&w->rig, &virtio_mem_pci_class.class, 24);
	rig_start(&w->rig, UINT64_MAX, 1);
}

static bool has_ring(const struct world *w)
{
	return w->rig.ready && virtio_pci_device(w->rig.dev)->queues[0].enabled;
}

static void offer(struct world *w, struct input *in)
{
	unsigned n = (unsigned)take(in, 1) % RIG_RING_SIZE + 1;
	struct fake_ring *r = &w->rig.d.rings[0];
	unsigned head = r->next_desc;

	for (unsigned i = 0; i < n; i++) {
		uint64_t addr = take(in, 4);
		uint32_t len = (uint32_t)take(in, 1);

		if (addr >> 31)
			addr += w->base - (UINT64_C(1) << 31);
		rig_add(r, addr, len, i + 1 == n, in);
	}
	fake_ring_offer(r, (uint16_t)head);
}

static void request(struct world *w, unsigned type, uint64_t first, uint16_t n)
{
	const struct fake_part parts[] = {{0xe000, 24, false}, {0xe040, 10, true}};
	const struct {
		uint16_t type, pad1[3];
		uint64_t addr;
		uint16_t n, pad2[3];
	} req = {.type = (uint16_t)type, .addr = w->base + first * BLOCK, .n = n};

	expect(guest_mem_write(w->rig.f->m.mem, GPA(0xe000), &req, sizeof(req)) >= 0);
	(void)fake_driver_add(&w->rig.d, 0, parts, 2);
	fake_driver_kick(&w->rig.d, 0);
}

static void host_wishes(struct world *w, uint64_t bytes)
{
	int r = w->rig.f->m.memory_ops->set(w->rig.f->m.memories[0], bytes);

	expect(r == (bytes % BLOCK || bytes > w->n_blocks * BLOCK ? -EINVAL : 0));
	if (r == 0)
		expect(w->page->memories[0].requested == bytes);
	fake_driver_turn(&w->rig.d);
}

static void quiesce(struct world *w)
{
	for (unsigned i = 0; i < RIG_MAX_TURNS && !w->rig.dev->class->ops->quiesce(w->rig.dev); i++)
		loop_fake_advance(w->rig.f->m.loop, 1);
	expect(w->rig.dev->class->ops->quiesce(w->rig.dev));
}

static void reload(struct world *w)
{
	quiesce(w);
	(void)rig_reload(&w->rig);
}

static void reset_machine(struct world *w)
{
	quiesce(w);
	device_reset(w->rig.dev);
	w->rig.dev->class->ops->resume(w->rig.dev);
	expect(w->page->memories[0].plugged == 0);
	w->rig.ready = false;
	expect(fake_driver_probe(&w->rig.d, w->rig.f, 24));
	rig_start(&w->rig, UINT64_MAX, 1);
}

static void step(struct world *w, struct input *in)
{
	unsigned op = (unsigned)take(in, 1), n = op >> 4;
	uint64_t addr;

	switch (op & 15) {
	case 0:
		rig_poke(&w->rig, n + 1, in);
		break;
	case 1:
		if (has_ring(w))
			offer(w, in);
		break;
	case 2:
		fake_driver_kick(&w->rig.d, 0);
		break;
	case 3:
		addr = take(in, 1);
		fake_config_write(&w->rig.d, (unsigned)addr, 1U << n % 4, take(in, 4));
		break;
	case 4:
		host_wishes(w, take(in, 2) * BLOCK + n);
		break;
	case 5:
		loop_fake_advance(w->rig.f->m.loop, n * NSEC_PER_SEC / 8 + 1);
		fake_driver_turn(&w->rig.d);
		break;
	case 6:
		reload(w);
		break;
	case 7:
		rig_start(&w->rig, take(in, 1), 1);
		break;
	case 8:
		reset_machine(w);
		break;
	case 9:
		addr = take(in, 2);
		if (has_ring(w))
			request(w, n, addr, (uint16_t)take(in, 2));
		break;
	}
}

/* What is plugged is counted right, lies within what can be reached, and nothing else is memory. */
static void check(const struct world *w)
{
	const struct guest_plug_device *p = guest_plug_find(&w->rig.f->mem, 0);
	const struct virtio_device *v = virtio_pci_device(w->rig.dev);
	uint64_t n = 0;

	for (uint64_t i = 0; i < w->n_blocks; i++) {
		bool is = guest_mem_ptr(&w->rig.f->mem, GPA(w->base + i * BLOCK), BLOCK);

		expect(is == (guest_plug_state(&w->rig.f->mem, 0, i, 1) == GUEST_PLUGGED));
		expect(!is || (i + 1) * BLOCK <= p->usable);
		n += is;
	}
	expect(p->plugged == n * BLOCK && w->page->memories[0].plugged == n * BLOCK);
	expect(p->usable == w->reach && w->page->memories[0].requested <= p->usable);
	expect(v->queues[0].n_in_flight <= 1 || v->status & VIRTIO_STATUS_NEEDS_RESET);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {.data = data, .len = size};
	struct world w = {0};

	build(&w, take(&in, 1) & 1);
	for (unsigned steps = 0; in.len && steps < 512; steps++) {
		step(&w, &in);
		check(&w);
	}
	rig_done(&w.rig);
	free(w.page);
	return 0;
}
