/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * i8259: the pair of interrupt controllers of a PC, Intel 8259A, and the ELCR of its chipset: the slave hangs on input
 * 2 of the master; the master's INT is the machine's ExtINT (vmm-core/irq.h), which only vCPU 0 takes.
 *
 * A chip that was never initialised (no firmware runs) delivers nothing, but its mask register answers: that is how
 * operating systems probe for it.
 */
#include "devices/legacy/legacy.h"

enum { MASTER, SLAVE };
enum { REGION_MASTER, REGION_SLAVE, REGION_ELCR };

#define CASCADE 2 /* the master's input */

#define ICW1_ICW4   0x01
#define ICW1_SINGLE 0x02
#define ICW1        0x10 /* tells ICW1 from OCW2 and OCW3 */
#define ICW4_AEOI   0x02
#define ICW4_SFNM   0x10
#define OCW3        0x08

/* Which inputs may be level-triggered: not the timer, keyboard, cascade, RTC and coprocessor. */
static const uint8_t elcr_writable[] = {[MASTER] = 0xf8, [SLAVE] = 0xde};

struct pic {
	uint8_t levels, irr, imr, isr, elcr;
	uint8_t base;     /* ICW2 */
	uint8_t lowest;   /* the input of lowest priority is lowest - 1 */
	uint8_t expected; /* the next ICW at port 1: 2, 3 or 4; 0: OCW1 */
	bool ready;       /* was initialised */
	bool icw4, single, auto_eoi, rotate_on_auto_eoi, fully_nested, special_mask;
	bool read_isr, poll;
};

struct i8259 {
	struct device dev;
	struct pic pics[2];
};

static struct i8259 *to_i8259(struct device *dev)
{
	return container_of(dev, struct i8259, dev);
}

/* The set input of highest priority; 8 if none is set. */
static unsigned first(const struct pic *pic, uint8_t inputs)
{
	for (unsigned i = 0; i < 8; i++)
		if (inputs & 1U << ((pic->lowest + i) & 7))
			return (pic->lowest + i) & 7;
	return 8;
}

static unsigned rank(const struct pic *pic, unsigned input)
{
	return input == 8 ? 8 : (input - pic->lowest) & 7;
}

/* The input that asks to interrupt now, or -1. */
static int requesting(const struct i8259 *s, unsigned which)
{
	const struct pic *pic = &s->pics[which];
	unsigned input = first(pic, pic->irr & (uint8_t)~pic->imr);
	uint8_t in_service = pic->isr;

	if (!pic->ready || pic->expected || input == 8)
		return -1;
	/* In special mask mode masked inputs hold nobody up; with the special fully nested mode the slave may
	 * interrupt its own service. */
	if (pic->special_mask)
		in_service &= (uint8_t)~pic->imr;
	if (pic->fully_nested && which == MASTER)
		in_service &= (uint8_t) ~(1U << CASCADE);
	return rank(pic, input) < rank(pic, first(pic, in_service)) ? (int)input : -1;
}

static void set_input(struct pic *pic, unsigned input, bool level)
{
	uint8_t bit = (uint8_t)(1U << input);

	if (pic->elcr & bit)
		pic->irr = level ? pic->irr | bit : pic->irr & (uint8_t)~bit;
	else if (level && !(pic->levels & bit))
		pic->irr |= bit;
	pic->levels = level ? pic->levels | bit : pic->levels & (uint8_t)~bit;
}

static int acknowledge(void *opaque);

static void update(struct i8259 *s)
{
	struct pic *master = &s->pics[MASTER];
	bool slave_asks = requesting(s, SLAVE) >= 0;

	/* The cascade input follows the slave's INT, and asks again for each further request. */
	master->irr =
		slave_asks ? master->irr | 1U << CASCADE : master->irr & (uint8_t) ~(1U << CASCADE);
	irq_extint_set(s->dev.machine->irq, requesting(s, MASTER) >= 0, acknowledge, s);
}

static void take(struct pic *pic, unsigned input)
{
	uint8_t bit = (uint8_t)(1U << input);

	if (!pic->auto_eoi)
		pic->isr |= bit;
	else if (pic->rotate_on_auto_eoi)
		pic->lowest = (input + 1) & 7;
	if (!(pic->elcr & bit))
		pic->irr &= (uint8_t)~bit;
}

/* The acknowledge cycle. A slave whose request went away answers with its input 7, as the chip does. */
static int acknowledge(void *opaque)
{
	struct i8259 *s = opaque;
	int input = requesting(s, MASTER), vector;

	if (input < 0)
		return -ENOENT;
	if (input == CASCADE) {
		int slave_input = requesting(s, SLAVE);

		vector = s->pics[SLAVE].base + (slave_input < 0 ? 7 : slave_input);
		if (slave_input >= 0)
			take(&s->pics[SLAVE], (unsigned)slave_input);
	} else {
		vector = s->pics[MASTER].base + input;
	}
	take(&s->pics[MASTER], (unsigned)input);
	update(s);
	return vector;
}

static void line_changed(void *opaque, unsigned gsi, bool level)
{
	struct i8259 *s = opaque;

	if (gsi >= 16 || gsi == CASCADE)
		return;
	set_input(&s->pics[gsi / 8], gsi % 8, level);
	update(s);
}

/* Registers. */

/* ICW1: edges are forgotten, masks cleared, input 7 gets the lowest priority. */
static void initialise(struct pic *pic, uint8_t icw1)
{
	*pic = (struct pic){
		.levels = pic->levels,
		.elcr = pic->elcr,
		.irr = pic->levels & pic->elcr,
		.base = pic->base,
		.ready = true,
		.expected = 2,
		.icw4 = icw1 & ICW1_ICW4,
		.single = icw1 & ICW1_SINGLE,
	};
}

static void end_of_interrupt(struct pic *pic, unsigned input, bool rotate)
{
	if (input == 8)
		return;
	pic->isr &= (uint8_t) ~(1U << input);
	if (rotate)
		pic->lowest = (input + 1) & 7;
}

static void write_ocw2(struct pic *pic, uint8_t value)
{
	unsigned input = value & 7;

	switch (value >> 5) {
	case 0:
		pic->rotate_on_auto_eoi = false;
		break;
	case 1:
	case 5: /* the one of highest priority in service; special mask mode hides masked ones from it */
		end_of_interrupt(pic,
			first(pic, pic->special_mask ? pic->isr & (uint8_t)~pic->imr : pic->isr),
			value >> 5 == 5);
		break;
	case 3:
	case 7:
		end_of_interrupt(pic, input, value >> 5 == 7);
		break;
	case 4:
		pic->rotate_on_auto_eoi = true;
		break;
	case 6:
		pic->lowest = (input + 1) & 7;
		break;
	}
}

static void write_command(struct pic *pic, uint8_t value)
{
	if (value & ICW1) {
		initialise(pic, value);
	} else if (value & OCW3) {
		if (value & 0x04)
			pic->poll = true;
		if (value & 0x02)
			pic->read_isr = value & 0x01;
		if (value & 0x40)
			pic->special_mask = value & 0x20;
	} else {
		write_ocw2(pic, value);
	}
}

static void write_data(struct pic *pic, uint8_t value)
{
	switch (pic->expected) {
	case 0:
		pic->imr = value;
		break;
	case 2:
		pic->base = value & 0xf8;
		pic->expected = !pic->single ? 3 : pic->icw4 ? 4 : 0;
		break;
	case 3: /* who hangs where is wired */
		pic->expected = pic->icw4 ? 4 : 0;
		break;
	case 4:
		pic->auto_eoi = value & ICW4_AEOI;
		pic->fully_nested = value & ICW4_SFNM;
		pic->expected = 0;
		break;
	}
}

/* A poll acknowledges: bit 7 says whether there was a request, bits 0-2 which. */
static uint8_t poll(struct i8259 *s, unsigned which)
{
	int input = requesting(s, which);

	s->pics[which].poll = false;
	if (input < 0)
		return 0;
	take(&s->pics[which], (unsigned)input);
	update(s);
	return (uint8_t)(0x80 | input);
}

static uint8_t read_pic(struct i8259 *s, unsigned which, bool data)
{
	const struct pic *pic = &s->pics[which];

	if (pic->poll)
		return poll(s, which);
	if (data)
		return pic->imr;
	return pic->read_isr ? pic->isr : pic->irr;
}

static void write_elcr(struct i8259 *s, unsigned which, uint8_t value)
{
	struct pic *pic = &s->pics[which];

	pic->elcr = value & elcr_writable[which];
	/* Level-triggered inputs have no memory. */
	pic->irr = (pic->irr & (uint8_t)~pic->elcr) | (pic->levels & pic->elcr);
}

static uint64_t i8259_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	struct i8259 *s = to_i8259(dev);
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++) {
		uint8_t byte = region == REGION_ELCR
			? s->pics[(offset + i) & 1].elcr
			: read_pic(s, region == REGION_SLAVE, (offset + i) & 1);

		value |= (uint64_t)byte << (8 * i);
	}
	return value;
}

static void i8259_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	struct i8259 *s = to_i8259(dev);

	for (unsigned i = 0; i < size; i++, value >>= 8) {
		if (region == REGION_ELCR)
			write_elcr(s, (offset + i) & 1, (uint8_t)value);
		else if ((offset + i) & 1)
			write_data(&s->pics[region == REGION_SLAVE], (uint8_t)value);
		else
			write_command(&s->pics[region == REGION_SLAVE], (uint8_t)value);
	}
	update(s);
}

/* Life. */

static int i8259_realize(struct device *dev)
{
	return irq_add_sink(dev->machine->irq, line_changed, dev);
}

static void i8259_unrealize(struct device *dev)
{
	irq_extint_set(dev->machine->irq, false, NULL, NULL);
}

static void i8259_reset(struct device *dev)
{
	struct i8259 *s = to_i8259(dev);

	for (unsigned i = 0; i < ARRAY_SIZE(s->pics); i++)
		s->pics[i] = (struct pic){.levels = s->pics[i].levels, .imr = 0xff};
	update(s);
}

static uint8_t pack_flags(const struct pic *p)
{
	return (uint8_t)(p->ready | p->icw4 << 1 | p->single << 2 | p->auto_eoi << 3 |
		p->rotate_on_auto_eoi << 4 | p->fully_nested << 5 | p->special_mask << 6 |
		p->read_isr << 7);
}

static void i8259_save(const struct device *dev, struct state_writer *w)
{
	const struct i8259 *s = (const struct i8259 *)dev;

	for (unsigned i = 0; i < ARRAY_SIZE(s->pics); i++) {
		const struct pic *p = &s->pics[i];
		uint8_t bytes[] = {p->levels, p->irr, p->imr, p->isr, p->elcr, p->base, p->lowest,
			p->expected, pack_flags(p), p->poll};

		state_put_bytes(w, bytes, sizeof(bytes));
	}
}

static bool load_pic(struct pic *p, unsigned which, struct state_reader *r)
{
	uint8_t b[10], flags;

	state_get_bytes(r, b, sizeof(b));
	*p = (struct pic){
		.levels = b[0],
		.irr = b[1],
		.imr = b[2],
		.isr = b[3],
		.elcr = b[4],
		.base = b[5],
		.lowest = b[6],
		.expected = b[7],
	};
	flags = b[8];
	p->ready = flags & 1;
	p->icw4 = flags >> 1 & 1;
	p->single = flags >> 2 & 1;
	p->auto_eoi = flags >> 3 & 1;
	p->rotate_on_auto_eoi = flags >> 4 & 1;
	p->fully_nested = flags >> 5 & 1;
	p->special_mask = flags >> 6 & 1;
	p->read_isr = flags >> 7 & 1;
	p->poll = b[9];
	return !(p->elcr & ~elcr_writable[which]) && !(p->base & 7) && p->lowest < 8 &&
		p->expected <= 4 && p->expected != 1 && b[9] <= 1;
}

static int i8259_load(struct device *dev, struct state_reader *r)
{
	struct i8259 *s = to_i8259(dev);
	struct pic new[2];
	bool good = load_pic(&new[MASTER], MASTER, r);

	good &= load_pic(&new[SLAVE], SLAVE, r);
	if (state_reader_end(r) < 0 || !good)
		return -EBADMSG;
	s->pics[MASTER] = new[MASTER];
	s->pics[SLAVE] = new[SLAVE];
	update(s);
	return 0;
}

static const struct device_ops i8259_ops = {
	.realize = i8259_realize,
	.unrealize = i8259_unrealize,
	.reset = i8259_reset,
	.read = i8259_read,
	.write = i8259_write,
	.save = i8259_save,
	.load = i8259_load,
};

const struct device_class i8259_class = {
	.name = "i8259",
	.state_version = 1,
	.size = sizeof(struct i8259),
	.ops = &i8259_ops,
};
