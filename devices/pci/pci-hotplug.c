/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "acpi-pci-hotplug": cards that come and go on bus 0 while the machine runs. The registers are vmm-core/acpi/acpi-hw.h's; the
 * AML that uses them is made by vmm-core/acpi/dsdt-hotplug.c.
 *
 *	plug	the card is there; its bit in UP and the event: the guest looks at the slot
 *	unplug	the bit in DOWN and the event: the guest is asked to let go of the card. Nothing else happens until it
 *		does, by writing the bit to EJECT (_EJ0), or is reset: then the card is withdrawn at once, and the vm
 *		frees it on the loop thread
 *	keep	it is not wanted back any more: neither what the guest does nor a reset takes it away
 *
 * A guest that ejects a card which nobody wants back is not obeyed: the card stays, and is found again by a look at the slot.
 */
#include <errno.h>

#include "devices/legacy/legacy.h"
#include "devices/pci/pci.h"
#include "vmm-core/acpi/acpi-hw.h"

/* Slots that can have a card: one bit each. */
#define SLOTS ((UINT32_MAX >> (31 - VM_PCI_LAST_SLOT)) & ~((UINT32_C(1) << VM_PCI_FIRST_SLOT) - 1))

struct pci_hotplug {
	struct device dev;
	uint32_t up, down; /* registers */
	uint32_t asked;    /* unplug was called for these, and the guest has not let go of them */
	uint32_t ejected;  /* withdrawn, and to be freed by the vm */
};

static struct pci_hotplug *to_hotplug(struct device *dev)
{
	return container_of(dev, struct pci_hotplug, dev);
}

static struct pci_device *card_in(const struct pci_hotplug *s, unsigned slot)
{
	return pci_root_card(s->dev.machine->pci_root, slot);
}

static void tell_guest(const struct pci_hotplug *s)
{
	if (s->dev.machine->acpi_pm)
		acpi_pm_gpe_raise(s->dev.machine->acpi_pm, ACPI_GPE_PCI_HOTPLUG);
}

/* What the vm asks. */

static uint32_t bit_of(const struct device *card)
{
	return UINT32_C(1) << ((const struct pci_device *)(const void *)card)->slot;
}

static int hotplug_plug(struct device *dev, struct device *card)
{
	struct pci_hotplug *s = to_hotplug(dev);
	int r = pci_root_place(dev->machine->pci_root);

	if (r < 0)
		return r;
	s->up |= bit_of(card);
	tell_guest(s);
	return 0;
}

static void hotplug_unplug(struct device *dev, struct device *card)
{
	struct pci_hotplug *s = to_hotplug(dev);

	if (s->ejected & bit_of(card))
		return;
	s->asked |= bit_of(card);
	s->down |= bit_of(card);
	tell_guest(s);
}

static int hotplug_keep(struct device *dev, struct device *card)
{
	struct pci_hotplug *s = to_hotplug(dev);

	if (s->ejected & bit_of(card))
		return -ENODEV;
	s->asked &= ~bit_of(card);
	s->down &= ~bit_of(card);
	return 0;
}

static struct device *hotplug_ejected(struct device *dev)
{
	struct pci_hotplug *s = to_hotplug(dev);
	unsigned slot;

	if (!s->ejected)
		return NULL;
	slot = (unsigned)__builtin_ctz(s->ejected);
	s->ejected &= s->ejected - 1;
	return &card_in(s, slot)->dev;
}

static const struct machine_hotplug_ops hotplug_machine_ops = {
	.plug = hotplug_plug,
	.unplug = hotplug_unplug,
	.keep = hotplug_keep,
	.ejected = hotplug_ejected,
};

/* What the guest does. */

/* Of these slots, those whose cards are wanted back. On any thread: the cards are only silenced here. */
static void let_go(struct pci_hotplug *s, uint32_t slots)
{
	slots &= s->asked;
	s->asked &= ~slots;
	s->up &= ~slots;
	s->down &= ~slots;
	for (unsigned slot = VM_PCI_FIRST_SLOT; slot <= VM_PCI_LAST_SLOT; slot++)
		if (slots >> slot & 1)
			pci_device_withdraw(card_in(s, slot));
	s->ejected |= slots;
	if (slots)
		machine_request(s->dev.machine, MACHINE_EJECT, 0);
}

static uint64_t hotplug_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	const struct pci_hotplug *s = to_hotplug(dev);
	uint64_t regs[] = {s->up | (uint64_t)s->down << 32, 0};

	(void)region;
	(void)size;
	return regs[offset / 8] >> (8 * (offset % 8));
}

static void hotplug_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_hotplug *s = to_hotplug(dev);

	(void)region;
	if (size != 4)
		return;
	if (offset == ACPI_PCI_HOTPLUG_UP)
		s->up &= ~(uint32_t)value;
	else if (offset == ACPI_PCI_HOTPLUG_DOWN)
		s->down &= ~(uint32_t)value;
	else if (offset == ACPI_PCI_HOTPLUG_EJECT)
		let_go(s, (uint32_t)value);
}

/* Life. */

static int hotplug_realize(struct device *dev)
{
	dev->machine->hotplug = dev;
	dev->machine->hotplug_ops = &hotplug_machine_ops;
	return 0;
}

static void hotplug_unrealize(struct device *dev)
{
	dev->machine->hotplug = NULL;
	dev->machine->hotplug_ops = NULL;
}

/* The guest that was asked is no more, and the next one finds what is there. */
static void hotplug_reset(struct device *dev)
{
	struct pci_hotplug *s = to_hotplug(dev);

	let_go(s, s->asked);
	s->up = s->down = 0;
}

/* Not in the middle of a card's end: what is saved has it, or has it not. */
static bool hotplug_quiesce(struct device *dev)
{
	return !to_hotplug(dev)->ejected;
}

static void hotplug_save(const struct device *dev, struct state_writer *w)
{
	const struct pci_hotplug *s = (const struct pci_hotplug *)(const void *)dev;

	state_put_u32(w, s->up);
	state_put_u32(w, s->down);
	state_put_u32(w, s->asked);
}

static int hotplug_load(struct device *dev, struct state_reader *r)
{
	struct pci_hotplug *s = to_hotplug(dev);
	uint32_t up = state_get_u32(r), down = state_get_u32(r), asked = state_get_u32(r);

	if (state_reader_end(r) < 0 || (up | down | asked) & ~SLOTS || down & ~asked)
		return -EBADMSG;
	for (unsigned slot = VM_PCI_FIRST_SLOT; slot <= VM_PCI_LAST_SLOT; slot++)
		if (asked >> slot & 1 && !card_in(s, slot))
			return -EBADMSG;
	s->up = up;
	s->down = down;
	s->asked = asked;
	return 0;
}

static const struct device_ops hotplug_ops = {
	.realize = hotplug_realize,
	.unrealize = hotplug_unrealize,
	.reset = hotplug_reset,
	.read = hotplug_read,
	.write = hotplug_write,
	.save = hotplug_save,
	.load = hotplug_load,
	.quiesce = hotplug_quiesce,
};

const struct device_class pci_hotplug_class = {
	.name = "acpi-pci-hotplug",
	.state_version = 1,
	.size = sizeof(struct pci_hotplug),
	.ops = &hotplug_ops,
};
