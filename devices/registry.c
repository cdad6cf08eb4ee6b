/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The device models, by name. To add a device, add its row (and its file to the folder's meson.build).
 *
 * Tested by tests/guest/test-guests.c.
 */
#include <string.h>

#include "devices/legacy/legacy.h"
#include "devices/pci/pci.h"
#include "devices/virtio/virtio-pci.h"

static const struct device_class *const device_classes[] = {
	&mc146818_class,
	&acpi_pm_class,
	&acpi_cpu_class,
	&i8254_class,
	&debug_exit_class,
	&i8042_class,
	&i8259_class,
	&ioapic_class,
	&ns16550_class,
	&pvpanic_class,
	&vmgenid_class,
	&q35_host_class,
	&ich9_lpc_class,
	&pci_hotplug_class,
	&virtio_balloon_pci_class.class,
	&virtio_blk_pci_class.class,
	&virtio_console_pci_class.class,
	&virtio_mem_pci_class.class,
	&virtio_net_pci_class.class,
	&virtio_rng_pci_class.class,
};

const struct device_class *device_class_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(device_classes); i++)
		if (strcmp(device_classes[i]->name, name) == 0)
			return device_classes[i];
	return NULL;
}

const struct device_class *device_class_at(unsigned i)
{
	return i < ARRAY_SIZE(device_classes) ? device_classes[i] : NULL;
}
