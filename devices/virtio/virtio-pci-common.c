/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The common configuration of virtio over PCI (virtio 1.2, 4.1.4.3) as a table of registers.
 * Whether a write is allowed at this time is virtio.c's to say; the transport around is
 * virtio-pci.c.
 *
 * Tested by tests/unit/test-virtio-pci.c.
 */
#include "devices/virtio/virtio-pci.h"

/* One row a register. */

struct common_reg {
	uint8_t offset, size;
	uint64_t (*get)(struct virtio_pci *vp);
	void (*set)(struct virtio_pci *vp, uint64_t value);
};

static struct virtq *selected(struct virtio_pci *vp)
{
	return virtio_queue(vp->v, vp->queue_select);
}

/* The selected queue, if the driver may program it now. */
static struct virtq *configurable(struct virtio_pci *vp)
{
	struct virtq *q = selected(vp);

	return q && virtio_may_configure(vp->v) ? q : NULL;
}

static uint64_t get_device_feature_select(struct virtio_pci *vp)
{
	return vp->device_feature_select;
}

static void set_device_feature_select(struct virtio_pci *vp, uint64_t value)
{
	vp->device_feature_select = (uint32_t)value;
}

static uint64_t get_device_feature(struct virtio_pci *vp)
{
	return virtio_device_features(vp->v, vp->device_feature_select);
}

static uint64_t get_driver_feature_select(struct virtio_pci *vp)
{
	return vp->driver_feature_select;
}

static void set_driver_feature_select(struct virtio_pci *vp, uint64_t value)
{
	vp->driver_feature_select = (uint32_t)value;
}

static uint64_t get_driver_feature(struct virtio_pci *vp)
{
	return virtio_driver_features(vp->v, vp->driver_feature_select);
}

static void set_driver_feature(struct virtio_pci *vp, uint64_t value)
{
	virtio_set_driver_features(vp->v, vp->driver_feature_select, (uint32_t)value);
}

static uint16_t checked_vector(const struct virtio_pci *vp, uint64_t value)
{
	return value < vp->pci.msix.n ? (uint16_t)value : VIRTIO_PCI_NO_VECTOR;
}

static uint64_t get_config_vector(struct virtio_pci *vp)
{
	return vp->config_vector;
}

static void set_config_vector(struct virtio_pci *vp, uint64_t value)
{
	if (!vp->v->resetting)
		vp->config_vector = checked_vector(vp, value);
}

static uint64_t get_num_queues(struct virtio_pci *vp)
{
	return vp->v->n_queues;
}

static uint64_t get_status(struct virtio_pci *vp)
{
	return vp->v->status;
}

static void set_status(struct virtio_pci *vp, uint64_t value)
{
	virtio_set_status(vp->v, (uint8_t)value);
}

static uint64_t get_generation(struct virtio_pci *vp)
{
	return vp->v->config_generation;
}

static uint64_t get_queue_select(struct virtio_pci *vp)
{
	return vp->queue_select;
}

static void set_queue_select(struct virtio_pci *vp, uint64_t value)
{
	vp->queue_select = (uint16_t)value;
}

static uint64_t get_queue_size(struct virtio_pci *vp)
{
	const struct virtq *q = selected(vp);

	return q ? q->size : 0;
}

static void set_queue_size(struct virtio_pci *vp, uint64_t value)
{
	struct virtq *q = configurable(vp);

	if (q)
		(void)virtq_set_size(q, (uint16_t)value);
}

static uint64_t get_queue_vector(struct virtio_pci *vp)
{
	return vp->queue_select < vp->n_queues ? vp->queues[vp->queue_select].vector
					       : VIRTIO_PCI_NO_VECTOR;
}

static void set_queue_vector(struct virtio_pci *vp, uint64_t value)
{
	if (vp->queue_select < vp->n_queues && !vp->v->resetting)
		vp->queues[vp->queue_select].vector = checked_vector(vp, value);
}

static uint64_t get_queue_enable(struct virtio_pci *vp)
{
	const struct virtq *q = selected(vp);

	return q && q->enabled;
}

static void set_queue_enable(struct virtio_pci *vp, uint64_t value)
{
	if (value != 1)
		return;
	virtio_queue_enable(vp->v, vp->queue_select);
	virtio_pci_update_doorbells(vp);
}

static uint64_t get_notify_off(struct virtio_pci *vp)
{
	return vp->queue_select < vp->n_queues ? vp->queue_select : 0;
}

static uint64_t get_queue_desc(struct virtio_pci *vp)
{
	const struct virtq *q = selected(vp);

	return q ? q->desc_gpa.v : 0;
}

static void set_queue_desc(struct virtio_pci *vp, uint64_t value)
{
	struct virtq *q = configurable(vp);

	if (q)
		(void)virtq_set_addresses(q, GPA(value), q->avail_gpa, q->used_gpa);
}

static uint64_t get_queue_driver(struct virtio_pci *vp)
{
	const struct virtq *q = selected(vp);

	return q ? q->avail_gpa.v : 0;
}

static void set_queue_driver(struct virtio_pci *vp, uint64_t value)
{
	struct virtq *q = configurable(vp);

	if (q)
		(void)virtq_set_addresses(q, q->desc_gpa, GPA(value), q->used_gpa);
}

static uint64_t get_queue_device(struct virtio_pci *vp)
{
	const struct virtq *q = selected(vp);

	return q ? q->used_gpa.v : 0;
}

static void set_queue_device(struct virtio_pci *vp, uint64_t value)
{
	struct virtq *q = configurable(vp);

	if (q)
		(void)virtq_set_addresses(q, q->desc_gpa, q->avail_gpa, GPA(value));
}

static const struct common_reg common_regs[] = {
	{0x00, 4, get_device_feature_select, set_device_feature_select},
	{0x04, 4, get_device_feature, NULL},
	{0x08, 4, get_driver_feature_select, set_driver_feature_select},
	{0x0c, 4, get_driver_feature, set_driver_feature},
	{0x10, 2, get_config_vector, set_config_vector},
	{0x12, 2, get_num_queues, NULL},
	{0x14, 1, get_status, set_status},
	{0x15, 1, get_generation, NULL},
	{0x16, 2, get_queue_select, set_queue_select},
	{0x18, 2, get_queue_size, set_queue_size},
	{0x1a, 2, get_queue_vector, set_queue_vector},
	{0x1c, 2, get_queue_enable, set_queue_enable},
	{0x1e, 2, get_notify_off, NULL},
	{0x20, 8, get_queue_desc, set_queue_desc},
	{0x28, 8, get_queue_driver, set_queue_driver},
	{0x30, 8, get_queue_device, set_queue_device},
};

/* The register that an access names: whole, or one half of a 64-bit one (4.1.3.1). */
static const struct common_reg *find_reg(uint64_t offset, unsigned size)
{
	const struct common_reg *reg;

	FOREACH_ELEMENT (reg, common_regs) {
		if (offset == reg->offset && size == reg->size)
			return reg;
		if (reg->size == 8 && size == 4 &&
			(offset == reg->offset || offset == reg->offset + 4U))
			return reg;
	}
	return NULL;
}

uint64_t virtio_pci_common_read(struct virtio_pci *vp, uint64_t offset, unsigned size)
{
	const struct common_reg *reg = find_reg(offset, size);

	return reg ? reg->get(vp) >> (8 * (offset - reg->offset)) : UINT64_MAX;
}

void virtio_pci_common_write(struct virtio_pci *vp, uint64_t offset, unsigned size, uint64_t value)
{
	const struct common_reg *reg = find_reg(offset, size);

	if (!reg || !reg->set)
		return;
	if (size < reg->size) {
		unsigned shift = 8 * (unsigned)(offset - reg->offset);

		value = (reg->get(vp) & ~((uint64_t)UINT32_MAX << shift)) |
			(value & UINT32_MAX) << shift;
	}
	reg->set(vp, value);
}
