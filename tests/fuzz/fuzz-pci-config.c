/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzer of what a guest reaches over PCI: configuration space of the bridges, of an entropy device
 * and of a console, their BARs (wherever they are at the moment), MSI-X tables, virtio registers
 * and rings.
 *
 * An operation is a byte; its low nibble says what, the high nibble is a small number:
 *	0	configuration write over ECAM: slot and size from the number, offset (16 bits), value
 *	1	configuration read
 *	2	write to a port CF8 … CFF
 *	3	read from one
 *	4	write into a BAR: which from the number, offset (16 bits), value
 *	5	read from one
 *	6	write to any physical address: address (32 bits), value
 *	7	write guest memory: address (16 bits), number + 1 bytes
 *	8	start a device the way an honest driver does
 *	9	offer a chain to it and kick
 *	10	turn the loop, move the clock
 *	11	reset a device
 *	12	pause, save, load into the same device, resume
 *	13	the console has another size
 */
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/virtio-console.h"
#include "tests/fakes/fake-driver.h"
#include "tests/fuzz/fuzz-input.h"
#include "vmm-core/chardev.h"

#define RAM       MIB(1)
#define N_DEVICES 4

struct world {
	struct fake_machine *f;
	struct device *devices[N_DEVICES]; /* host bridge, LPC bridge, rng, console */
	struct fake_driver drivers[2];
	bool probed[2];
};

static const struct device_class *const classes[N_DEVICES] = {
	&q35_host_class,
	&ich9_lpc_class,
	&virtio_rng_pci_class.class,
	&virtio_console_pci_class.class,
};

static void build(struct world *w)
{
	w->f = fake_machine_new(RAM);
	w->f->config.rng = (struct vm_rng){
		.source = VM_RNG_BUILTIN, .rate_bytes = 4096, .rate_period_ms = 100};
	w->f->config.n_consoles = 1;
	w->f->config.consoles[0].target = VM_CONSOLE_TARGET_VIRTIO;
	w->f->config.n_channels = 1;
	(void)strcpy(w->f->config.channels[0].name, "org.qemu.guest_agent.0");
	if (chardev_new(w->f->m.loop, -EBADF, 0, &w->f->m.consoles[0]) < 0 ||
		chardev_new(w->f->m.loop, -EBADF, CHARDEV_NO_REPLAY, &w->f->m.channels[0]) < 0)
		abort();
	fake_machine_enable_doorbells(w->f);
	for (unsigned i = 0; i < N_DEVICES; i++)
		if (device_new(classes[i], &w->f->m, 0, &w->devices[i]) < 0)
			abort();
	if (q35_host_class.ops->machine_done(w->devices[0]) < 0)
		abort();
}

static void done(struct world *w)
{
	for (unsigned i = N_DEVICES; i-- > 0;)
		(void)device_free(w->devices[i]);
	if (w->f->n_doorbells)
		abort();
	(void)chardev_free(w->f->m.consoles[0]);
	(void)chardev_free(w->f->m.channels[0]);
	(void)fake_machine_free(w->f);
}

static const uint8_t slots[4] = {0, 31, 1, 2};

static struct pci_device *pci_of(struct device *dev)
{
	return container_of(dev, struct pci_device, dev);
}

static void config_access(struct world *w, struct input *in, unsigned number, bool write)
{
	unsigned slot = slots[number & 3], size = 1U << (number >> 2);
	unsigned offset = (unsigned)take(in, 2) & 0xfff;

	if (!write)
		(void)fake_pci_read(w->f, slot, offset, size);
	else
		fake_pci_write(w->f, slot, offset, size, take(in, size));
}

static void port_access(struct world *w, struct input *in, unsigned number, bool write)
{
	unsigned size = 1U << (number & 3) % 3;
	uint64_t port = LAYOUT_PCI_CF8 + (take(in, 1) & 7);

	if (!write)
		(void)bus_read(w->f->m.bus, BUS_PIO, port, size);
	else
		bus_write(w->f->m.bus, BUS_PIO, port, size, take(in, size));
}

static void bar_access(struct world *w, struct input *in, unsigned number, bool write)
{
	struct pci_device *pci = pci_of(w->devices[2 + (number & 1)]);
	unsigned bar = number & 2 ? VIRTIO_PCI_BAR_REGS : VIRTIO_PCI_BAR_MSIX;
	unsigned size = 1U << (number >> 2);
	uint64_t addr = pci_bar_address(pci, bar) + take(in, 2) % pci->bars[bar].size;

	if (!write)
		(void)bus_read(w->f->m.bus, BUS_MMIO, addr, size);
	else
		fake_bus_write(w->f, BUS_MMIO, addr, size, take(in, size));
}

static void write_memory(struct world *w, struct input *in, unsigned number)
{
	uint64_t addr = take(in, 2);

	for (unsigned i = 0; i <= number; i++) {
		uint8_t byte = (uint8_t)take(in, 1);

		(void)guest_mem_write(w->f->m.mem, GPA(addr + i), &byte, 1);
	}
}

/* The honest driver only works where the BAR decodes and the device answers. */
static void start(struct world *w, unsigned number)
{
	unsigned which = number & 1;
	struct fake_driver *d = &w->drivers[which];

	if (!pci_of(w->devices[2 + which])->bars[VIRTIO_PCI_BAR_REGS].mapped ||
		!pci_of(w->devices[2 + which])->bars[VIRTIO_PCI_BAR_MSIX].mapped)
		return;
	w->probed[which] = fake_driver_probe(d, w->f, which ? 3 : 4);
	if (!w->probed[which])
		return;
	fake_driver_start(d, number & 2 ? UINT64_MAX : ~VIRTIO_BIT(VIRTIO_F_EVENT_IDX));
}

static void offer(struct world *w, struct input *in, unsigned number)
{
	struct fake_driver *d = &w->drivers[number & 1];
	struct fake_part parts[4];
	unsigned n = 1 + (number >> 2), queue;

	if (!w->probed[number & 1])
		return;
	queue = (unsigned)take(in, 1) % d->n_queues;
	for (unsigned i = 0; i < n; i++) {
		parts[i].addr = take(in, 2);
		parts[i].len = (uint32_t)take(in, 2);
		parts[i].writable = take(in, 1) & 1;
	}
	if (!d->rings[queue].size)
		return;
	(void)fake_driver_add(d, queue, parts, n);
	fake_driver_kick(d, queue);
}

static void pause_and_reload(struct world *w, unsigned number)
{
	struct device *dev = w->devices[number % N_DEVICES];
	struct state_writer writer;
	struct state_reader r;
	size_t offset = 0;

	if (dev->class->ops->quiesce && !dev->class->ops->quiesce(dev))
		return;
	state_writer_init(&writer);
	if (device_save(dev, &writer) < 0 ||
		state_next(writer.data, writer.len, &offset, &r) != 1 || device_load(dev, &r) < 0)
		abort();
	state_writer_done(&writer);
	if (dev->class->ops->resume)
		dev->class->ops->resume(dev);
}

static void step(struct world *w, struct input *in)
{
	uint8_t op = (uint8_t)take(in, 1);
	unsigned number = op >> 4;
	uint64_t addr;

	switch (op & 15) {
	case 0:
	case 1:
		config_access(w, in, number, !(op & 1));
		break;
	case 2:
	case 3:
		port_access(w, in, number, !(op & 1));
		break;
	case 4:
	case 5:
		bar_access(w, in, number, !(op & 1));
		break;
	case 6:
		addr = take(in, 4);
		fake_bus_write(w->f, BUS_MMIO, addr, 1U << (number & 3), take(in, 8));
		break;
	case 7:
		write_memory(w, in, number);
		break;
	case 8:
		start(w, number);
		break;
	case 9:
		offer(w, in, number);
		break;
	case 10:
		(void)loop_run_once(w->f->m.loop, 0);
		loop_fake_advance(w->f->m.loop, (uint64_t)number * 20 * NSEC_PER_MSEC);
		break;
	case 11:
		device_reset(w->devices[number % N_DEVICES]);
		break;
	case 12:
		pause_and_reload(w, number);
		break;
	case 13:
		chardev_resize(number ? w->f->m.channels[0] : w->f->m.consoles[0],
			(uint16_t)take(in, 1), (uint16_t)take(in, 1));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {.data = data, .len = size};
	struct world w = {0};

	build(&w);
	for (unsigned steps = 0; in.len && steps < 1024; steps++)
		step(&w, &in);
	/* Whatever happened, a reset of the machine brings working devices back. */
	for (unsigned i = 0; i < N_DEVICES; i++)
		device_reset(w.devices[i]);
	start(&w, 0);
	if (!w.probed[0] || fake_driver_status(&w.drivers[0]) != 0xf)
		abort();
	done(&w);
	return 0;
}
