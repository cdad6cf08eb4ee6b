/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Virtio over PCI, modern only (virtio 1.2, 4.1): makes a device class out of a virtio model.
 *
 * BAR 1 (32-bit) holds the MSI-X table and pending bits; BAR 4 (64-bit) the four register windows,
 * 4 KiB each: common configuration, ISR, device configuration, notification. Queue n's doorbell is
 * at notification + 4 n. A queue has one eventfd: the bus's doorbell (ioeventfd) signals it inside
 * the kernel, and where that is not available the register write does; either way the model works
 * on its device's loop.
 *
 * In devices/virtio/virtio-foo.c:
 *
 *	const struct virtio_pci_class virtio_foo_pci_class = VIRTIO_PCI_CLASS(
 *		"virtio-foo-pci", 1, &virtio_foo_ops, PCI_CLASS_OTHERS, foo_pci_addr);
 *
 * its declaration below, and in devices/registry.c a row `&virtio_foo_pci_class.class`.
 */
#pragma once

#include "devices/pci/pci.h"
#include "devices/virtio/virtio.h"

struct virtio_pci_class {
	struct device_class class;
	const struct virtio_ops *virtio;
	uint32_t pci_class; /* base class, sub class, interface: PCI_CLASS_* of pci.h */
	/* The place the configuration gives it. */
	struct vm_pci_addr (*pci_addr)(const struct vm_config *config, unsigned instance);
};

/* 'version' goes up with the model's save(). */
#define VIRTIO_PCI_CLASS(class_name, version, virtio_ops_, pci_class_, pci_addr_)                  \
	{                                                                                          \
		.class = {.name = class_name,                                                      \
			.state_version = version,                                                  \
			.size = sizeof(struct virtio_pci),                                         \
			.ops = &virtio_pci_ops},                                                   \
		.virtio = virtio_ops_, .pci_class = pci_class_, .pci_addr = pci_addr_              \
	}

#define VIRTIO_PCI_BAR_MSIX 1
#define VIRTIO_PCI_BAR_REGS 4

/* Windows of BAR 4. */
#define VIRTIO_PCI_COMMON      0x0000
#define VIRTIO_PCI_ISR         0x1000
#define VIRTIO_PCI_DEVICE      0x2000
#define VIRTIO_PCI_NOTIFY      0x3000
#define VIRTIO_PCI_REGS_SIZE   0x4000
#define VIRTIO_PCI_NOTIFY_MULT 4
#define VIRTIO_PCI_NO_VECTOR   0xffff
/* Up to queue_device: neither notification data nor ring reset are offered. */
#define VIRTIO_PCI_COMMON_LEN 0x38

struct virtio_pci_queue {
	struct virtio_pci *vp;
	unsigned index;
	uint16_t vector;
	int kick_fd;
	struct loop_source *source;
	bool doorbell; /* registered with the bus, at the present place of the BAR */
};

struct virtio_pci {
	struct pci_device pci;
	struct virtio_device *v; /* of the model's size */
	unsigned n_queues;       /* of queues[] that are set up */
	struct virtio_pci_queue queues[VIRTIO_MAX_QUEUES];

	/* Registers. */
	uint32_t device_feature_select, driver_feature_select;
	uint16_t config_vector, queue_select;
	uint8_t isr;
	unsigned cfg_cap; /* where VIRTIO_PCI_CAP_PCI_CFG is */
};

extern const struct device_ops virtio_pci_ops;

/* The classes, for devices/registry.c. */
extern const struct virtio_pci_class virtio_balloon_pci_class;
extern const struct virtio_pci_class virtio_console_pci_class;
extern const struct virtio_pci_class virtio_blk_pci_class;
extern const struct virtio_pci_class virtio_mem_pci_class;
extern const struct virtio_pci_class virtio_net_pci_class;
extern const struct virtio_pci_class virtio_rng_pci_class;

/* The model inside, for a test that holds the device. */
struct virtio_device *virtio_pci_device(struct device *dev);

/* Between virtio-pci.c and virtio-pci-common.c. */
uint64_t virtio_pci_common_read(struct virtio_pci *vp, uint64_t offset, unsigned size);
void virtio_pci_common_write(struct virtio_pci *vp, uint64_t offset, unsigned size, uint64_t value);
/* A doorbell exists while its queue is enabled and the BAR decodes: make it so. */
void virtio_pci_update_doorbells(struct virtio_pci *vp);
