/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices of a PC that are not PCI functions: their classes, which regions each expects on the bus, which
 * lines it drives, and the few calls that other parts make on them. One model, one file, named by data sheet.
 *
 *	class        regions (where the builder puts them)                           lines (GSI)
 *	i8259        0: master, 2 ports (20)  1: slave, 2 (a0)  2: ELCR, 2 (4d0)     sink of 0-15, ExtINT
 *	i8254        0: 4 ports (40)  1: port 61, 1                                  0
 *	ioapic       0: MMIO 0x1000 (fec00000)                                       sink of 0-23, MSIs
 *	mc146818     0: 2 ports (70)                                                 8
 *	ns16550      0: 8 ports (3f8 2f8 3e8 2e8 by vm_config.serials[].port)        4, 3, 4, 3
 *	i8042        0: data, 1 port (60)  1: status and command, 1 (64)             1
 *	acpi-pm      0: ACPI_PM_LEN ports (600)  1: GPE0, ACPI_GPE0_LEN (620)        9
 *	acpi-cpu-hotplug  0: ACPI_CPU_HOTPLUG_LEN ports (640)                        by acpi-pm's GPE 2
 *	pvpanic      0: 1 port (505)                                                 none
 *	debug-exit   0: 4 ports (501)                                                none
 *	vmgenid      none; writes guest memory at ACPI_VMGENID_ADDR                  by acpi-pm's GPE 0
 *
 * The interrupt controllers are made before the devices that drive lines, acpi-pm before vmgenid and acpi-cpu-hotplug. ns16550 of
 * instance i stands on machine->serials[i].
 *
 * Threads: as in vmm-core/device.h.
 */
#pragma once

#include "vmm-core/device.h"

extern const struct device_class i8259_class;
extern const struct device_class i8254_class;
extern const struct device_class ioapic_class;
extern const struct device_class mc146818_class;
extern const struct device_class ns16550_class;
extern const struct device_class i8042_class;
extern const struct device_class acpi_pm_class;
extern const struct device_class acpi_cpu_class;
extern const struct device_class pvpanic_class;
extern const struct device_class debug_exit_class;
extern const struct device_class vmgenid_class;

/* acpi-pm: the user presses the power button. Also machine->power_button. */
void acpi_pm_power_button(struct device *acpi_pm);
/* acpi-pm: a general-purpose event, 0 … ACPI_N_GPES-1 (vmm-core/acpi/acpi-hw.h), happens. */
void acpi_pm_gpe_raise(struct device *acpi_pm, unsigned gpe);

/* vmgenid: the vm got another identity (it is a copy, or went back in time): 'uuid' in RFC 4122's byte order. Writes
 * it for the guest and notifies it. */
void vmgenid_set(struct device *vmgenid, const uint8_t uuid[16]);

/* mc146818: where the wall clock comes from, nanoseconds since 1970 UTC. The default is the host's
 * CLOCK_REALTIME; machine->wall_offset_s is added to it in any case. */
void mc146818_set_wall_clock(
	struct device *mc146818, int64_t (*wall_ns)(void *opaque), void *opaque);

/* An access of more than one byte to a chip with an 8-bit bus is as many accesses of one byte, lowest first. */
static inline uint64_t legacy_read_bytes(struct device *dev, uint64_t offset, unsigned size,
	uint8_t (*read_byte)(struct device *dev, uint64_t offset))
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)read_byte(dev, offset + i) << (8 * i);
	return value;
}

static inline void legacy_write_bytes(struct device *dev, uint64_t offset, unsigned size,
	uint64_t value, void (*write_byte)(struct device *dev, uint64_t offset, uint8_t value))
{
	for (unsigned i = 0; i < size; i++)
		write_byte(dev, offset + i, (uint8_t)(value >> (8 * i)));
}

/* a * b / c without overflow in between; the result is taken modulo 2^64. */
static inline uint64_t legacy_muldiv(uint64_t a, uint64_t b, uint64_t c)
{
	return (uint64_t)((unsigned __int128)a * b / c);
}
