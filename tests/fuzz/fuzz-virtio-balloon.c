/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzer of virtio-balloon: the input is a driver with small rings, the host's wishes, and time.
 *
 * An operation is a byte, of which the low nibble says what and the high nibble is a small number:
 *	0	write memory: address (16 bits) in the first 64 KiB, number + 1 bytes
 *	1	offer a chain to queue (number % 5): count, then for each part address (16 bits), length (16 bits, times 8 when
 *		the top bit is set), flags (1 writable, 2 indirect)
 *	2	kick queue (number % 5)
 *	3	write 1 << (number % 4) bytes to the configuration at offset (8 bits): value (32 bits)
 *	4	the host: number's bits say what (1 target, 2 period, 4 unknown), target (32 bits), period (32 bits)
 *	5	the host asks for statistics
 *	6	number + 1 seconds pass
 *	7	pause, save, load into the same device, resume
 *	8	reset and start with these features (64 bits), as far as they are offered; queues by the number's bits
 *	9	give up number + 1 pages from page (16 bits) on
 */
#include "tests/fuzz/fuzz-rig.h"
#include "vmm-core/proto.h"
#include "vmm-core/stats.h"

#define N_QUEUES   5
#define ALL_QUEUES ((1U << N_QUEUES) - 1)
#define STATS      2

struct world {
	struct rig rig;
	struct vm_stats_page *page;
};

static void build(struct world *w)
{
	w->rig.f = fake_machine_new(RIG_RAM);
	w->page = calloc(1, sizeof(*w->page));
	w->rig.f->m.stats = w->page;
	w->rig.f->config.balloon.model = VM_BALLOON_VIRTIO;
	w->rig.f->config.balloon.autodeflate = VM_TRISTATE_YES;
	expect(w->page);
	rig_build(&w->rig, &virtio_balloon_pci_class.class, 5);
	rig_start(&w->rig, UINT64_MAX, ALL_QUEUES);
}

static bool has_ring(const struct world *w, unsigned queue)
{
	return w->rig.ready && virtio_pci_device(w->rig.dev)->queues[queue].enabled;
}

static void give_up(struct world *w, unsigned n, uint32_t first)
{
	const struct fake_part part = {0xe000, n * 4, false};
	uint32_t pfns[16];

	for (unsigned i = 0; i < n; i++)
		pfns[i] = first + i;
	expect(guest_mem_write(w->rig.f->m.mem, GPA(0xe000), pfns, n * 4) >= 0);
	(void)fake_driver_add(&w->rig.d, 0, &part, 1);
	fake_driver_kick(&w->rig.d, 0);
}

static void host_wishes(struct world *w, unsigned n, struct input *in)
{
	struct proto_balloon what = {.flags = n};
	int r;

	what.target = (uint32_t)take(in, 4);
	what.period_s = (uint32_t)take(in, 4);
	r = w->rig.f->m.balloon_ops->set(w->rig.f->m.balloon, &what);
	expect(r == 0 || r == -EINVAL);
	if (r == 0 && n & PROTO_BALLOON_TARGET)
		expect(fake_config_read(&w->rig.d, 0, 4) == what.target);
	fake_driver_turn(&w->rig.d);
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
		if (has_ring(w, n % N_QUEUES))
			rig_offer(&w->rig, n % N_QUEUES, in);
		break;
	case 2:
		fake_driver_kick(&w->rig.d, n % N_QUEUES);
		break;
	case 3:
		addr = take(in, 1);
		fake_config_write(&w->rig.d, (unsigned)addr, 1U << n % 4, take(in, 4));
		break;
	case 4:
		host_wishes(w, n, in);
		break;
	case 5:
		(void)w->rig.f->m.balloon_ops->ask(w->rig.f->m.balloon);
		fake_driver_turn(&w->rig.d);
		break;
	case 6:
		loop_fake_advance(w->rig.f->m.loop, (n + 1) * NSEC_PER_SEC);
		fake_driver_turn(&w->rig.d);
		break;
	case 7:
		/* A guest that wrote over a chain that is out cannot be loaded: it is as it was then. */
		(void)rig_reload(&w->rig);
		break;
	case 8:
		rig_start(&w->rig, take(in, 8), (n << 1 | 3) & ALL_QUEUES);
		break;
	case 9:
		if (has_ring(w, 0))
			give_up(w, n + 1, (uint32_t)take(in, 2));
		break;
	}
}

/* Between two operations at most the buffer of statistics is out, and no number is more than there is. */
static void check(const struct world *w)
{
	const struct virtio_device *v = virtio_pci_device(w->rig.dev);

	expect(w->page->balloon.actual <= RIG_RAM / 4096 &&
		w->page->balloon.target < RIG_RAM / 4096);
	expect(fake_config_read((struct fake_driver *)(uintptr_t)&w->rig.d, 4, 4) ==
		w->page->balloon.actual);
	if (v->status & VIRTIO_STATUS_NEEDS_RESET)
		return;
	for (unsigned i = 0; i < v->n_queues; i++)
		expect(v->queues[i].n_in_flight <= (i == STATS) &&
			v->queues[i].used_idx == v->queues[i].next_used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {.data = data, .len = size};
	struct world w = {0};

	build(&w);
	for (unsigned steps = 0; in.len && steps < 1024; steps++) {
		step(&w, &in);
		check(&w);
	}
	rig_done(&w.rig);
	free(w.page);
	return 0;
}
