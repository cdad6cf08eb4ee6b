/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The board: which devices a machine has, in which order they are made, and where they answer. Kinds that come and go later
 * (vm-plug.c, vm-memory.c) are made here, too.
 *
 * Tested by tests/guest/test-guests.c.
 */
#include <errno.h>
#include <stdio.h>

#include "vmm-core/acpi/acpi-hw.h"
#include "vmm-core/base/strutil.h"
#include "vmm-core/vm-build.h"

#define MAX_REGIONS 3

struct board_row {
	const char *class;
	/* How many of them this configuration has. */
	unsigned (*count)(const struct vm_config *config);
	/* Where the regions of instance i answer; len 0 ends the list. */
	struct {
		enum bus_space space;
		uint64_t base, len;
	} regions[MAX_REGIONS];
};

static unsigned always(const struct vm_config *config)
{
	(void)config;
	return 1;
}

static unsigned with_acpi(const struct vm_config *config)
{
	return config->acpi != 0;
}

static unsigned with_panic(const struct vm_config *config)
{
	return config->panic_isa != 0;
}

static unsigned with_genid(const struct vm_config *config)
{
	return config->genid != 0;
}

static unsigned with_debug_exit(const struct vm_config *config)
{
	return config->debug_exit != 0;
}

static unsigned n_disks(const struct vm_config *config)
{
	return config->n_disks;
}

static unsigned n_nics(const struct vm_config *config)
{
	return config->n_nics;
}

static unsigned n_rngs(const struct vm_config *config)
{
	return config->rng.source != VM_RNG_NONE;
}

static unsigned n_balloons(const struct vm_config *config)
{
	return config->balloon.model != VM_BALLOON_NONE;
}

static unsigned n_memories(const struct vm_config *config)
{
	return config->n_memories;
}

static unsigned n_virtio_consoles(const struct vm_config *config)
{
	unsigned n = config->n_channels;

	for (unsigned i = 0; i < config->n_consoles; i++)
		n += config->consoles[i].target == VM_CONSOLE_TARGET_VIRTIO;
	return n != 0;
}

/* In order of construction: the interrupt controllers first, the PCI root before what sits on it. The PCI root and its
 * devices place themselves (0xcf9, the reset register, is the root's); the COM ports are in com_ports[]. */
static const struct board_row board[] = {
	{"ioapic", always, {{BUS_MMIO, LAYOUT_IOAPIC_BASE, 0x1000}}},
	{"i8259", always,
		{{BUS_PIO, LAYOUT_PIC_MASTER, 2}, {BUS_PIO, LAYOUT_PIC_SLAVE, 2},
			{BUS_PIO, LAYOUT_PIC_ELCR, 2}}},
	{"i8254", always, {{BUS_PIO, LAYOUT_PIT, 4}, {BUS_PIO, LAYOUT_PORT61, 1}}},
	{"mc146818", always, {{BUS_PIO, LAYOUT_RTC, 2}}},
	{"i8042", always, {{BUS_PIO, LAYOUT_I8042_DATA, 1}, {BUS_PIO, LAYOUT_I8042_STATUS, 1}}},
	{"acpi-pm", with_acpi,
		{{BUS_PIO, LAYOUT_ACPI_PM, 0x10}, {BUS_PIO, LAYOUT_ACPI_PM + 0x20, 4}}},
	{"pvpanic", with_panic, {{BUS_PIO, LAYOUT_PVPANIC, 1}}},
	{"debug-exit", with_debug_exit, {{BUS_PIO, LAYOUT_DEBUG_EXIT, 4}}},
	{"vmgenid", with_genid, {{0}}},
	{"q35-host", always, {{0}}},
	{"ich9-lpc", always, {{0}}},
	{"acpi-cpu-hotplug", with_acpi, {{BUS_PIO, LAYOUT_CPU_HOTPLUG, ACPI_CPU_HOTPLUG_LEN}}},
	{"acpi-pci-hotplug", with_acpi, {{BUS_PIO, LAYOUT_PCI_HOTPLUG, ACPI_PCI_HOTPLUG_LEN}}},
	{"virtio-blk-pci", n_disks, {{0}}},
	{"virtio-net-pci", n_nics, {{0}}},
	{"virtio-rng-pci", n_rngs, {{0}}},
	{"virtio-console-pci", n_virtio_consoles, {{0}}},
	{"virtio-balloon-pci", n_balloons, {{0}}},
	{"virtio-mem-pci", n_memories, {{0}}},
};

static const uint16_t com_ports[VM_MAX_SERIALS] = {
	LAYOUT_COM1, LAYOUT_COM2, LAYOUT_COM3, LAYOUT_COM4};

/* The account of the loop's time that a device's sources and timers have. */
static unsigned account_of(const char *class, unsigned instance)
{
	static const struct {
		const char *class;
		unsigned account, n;
	} rows[] = {
		{"virtio-blk-pci", VM_LEDGER_DISKS, VM_MAX_DISKS},
		{"virtio-net-pci", VM_LEDGER_NICS, VM_MAX_NICS},
		{"virtio-rng-pci", VM_LEDGER_RNG, 1},
		{"virtio-console-pci", VM_LEDGER_CONSOLES, 1},
		{"ns16550", VM_LEDGER_CONSOLES, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (streq(rows[i].class, class))
			return rows[i].account + MIN(instance, rows[i].n - 1);
	return VM_LEDGER_MACHINE;
}

/* A disk's iothread; NULL: the vm's loop. */
static struct loop *home_of(struct vm *vm, const char *class, unsigned instance)
{
	if (!streq(class, "virtio-blk-pci") || instance >= vm->config.n_disks)
		return NULL;
	return vm_iothread_loop(vm, vm->config.disks[instance].iothread);
}

int vm_add_device(struct vm *vm, const char *class_name, unsigned instance, struct device **ret_dev,
	char *reason)
{
	const struct device_class *class = device_class_find(class_name);
	char what[64];
	struct loop *home = home_of(vm, class_name, instance), *loop = home ?: vm->loop;
	unsigned account;
	int r;

	(void)snprintf(what, sizeof(what), "device %s.%u", class_name, instance);
	if (!class)
		return vm_build_failed(reason, -ENODEV, what);
	if (vm->n_devices == VM_MAX_DEVICES)
		return vm_build_failed(reason, -ENOSPC, what);
	loop_lock(loop);
	account = loop_set_account(loop, account_of(class_name, instance));
	r = device_new_at(home, class, &vm->machine, instance, ret_dev);
	(void)loop_set_account(loop, account);
	loop_unlock(loop);
	if (r < 0)
		return vm_build_failed(reason, r, what);
	vm->devices[vm->n_devices++] = *ret_dev;
	return 0;
}

static int add_row(struct vm *vm, const struct board_row *row, unsigned instance, char *reason)
{
	struct device *dev;
	int r;

	r = vm_add_device(vm, row->class, instance, &dev, reason);
	for (unsigned i = 0; r >= 0 && i < MAX_REGIONS && row->regions[i].len; i++) {
		r = bus_add(vm->machine.bus, row->regions[i].space, row->regions[i].base,
			row->regions[i].len, dev, i);
		if (r < 0)
			return vm_build_failed(reason, r, row->class);
	}
	return r;
}

int vm_build_devices(struct vm *vm, char *reason)
{
	int r = 0;

	for (unsigned i = 0; r >= 0 && i < ARRAY_SIZE(board); i++)
		for (unsigned n = 0; r >= 0 && n < board[i].count(&vm->config); n++)
			r = add_row(vm, &board[i], n, reason);
	for (unsigned i = 0; r >= 0 && i < vm->config.n_serials; i++) {
		struct device *dev;

		r = vm_add_device(vm, "ns16550", i, &dev, reason);
		if (r < 0)
			return r;
		r = bus_add(
			vm->machine.bus, BUS_PIO, com_ports[vm->config.serials[i].port], 8, dev, 0);
		if (r < 0)
			return vm_build_failed(reason, r, "a serial port");
	}
	for (unsigned i = 0; r >= 0 && i < vm->n_devices; i++) {
		r = device_machine_done(vm->devices[i]);
		if (r < 0)
			return vm_build_failed(reason, r, vm->devices[i]->name);
	}
	return r;
}
