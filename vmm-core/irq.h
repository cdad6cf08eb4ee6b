/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interrupts: lines, MSIs, and what carries them to the vCPUs.
 *
 * Lines are GSIs 0 … LAYOUT_IOAPIC_PINS-1. A device drives a line with irq_set_line(); the interrupt
 * controllers (i8259 pair and IOAPIC, ordinary devices in devices/legacy) register as sinks and see every
 * change of level. A line may have several sources (PCI INTx): each source is a bit, the line is their OR.
 *
 * MSIs beyond that are GSIs with an eventfd (irqfd): raising one is a write to its eventfd and costs no
 * exit and no lock; irq_msi_set() gives it address and data, as the MSI-X table entry says.
 *
 * The other side, `struct irq_ops`, is KVM (vmm-core/kvm.c) or a fake in tests.
 *
 * Threads: all functions want the machine's lock (device.h), except irq_msi_raise() (any thread) and irq_extint_pending()
 * (vCPU 0 asks before each KVM_RUN).
 */
#pragma once

#include "vmm-core/base/macro.h"
#include "vmm-core/layout.h"

struct irq;
struct irq_msi;

/* A routing entry as KVM takes it: GSI -> MSI message. */
struct irq_route {
	uint32_t gsi;
	uint32_t data;
	uint64_t address;
};

struct irq_ops {
	/* Replace the whole routing table. */
	int (*set_routes)(void *opaque, const struct irq_route *routes, unsigned n_routes);
	/* Connect or disconnect an eventfd and a GSI. */
	int (*irqfd)(void *opaque, int event_fd, uint32_t gsi, bool on);
	/* Deliver one MSI message now (the IOAPIC's way). */
	int (*signal_msi)(void *opaque, uint64_t address, uint32_t data);
	/* The PIC's INTR output changed: vCPU 0 has to look (irq_extint_ack). */
	void (*extint)(void *opaque, bool asserted);
};

struct irq *irq_new(const struct irq_ops *ops, void *opaque);
struct irq *irq_free(struct irq *irq);

/* Lines. 'source' (0 … 31) tells sources of one line apart; ISA devices use 0. */
void irq_set_line(struct irq *irq, unsigned gsi, unsigned source, bool level);
bool irq_line_level(const struct irq *irq, unsigned gsi);
/* 'changed' is called with the new level at each change. At most 4 sinks. */
int irq_add_sink(
	struct irq *irq, void (*changed)(void *opaque, unsigned gsi, bool level), void *opaque);

/* MSIs. -ENOSPC when GSIs or fds are used up. The route is only given to KVM by irq_msi_set(), and only
 * when it differs from what KVM has. */
int irq_msi_new(struct irq *irq, struct irq_msi **ret_msi);
struct irq_msi *irq_msi_free(struct irq_msi *msi);
int irq_msi_set(struct irq_msi *msi, uint64_t address, uint32_t data);
void irq_msi_raise(struct irq_msi *msi);
int irq_msi_fd(const struct irq_msi *msi);

/* For the IOAPIC: the message of a pin, so that KVM tells us of the guest's EOI for level-triggered vectors;
 * and the delivery itself. */
int irq_ioapic_route(struct irq *irq, unsigned pin, uint64_t address, uint32_t data, bool valid);
int irq_signal_msi(struct irq *irq, uint64_t address, uint32_t data);
void irq_set_eoi_handler(struct irq *irq, void (*eoi)(void *opaque, uint8_t vector), void *opaque);
void irq_eoi(struct irq *irq, uint8_t vector); /* from the vCPU's EOI exit, lock held */

/* For the PIC: its output, and the acknowledge cycle that gives the vector. */
void irq_extint_set(struct irq *irq, bool asserted, int (*ack)(void *opaque), void *opaque);
bool irq_extint_pending(const struct irq *irq);
/* The vector (0 … 255) of the interrupt the PIC acknowledges, -ENOENT when it has none any more. Lock held. */
int irq_extint_ack(struct irq *irq);
