/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "ich9-lpc": the ISA bridge in slot 31 (Intel ICH9 family datasheet, 13.1). It is there so that
 * guests find the ISA devices' parent and the PIRQ registers; interrupts of PCI go straight to the
 * IOAPIC and ACPI says so. The power management base reads as 0: those ports are described by ACPI
 * alone. Tested together with the host bridge, by test-pci-root.c.
 *
 * Tested by tests/unit/test-pci-root.c.
 */
#include <errno.h>

#include "devices/pci/pci.h"

#define REG_PIRQ_A 0x60 /* A … D */
#define REG_PIRQ_E 0x68 /* E … H */

#define PIRQ_DISABLED 0x80
#define PIRQ_WRITABLE 0x8f

static const struct pci_id ich9_lpc_id = {
	.vendor = 0x8086,
	.device = 0x2918,
	.subsystem_vendor = 0x1af4,
	.subsystem = 0x1100,
	.revision = 2,
	.class = PCI_CLASS_ISA_BRIDGE,
};

static struct pci_device *lpc_of(struct device *dev)
{
	return container_of(dev, struct pci_device, dev);
}

static int lpc_realize(struct device *dev)
{
	struct pci_device *pci = lpc_of(dev);
	int r;

	r = pci_device_init(
		pci, NULL, &ich9_lpc_id, (struct vm_pci_addr){.set = 1, .slot = PCI_SLOT_LPC});
	if (r < 0)
		return r;
	for (unsigned i = 0; i < 4; i++) {
		pci->config[REG_PIRQ_A + i] = pci->config[REG_PIRQ_E + i] = PIRQ_DISABLED;
		pci->wmask[REG_PIRQ_A + i] = pci->wmask[REG_PIRQ_E + i] = PIRQ_WRITABLE;
	}
	pci_device_realized(pci);
	return 0;
}

static void lpc_unrealize(struct device *dev)
{
	pci_device_done(lpc_of(dev));
}

static void lpc_reset(struct device *dev)
{
	pci_device_reset(lpc_of(dev));
}

static void lpc_save(const struct device *dev, struct state_writer *w)
{
	pci_device_save((const struct pci_device *)(const void *)dev, w);
}

static int lpc_load(struct device *dev, struct state_reader *r)
{
	struct pci_state state;

	if (pci_state_load(lpc_of(dev), r, &state) < 0 || state_reader_end(r) < 0)
		return -EBADMSG;
	pci_state_apply(lpc_of(dev), &state);
	return 0;
}

static const struct device_ops lpc_ops = {
	.realize = lpc_realize,
	.unrealize = lpc_unrealize,
	.reset = lpc_reset,
	.save = lpc_save,
	.load = lpc_load,
};

const struct device_class ich9_lpc_class = {
	.name = "ich9-lpc",
	.state_version = 1,
	.size = sizeof(struct pci_device),
	.ops = &lpc_ops,
};
