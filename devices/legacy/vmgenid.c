/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "vmgenid": the generation id of "Virtual Machine Generation ID" (Microsoft, 2012): 16 bytes in guest memory that change
 * whenever the vm becomes a copy of itself or goes back in time, and an ACPI event that says so. Linux reseeds its random
 * number generator then.
 */
#include <errno.h>
#include <string.h>

#include "devices/legacy/legacy.h"
#include "vmm-core/acpi/acpi-hw.h"

struct vmgenid {
	struct device dev;
	uint8_t uuid[16]; /* RFC 4122's byte order */
};

static void publish(struct vmgenid *g)
{
	/* The guest sees the byte order of a GUID: the first three fields little-endian. */
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
	uint8_t guid[16];

	for (unsigned i = 0; i < 16; i++)
		guid[i] = g->uuid[order[i]];
	(void)guest_mem_write(g->dev.machine->mem, GPA(ACPI_VMGENID_ADDR), guid, sizeof(guid));
}

static int vmgenid_realize(struct device *dev)
{
	struct vmgenid *g = container_of(dev, struct vmgenid, dev);

	if (!guest_mem_ptr(dev->machine->mem, GPA(ACPI_VMGENID_ADDR), sizeof(g->uuid)))
		return -EFAULT;
	memcpy(g->uuid, dev->machine->config->genid_uuid, sizeof(g->uuid));
	return 0;
}

static void vmgenid_reset(struct device *dev)
{
	publish(container_of(dev, struct vmgenid, dev));
}

void vmgenid_set(struct device *dev, const uint8_t uuid[16])
{
	struct vmgenid *g = container_of(dev, struct vmgenid, dev);

	memcpy(g->uuid, uuid, sizeof(g->uuid));
	publish(g);
	if (dev->machine->acpi_pm)
		acpi_pm_gpe_raise(dev->machine->acpi_pm, ACPI_GPE_VMGENID);
}

static void vmgenid_save(const struct device *dev, struct state_writer *w)
{
	state_put_bytes(w, ((const struct vmgenid *)(const void *)dev)->uuid, 16);
}

/* The id that is loaded is the old life's: whoever loads a vm gives it a new one with vmgenid_set(). */
static int vmgenid_load(struct device *dev, struct state_reader *r)
{
	uint8_t uuid[16];

	state_get_bytes(r, uuid, sizeof(uuid));
	if (state_reader_end(r) < 0)
		return -EBADMSG;
	memcpy(container_of(dev, struct vmgenid, dev)->uuid, uuid, sizeof(uuid));
	return 0;
}

static const struct device_ops vmgenid_ops = {
	.realize = vmgenid_realize,
	.reset = vmgenid_reset,
	.save = vmgenid_save,
	.load = vmgenid_load,
};

const struct device_class vmgenid_class = {
	.name = "vmgenid",
	.state_version = 1,
	.size = sizeof(struct vmgenid),
	.ops = &vmgenid_ops,
};
