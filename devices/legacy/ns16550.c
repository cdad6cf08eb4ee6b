/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ns16550: a serial port, National PC16550D. Bytes go to and come from a chardev (vmm-core/chardev.h).
 *
 * There is no baud rate: a byte is sent when the chardev takes it. While it does not, the transmitter is not
 * empty, no THRE interrupt comes, and a driver waits as for a slow line. Input below the trigger level counts as
 * timed out at once, since what the host has arrives in one piece.
 *
 * A PC gates the interrupt with MCR.OUT2; this one does not, since drivers that forget it work on most machines.
 */
#include <string.h>

#include "devices/legacy/legacy.h"
#include "vmm-core/chardev.h"

#define FIFO_SIZE 16

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_RDA  0x01
#define IER_THRE 0x02
#define IER_RLS  0x04
#define IER_MSI  0x08

#define IIR_MSI  0x00
#define IIR_NONE 0x01
#define IIR_THRE 0x02
#define IIR_RDA  0x04
#define IIR_RLS  0x06
#define IIR_CTI  0x0c
#define IIR_FIFO 0xc0

#define FCR_ENABLE        0x01
#define FCR_CLEAR_RX      0x02
#define FCR_CLEAR_TX      0x04
#define FCR_DMA           0x08
#define FCR_TRIGGER_SHIFT 6

#define LCR_DLAB 0x80

#define MCR_LOOP  0x10
#define MCR_VALID 0x1f

#define LSR_DR    0x01
#define LSR_OE    0x02
#define LSR_THRE  0x20
#define LSR_TEMT  0x40
#define LSR_VALID 0x02 /* the bits that are state; the others follow from the FIFOs */

#define MSR_LINES  0xf0
#define MSR_DELTAS 0x0f
#define MSR_RI     0x40
#define MSR_TERI   0x04
#define MSR_PEER   0xb0 /* CTS, DSR, DCD: there is always somebody */

struct fifo {
	uint8_t data[FIFO_SIZE];
	uint8_t n;
};

struct ns16550 {
	struct device dev;
	struct chardev *cd; /* may be NULL: bytes vanish */
	struct fifo rx, tx; /* tx: what the chardev did not take yet */
	uint8_t ier, fcr, lcr, mcr, lsr, msr, scr;
	uint16_t divisor;
	bool thre_pending; /* the THRE interrupt, until IIR is read or THR written */
	bool reads_iir;    /* the driver identifies interrupts before it serves them */
};

static struct ns16550 *to_ns16550(struct device *dev)
{
	return container_of(dev, struct ns16550, dev);
}

static void fifo_put(struct fifo *f, uint8_t byte)
{
	f->data[f->n++] = byte;
}

static void fifo_drop(struct fifo *f, unsigned n)
{
	memmove(f->data, f->data + n, f->n - n);
	f->n = (uint8_t)(f->n - n);
}

static unsigned fifo_depth(const struct ns16550 *s)
{
	return s->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static unsigned trigger_level(const struct ns16550 *s)
{
	static const uint8_t levels[] = {1, 4, 8, 14};

	return s->fcr & FCR_ENABLE ? levels[s->fcr >> FCR_TRIGGER_SHIFT] : 1;
}

/* The interrupt of highest priority, as IIR names it. */
static uint8_t pending_interrupt(const struct ns16550 *s)
{
	if (s->ier & IER_RLS && s->lsr & LSR_OE)
		return IIR_RLS;
	if (s->ier & IER_RDA && s->rx.n)
		return s->rx.n >= trigger_level(s) ? IIR_RDA : IIR_CTI;
	if (s->ier & IER_THRE && s->thre_pending)
		return IIR_THRE;
	if (s->ier & IER_MSI && s->msr & MSR_DELTAS)
		return IIR_MSI;
	return IIR_NONE;
}

static unsigned com_port(const struct ns16550 *s)
{
	return s->dev.machine->config->serials[s->dev.instance].port & 3U;
}

/* COM1 and COM3 share a line, COM2 and COM4 another. */
static void set_line(const struct ns16550 *s, bool level)
{
	unsigned port = com_port(s);

	irq_set_line(
		s->dev.machine->irq, port & 1 ? LAYOUT_GSI_COM2 : LAYOUT_GSI_COM1, port, level);
}

static void update_line(const struct ns16550 *s)
{
	set_line(s, pending_interrupt(s) != IIR_NONE);
}

/* Transmitter. */

static void transmitter_empty(struct ns16550 *s)
{
	s->thre_pending = true;
	update_line(s);
}

static void flush_tx(struct ns16550 *s)
{
	size_t n;

	if (!s->tx.n)
		return;
	n = s->cd ? chardev_write(s->cd, s->tx.data, s->tx.n) : s->tx.n;
	fifo_drop(&s->tx, (unsigned)n);
	if (!s->tx.n)
		transmitter_empty(s);
}

static void receive_byte(struct ns16550 *s, uint8_t byte)
{
	if (s->rx.n < fifo_depth(s))
		fifo_put(&s->rx, byte);
	else
		s->lsr |= LSR_OE;
	update_line(s);
}

static void write_thr(struct ns16550 *s, uint8_t byte)
{
	/* On an edge-triggered line a driver that serves without looking at IIR needs a new edge for each byte;
	 * one that looks does not, and is spared an interrupt message for each. */
	if (!s->reads_iir || s->mcr & MCR_LOOP) {
		s->thre_pending = false;
		update_line(s);
	}
	if (s->mcr & MCR_LOOP) {
		receive_byte(s, byte);
		transmitter_empty(s);
		return;
	}
	if (s->tx.n < fifo_depth(s))
		fifo_put(&s->tx, byte);
	flush_tx(s);
	if (s->tx.n) {
		s->thre_pending = false;
		update_line(s);
	}
}

static void on_writable(void *opaque)
{
	flush_tx(opaque);
}

/* Receiver. */

static size_t on_can_read(void *opaque)
{
	const struct ns16550 *s = opaque;

	return s->mcr & MCR_LOOP ? 0 : fifo_depth(s) - MIN(fifo_depth(s), (unsigned)s->rx.n);
}

static void on_read(void *opaque, const uint8_t *data, size_t len)
{
	struct ns16550 *s = opaque;

	assert(len <= on_can_read(s));
	for (size_t i = 0; i < len; i++)
		fifo_put(&s->rx, data[i]);
	update_line(s);
}

static void kick_input(const struct ns16550 *s)
{
	if (s->cd)
		chardev_kick_input(s->cd);
}

static uint8_t read_rbr(struct ns16550 *s)
{
	uint8_t byte = s->rx.data[0];

	if (!s->rx.n)
		return 0;
	fifo_drop(&s->rx, 1);
	update_line(s);
	if (!s->rx.n)
		kick_input(s);
	return byte;
}

/* Modem lines. */

static void set_modem_lines(struct ns16550 *s, uint8_t lines)
{
	uint8_t changed = (s->msr ^ lines) & MSR_LINES;
	uint8_t deltas = (changed & (MSR_LINES & ~MSR_RI)) >> 4;

	/* The ring indicator counts when it ends. */
	if (changed & MSR_RI && !(lines & MSR_RI))
		deltas |= MSR_TERI;
	s->msr = (uint8_t)(lines | (s->msr & MSR_DELTAS) | deltas);
}

static void update_modem_lines(struct ns16550 *s)
{
	uint8_t m = s->mcr;

	if (!(m & MCR_LOOP))
		set_modem_lines(s, MSR_PEER);
	else /* RTS -> CTS, DTR -> DSR, OUT1 -> RI, OUT2 -> DCD */
		set_modem_lines(s,
			(uint8_t)((m & 0x02) << 3 | (m & 0x01) << 5 | (m & 0x04) << 4 |
				(m & 0x08) << 4));
}

/* Registers. */

static void write_fcr(struct ns16550 *s, uint8_t value)
{
	bool toggled = (s->fcr ^ value) & FCR_ENABLE;

	if (!(value & FCR_ENABLE))
		value &= (uint8_t) ~(FCR_CLEAR_RX | FCR_CLEAR_TX);
	if (toggled || value & FCR_CLEAR_RX)
		s->rx.n = 0;
	if ((toggled || value & FCR_CLEAR_TX) && s->tx.n) {
		s->tx.n = 0;
		s->thre_pending = true;
	}
	s->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | FCR_DMA | 3U << FCR_TRIGGER_SHIFT) : 0;
	update_line(s);
	kick_input(s);
}

static void write_ier(struct ns16550 *s, uint8_t value)
{
	bool enables_thre = ~s->ier & value & IER_THRE;

	s->ier = value & 0x0f;
	if (enables_thre && !s->tx.n)
		s->thre_pending = true;
	update_line(s);
}

static void write_mcr(struct ns16550 *s, uint8_t value)
{
	s->mcr = value & MCR_VALID;
	update_modem_lines(s);
	update_line(s);
	kick_input(s);
}

static void write_byte(struct device *dev, uint64_t offset, uint8_t value)
{
	struct ns16550 *s = to_ns16550(dev);
	bool dlab = s->lcr & LCR_DLAB;

	switch (offset) {
	case RBR_THR:
		if (dlab)
			s->divisor = (uint16_t)((s->divisor & 0xff00) | value);
		else
			write_thr(s, value);
		break;
	case IER:
		if (dlab)
			s->divisor = (uint16_t)((s->divisor & 0x00ff) | value << 8);
		else
			write_ier(s, value);
		break;
	case IIR_FCR:
		write_fcr(s, value);
		break;
	case LCR:
		s->lcr = value;
		break;
	case MCR:
		write_mcr(s, value);
		break;
	case SCR:
		s->scr = value;
		break;
	}
}

static uint8_t read_iir(struct ns16550 *s)
{
	uint8_t id = pending_interrupt(s);

	if (s->ier)
		s->reads_iir = true;
	if (id == IIR_THRE) {
		s->thre_pending = false;
		update_line(s);
	}
	return s->fcr & FCR_ENABLE ? id | IIR_FIFO : id;
}

static uint8_t read_lsr(struct ns16550 *s)
{
	uint8_t value = s->lsr;

	if (s->rx.n)
		value |= LSR_DR;
	if (!s->tx.n)
		value |= LSR_THRE | LSR_TEMT;
	s->lsr &= (uint8_t)~LSR_OE;
	update_line(s);
	return value;
}

static uint8_t read_msr(struct ns16550 *s)
{
	uint8_t value = s->msr;

	s->msr &= MSR_LINES;
	update_line(s);
	return value;
}

static uint8_t read_byte(struct device *dev, uint64_t offset)
{
	struct ns16550 *s = to_ns16550(dev);
	bool dlab = s->lcr & LCR_DLAB;

	switch (offset) {
	case RBR_THR:
		return dlab ? (uint8_t)s->divisor : read_rbr(s);
	case IER:
		return dlab ? (uint8_t)(s->divisor >> 8) : s->ier;
	case IIR_FCR:
		return read_iir(s);
	case LCR:
		return s->lcr;
	case MCR:
		return s->mcr;
	case LSR:
		return read_lsr(s);
	case MSR:
		return read_msr(s);
	case SCR:
		return s->scr;
	}
	return 0xff;
}

static uint64_t ns16550_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	(void)region;
	return legacy_read_bytes(dev, offset, size, read_byte);
}

static void ns16550_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	(void)region;
	legacy_write_bytes(dev, offset, size, value, write_byte);
}

/* Life. */

static int ns16550_realize(struct device *dev)
{
	static const struct chardev_ops chardev_ops = {
		.can_read = on_can_read,
		.read = on_read,
		.writable = on_writable,
	};
	struct ns16550 *s = to_ns16550(dev);

	assert(dev->instance < VM_MAX_SERIALS);
	s->cd = dev->machine->serials[dev->instance];
	if (s->cd)
		chardev_bind(s->cd, &chardev_ops, s);
	return 0;
}

static void ns16550_unrealize(struct device *dev)
{
	struct ns16550 *s = to_ns16550(dev);

	set_line(s, false);
	if (s->cd)
		chardev_bind(s->cd, NULL, NULL);
}

static void ns16550_reset(struct device *dev)
{
	struct ns16550 *s = to_ns16550(dev);

	s->rx.n = s->tx.n = 0;
	s->ier = s->fcr = s->lcr = s->mcr = s->lsr = s->scr = 0;
	s->msr = MSR_PEER;
	s->divisor = 12; /* 9600 baud */
	s->thre_pending = s->reads_iir = false;
	update_line(s);
	kick_input(s);
}

static void save_fifo(const struct fifo *f, struct state_writer *w)
{
	uint8_t data[FIFO_SIZE] = {0};

	memcpy(data, f->data, f->n);
	state_put_u8(w, f->n);
	state_put_bytes(w, data, sizeof(data));
}

static void load_fifo(struct fifo *f, struct state_reader *r)
{
	f->n = state_get_u8(r);
	state_get_bytes(r, f->data, sizeof(f->data));
}

static void ns16550_save(const struct device *dev, struct state_writer *w)
{
	const struct ns16550 *s = (const struct ns16550 *)dev;
	uint8_t regs[] = {s->ier, s->fcr, s->lcr, s->mcr, s->lsr, s->msr, s->scr, s->thre_pending,
		s->reads_iir};

	save_fifo(&s->rx, w);
	save_fifo(&s->tx, w);
	state_put_bytes(w, regs, sizeof(regs));
	state_put_u16(w, s->divisor);
}

static int ns16550_load(struct device *dev, struct state_reader *r)
{
	struct ns16550 *s = to_ns16550(dev);
	struct ns16550 new = *s;
	uint8_t *regs[] = {&new.ier, &new.fcr, &new.lcr, &new.mcr, &new.lsr, &new.msr, &new.scr};
	uint8_t pending, reads_iir;

	load_fifo(&new.rx, r);
	load_fifo(&new.tx, r);
	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		*regs[i] = state_get_u8(r);
	pending = state_get_u8(r);
	reads_iir = state_get_u8(r);
	new.divisor = state_get_u16(r);
	if (state_reader_end(r) < 0 || pending > 1 || reads_iir > 1 ||
		new.rx.n > fifo_depth(&new) || new.tx.n > fifo_depth(&new) || new.ier & ~0x0f ||
		new.mcr & ~MCR_VALID || new.lsr & ~LSR_VALID || new.fcr & 0x36 ||
		(new.fcr && !(new.fcr &FCR_ENABLE)))
		return -EBADMSG;
	new.thre_pending = pending;
	new.reads_iir = reads_iir;
	*s = new;
	update_line(s);
	flush_tx(s);
	kick_input(s);
	return 0;
}

static const struct device_ops ns16550_ops = {
	.realize = ns16550_realize,
	.unrealize = ns16550_unrealize,
	.reset = ns16550_reset,
	.read = ns16550_read,
	.write = ns16550_write,
	.save = ns16550_save,
	.load = ns16550_load,
};

const struct device_class ns16550_class = {
	.name = "ns16550",
	.state_version = 1,
	.size = sizeof(struct ns16550),
	.ops = &ns16550_ops,
};
