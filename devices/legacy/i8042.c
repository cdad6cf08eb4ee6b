/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "i8042": the keyboard controller of a PC without keyboard and mouse. What software uses it for here: the reset pulse
 * (command FE), the A20 gate, and finding out that nothing is plugged in. IBM PS/2 Hardware Interface Technical
 * Reference, "Keyboard and Auxiliary Device Controller".
 */
#include "devices/legacy/legacy.h"

#define REGION_DATA    0
#define REGION_COMMAND 1

/* Status. */
#define STS_OBF      0x01 /* a byte waits in the output buffer */
#define STS_SYS      0x04 /* self-test passed */
#define STS_CMD      0x08 /* the last write was a command */
#define STS_UNLOCKED 0x10
#define STS_AUX      0x20 /* the byte came from the auxiliary port */

/* Commands. */
#define CMD_READ_RAM      0x20 /* … 3f: byte n of the internal RAM; 0 is the command byte */
#define CMD_WRITE_RAM     0x60 /* … 7f */
#define CMD_DISABLE_AUX   0xa7
#define CMD_ENABLE_AUX    0xa8
#define CMD_TEST_AUX      0xa9
#define CMD_SELF_TEST     0xaa
#define CMD_TEST_KEYBOARD 0xab
#define CMD_DISABLE_KBD   0xad
#define CMD_ENABLE_KBD    0xae
#define CMD_READ_INPUT    0xc0
#define CMD_READ_OUTPUT   0xd0
#define CMD_WRITE_OUTPUT  0xd1
#define CMD_LOOP_KEYBOARD 0xd2
#define CMD_LOOP_AUX      0xd3
#define CMD_WRITE_AUX     0xd4
#define CMD_PULSE         0xf0 /* … ff: pulls low the output lines whose bit is clear; bit 0 is RESET */

/* Command byte. */
#define CTR_KBD_IRQ 0x01
#define CTR_AUX_IRQ 0x02
#define CTR_SYS     0x04
#define CTR_KBD_OFF 0x10
#define CTR_AUX_OFF 0x20
#define CTR_VALID   0x77

/* Output port. */
#define OUT_RESET_N 0x01
#define OUT_A20     0x02

#define TEST_CLOCK_STUCK_LOW 0x01 /* a port with nothing behind it */
#define SELF_TEST_PASSED     0x55
#define DEVICE_TIMEOUT       0xfe /* what the host sees of a missing device: "resend" */

#define GSI_AUX 12

struct i8042 {
	struct device dev;
	uint8_t status, command_byte, output_port;
	uint8_t data;    /* the output buffer */
	uint8_t pending; /* the command that waits for its byte; 0: none */
};

static struct i8042 *i8042_of(struct device *dev)
{
	return container_of(dev, struct i8042, dev);
}

static void update_lines(struct i8042 *k)
{
	bool full = k->status & STS_OBF, aux = k->status & STS_AUX;

	irq_set_line(k->dev.machine->irq, LAYOUT_GSI_I8042, 0,
		full && !aux && k->command_byte & CTR_KBD_IRQ);
	irq_set_line(k->dev.machine->irq, GSI_AUX, 0, full && aux && k->command_byte & CTR_AUX_IRQ);
}

static void put(struct i8042 *k, uint8_t data, bool aux)
{
	k->data = data;
	k->status = (uint8_t)((k->status & ~STS_AUX) | STS_OBF | (aux ? STS_AUX : 0));
	update_lines(k);
}

static void set_output_port(struct i8042 *k, uint8_t value)
{
	k->output_port = value;
	if (!(value & OUT_RESET_N))
		machine_request(k->dev.machine, MACHINE_RESET, 0);
}

static void command(struct i8042 *k, uint8_t cmd)
{
	k->status |= STS_CMD;
	k->pending = 0;
	switch (cmd) {
	case CMD_READ_RAM:
		put(k, k->command_byte, false);
		break;
	case CMD_WRITE_RAM:
	case CMD_WRITE_OUTPUT:
	case CMD_LOOP_KEYBOARD:
	case CMD_LOOP_AUX:
	case CMD_WRITE_AUX:
		k->pending = cmd;
		break;
	case CMD_DISABLE_AUX:
		k->command_byte |= CTR_AUX_OFF;
		break;
	case CMD_ENABLE_AUX:
		k->command_byte &= (uint8_t)~CTR_AUX_OFF;
		break;
	case CMD_TEST_AUX:
	case CMD_TEST_KEYBOARD:
		put(k, TEST_CLOCK_STUCK_LOW, false);
		break;
	case CMD_SELF_TEST:
		k->status |= STS_SYS;
		put(k, SELF_TEST_PASSED, false);
		break;
	case CMD_DISABLE_KBD:
		k->command_byte |= CTR_KBD_OFF;
		break;
	case CMD_ENABLE_KBD:
		k->command_byte &= (uint8_t)~CTR_KBD_OFF;
		break;
	case CMD_READ_INPUT:
		put(k, 0x80, false); /* not locked */
		break;
	case CMD_READ_OUTPUT:
		put(k, k->output_port, false);
		break;
	default:
		if (cmd >= CMD_PULSE && !(cmd & OUT_RESET_N))
			machine_request(k->dev.machine, MACHINE_RESET, 0);
		break;
	}
}

static void data_byte(struct i8042 *k, uint8_t v)
{
	uint8_t pending = k->pending;

	k->pending = 0;
	k->status &= (uint8_t)~STS_CMD;
	switch (pending) {
	case CMD_WRITE_RAM:
		k->command_byte = v & CTR_VALID;
		k->status = (uint8_t)((k->status & ~STS_SYS) | (v & CTR_SYS));
		update_lines(k);
		break;
	case CMD_WRITE_OUTPUT:
		set_output_port(k, v);
		break;
	case CMD_LOOP_KEYBOARD:
		put(k, v, false);
		break;
	case CMD_LOOP_AUX:
		put(k, v, true);
		break;
	case CMD_WRITE_AUX:
		put(k, DEVICE_TIMEOUT, true);
		break;
	default:
		/* For a keyboard that is not there. */
		put(k, DEVICE_TIMEOUT, false);
		break;
	}
}

static uint64_t i8042_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	struct i8042 *k = i8042_of(dev);

	(void)offset;
	(void)size;
	if (region == REGION_COMMAND)
		return k->status;
	k->status &= (uint8_t) ~(STS_OBF | STS_AUX);
	update_lines(k);
	return k->data;
}

static void i8042_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	(void)offset;
	(void)size;
	if (region == REGION_COMMAND)
		command(i8042_of(dev), (uint8_t)value);
	else
		data_byte(i8042_of(dev), (uint8_t)value);
}

static void i8042_reset(struct device *dev)
{
	struct i8042 *k = i8042_of(dev);

	/* As firmware leaves it: tested, A20 open, ports off. */
	k->status = STS_SYS | STS_UNLOCKED;
	k->command_byte = CTR_SYS | CTR_KBD_OFF | CTR_AUX_OFF;
	k->output_port = OUT_RESET_N | OUT_A20;
	k->data = 0;
	k->pending = 0;
	update_lines(k);
}

static void i8042_save(const struct device *dev, struct state_writer *w)
{
	const struct i8042 *k = (const struct i8042 *)(const void *)dev;

	state_put_u8(w, k->status);
	state_put_u8(w, k->command_byte);
	state_put_u8(w, k->output_port);
	state_put_u8(w, k->data);
	state_put_u8(w, k->pending);
}

static int i8042_load(struct device *dev, struct state_reader *r)
{
	struct i8042 *k = i8042_of(dev), new = *k;

	new.status = state_get_u8(r);
	new.command_byte = state_get_u8(r);
	new.output_port = state_get_u8(r);
	new.data = state_get_u8(r);
	new.pending = state_get_u8(r);
	if (state_reader_end(r) < 0 || new.command_byte & ~CTR_VALID)
		return -EBADMSG;
	*k = new;
	update_lines(k);
	return 0;
}

static const struct device_ops i8042_ops = {
	.reset = i8042_reset,
	.read = i8042_read,
	.write = i8042_write,
	.save = i8042_save,
	.load = i8042_load,
};

const struct device_class i8042_class = {
	.name = "i8042",
	.state_version = 1,
	.size = sizeof(struct i8042),
	.ops = &i8042_ops,
};
