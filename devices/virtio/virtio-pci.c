/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Virtio over PCI, the modern transport: see virtio-pci.h. The common configuration registers are
 * in virtio-pci-common.c. */
#include "devices/virtio/virtio-pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VENDOR_ID      0x1af4
#define DEVICE_ID_BASE 0x1040
#define SUBSYSTEM_ID   0x1100
#define ISR_QUEUE      0x1
#define ISR_CONFIG     0x2

/* struct virtio_pci_cap (4.1.4) and its cfg_type. */
#define CAP_LEN        16
#define CAP_NOTIFY_LEN 20
#define CAP_CFG_LEN    20
#define CAP_COMMON     1
#define CAP_NOTIFY     2
#define CAP_ISR        3
#define CAP_DEVICE     4
#define CAP_PCI        5

/* Fields of the PCI configuration access capability. */
#define CFG_BAR    4
#define CFG_OFFSET 8
#define CFG_LENGTH 12
#define CFG_DATA   16

static struct virtio_pci *vp_of(struct device *dev)
{
	return container_of(dev, struct virtio_pci, pci.dev);
}

static struct virtio_pci *vp_of_virtio(struct virtio_device *v)
{
	return v->transport_dev;
}

struct virtio_device *virtio_pci_device(struct device *dev)
{
	return vp_of(dev)->v;
}

static const struct virtio_pci_class *class_of(const struct virtio_pci *vp)
{
	return (const struct virtio_pci_class *)(const void *)vp->pci.dev.class;
}

/* Interrupts and kicks: what virtio.c asks of its transport. */

static void interrupt(struct virtio_pci *vp, uint16_t vector, uint8_t isr)
{
	if (pci_msix_enabled(&vp->pci)) {
		pci_msix_raise(&vp->pci, vector);
		return;
	}
	vp->isr |= isr;
	pci_set_intx(&vp->pci, true);
}

static void vp_notify_queue(struct virtio_device *v, unsigned index)
{
	struct virtio_pci *vp = vp_of_virtio(v);

	interrupt(vp, vp->queues[index].vector, ISR_QUEUE);
}

static void vp_notify_config(struct virtio_device *v)
{
	struct virtio_pci *vp = vp_of_virtio(v);

	interrupt(vp, vp->config_vector, ISR_CONFIG);
}

static void vp_kick_later(struct virtio_device *v, unsigned index)
{
	struct virtio_pci *vp = vp_of_virtio(v);
	uint64_t one = 1;

	/* Full means rung already. */
	if (index < vp->n_queues)
		(void)!write(vp->queues[index].kick_fd, &one, sizeof(one));
}

static void kicked(void *opaque, uint32_t events)
{
	struct virtio_pci_queue *queue = opaque;
	uint64_t count;

	(void)events;
	if (read(queue->kick_fd, &count, sizeof(count)) < 0)
		return;
	/* Without bus mastering there is no DMA: the kick is repeated when it is allowed. */
	if (pci_bus_master(&queue->vp->pci))
		virtio_handle_kick(queue->vp->v, queue->index);
}

static void set_doorbell(struct virtio_pci *vp, unsigned index, uint64_t bar_addr, bool on)
{
	struct virtio_pci_queue *queue = &vp->queues[index];
	uint64_t addr = bar_addr + VIRTIO_PCI_NOTIFY + VIRTIO_PCI_NOTIFY_MULT * index;

	if (queue->doorbell == on)
		return;
	/* Any size: the kernel need not decode the instruction then. When it cannot be had, the
	 * register write rings. */
	if (bus_doorbell(vp->pci.dev.machine->bus, BUS_MMIO, addr, 0, queue->kick_fd, on) >= 0)
		queue->doorbell = on;
}

void virtio_pci_update_doorbells(struct virtio_pci *vp)
{
	const struct pci_bar *bar = &vp->pci.bars[VIRTIO_PCI_BAR_REGS];

	for (unsigned i = 0; bar->mapped && i < vp->n_queues; i++)
		set_doorbell(vp, i, bar->addr, vp->v->queues[i].enabled);
}

static void vp_transport_reset(struct virtio_device *v)
{
	struct virtio_pci *vp = vp_of_virtio(v);

	vp->device_feature_select = vp->driver_feature_select = 0;
	vp->queue_select = 0;
	vp->config_vector = VIRTIO_PCI_NO_VECTOR;
	for (unsigned i = 0; i < vp->n_queues; i++)
		vp->queues[i].vector = VIRTIO_PCI_NO_VECTOR;
	vp->isr = 0;
	pci_set_intx(&vp->pci, false);
	virtio_pci_update_doorbells(vp);
}

static const struct virtio_transport_ops virtio_pci_transport_ops = {
	.notify_queue = vp_notify_queue,
	.notify_config = vp_notify_config,
	.kick_later = vp_kick_later,
	.reset = vp_transport_reset,
};

/* The windows of BAR 4. */

static uint64_t regs_read(struct virtio_pci *vp, uint64_t offset, unsigned size)
{
	uint8_t isr;

	switch (offset & ~UINT64_C(0xfff)) {
	case VIRTIO_PCI_COMMON:
		return virtio_pci_common_read(vp, offset, size);
	case VIRTIO_PCI_ISR:
		if (offset != VIRTIO_PCI_ISR)
			return 0;
		isr = vp->isr;
		vp->isr = 0;
		pci_set_intx(&vp->pci, false);
		return isr;
	case VIRTIO_PCI_DEVICE:
		return virtio_config_read(vp->v, offset - VIRTIO_PCI_DEVICE, size);
	}
	return 0;
}

static void regs_write(struct virtio_pci *vp, uint64_t offset, unsigned size, uint64_t value)
{
	uint64_t index;

	switch (offset & ~UINT64_C(0xfff)) {
	case VIRTIO_PCI_COMMON:
		virtio_pci_common_write(vp, offset, size, value);
		break;
	case VIRTIO_PCI_DEVICE:
		virtio_config_write(vp->v, offset - VIRTIO_PCI_DEVICE, size, value);
		break;
	case VIRTIO_PCI_NOTIFY:
		index = (offset - VIRTIO_PCI_NOTIFY) / VIRTIO_PCI_NOTIFY_MULT;
		if (index < vp->n_queues && vp->v->queues[index].enabled)
			vp_kick_later(vp->v, (unsigned)index);
		break;
	}
}

static uint64_t vp_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	struct virtio_pci *vp = vp_of(dev);
	uint64_t value;

	if (pci_msix_bar_read(&vp->pci, region, offset, size, &value))
		return value;
	return region == VIRTIO_PCI_BAR_REGS ? regs_read(vp, offset, size) : UINT64_MAX;
}

static void vp_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	struct virtio_pci *vp = vp_of(dev);

	if (!pci_msix_bar_write(&vp->pci, region, offset, size, value) &&
		region == VIRTIO_PCI_BAR_REGS)
		regs_write(vp, offset, size, value);
}

/* VIRTIO_PCI_CAP_PCI_CFG (4.1.4.9): a window to BAR 4 in configuration space, for who cannot reach
 * the BAR. Answers the size of a valid access that touches pci_cfg_data, else 0. */
static unsigned cfg_window(
	const struct virtio_pci *vp, unsigned offset, unsigned size, uint32_t *ret_offset)
{
	const uint8_t *cap = vp->pci.config + vp->cfg_cap;
	uint32_t at = pci_get32(cap + CFG_OFFSET), len = pci_get32(cap + CFG_LENGTH);

	if (offset + size <= vp->cfg_cap + CFG_DATA || offset >= vp->cfg_cap + CFG_DATA + 4)
		return 0;
	if (cap[CFG_BAR] != VIRTIO_PCI_BAR_REGS || (len != 1 && len != 2 && len != 4))
		return 0;
	if (!range_fits(at, len, VIRTIO_PCI_REGS_SIZE) || !IS_ALIGNED(at, len))
		return 0;
	*ret_offset = at;
	return len;
}

static void vp_config_read(struct pci_device *pci, unsigned offset, unsigned size)
{
	struct virtio_pci *vp = container_of(pci, struct virtio_pci, pci);
	uint32_t at;
	unsigned len = cfg_window(vp, offset, size, &at);

	if (len)
		pci_put32(pci->config + vp->cfg_cap + CFG_DATA, (uint32_t)regs_read(vp, at, len));
}

static void vp_config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
	struct virtio_pci *vp = container_of(pci, struct virtio_pci, pci);
	uint32_t at;
	unsigned len = cfg_window(vp, offset, size, &at);

	if (len)
		regs_write(vp, at, len,
			pci_get32(pci->config + vp->cfg_cap + CFG_DATA) &
				(UINT32_MAX >> (32 - 8 * len)));
	/* Kicks that came before bus mastering was allowed. */
	if (offset <= PCI_REG_COMMAND && PCI_REG_COMMAND < offset + size && pci_bus_master(pci))
		for (unsigned i = 0; i < vp->n_queues; i++)
			if (vp->v->queues[i].enabled)
				vp_kick_later(vp->v, i);
}

static void vp_bar_mapped(struct pci_device *pci, unsigned bar, uint64_t addr, bool on)
{
	struct virtio_pci *vp = container_of(pci, struct virtio_pci, pci);

	if (bar != VIRTIO_PCI_BAR_REGS)
		return;
	for (unsigned i = 0; i < vp->n_queues; i++)
		set_doorbell(vp, i, addr, on && vp->v->queues[i].enabled);
}

static const struct pci_ops virtio_pci_pci_ops = {
	.bar_mapped = vp_bar_mapped,
	.config_read = vp_config_read,
	.config_written = vp_config_written,
};

/* Life. */

static void add_window_cap(struct pci_device *pci, uint8_t type, uint32_t offset, uint32_t len)
{
	uint8_t body[CAP_NOTIFY_LEN] = {0};

	body[2] = type == CAP_NOTIFY ? CAP_NOTIFY_LEN : CAP_LEN;
	body[3] = type;
	body[CFG_BAR] = VIRTIO_PCI_BAR_REGS;
	pci_put32(body + CFG_OFFSET, offset);
	pci_put32(body + CFG_LENGTH, len);
	if (type == CAP_NOTIFY)
		pci_put32(body + CAP_LEN, VIRTIO_PCI_NOTIFY_MULT);
	(void)pci_add_cap(pci, PCI_CAP_VENDOR, body, body[2]);
}

static void add_caps(struct virtio_pci *vp)
{
	uint8_t body[CAP_CFG_LEN] = {[2] = CAP_CFG_LEN, [3] = CAP_PCI};
	struct pci_device *pci = &vp->pci;
	uint8_t *wmask;

	pci_add_bar(pci, VIRTIO_PCI_BAR_REGS, VIRTIO_PCI_REGS_SIZE, PCI_BAR_64 | PCI_BAR_PREFETCH);
	add_window_cap(pci, CAP_COMMON, VIRTIO_PCI_COMMON, VIRTIO_PCI_COMMON_LEN);
	add_window_cap(pci, CAP_ISR, VIRTIO_PCI_ISR, 1);
	if (vp->v->config_len)
		add_window_cap(pci, CAP_DEVICE, VIRTIO_PCI_DEVICE, vp->v->config_len);
	add_window_cap(
		pci, CAP_NOTIFY, VIRTIO_PCI_NOTIFY, VIRTIO_PCI_NOTIFY_MULT * vp->v->n_queues);
	vp->cfg_cap = pci_add_cap(pci, PCI_CAP_VENDOR, body, sizeof(body));
	wmask = pci->wmask + vp->cfg_cap;
	wmask[CFG_BAR] = 0xff;
	memset(wmask + CFG_OFFSET, 0xff, CAP_CFG_LEN - CFG_OFFSET);
	pci_add_express_cap(pci);
}

static int add_queue(struct virtio_pci *vp, unsigned index)
{
	struct virtio_pci_queue *queue = &vp->queues[index];
	int r;

	*queue = (struct virtio_pci_queue){
		.vp = vp,
		.index = index,
		.vector = VIRTIO_PCI_NO_VECTOR,
	};
	queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->kick_fd < 0)
		return -errno;
	r = loop_add_fd(
		device_loop(&vp->pci.dev), queue->kick_fd, EPOLLIN, kicked, queue, &queue->source);
	if (r < 0) {
		queue->kick_fd = safe_close(queue->kick_fd);
		return r;
	}
	vp->n_queues = index + 1;
	return 0;
}

static int vp_realize(struct device *dev)
{
	struct virtio_pci *vp = vp_of(dev);
	const struct virtio_pci_class *class = class_of(vp);
	struct pci_id id = {
		.vendor = VENDOR_ID,
		.device = (uint16_t)(DEVICE_ID_BASE + class->virtio->device_id),
		.subsystem_vendor = VENDOR_ID,
		.subsystem = SUBSYSTEM_ID,
		.class = class->pci_class,
		.revision = 1,
		.pin = 1,
	};
	int r;

	vp->v = calloc(1, class->virtio->size);
	if (!vp->v)
		return -ENOMEM;
	vp->v->transport_dev = vp;
	vp->v->dev = dev;
	r = virtio_init(vp->v, class->virtio, &virtio_pci_transport_ops, dev->machine, dev->name,
		dev->instance);
	if (r < 0)
		return r;
	r = pci_device_init(&vp->pci, &virtio_pci_pci_ops, &id,
		class->pci_addr(dev->machine->config, dev->instance));
	if (r < 0)
		return r;
	add_caps(vp);
	r = pci_add_msix(&vp->pci, VIRTIO_PCI_BAR_MSIX, vp->v->n_queues + 1);
	for (unsigned i = 0; r >= 0 && i < vp->v->n_queues; i++)
		r = add_queue(vp, i);
	if (r >= 0)
		pci_device_realized(&vp->pci);
	return r;
}

static void vp_unrealize(struct device *dev)
{
	struct virtio_pci *vp = vp_of(dev);

	if (!vp->v)
		return;
	pci_device_done(&vp->pci); /* takes the doorbells away first */
	for (unsigned i = 0; i < vp->n_queues; i++) {
		vp->queues[i].source = loop_source_remove(vp->queues[i].source);
		vp->queues[i].kick_fd = safe_close(vp->queues[i].kick_fd);
	}
	virtio_done(vp->v);
	free(vp->v);
	vp->v = NULL;
}

static void vp_reset(struct device *dev)
{
	struct virtio_pci *vp = vp_of(dev);

	virtio_reset(vp->v);
	pci_device_reset(&vp->pci);
}

static bool vp_quiesce(struct device *dev)
{
	return virtio_quiesce(vp_of(dev)->v);
}

static void vp_resume(struct device *dev)
{
	virtio_resume(vp_of(dev)->v);
}

static void vp_take_over(struct device *dev)
{
	struct virtio_pci *vp = vp_of(dev);

	virtio_idle(vp->v);
	pci_device_take_over(&vp->pci);
}

static void vp_save(const struct device *dev, struct state_writer *w)
{
	const struct virtio_pci *vp = (const struct virtio_pci *)(const void *)dev;

	pci_device_save(&vp->pci, w);
	state_put_u32(w, vp->device_feature_select);
	state_put_u32(w, vp->driver_feature_select);
	state_put_u16(w, vp->config_vector);
	state_put_u16(w, vp->queue_select);
	state_put_u8(w, vp->isr);
	for (unsigned i = 0; i < vp->n_queues; i++)
		state_put_u16(w, vp->queues[i].vector);
	virtio_save(vp->v, w);
}

static bool is_vector(const struct virtio_pci *vp, uint16_t vector)
{
	return vector == VIRTIO_PCI_NO_VECTOR || vector < vp->pci.msix.n;
}

static int vp_load(struct device *dev, struct state_reader *r)
{
	struct virtio_pci *vp = vp_of(dev);
	uint32_t device_select, driver_select;
	uint16_t config_vector, queue_select, vectors[VIRTIO_MAX_QUEUES];
	struct pci_state state;
	uint8_t isr;
	int ret;

	if (pci_state_load(&vp->pci, r, &state) < 0)
		return -EBADMSG;
	device_select = state_get_u32(r);
	driver_select = state_get_u32(r);
	config_vector = state_get_u16(r);
	queue_select = state_get_u16(r);
	isr = state_get_u8(r);
	if (!is_vector(vp, config_vector) || isr & ~(ISR_QUEUE | ISR_CONFIG))
		return -EBADMSG;
	for (unsigned i = 0; i < vp->n_queues; i++) {
		vectors[i] = state_get_u16(r);
		if (!is_vector(vp, vectors[i]))
			return -EBADMSG;
	}
	ret = virtio_load(vp->v, r);
	if (ret < 0)
		return ret;
	vp->device_feature_select = device_select;
	vp->driver_feature_select = driver_select;
	vp->config_vector = config_vector;
	vp->queue_select = queue_select;
	vp->isr = isr;
	for (unsigned i = 0; i < vp->n_queues; i++)
		vp->queues[i].vector = vectors[i];
	pci_state_apply(&vp->pci, &state);
	virtio_pci_update_doorbells(vp);
	return 0;
}

const struct device_ops virtio_pci_ops = {
	.realize = vp_realize,
	.unrealize = vp_unrealize,
	.reset = vp_reset,
	.read = vp_read,
	.write = vp_write,
	.save = vp_save,
	.load = vp_load,
	.quiesce = vp_quiesce,
	.resume = vp_resume,
	.take_over = vp_take_over,
};
