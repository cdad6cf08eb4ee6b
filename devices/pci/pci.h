/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PCI: functions, their configuration space, BARs, MSI-X and INTx, and the root they hang on.
 *
 * There is one bus, 0, and each device is function 0 of a slot of its own: slot 0 is the host
 * bridge ("q35-host", pci-root.c), slot 31 the ISA bridge ("ich9-lpc"), 1 … 30 are for devices.
 * Each is a root complex integrated endpoint. The host bridge answers CF8/CFC and ECAM and finds
 * the function.
 *
 * A model embeds struct pci_device first, calls pci_device_init() in its realize() and then
 * declares BARs, capabilities and MSI-X. BAR n is region n of the model's read() and write(), which
 * get what is left after pci_bar_read() and pci_bar_write() have looked for the MSI-X table.
 *
 * No firmware runs: when all devices exist, the root gives every BAR its address
 * (pci_root_assign_bars() from machine_done) and leaves memory decode on as firmware would. A reset
 * brings exactly that state back.
 *
 * A BAR decodes when memory decode is on and its place is free: not RAM, not the local APICs, not
 * another range of the bus. One that is put on top of something simply does not decode until one of
 * both moves; nothing else changes.
 *
 * Threads: device lock held.
 */
#pragma once

#include "vmm-core/device.h"

#define PCI_N_SLOTS  32
#define PCI_N_BARS   6
#define PCI_MAX_MSIX 64

/* Base class, sub class, interface. */
#define PCI_CLASS_STORAGE_OTHER UINT32_C(0x010000)
#define PCI_CLASS_STORAGE_SCSI  UINT32_C(0x010000)
#define PCI_CLASS_HOST_BRIDGE   UINT32_C(0x060000)
#define PCI_CLASS_ISA_BRIDGE    UINT32_C(0x060100)
#define PCI_CLASS_COMM_OTHER    UINT32_C(0x078000)
#define PCI_CLASS_OTHERS        UINT32_C(0x00ff00)

#define PCI_BAR_64       (1U << 0)
#define PCI_BAR_PREFETCH (1U << 1)

struct pci_bar {
	uint64_t size; /* bytes, a power of two >= 16; 0: none */
	unsigned flags;
	uint64_t boot_addr; /* as pci_root_assign_bars() left it */
	uint64_t addr;      /* where it decodes, if mapped */
	bool mapped;
};

struct pci_msix_entry {
	uint32_t addr_lo, addr_hi, data, control;
};

struct pci_msix {
	unsigned n; /* 0: none */
	unsigned cap, bar;
	uint32_t pba_offset; /* the table is at 0 */
	struct pci_msix_entry entries[PCI_MAX_MSIX];
	uint64_t pending;
	struct irq_msi *msis[PCI_MAX_MSIX];
};

struct pci_device;

struct pci_ops {
	/* The BAR starts (on) or stops to decode at 'addr'. May be NULL. */
	void (*bar_mapped)(struct pci_device *pci, unsigned bar, uint64_t addr, bool on);
	/* 'size' (1, 2, 4) bytes at 'offset' of the configuration space are about to be read / were
	 * written. For windows such as VIRTIO_PCI_CAP_PCI_CFG. May be NULL. */
	void (*config_read)(struct pci_device *pci, unsigned offset, unsigned size);
	void (*config_written)(struct pci_device *pci, unsigned offset, unsigned size);
};

struct pci_device {
	struct device dev;
	const struct pci_ops *ops;
	struct pci_root *root;
	unsigned slot;
	uint8_t config[256], wmask[256];
	uint8_t initial[256]; /* power-on contents */
	unsigned cap_end;     /* where the next capability goes */
	unsigned last_cap;
	struct pci_bar bars[PCI_N_BARS];
	struct pci_msix msix;
	bool intx; /* the function's wish; the line is up if nothing disables it */
};

/* Identity: what a guest sees in the header. */
struct pci_id {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision;
	uint8_t pin; /* 1: uses INTA */
	uint32_t class;
};

/* Hang 'pci' on machine->pci_root at 'addr' (or the first free slot that no configured device asks
 * for) and fill the header. Returns 0, -ENODEV (no root), -EEXIST (slot taken), -ENOSPC.
 * pci_device_done() gives everything back and copes with half-built. */
int pci_device_init(struct pci_device *pci, const struct pci_ops *ops, const struct pci_id *id,
	struct vm_pci_addr addr);
void pci_device_done(struct pci_device *pci);

/* Declarations, in realize(). */
void pci_add_bar(struct pci_device *pci, unsigned bar, uint64_t size, unsigned flags);
/* Room for a capability of 'len' bytes: id and link are filled. Answers its offset. 'wmask' (len
 * bytes) may be NULL. */
unsigned pci_add_cap(struct pci_device *pci, uint8_t id, const void *body, unsigned len);
void pci_add_express_cap(struct pci_device *pci);
/* 'n' vectors with table and pending bits in 'bar' (declared here, 4 KiB or 8 KiB). Returns 0 or
 * irq_msi_new()'s error. */
int pci_add_msix(struct pci_device *pci, unsigned bar, unsigned n);
/* The present configuration space becomes what a reset brings back. Last in realize(). */
void pci_device_realized(struct pci_device *pci);

/* Back to what firmware leaves: BARs at their boot places, decode on, MSI-X off, INTx down. */
void pci_device_reset(struct pci_device *pci);

/* Configuration space; offset + size <= 4096, size 1, 2, 4. The extended part reads as 0. */
uint32_t pci_config_read(struct pci_device *pci, unsigned offset, unsigned size);
void pci_config_write(struct pci_device *pci, unsigned offset, unsigned size, uint32_t value);

/* For the model's read() and write(): true when the access was to the MSI-X table or pending bits.
 * */
bool pci_msix_bar_read(
	struct pci_device *pci, unsigned bar, uint64_t offset, unsigned size, uint64_t *ret_value);
bool pci_msix_bar_write(
	struct pci_device *pci, unsigned bar, uint64_t offset, unsigned size, uint64_t value);

bool pci_msix_enabled(const struct pci_device *pci);
/* Raise vector 'n': at once, or when it is unmasked. Ignored beyond the table or while MSI-X is
 * off. */
void pci_msix_raise(struct pci_device *pci, unsigned n);
/* INTA. */
void pci_set_intx(struct pci_device *pci, bool level);
bool pci_bus_master(const struct pci_device *pci);

void pci_device_save(const struct pci_device *pci, struct state_writer *w);
/* Reads the fields and, if they make sense, takes them. Returns 0, or -EBADMSG with the function
 * reset. */
int pci_device_load(struct pci_device *pci, struct state_reader *r);

/* The root (pci-root.c). */
struct pci_root;
int pci_root_attach(struct device *root, struct pci_device *pci, struct vm_pci_addr addr);
void pci_root_detach(struct pci_device *pci);
/* Try again to map every BAR that wants to decode and does not: its place may have become free. */
void pci_root_remap(struct pci_root *root);
/* Place all BARs in [LAYOUT_PCI32_BASE, LAYOUT_PCI32_END), largest first. Returns 0 or -ENOSPC. */
int pci_root_assign_bars(struct pci_root *root);
