/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MSI-X of a PCI function (PCI 3.0, 6.8.2): table, pending bits, masks. See pci.h. */
#include "devices/pci/pci.h"

#include <errno.h>
#include <string.h>

static_assert(sizeof(struct pci_msix_entry) * PCI_MAX_MSIX <= PCI_MSIX_PBA, "table and PBA");
static_assert(PCI_MAX_MSIX <= 64, "one word of pending bits");

static uint16_t message_control(const struct pci_device *pci)
{
	return pci_get16(pci->config + pci->msix.cap + 2);
}

bool pci_msix_enabled(const struct pci_device *pci)
{
	return pci->msix.n && message_control(pci) & PCI_MSIX_ENABLE;
}

int pci_add_msix(struct pci_device *pci, unsigned bar, unsigned n)
{
	uint8_t body[12] = {0};

	assert(n && n <= PCI_MAX_MSIX && !pci->msix.n);
	pci_put16(body + 2, (uint16_t)(n - 1));
	pci_put32(body + 4, bar);
	pci_put32(body + 8, PCI_MSIX_PBA | bar);
	pci_add_bar(pci, bar, PCI_MSIX_BAR_SIZE, 0);
	pci->msix.cap = pci_add_cap(pci, PCI_CAP_MSIX, body, sizeof(body));
	pci->msix.bar = bar;
	pci->wmask[pci->msix.cap + 3] = (PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL) >> 8;
	for (unsigned i = 0; i < n; i++) {
		int r = irq_msi_new(pci->dev.machine->irq, &pci->msix.msis[i]);

		if (r < 0)
			return r;
		pci->msix.n = i + 1;
	}
	pci_msix_reset(pci);
	return 0;
}

void pci_msix_done(struct pci_device *pci)
{
	for (unsigned i = 0; i < pci->msix.n; i++)
		pci->msix.msis[i] = irq_msi_free(pci->msix.msis[i]);
	pci->msix.n = 0;
}

void pci_msix_reset(struct pci_device *pci)
{
	for (unsigned i = 0; i < pci->msix.n; i++)
		pci->msix.entries[i] = (struct pci_msix_entry){.control = PCI_MSIX_MASKED};
	pci->msix.pending = 0;
	pci->msix.routed = 0;
}

/* A message may be sent for the vector now. */
static bool can_send(const struct pci_device *pci, unsigned n)
{
	uint16_t control = message_control(pci);

	return control & PCI_MSIX_ENABLE && !(control & PCI_MSIX_MASK_ALL) && pci_bus_master(pci) &&
		!(pci->msix.entries[n].control & PCI_MSIX_MASKED);
}

/* An address outside of the local APICs' window would be an ordinary memory write: no interrupt. */
static bool is_interrupt_address(const struct pci_msix_entry *e)
{
	return (e->addr_lo & UINT32_C(0xfff00000)) == LAYOUT_LAPIC_BASE;
}

static void send(struct pci_device *pci, unsigned n)
{
	struct pci_msix *msix = &pci->msix;
	const struct pci_msix_entry *e = &msix->entries[n];
	uint64_t bit = UINT64_C(1) << n;

	msix->pending &= ~bit;
	if (!is_interrupt_address(e))
		return;
	if (!(msix->routed & bit) && device_is_away(&pci->dev)) {
		msix->pending |= bit;
		device_hand_over(&pci->dev);
		return;
	}
	if (!(msix->routed & bit)) {
		uint64_t addr = (uint64_t)e->addr_hi << 32 | e->addr_lo;

		if (irq_msi_set(msix->msis[n], addr, e->data) < 0)
			return;
		msix->routed |= bit;
	}
	irq_msi_raise(msix->msis[n]);
}

/* The vector, or a mask above it, changed. Routes are set when a vector becomes usable, so that
 * the first interrupt finds its way without a look at the table. */
static void update_vector(struct pci_device *pci, unsigned n)
{
	struct pci_msix *msix = &pci->msix;
	const struct pci_msix_entry *e = &msix->entries[n];
	uint64_t bit = UINT64_C(1) << n;

	if (!can_send(pci, n))
		return;
	if (msix->pending & bit) {
		send(pci, n);
		return;
	}
	if (!(msix->routed & bit) && is_interrupt_address(e) &&
		irq_msi_set(msix->msis[n], (uint64_t)e->addr_hi << 32 | e->addr_lo, e->data) >= 0)
		msix->routed |= bit;
}

void pci_msix_update(struct pci_device *pci)
{
	if (!pci_msix_enabled(pci))
		return;
	for (unsigned i = 0; i < pci->msix.n; i++)
		update_vector(pci, i);
}

void pci_msix_raise(struct pci_device *pci, unsigned n)
{
	if (n >= pci->msix.n || !pci_msix_enabled(pci) || !pci_bus_master(pci))
		return;
	if (can_send(pci, n))
		send(pci, n);
	else
		pci->msix.pending |= UINT64_C(1) << n;
}

bool pci_msix_bar_read(const struct pci_device *pci, unsigned bar, uint64_t offset, unsigned size,
	uint64_t *ret_value)
{
	const struct pci_msix *msix = &pci->msix;
	uint64_t table_len = sizeof(msix->entries[0]) * msix->n, value = 0;

	if (!msix->n || bar != msix->bar)
		return false;
	if (range_fits(offset, size, table_len))
		memcpy(&value, (const uint8_t *)msix->entries + offset, size);
	else if (offset >= PCI_MSIX_PBA && range_fits(offset - PCI_MSIX_PBA, size, 8))
		memcpy(&value, (const uint8_t *)&msix->pending + (offset - PCI_MSIX_PBA), size);
	*ret_value = value;
	return true;
}

static void write_field(struct pci_msix_entry *e, unsigned field, uint32_t value)
{
	switch (field) {
	case 0:
		e->addr_lo = value & ~UINT32_C(3);
		break;
	case 1:
		e->addr_hi = value;
		break;
	case 2:
		e->data = value;
		break;
	case 3:
		e->control = value & PCI_MSIX_MASKED;
		break;
	}
}

bool pci_msix_bar_write(
	struct pci_device *pci, unsigned bar, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_msix *msix = &pci->msix;
	unsigned n = (unsigned)(offset / sizeof(msix->entries[0]));

	if (!msix->n || bar != msix->bar)
		return false;
	/* Whole registers only, as 6.8.2 asks of software; the pending bits are read-only. */
	if (n >= msix->n || size < 4 || !IS_ALIGNED(offset, size))
		return true;
	for (unsigned i = 0; i < size / 4; i++)
		write_field(&msix->entries[n], (unsigned)(offset % 16 / 4) + i,
			(uint32_t)(value >> (32 * i)));
	if (offset % 16 < 12)
		msix->routed &= ~(UINT64_C(1) << n);
	if (pci_msix_enabled(pci))
		update_vector(pci, n);
	return true;
}
