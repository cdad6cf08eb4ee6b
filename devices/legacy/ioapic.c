/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ioapic: the I/O APIC, Intel 82093AA, with the EOI register of version 0x20 and the extended destination ids that
 * hypervisors offer (KVM_FEATURE_MSI_EXT_DEST_ID: bits 49-55 of an entry are bits 8-14 of the destination).
 *
 * Lines come from vmm-core/irq.h, where line 0 is pin 2 of this chip and line 2 is nothing. Interrupts leave as MSI
 * messages. For level-triggered pins KVM is told the message (irq_ioapic_route), so that the guest's EOI comes
 * back to us; edge-triggered pins never cost an EOI exit.
 *
 * A level-triggered pin is sent again only after its EOI (remote IRR), so a line that never falls costs the guest its
 * own time, as on hardware.
 */
#include "devices/legacy/legacy.h"

#define N_PINS LAYOUT_IOAPIC_PINS

#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define REG_EOI    0x40

#define INDEX_ID          0x00
#define INDEX_VERSION     0x01
#define INDEX_ARBITRATION 0x02
#define INDEX_RTE         0x10

#define VERSION (0x20U | (N_PINS - 1U) << 16)

#define RTE_VECTOR        UINT64_C(0xff)
#define RTE_DELIVERY_MODE UINT64_C(0x700)
#define RTE_LOGICAL       (UINT64_C(1) << 11)
#define RTE_STATUS        (UINT64_C(1) << 12)
#define RTE_REMOTE_IRR    (UINT64_C(1) << 14)
#define RTE_LEVEL         (UINT64_C(1) << 15)
#define RTE_MASKED        (UINT64_C(1) << 16)
#define RTE_READ_ONLY     (RTE_STATUS | RTE_REMOTE_IRR)
#define RTE_VALID         UINT64_C(0xfffe00000001ffff)

#define MSI_ADDRESS UINT64_C(0xfee00000)

struct ioapic {
	struct device dev;
	uint64_t rte[N_PINS];
	uint32_t levels;  /* of the pins, one bit each */
	uint32_t pending; /* edges seen and not sent yet */
	uint32_t id;
	uint8_t select;
};

static struct ioapic *to_ioapic(struct device *dev)
{
	return container_of(dev, struct ioapic, dev);
}

static uint32_t pin_bit(unsigned pin)
{
	return UINT32_C(1) << pin;
}

static uint64_t message_address(uint64_t rte)
{
	return MSI_ADDRESS | (rte >> 56) << 12 | (rte >> 49 & 0x7f) << 5 |
		(rte & RTE_LOGICAL ? 1U << 2 : 0);
}

static uint32_t message_data(uint64_t rte)
{
	uint32_t data = (uint32_t)(rte & (RTE_VECTOR | RTE_DELIVERY_MODE));

	return rte & RTE_LEVEL ? data | 1U << 15 | 1U << 14 : data;
}

static int send(const struct ioapic *s, uint64_t rte)
{
	return irq_signal_msi(s->dev.machine->irq, message_address(rte), message_data(rte));
}

/* Send what pin has to say, if it may. */
static void service(struct ioapic *s, unsigned pin)
{
	uint64_t *rte = &s->rte[pin];

	if (*rte & RTE_MASKED)
		return;
	if (!(*rte & RTE_LEVEL)) {
		if (s->pending & pin_bit(pin)) {
			s->pending &= ~pin_bit(pin);
			(void)send(s, *rte);
		}
		return;
	}
	/* Remote IRR is set by the local APIC that takes the message; if none does, there will be no EOI. */
	if (s->levels & pin_bit(pin) && !(*rte & RTE_REMOTE_IRR) && send(s, *rte) > 0)
		*rte |= RTE_REMOTE_IRR;
}

static void line_changed(void *opaque, unsigned gsi, bool level)
{
	struct ioapic *s = opaque;
	unsigned pin = gsi == 0 ? 2 : gsi;
	uint32_t bit = pin_bit(pin);
	bool rises = level && !(s->levels & bit);

	if (gsi == 2 || gsi >= N_PINS)
		return;
	s->levels = level ? s->levels | bit : s->levels & ~bit;
	/* An edge at a masked pin is lost: data sheet, 3.2.4, bit 16. */
	if (rises && !(s->rte[pin] & (RTE_LEVEL | RTE_MASKED)))
		s->pending |= bit;
	service(s, pin);
}

/* Only level-triggered pins ask for EOIs. The route stays while the pin is masked: an interrupt may be in service. */
static void update_route(const struct ioapic *s, unsigned pin)
{
	uint64_t rte = s->rte[pin];

	(void)irq_ioapic_route(
		s->dev.machine->irq, pin, message_address(rte), message_data(rte), rte & RTE_LEVEL);
}

static void write_rte(struct ioapic *s, unsigned index, uint32_t value)
{
	unsigned pin = index / 2, shift = 32 * (index % 2);
	uint64_t old, new;

	if (pin >= N_PINS)
		return;
	old = s->rte[pin];
	new = (old & ~(UINT64_C(0xffffffff) << shift)) | (uint64_t)value << shift;
	new = (new &RTE_VALID & ~RTE_READ_ONLY) | (old & RTE_READ_ONLY);
	/* The way to drop remote IRR on chips without an EOI register. */
	if (!(new &RTE_LEVEL))
		new &= ~RTE_REMOTE_IRR;
	else
		s->pending &= ~pin_bit(pin);
	s->rte[pin] = new;
	update_route(s, pin);
	service(s, pin);
}

static void eoi(void *opaque, uint8_t vector)
{
	struct ioapic *s = opaque;

	for (unsigned pin = 0; pin < N_PINS; pin++) {
		uint64_t *rte = &s->rte[pin];

		if ((*rte & RTE_VECTOR) != vector || !(*rte & RTE_REMOTE_IRR))
			continue;
		*rte &= ~RTE_REMOTE_IRR;
		service(s, pin);
	}
}

static uint32_t read_window(const struct ioapic *s)
{
	unsigned index = s->select - INDEX_RTE;

	switch (s->select) {
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return s->id;
	case INDEX_VERSION:
		return VERSION;
	}
	if (s->select < INDEX_RTE || index / 2 >= N_PINS)
		return UINT32_MAX;
	return (uint32_t)(s->rte[index / 2] >> (32 * (index % 2)));
}

static void write_window(struct ioapic *s, uint32_t value)
{
	if (s->select == INDEX_ID)
		s->id = value & 0x0f000000;
	else if (s->select >= INDEX_RTE)
		write_rte(s, s->select - INDEX_RTE, value);
}

static uint64_t ioapic_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	const struct ioapic *s = to_ioapic(dev);
	uint32_t value = 0;

	(void)region;
	(void)size;
	if ((offset & ~UINT64_C(3)) == REG_SELECT)
		value = s->select;
	else if ((offset & ~UINT64_C(3)) == REG_WINDOW)
		value = read_window(s);
	return value >> (8 * (offset & 3));
}

/* The window and EOI take whole 32-bit words; the index is a byte and may be written as one. */
static void ioapic_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	struct ioapic *s = to_ioapic(dev);

	(void)region;
	if (offset == REG_SELECT)
		s->select = (uint8_t)value;
	else if (offset == REG_WINDOW && size >= 4)
		write_window(s, (uint32_t)value);
	else if (offset == REG_EOI && size >= 4)
		eoi(s, (uint8_t)value);
}

static int ioapic_realize(struct device *dev)
{
	irq_set_eoi_handler(dev->machine->irq, eoi, dev);
	return irq_add_sink(dev->machine->irq, line_changed, dev);
}

static void ioapic_unrealize(struct device *dev)
{
	irq_set_eoi_handler(dev->machine->irq, NULL, NULL);
}

static void ioapic_reset(struct device *dev)
{
	struct ioapic *s = to_ioapic(dev);

	s->id = s->pending = 0;
	s->select = 0;
	for (unsigned pin = 0; pin < N_PINS; pin++) {
		s->rte[pin] = RTE_MASKED;
		update_route(s, pin);
	}
}

static void ioapic_save(const struct device *dev, struct state_writer *w)
{
	const struct ioapic *s = (const struct ioapic *)dev;

	for (unsigned pin = 0; pin < N_PINS; pin++)
		state_put_u64(w, s->rte[pin]);
	state_put_u32(w, s->levels);
	state_put_u32(w, s->pending);
	state_put_u32(w, s->id);
	state_put_u8(w, s->select);
}

static int ioapic_load(struct device *dev, struct state_reader *r)
{
	struct ioapic *s = to_ioapic(dev);
	struct ioapic new = *s;
	bool bad = false;

	for (unsigned pin = 0; pin < N_PINS; pin++) {
		new.rte[pin] = state_get_u64(r);
		bad |= new.rte[pin] & ~(RTE_VALID & ~RTE_STATUS);
		bad |= new.rte[pin] & RTE_REMOTE_IRR && !(new.rte[pin] & RTE_LEVEL);
	}
	new.levels = state_get_u32(r);
	new.pending = state_get_u32(r);
	new.id = state_get_u32(r);
	new.select = state_get_u8(r);
	if (state_reader_end(r) < 0 || bad || new.levels >> N_PINS || new.pending >> N_PINS ||
		new.id & ~UINT32_C(0x0f000000))
		return -EBADMSG;
	*s = new;
	for (unsigned pin = 0; pin < N_PINS; pin++)
		update_route(s, pin);
	return 0;
}

static const struct device_ops ioapic_ops = {
	.realize = ioapic_realize,
	.unrealize = ioapic_unrealize,
	.reset = ioapic_reset,
	.read = ioapic_read,
	.write = ioapic_write,
	.save = ioapic_save,
	.load = ioapic_load,
};

const struct device_class ioapic_class = {
	.name = "ioapic",
	.state_version = 1,
	.size = sizeof(struct ioapic),
	.ops = &ioapic_ops,
};
