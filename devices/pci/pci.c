/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A PCI function: configuration space, BARs, INTx. See pci.h; MSI-X is in pci-msix.c. */
#include "devices/pci/pci.h"

#include <errno.h>
#include <string.h>

#include "vmm-core/guest-plug.h"

#define FIRST_CAP 0x40

#define BAR_TYPE_64  0x4
#define BAR_PREFETCH 0x8

static uint8_t *bar_register(struct pci_device *pci, unsigned bar)
{
	return pci->config + PCI_REG_BAR0 + 4 * bar;
}

static uint16_t command(const struct pci_device *pci)
{
	return pci_get16(pci->config + PCI_REG_COMMAND);
}

int pci_device_init(struct pci_device *pci, const struct pci_ops *ops, const struct pci_id *id,
	struct vm_pci_addr addr)
{
	int r;

	pci->ops = ops;
	r = pci_root_attach(pci, addr);
	if (r < 0)
		return r;
	pci_put16(pci->config + PCI_REG_VENDOR, id->vendor);
	pci_put16(pci->config + PCI_REG_DEVICE, id->device);
	pci_put16(pci->config + PCI_REG_SUBSYS_VEND, id->subsystem_vendor);
	pci_put16(pci->config + PCI_REG_SUBSYS, id->subsystem);
	pci->config[PCI_REG_REVISION] = id->revision;
	pci->config[PCI_REG_CLASS] = (uint8_t)id->class;
	pci_put16(pci->config + PCI_REG_CLASS + 1, (uint16_t)(id->class >> 8));
	pci_put16(pci->wmask + PCI_REG_COMMAND,
		PCI_CMD_MEMORY | PCI_CMD_MASTER | PCI_CMD_INTX_DISABLE);
	pci->wmask[PCI_REG_CACHE_LINE] = 0xff;
	pci->config[PCI_REG_INTR_PIN] = id->pin;
	if (id->pin) {
		pci->config[PCI_REG_INTR_LINE] =
			(uint8_t)(LAYOUT_GSI_INTX_BASE + pci->slot % LAYOUT_GSI_INTX_COUNT);
		pci->wmask[PCI_REG_INTR_LINE] = 0xff;
	}
	pci->next_cap = FIRST_CAP;
	return 0;
}

static void set_mapped(struct pci_device *pci, unsigned i, uint64_t addr, bool on)
{
	struct pci_bar *bar = &pci->bars[i];

	if (on) {
		bar->addr = addr;
		bar->mapped = true;
	}
	if (pci->ops && pci->ops->bar_mapped)
		pci->ops->bar_mapped(pci, i, bar->addr, on);
	if (!on) {
		(void)bus_remove(pci->dev.machine->bus, BUS_MMIO, bar->addr, &pci->dev);
		bar->mapped = false;
	}
}

static void drive_line(struct pci_device *pci)
{
	bool level = pci->intx && !(command(pci) & PCI_CMD_INTX_DISABLE);
	uint8_t *status = pci->config + PCI_REG_STATUS;

	if (!pci->config[PCI_REG_INTR_PIN])
		return;
	*status = (uint8_t)((*status & ~PCI_STATUS_INTX) | (pci->intx ? PCI_STATUS_INTX : 0));
	if (device_is_away(&pci->dev))
		device_hand_over(&pci->dev);
	else
		irq_set_line(pci->dev.machine->irq,
			LAYOUT_GSI_INTX_BASE + pci->slot % LAYOUT_GSI_INTX_COUNT, pci->slot, level);
}

void pci_device_take_over(struct pci_device *pci)
{
	drive_line(pci);
	pci_msix_update(pci);
}

void pci_device_done(struct pci_device *pci)
{
	if (!pci->root)
		return;
	pci->intx = false;
	drive_line(pci);
	for (unsigned i = 0; i < PCI_N_BARS; i++)
		if (pci->bars[i].mapped)
			set_mapped(pci, i, 0, false);
	pci_msix_done(pci);
	pci_root_detach(pci);
}

void pci_add_bar(struct pci_device *pci, unsigned bar, uint64_t size, unsigned flags)
{
	uint64_t mask = ~(size - 1);
	uint8_t *reg = bar_register(pci, bar);

	assert(bar + !!(flags & PCI_BAR_64) < PCI_N_BARS && size >= 16 && !(size & (size - 1)));
	pci->bars[bar] = (struct pci_bar){.size = size, .flags = flags};
	reg[0] = (uint8_t)((flags & PCI_BAR_64 ? BAR_TYPE_64 : 0) |
		(flags & PCI_BAR_PREFETCH ? BAR_PREFETCH : 0));
	pci_put32(pci->wmask + PCI_REG_BAR0 + 4 * bar, (uint32_t)mask);
	if (flags & PCI_BAR_64)
		pci_put32(pci->wmask + PCI_REG_BAR0 + 4 * bar + 4, (uint32_t)(mask >> 32));
}

unsigned pci_add_cap(struct pci_device *pci, uint8_t id, const void *body, unsigned len)
{
	unsigned at = pci->next_cap;

	assert(len >= 2 && at + len <= PCI_CONFIG_SIZE);
	memcpy(pci->config + at, body, len);
	pci->config[at] = id;
	pci->config[at + 1] = 0;
	pci->config[pci->last_cap ? pci->last_cap + 1 : PCI_REG_CAP_LIST] = (uint8_t)at;
	pci->config[PCI_REG_STATUS] |= PCI_STATUS_CAP_LIST;
	pci->last_cap = at;
	pci->next_cap = ALIGN_UP(at + len, 4);
	return at;
}

void pci_add_express_cap(struct pci_device *pci)
{
	uint8_t body[0x3c] = {0};
	unsigned at;

	pci_put16(body + 2, 0x0092);     /* version 2, root complex integrated endpoint */
	pci_put32(body + 4, 0x00008000); /* role-based error reporting */
	at = pci_add_cap(pci, PCI_CAP_EXPRESS, body, sizeof(body));
	/* Device control: no bit of it does anything here, and drivers read back what they
	 * wrote. */
	pci_put16(pci->wmask + at + 8, 0x7fff);
}

void pci_device_realized(struct pci_device *pci)
{
	memcpy(pci->initial, pci->config, sizeof(pci->initial));
}

uint64_t pci_bar_address(const struct pci_device *pci, unsigned bar)
{
	const uint8_t *reg = pci->config + PCI_REG_BAR0 + 4 * bar;
	uint64_t addr = pci_get32(reg) & ~UINT32_C(0xf);

	if (pci->bars[bar].flags & PCI_BAR_64)
		addr |= (uint64_t)pci_get32(reg + 4) << 32;
	return addr;
}

void pci_bar_set_address(struct pci_device *pci, unsigned bar, uint64_t addr)
{
	uint8_t *reg = bar_register(pci, bar);

	pci_put32(reg, (uint32_t)addr | (reg[0] & 0xf));
	if (pci->bars[bar].flags & PCI_BAR_64)
		pci_put32(reg + 4, (uint32_t)(addr >> 32));
}

static bool overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a <= b + (b_len - 1) && b <= a + (a_len - 1);
}

/* Nothing that the bus does not know of lives there, or may come to: RAM, memory that is plugged in, the local APICs. */
static bool place_is_free(const struct pci_device *pci, uint64_t addr, uint64_t size)
{
	const struct guest_mem *mem = pci->dev.machine->mem;

	if (addr + (size - 1) < addr || overlaps(addr, size, LAYOUT_LAPIC_BASE, MIB(1)))
		return false;
	for (unsigned i = 0; i < mem->n_regions; i++)
		if (overlaps(addr, size, mem->regions[i].base.v, mem->regions[i].size))
			return false;
	return !mem->plug || !overlaps(addr, size, mem->plug->base, mem->plug->room);
}

bool pci_update_bars(struct pci_device *pci)
{
	bool decode = command(pci) & PCI_CMD_MEMORY && !pci->withdrawn, freed = false;

	for (unsigned i = 0; i < PCI_N_BARS; i++) {
		struct pci_bar *bar = &pci->bars[i];
		uint64_t addr = pci_bar_address(pci, i);

		if (bar->mapped && (!decode || bar->addr != addr)) {
			set_mapped(pci, i, 0, false);
			freed = true;
		}
	}
	for (unsigned i = 0; decode && i < PCI_N_BARS; i++) {
		struct pci_bar *bar = &pci->bars[i];
		uint64_t addr = pci_bar_address(pci, i);

		if (bar->size && !bar->mapped && place_is_free(pci, addr, bar->size) &&
			bus_add(pci->dev.machine->bus, BUS_MMIO, addr, bar->size, &pci->dev, i) >=
				0)
			set_mapped(pci, i, addr, true);
	}
	return freed;
}

/* Registers changed: let everything that follows from them follow. */
static void follow_registers(struct pci_device *pci)
{
	if (pci_update_bars(pci))
		pci_root_remap(pci->root, pci);
	drive_line(pci);
	pci_msix_update(pci);
}

void pci_device_reset(struct pci_device *pci)
{
	memcpy(pci->config, pci->initial, sizeof(pci->config));
	pci->intx = false;
	pci_msix_reset(pci);
	follow_registers(pci);
}

void pci_device_withdraw(struct pci_device *pci)
{
	pci->withdrawn = true;
	device_reset(&pci->dev);
}

uint32_t pci_config_read(struct pci_device *pci, unsigned offset, unsigned size)
{
	uint32_t value = 0;

	if (offset >= PCI_CONFIG_SIZE)
		return 0;
	if (pci->ops && pci->ops->config_read)
		pci->ops->config_read(pci, offset, size);
	for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_SIZE; i++)
		value |= (uint32_t)pci->config[offset + i] << (8 * i);
	return value;
}

void pci_config_write(struct pci_device *pci, unsigned offset, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_SIZE; i++) {
		uint8_t mask = pci->wmask[offset + i], *reg = &pci->config[offset + i];

		*reg = (uint8_t)((*reg & ~mask) | ((value >> (8 * i)) & mask));
	}
	if (offset >= PCI_CONFIG_SIZE)
		return;
	follow_registers(pci);
	if (pci->ops && pci->ops->config_written)
		pci->ops->config_written(pci, offset, size);
}

void pci_set_intx(struct pci_device *pci, bool level)
{
	if (pci->intx == level)
		return;
	pci->intx = level;
	drive_line(pci);
}

bool pci_bus_master(const struct pci_device *pci)
{
	return command(pci) & PCI_CMD_MASTER;
}

void pci_device_save(const struct pci_device *pci, struct state_writer *w)
{
	state_put_bytes(w, pci->config, sizeof(pci->config));
	state_put_u8(w, pci->intx);
	state_put_u64(w, pci->msix.pending);
	for (unsigned i = 0; i < pci->msix.n; i++) {
		state_put_u32(w, pci->msix.entries[i].addr_lo);
		state_put_u32(w, pci->msix.entries[i].addr_hi);
		state_put_u32(w, pci->msix.entries[i].data);
		state_put_u32(w, pci->msix.entries[i].control);
	}
}

int pci_state_load(
	const struct pci_device *pci, struct state_reader *r, struct pci_state *ret_state)
{
	struct pci_state s = {0};
	uint64_t beyond = pci->msix.n < 64 ? UINT64_MAX << pci->msix.n : 0;

	state_get_bytes(r, s.config, sizeof(s.config));
	s.intx = state_get_u8(r);
	s.pending = state_get_u64(r);
	for (unsigned i = 0; i < pci->msix.n; i++) {
		s.entries[i].addr_lo = state_get_u32(r);
		s.entries[i].addr_hi = state_get_u32(r);
		s.entries[i].data = state_get_u32(r);
		s.entries[i].control = state_get_u32(r);
		if (s.entries[i].addr_lo & 3 || s.entries[i].control & ~UINT32_C(1))
			return -EBADMSG;
	}
	if (r->bad || s.intx > (pci->config[PCI_REG_INTR_PIN] != 0) || s.pending & beyond)
		return -EBADMSG;
	/* Only what a guest could have written may differ from this function. */
	for (unsigned i = 0; i < sizeof(s.config); i++) {
		uint8_t fixed = (uint8_t)~pci->wmask[i];

		if (i == PCI_REG_STATUS)
			fixed &= (uint8_t)~PCI_STATUS_INTX;
		if ((s.config[i] ^ pci->initial[i]) & fixed)
			return -EBADMSG;
	}
	*ret_state = s;
	return 0;
}

void pci_state_apply(struct pci_device *pci, const struct pci_state *state)
{
	memcpy(pci->config, state->config, sizeof(pci->config));
	pci->intx = state->intx;
	memcpy(pci->msix.entries, state->entries, sizeof(state->entries[0]) * pci->msix.n);
	pci->msix.pending = state->pending;
	pci->msix.routed = 0;
	follow_registers(pci);
}
