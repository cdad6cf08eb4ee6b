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
#include <stdlib.h>
#include <string.h>

#include "devices/pci/pci.h"
#include "devices/virtio/virtio-pci.h"
#include "tests/fakes/fake-driver.h"
#include "vmm-core/proto.h"
#include "vmm-core/stats.h"

#define RAM       MIB(1)
#define N_QUEUES  5
#define RING_SIZE 16
#define SPACE     0x10000 /* where buffers are; rings are above */
#define STATS     2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t len;
};

struct world {
	struct fake_machine *f;
	struct device *root, *dev;
	struct fake_driver d;
	struct vm_stats_page *page;
	bool ready; /* rings are set up */
};

static void expect(bool condition)
{
	if (!condition)
		abort();
}

static uint64_t take(struct input *in, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n && in->len; i++) {
		v |= (uint64_t)*in->data++ << (8 * i);
		in->len--;
	}
	return v;
}

static void start(struct world *w, uint64_t features, unsigned queues)
{
	fake_driver_reset(&w->d);
	expect(fake_driver_status(&w->d) == 0);
	w->d.heap = FAKE_DRIVER_HEAP + SPACE;
	w->ready = fake_driver_negotiate(&w->d, features | VIRTIO_BIT(VIRTIO_F_VERSION_1));
	for (unsigned i = 0; w->ready && i < N_QUEUES; i++)
		if (i < 2 || queues >> i & 1)
			fake_driver_setup_queue(&w->d, i, RING_SIZE);
	fake_common_write(&w->d, 0x14, 1, 0xf);
	fake_driver_turn(&w->d);
}

static void build(struct world *w)
{
	w->f = fake_machine_new(RAM);
	w->page = calloc(1, sizeof(*w->page));
	w->f->m.stats = w->page;
	w->f->config.balloon.model = VM_BALLOON_VIRTIO;
	w->f->config.balloon.autodeflate = VM_TRISTATE_YES;
	if (!w->page || device_new(&q35_host_class, &w->f->m, 0, &w->root) < 0 ||
		device_new(&virtio_balloon_pci_class.class, &w->f->m, 0, &w->dev) < 0 ||
		q35_host_class.ops->machine_done(w->root) < 0 || !fake_driver_probe(&w->d, w->f, 5))
		abort();
	start(w, UINT64_MAX, 0x1f);
}

static bool has_ring(const struct world *w, unsigned queue)
{
	return w->ready && virtio_pci_device(w->dev)->queues[queue].enabled;
}

static void offer(struct world *w, unsigned queue, struct input *in)
{
	unsigned n = (unsigned)take(in, 1) % RING_SIZE + 1;
	struct fake_ring *r = &w->d.rings[queue];
	unsigned head = r->next_desc;

	for (unsigned i = 0; i < n; i++) {
		unsigned at = r->next_desc, next = (at + 1) % RING_SIZE;
		uint64_t addr = take(in, 2);
		uint32_t len = (uint32_t)take(in, 2);
		unsigned how = (unsigned)take(in, 1);
		uint16_t flags = (uint16_t)((how & 1 ? FAKE_WRITE : 0) |
			(how & 2 ? FAKE_INDIRECT : 0) | (i + 1 < n ? FAKE_NEXT : 0));

		if (len & 0x8000)
			len = (len & 0x7fff) * 8;
		fake_ring_set_desc(r, r->desc, at, addr, len, flags, (uint16_t)next);
		r->next_desc = next;
	}
	fake_ring_offer(r, (uint16_t)head);
}

static void give_up(struct world *w, unsigned n, uint32_t first)
{
	const struct fake_part part = {0xe000, n * 4, false};
	uint32_t pfns[16];

	for (unsigned i = 0; i < n; i++)
		pfns[i] = first + i;
	expect(guest_mem_write(w->f->m.mem, GPA(0xe000), pfns, n * 4) >= 0);
	(void)fake_driver_add(&w->d, 0, &part, 1);
	fake_driver_kick(&w->d, 0);
}

static void host_wishes(struct world *w, unsigned n, struct input *in)
{
	struct proto_balloon what = {.flags = n};
	int r;

	what.target = (uint32_t)take(in, 4);
	what.period_s = (uint32_t)take(in, 4);
	r = w->f->m.balloon_ops->set(w->f->m.balloon, &what);
	expect(r == 0 || r == -EINVAL);
	if (r == 0 && n & PROTO_BALLOON_TARGET)
		expect(fake_config_read(&w->d, 0, 4) == what.target);
	fake_driver_turn(&w->d);
}

static void reload(struct world *w)
{
	struct state_writer writer;
	struct state_reader r;
	size_t offset = 0;

	expect(w->dev->class->ops->quiesce(w->dev));
	state_writer_init(&writer);
	expect(device_save(w->dev, &writer) == 0);
	expect(state_next(writer.data, writer.len, &offset, &r) == 1);
	/* A guest that wrote over a chain that is out cannot be loaded: it is as it was then. */
	(void)device_load(w->dev, &r);
	state_writer_done(&writer);
	w->dev->class->ops->resume(w->dev);
	fake_driver_turn(&w->d);
}

static void step(struct world *w, struct input *in)
{
	unsigned op = (unsigned)take(in, 1), n = op >> 4;
	uint64_t addr;

	switch (op & 15) {
	case 0:
		addr = take(in, 2);
		for (unsigned i = 0; i <= n; i++) {
			uint8_t byte = (uint8_t)take(in, 1);

			expect(guest_mem_write(w->f->m.mem, GPA(addr + i), &byte, 1) >= 0);
		}
		break;
	case 1:
		if (has_ring(w, n % N_QUEUES))
			offer(w, n % N_QUEUES, in);
		break;
	case 2:
		fake_driver_kick(&w->d, n % N_QUEUES);
		break;
	case 3:
		addr = take(in, 1);
		fake_config_write(&w->d, (unsigned)addr, 1U << n % 4, take(in, 4));
		break;
	case 4:
		host_wishes(w, n, in);
		break;
	case 5:
		(void)w->f->m.balloon_ops->ask(w->f->m.balloon);
		fake_driver_turn(&w->d);
		break;
	case 6:
		loop_fake_advance(w->f->m.loop, (n + 1) * NSEC_PER_SEC);
		fake_driver_turn(&w->d);
		break;
	case 7:
		reload(w);
		break;
	case 8:
		start(w, take(in, 8), n << 1);
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
	const struct virtio_device *v = virtio_pci_device(w->dev);

	expect(w->page->balloon.actual <= RAM / 4096 && w->page->balloon.target < RAM / 4096);
	expect(fake_config_read((struct fake_driver *)(uintptr_t)&w->d, 4, 4) ==
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
	(void)device_free(w.dev);
	(void)device_free(w.root);
	(void)fake_machine_free(w.f);
	free(w.page);
	return 0;
}
