/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PCI: functions, their configuration space, BARs, MSI-X and INTx, and the root they hang on.
 *
 * There is one bus, 0, and each device is function 0 of a slot of its own: slot 0 is the host
 * bridge ("q35-host", pci-root.c), slot 31 the ISA bridge ("ich9-lpc"), 1 … 30 are for devices,
 * each a root complex integrated endpoint. The host bridge answers CF8/CFC and ECAM and finds the
 * function.
 *
 * A model embeds struct pci_device first, calls pci_device_init() in its realize(), declares
 * capabilities, BARs and MSI-X, and ends with pci_device_realized(). BAR n is region n of the
 * model's read() and write(); these ask pci_msix_bar_read() and pci_msix_bar_write() first.
 *
 * No firmware runs: when all devices exist, the root gives every BAR its address (machine_done) and
 * leaves memory decode on and bus mastering off, as firmware would. A reset of the device brings
 * exactly that state back. A function that comes later ("acpi-pci-hotplug", pci-hotplug.c) is found as it
 * was made, with no place; it gets one for the resets to come.
 *
 * A BAR decodes when memory decode is on and its place is free: not RAM nor room for more of it, not the local APICs, not
 * another range of the bus. One that is put on top of something simply does not decode until one of
 * the two moves away; nothing else changes.
 *
 * Threads: as device.h says. Interrupts may be raised on a device's iothread; what needs the machine's lock for that (a line,
 * a route that KVM does not have yet) is handed over, so a model's take_over() calls pci_device_take_over().
 */
#pragma once

#include "vmm-core/device.h"

#define PCI_N_SLOTS   32
#define PCI_SLOT_HOST 0
#define PCI_SLOT_LPC  31
#define PCI_N_BARS    6
#define PCI_MAX_MSIX  64

#define PCI_CONFIG_SIZE  256  /* what a function keeps */
#define PCI_EXPRESS_SIZE 4096 /* what ECAM shows: the rest reads as 0 */

/* Base class, sub class, interface. */
#define PCI_CLASS_STORAGE_OTHER UINT32_C(0x018000)
#define PCI_CLASS_STORAGE_SCSI  UINT32_C(0x010000)
#define PCI_CLASS_ETHERNET      UINT32_C(0x020000)
#define PCI_CLASS_HOST_BRIDGE   UINT32_C(0x060000)
#define PCI_CLASS_ISA_BRIDGE    UINT32_C(0x060100)
#define PCI_CLASS_COMM_OTHER    UINT32_C(0x078000)
#define PCI_CLASS_OTHERS        UINT32_C(0x00ff00)

/* Registers of the header. */
#define PCI_REG_VENDOR       0x00
#define PCI_REG_DEVICE       0x02
#define PCI_REG_COMMAND      0x04
#define PCI_REG_STATUS       0x06
#define PCI_REG_REVISION     0x08
#define PCI_REG_CLASS        0x09
#define PCI_REG_CACHE_LINE   0x0c
#define PCI_REG_HEADER_TYPE  0x0e
#define PCI_REG_BAR0         0x10
#define PCI_REG_SUBSYS_VEND  0x2c
#define PCI_REG_SUBSYS       0x2e
#define PCI_REG_CAP_LIST     0x34
#define PCI_REG_INTR_LINE    0x3c
#define PCI_REG_INTR_PIN     0x3d
#define PCI_CMD_MEMORY       0x0002
#define PCI_CMD_MASTER       0x0004
#define PCI_CMD_INTX_DISABLE 0x0400
#define PCI_STATUS_INTX      0x0008
#define PCI_STATUS_CAP_LIST  0x0010

#define PCI_CAP_VENDOR  0x09
#define PCI_CAP_EXPRESS 0x10
#define PCI_CAP_MSIX    0x11

#define PCI_BAR_64       (1U << 0)
#define PCI_BAR_PREFETCH (1U << 1)

struct pci_bar {
	uint64_t size; /* bytes, a power of two >= 16; 0: none */
	unsigned flags;
	bool mapped;
	uint64_t addr; /* where it is mapped */
};

struct pci_msix_entry {
	uint32_t addr_lo, addr_hi, data, control;
};
static_assert(sizeof(struct pci_msix_entry) == 16, "PCI 3.0, 6.8.2");

struct pci_msix {
	unsigned n; /* 0: none */
	unsigned cap, bar;
	struct pci_msix_entry entries[PCI_MAX_MSIX];
	uint64_t pending;
	uint64_t routed; /* entries whose msis[] carries what the table says */
	struct irq_msi *msis[PCI_MAX_MSIX];
};

struct pci_device;
struct pci_root;

/* What a model may want to hear of. Each may be NULL. */
struct pci_ops {
	/* The BAR begins (on) or ceases to decode at 'addr'. */
	void (*bar_mapped)(struct pci_device *pci, unsigned bar, uint64_t addr, bool on);
	/* 'size' (1, 2, 4) bytes at 'offset' of the configuration space are about to be read, or
	 * were written. */
	void (*config_read)(struct pci_device *pci, unsigned offset, unsigned size);
	void (*config_written)(struct pci_device *pci, unsigned offset, unsigned size);
};

struct pci_device {
	struct device dev;
	const struct pci_ops *ops;
	struct pci_root *root; /* NULL: not attached */
	unsigned slot;
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t wmask[PCI_CONFIG_SIZE];   /* what the guest can change */
	uint8_t initial[PCI_CONFIG_SIZE]; /* what a reset brings back */
	unsigned next_cap, last_cap;
	struct pci_bar bars[PCI_N_BARS];
	struct pci_msix msix;
	bool intx; /* the function asks for its interrupt */
	bool withdrawn;
};

/* What a guest sees in the header. */
struct pci_id {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class; /* PCI_CLASS_* */
	uint8_t revision;
	uint8_t pin; /* 0: none, 1: INTA */
};

/* Life of a function (pci.c). */

/* Hang 'pci' on machine->pci_root at 'addr', or with 'addr.set' 0 at the first free slot that no
 * configured device asks for, and fill the header. Returns 0, -ENODEV (no root), -EEXIST (slot
 * taken), -EINVAL (no such slot), -ENOSPC. pci_device_done() gives everything back and copes with
 * half-built. */
int pci_device_init(struct pci_device *pci, const struct pci_ops *ops, const struct pci_id *id,
	struct vm_pci_addr addr);
void pci_device_done(struct pci_device *pci);

/* Declarations, between init and realized. */
void pci_add_bar(struct pci_device *pci, unsigned bar, uint64_t size, unsigned flags);
/* A capability of 'len' bytes, of which body[0, 2) (id and link) is filled in here. Answers its
 * offset, for a model that wants to open bits of wmask[]. */
unsigned pci_add_cap(struct pci_device *pci, uint8_t id, const void *body, unsigned len);
/* PCI Express, as root complex integrated endpoint. */
void pci_add_express_cap(struct pci_device *pci);
/* The present contents of config[] become what a reset brings back. */
void pci_device_realized(struct pci_device *pci);

/* Back to what firmware leaves: BARs at their first places, MSI-X off, INTx down. */
void pci_device_reset(struct pci_device *pci);

/* Pulled out, while the guest runs: reset, and found by nobody from now on. It keeps its slot until it is freed. */
void pci_device_withdraw(struct pci_device *pci);

/* The line and the messages that were handed over. */
void pci_device_take_over(struct pci_device *pci);

/* Configuration space: size 1, 2 or 4, offset + size <= PCI_EXPRESS_SIZE. */
uint32_t pci_config_read(struct pci_device *pci, unsigned offset, unsigned size);
void pci_config_write(struct pci_device *pci, unsigned offset, unsigned size, uint32_t value);

static inline uint16_t pci_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t pci_get32(const uint8_t *p)
{
	return (uint32_t)pci_get16(p) | (uint32_t)pci_get16(p + 2) << 16;
}

static inline void pci_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void pci_put32(uint8_t *p, uint32_t v)
{
	pci_put16(p, (uint16_t)v);
	pci_put16(p + 2, (uint16_t)(v >> 16));
}

/* The address the guest programmed, whether it decodes or not. */
uint64_t pci_bar_address(const struct pci_device *pci, unsigned bar);
/* Program it as firmware would (before pci_device_realized(), or by the root). */
void pci_bar_set_address(struct pci_device *pci, unsigned bar, uint64_t addr);
/* Decode each BAR whose place is free and that wants to. Answers whether one ceased to decode. */
bool pci_update_bars(struct pci_device *pci);

/* INTA. */
void pci_set_intx(struct pci_device *pci, bool level);
/* The guest lets the function do DMA and send MSIs. */
bool pci_bus_master(const struct pci_device *pci);

/* The function's part of the device's section. Loading is in two steps so that a bad section leaves
 * the device as it was: read and check into '*ret_state', and apply it when the rest is good
 * too. */
struct pci_state {
	uint8_t config[PCI_CONFIG_SIZE];
	uint8_t intx;
	uint64_t pending;
	struct pci_msix_entry entries[PCI_MAX_MSIX];
};
void pci_device_save(const struct pci_device *pci, struct state_writer *w);
int pci_state_load(
	const struct pci_device *pci, struct state_reader *r, struct pci_state *ret_state);
void pci_state_apply(struct pci_device *pci, const struct pci_state *state);

/* MSI-X (pci-msix.c). */

#define PCI_MSIX_BAR_SIZE 4096 /* table at 0, pending bits behind it */
#define PCI_MSIX_PBA      2048
#define PCI_MSIX_ENABLE   0x8000 /* message control */
#define PCI_MSIX_MASK_ALL 0x4000
#define PCI_MSIX_MASKED   0x1 /* vector control */

/* 'n' vectors (1 … PCI_MAX_MSIX) with their table in 'bar', which is declared here. Returns 0 or
 * irq_msi_new()'s error. */
int pci_add_msix(struct pci_device *pci, unsigned bar, unsigned n);
void pci_msix_done(struct pci_device *pci);
/* All vectors masked, nothing pending. */
void pci_msix_reset(struct pci_device *pci);
/* True when the access was to the table or the pending bits. */
bool pci_msix_bar_read(const struct pci_device *pci, unsigned bar, uint64_t offset, unsigned size,
	uint64_t *ret_value);
bool pci_msix_bar_write(
	struct pci_device *pci, unsigned bar, uint64_t offset, unsigned size, uint64_t value);
bool pci_msix_enabled(const struct pci_device *pci);
/* Raise vector 'n': at once, or when it becomes unmasked. Ignored beyond the table and while MSI-X
 * or bus mastering is off. */
void pci_msix_raise(struct pci_device *pci, unsigned n);
/* Message control or the command register changed. */
void pci_msix_update(struct pci_device *pci);

/* The root (pci-root.c); class "q35-host". */

int pci_root_attach(struct pci_device *pci, struct vm_pci_addr addr);
void pci_root_detach(struct pci_device *pci);
/* Try each BAR of the others that wants to decode and does not: its place may have become free. */
void pci_root_remap(struct pci_root *root, const struct pci_device *but);
/* What is in the slot, withdrawn or not; NULL: nothing. */
struct pci_device *pci_root_card(struct device *root, unsigned slot);
/* Give each BAR that has none its place after a reset. Returns 0 or -ENOSPC. */
int pci_root_place(struct device *root);

extern const struct device_class q35_host_class;
extern const struct device_class ich9_lpc_class;
/* Made after acpi-pm and the root. Region 0: ACPI_PCI_HOTPLUG_LEN ports. */
extern const struct device_class pci_hotplug_class;
