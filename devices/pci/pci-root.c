/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "q35-host": the host bridge in slot 0 and the root of the one bus: slots, the two ways to
 * configuration space (CF8/CFC and ECAM), and the places of the BARs. See pci.h.
 *
 * The reset register 0xcf9 lies inside of CF8's four bytes and, as on the hardware, belongs to
 * whoever answers these: a byte written there is handled here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci/pci.h"

/* Regions of the bus; 0 … 5 would be BARs. */
#define REGION_PORTS 8 /* CF8 … CFF */
#define REGION_ECAM  9

#define REG_PCIEXBAR 0x60 /* of the host bridge */

#define ADDRESS_ENABLE UINT32_C(0x80000000)
#define ADDRESS_MASK   UINT32_C(0x80fffffc)

#define RESET_CPU 0x04 /* of the reset register: 0 -> 1 resets */

struct pci_root {
	struct pci_device pci; /* the host bridge's own function */
	struct pci_device *slots[PCI_N_SLOTS];
	uint32_t address; /* CF8 */
	uint8_t reset_control;
};

static struct pci_root *root_of(struct device *dev)
{
	return container_of(dev, struct pci_root, pci.dev);
}

/* Slots that the configuration gives to devices which may not exist yet. */
static uint32_t configured_slots(const struct vm_config *c)
{
	uint32_t slots = UINT32_C(1) << PCI_SLOT_HOST | UINT32_C(1) << PCI_SLOT_LPC;

	for (unsigned i = 0; i < c->n_disks; i++)
		if (c->disks[i].pci.set)
			slots |= UINT32_C(1) << (c->disks[i].pci.slot % PCI_N_SLOTS);
	for (unsigned i = 0; i < c->n_nics; i++)
		if (c->nics[i].pci.set)
			slots |= UINT32_C(1) << (c->nics[i].pci.slot % PCI_N_SLOTS);
	if (c->serial_controller_pci.set)
		slots |= UINT32_C(1) << (c->serial_controller_pci.slot % PCI_N_SLOTS);
	if (c->rng.pci.set)
		slots |= UINT32_C(1) << (c->rng.pci.slot % PCI_N_SLOTS);
	return slots;
}

int pci_root_attach(struct pci_device *pci, struct vm_pci_addr addr)
{
	struct machine *m = pci->dev.machine;
	unsigned slot = addr.slot;
	struct pci_root *root;

	if (!m->pci_root)
		return -ENODEV;
	root = root_of(m->pci_root);
	if (!addr.set) {
		uint32_t taken = configured_slots(m->config);

		for (slot = VM_PCI_FIRST_SLOT; slot <= VM_PCI_LAST_SLOT; slot++)
			if (!root->slots[slot] && !(taken >> slot & 1))
				break;
		if (slot > VM_PCI_LAST_SLOT)
			return -ENOSPC;
	}
	if (slot >= PCI_N_SLOTS || addr.function)
		return -EINVAL;
	if (root->slots[slot])
		return -EEXIST;
	root->slots[slot] = pci;
	pci->root = root;
	pci->slot = slot;
	return 0;
}

void pci_root_detach(struct pci_device *pci)
{
	pci->root->slots[pci->slot] = NULL;
	pci->root = NULL;
}

void pci_root_remap(struct pci_root *root, const struct pci_device *but)
{
	/* Mapping frees no place, so once around is enough. */
	for (unsigned i = 0; i < PCI_N_SLOTS; i++) {
		if (!root->slots[i] || root->slots[i] == but)
			continue;
		device_enter(&root->slots[i]->dev);
		(void)pci_update_bars(root->slots[i]);
		device_leave(&root->slots[i]->dev);
	}
}

static const struct pci_id q35_host_id = {
	.vendor = 0x8086,
	.device = 0x29c0,
	.subsystem_vendor = 0x1af4,
	.subsystem = 0x1100,
	.class = PCI_CLASS_HOST_BRIDGE,
};

static int q35_realize(struct device *dev)
{
	struct pci_root *root = root_of(dev);
	struct bus *bus = dev->machine->bus;
	int r;

	if (dev->machine->pci_root)
		return -EEXIST;
	dev->machine->pci_root = dev;
	r = pci_device_init(&root->pci, NULL, &q35_host_id,
		(struct vm_pci_addr){.set = 1, .slot = PCI_SLOT_HOST});
	if (r < 0)
		return r;
	/* Where ECAM is, for a guest that believes the bridge and not ACPI: 256 MiB, enabled. */
	pci_put32(root->pci.config + REG_PCIEXBAR, (uint32_t)LAYOUT_ECAM_BASE | 1);
	pci_device_realized(&root->pci);
	r = bus_add(bus, BUS_PIO, LAYOUT_PCI_CF8, 8, dev, REGION_PORTS);
	if (r < 0)
		return r;
	return bus_add(bus, BUS_MMIO, LAYOUT_ECAM_BASE, LAYOUT_ECAM_SIZE, dev, REGION_ECAM);
}

static void q35_unrealize(struct device *dev)
{
	struct pci_root *root = root_of(dev);

	if (dev->machine->pci_root != dev)
		return;
	/* Functions that outlive their root give back now what they hold. */
	for (unsigned slot = 1; slot < PCI_N_SLOTS; slot++) {
		struct pci_device *pci = root->slots[slot];

		if (!pci)
			continue;
		device_enter(&pci->dev);
		pci_device_done(pci);
		device_leave(&pci->dev);
	}
	(void)bus_remove(dev->machine->bus, BUS_PIO, LAYOUT_PCI_CF8, dev);
	(void)bus_remove(dev->machine->bus, BUS_MMIO, LAYOUT_ECAM_BASE, dev);
	pci_device_done(&root->pci);
	dev->machine->pci_root = NULL;
}

static void q35_reset(struct device *dev)
{
	struct pci_root *root = root_of(dev);

	root->address = 0;
	root->reset_control = 0;
	pci_device_reset(&root->pci);
}

static struct pci_device *find_function(
	const struct pci_root *root, unsigned bus, unsigned slot, unsigned function)
{
	struct pci_device *pci = bus || function ? NULL : root->slots[slot % PCI_N_SLOTS];

	return pci && !pci->withdrawn ? pci : NULL;
}

static struct pci_device *addressed_by_cf8(const struct pci_root *root)
{
	if (!(root->address & ADDRESS_ENABLE))
		return NULL;
	return find_function(root, root->address >> 16 & 0xff, root->address >> 11 & 0x1f,
		root->address >> 8 & 7);
}

/* Into another device, which may have a home of its own. */

static uint32_t config_read(struct pci_device *pci, unsigned offset, unsigned size)
{
	uint32_t value;

	device_enter(&pci->dev);
	value = pci_config_read(pci, offset, size);
	device_leave(&pci->dev);
	return value;
}

static void config_write(struct pci_device *pci, unsigned offset, unsigned size, uint32_t value)
{
	device_enter(&pci->dev);
	pci_config_write(pci, offset, size, value);
	device_leave(&pci->dev);
}

static uint64_t ports_read(struct pci_root *root, uint64_t offset, unsigned size)
{
	struct pci_device *pci;

	if (offset < 4) {
		if (offset == LAYOUT_RESET_PORT - LAYOUT_PCI_CF8 && size == 1)
			return root->reset_control;
		return offset == 0 && size == 4 ? root->address : UINT64_MAX;
	}
	pci = addressed_by_cf8(root);
	if (!pci || size > 4)
		return UINT64_MAX;
	return config_read(pci, (root->address & 0xfc) + (unsigned)(offset - 4), size);
}

static void ports_write(struct pci_root *root, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_device *pci;

	if (offset == 0 && size == 4)
		root->address = (uint32_t)value & ADDRESS_MASK;
	if (offset == LAYOUT_RESET_PORT - LAYOUT_PCI_CF8 && size == 1) {
		bool rises = value & RESET_CPU && !(root->reset_control & RESET_CPU);

		/* The bit itself never reads back as 1: the reset clears it. */
		root->reset_control = (uint8_t)value & 0x0a;
		if (rises)
			machine_request(root->pci.dev.machine, MACHINE_RESET, 0);
	}
	if (offset < 4 || size > 4)
		return;
	pci = addressed_by_cf8(root);
	if (pci)
		config_write(pci, (root->address & 0xfc) + (unsigned)(offset - 4), size,
			(uint32_t)value);
}

static struct pci_device *addressed_by_ecam(const struct pci_root *root, uint64_t offset)
{
	return find_function(root, (unsigned)(offset >> 20), offset >> 15 & 0x1f, offset >> 12 & 7);
}

static uint64_t ecam_read(struct pci_root *root, uint64_t offset, unsigned size)
{
	struct pci_device *pci = addressed_by_ecam(root, offset);
	unsigned reg = offset & (PCI_EXPRESS_SIZE - 1);
	uint64_t value;

	if (!pci || !range_fits(reg, size, PCI_EXPRESS_SIZE))
		return UINT64_MAX;
	value = config_read(pci, reg, MIN(size, 4U));
	if (size == 8)
		value |= (uint64_t)config_read(pci, reg + 4, 4) << 32;
	return value;
}

static void ecam_write(struct pci_root *root, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_device *pci = addressed_by_ecam(root, offset);
	unsigned reg = offset & (PCI_EXPRESS_SIZE - 1);

	if (!pci || !range_fits(reg, size, PCI_EXPRESS_SIZE))
		return;
	config_write(pci, reg, MIN(size, 4U), (uint32_t)value);
	if (size == 8)
		config_write(pci, reg + 4, 4, (uint32_t)(value >> 32));
}

static uint64_t q35_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	if (region == REGION_PORTS)
		return ports_read(root_of(dev), offset, size);
	return region == REGION_ECAM ? ecam_read(root_of(dev), offset, size) : UINT64_MAX;
}

static void q35_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	if (region == REGION_PORTS)
		ports_write(root_of(dev), offset, size, value);
	else if (region == REGION_ECAM)
		ecam_write(root_of(dev), offset, size, value);
}

/* Places of BARs. A function's first place is in initial[], which a reset brings back; 0: it has none yet. */

static uint64_t first_place(const struct pci_device *pci, unsigned bar)
{
	return pci_get32(pci->initial + PCI_REG_BAR0 + 4 * bar) & ~UINT32_C(0xf);
}

/* The largest BAR that has no place yet, so that alignment wastes nothing. */
static struct pci_device *next_bar(struct pci_root *root, unsigned *ret_bar)
{
	struct pci_device *best = NULL;

	for (unsigned slot = 0; slot < PCI_N_SLOTS; slot++)
		for (unsigned i = 0; root->slots[slot] && i < PCI_N_BARS; i++) {
			struct pci_device *pci = root->slots[slot];

			if (!pci->bars[i].size || first_place(pci, i))
				continue;
			if (best && pci->bars[i].size <= best->bars[*ret_bar].size)
				continue;
			best = pci;
			*ret_bar = i;
		}
	return best;
}

/* The end of a BAR whose first place overlaps [addr, + size); 0: there is none. */
static uint64_t taken_until(const struct pci_root *root, uint64_t addr, uint64_t size)
{
	for (unsigned slot = 0; slot < PCI_N_SLOTS; slot++)
		for (unsigned i = 0; root->slots[slot] && i < PCI_N_BARS; i++) {
			const struct pci_device *pci = root->slots[slot];
			uint64_t place = first_place(pci, i);

			if (place && place < addr + size && addr < place + pci->bars[i].size)
				return place + pci->bars[i].size;
		}
	return 0;
}

static int find_place(const struct pci_root *root, uint64_t size, uint64_t *ret_addr)
{
	uint64_t addr = LAYOUT_PCI32_BASE, taken = addr;

	while (taken) {
		addr = ALIGN_UP(taken, size);
		if (!range_fits(addr, size, LAYOUT_PCI32_END))
			return -ENOSPC;
		taken = taken_until(root, addr, size);
	}
	*ret_addr = addr;
	return 0;
}

int pci_root_place(struct device *dev)
{
	struct pci_root *root = root_of(dev);
	struct pci_device *pci;
	unsigned bar;

	while ((pci = next_bar(root, &bar))) {
		uint8_t *reg = pci->initial + PCI_REG_BAR0 + 4 * bar;
		uint64_t addr;
		int r = find_place(root, pci->bars[bar].size, &addr);

		if (r < 0)
			return r;
		/* The window is below 4 GiB: an upper half stays 0. */
		pci_put32(reg, (uint32_t)addr | (reg[0] & 0xf));
		pci->initial[PCI_REG_COMMAND] |= PCI_CMD_MEMORY;
	}
	return 0;
}

struct pci_device *pci_root_card(struct device *dev, unsigned slot)
{
	return dev ? root_of(dev)->slots[slot % PCI_N_SLOTS] : NULL;
}

static int q35_machine_done(struct device *dev)
{
	struct pci_root *root = root_of(dev);
	int r = pci_root_place(dev);

	if (r < 0)
		return r;
	for (unsigned slot = 0; slot < PCI_N_SLOTS; slot++) {
		struct pci_device *pci = root->slots[slot];

		if (!pci)
			continue;
		device_enter(&pci->dev);
		pci_device_reset(pci);
		device_leave(&pci->dev);
	}
	return 0;
}

static void q35_save(const struct device *dev, struct state_writer *w)
{
	const struct pci_root *root = (const struct pci_root *)(const void *)dev;

	pci_device_save(&root->pci, w);
	state_put_u32(w, root->address);
	state_put_u8(w, root->reset_control);
}

static int q35_load(struct device *dev, struct state_reader *r)
{
	struct pci_root *root = root_of(dev);
	struct pci_state state;
	uint8_t reset_control;
	uint32_t address;

	if (pci_state_load(&root->pci, r, &state) < 0)
		return -EBADMSG;
	address = state_get_u32(r);
	reset_control = state_get_u8(r);
	if (state_reader_end(r) < 0 || address & ~ADDRESS_MASK || reset_control & ~0x0a)
		return -EBADMSG;
	root->address = address;
	root->reset_control = reset_control;
	pci_state_apply(&root->pci, &state);
	return 0;
}

static const struct device_ops q35_ops = {
	.realize = q35_realize,
	.unrealize = q35_unrealize,
	.reset = q35_reset,
	.read = q35_read,
	.write = q35_write,
	.save = q35_save,
	.load = q35_load,
	.machine_done = q35_machine_done,
};

const struct device_class q35_host_class = {
	.name = "q35-host",
	.state_version = 1,
	.size = sizeof(struct pci_root),
	.ops = &q35_ops,
};
