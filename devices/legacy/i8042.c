/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * i8042: the keyboard controller of a PC without keyboard and mouse. What software uses it for here: the reset pulse
 * (command FE), the A20 gate, and finding out that nothing is plugged in. IBM PS/2 Hardware Interface Technical
 * Reference, "Keyboard and Auxiliary Device Controller".
 *
 * Every command that promises an answer gives one at once: drivers wait half a second for one that does not come.
 * There is no auxiliary port at all: its test fails, and what is looped through it comes back as the keyboard's, which
 * drivers take for a controller of the AT kind.
 */
#include <string.h>

#include "devices/legacy/legacy.h"

#define REGION_DATA    0
#define REGION_COMMAND 1

/* Status. */
#define STS_OBF      0x01 /* a byte waits in the output buffer */
#define STS_SYS      0x04 /* self-test passed */
#define STS_CMD      0x08 /* the last write was a command */
#define STS_UNLOCKED 0x10
#define STS_TIMEOUT  0x40 /* the device did not answer */
#define STS_VALID    (STS_OBF | STS_SYS | STS_CMD | STS_UNLOCKED | STS_TIMEOUT)

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
#define CMD_A20_OFF       0xdd
#define CMD_A20_ON        0xdf
#define CMD_PULSE         0xf0 /* … ff: pulls low the output lines whose bit is clear; bit 0 is RESET */

/* Command byte. */
#define CTR_KBD_IRQ 0x01
#define CTR_SYS     0x04
#define CTR_KBD_OFF 0x10
#define CTR_AUX_OFF 0x20
#define CTR_VALID   0x77

/* Output port. */
#define OUT_RESET_N 0x01
#define OUT_A20     0x02

#define TEST_CLOCK_STUCK_LOW 0x01 /* a port with nothing behind it */
#define SELF_TEST_PASSED     0x55
#define DEVICE_MISSING       0xfe /* what the host sees of a missing device: "resend" */
#define INPUT_UNLOCKED       0x80 /* of the input port */

#define N_RAM 32

struct i8042 {
	struct device dev;
	uint8_t status, output_port;
	uint8_t ram[N_RAM]; /* the first is the command byte */
	uint8_t data;       /* the output buffer */
	uint8_t pending;    /* the command that waits for its byte; 0: none */
};

static struct i8042 *i8042_of(struct device *dev)
{
	return container_of(dev, struct i8042, dev);
}

static void update_line(struct i8042 *k)
{
	irq_set_line(k->dev.machine->irq, LAYOUT_GSI_I8042, 0,
		k->status & STS_OBF && k->ram[0] & CTR_KBD_IRQ);
}

static void put(struct i8042 *k, uint8_t data, uint8_t status)
{
	k->data = data;
	k->status = (uint8_t)((k->status & ~STS_TIMEOUT) | STS_OBF | status);
	update_line(k);
}

static void set_output_port(struct i8042 *k, uint8_t value)
{
	k->output_port = value;
	if (!(value & OUT_RESET_N))
		machine_request(k->dev.machine, MACHINE_RESET, 0);
}

/* Commands that mean one thing each; the ranges are the caller's. */
static void single_command(struct i8042 *k, uint8_t cmd)
{
	switch (cmd) {
	case CMD_WRITE_OUTPUT:
	case CMD_LOOP_KEYBOARD:
	case CMD_LOOP_AUX:
	case CMD_WRITE_AUX:
		k->pending = cmd;
		break;
	case CMD_DISABLE_AUX:
		k->ram[0] |= CTR_AUX_OFF;
		break;
	case CMD_ENABLE_AUX:
		k->ram[0] &= (uint8_t)~CTR_AUX_OFF;
		break;
	case CMD_TEST_AUX:
	case CMD_TEST_KEYBOARD:
		put(k, TEST_CLOCK_STUCK_LOW, 0);
		break;
	case CMD_SELF_TEST:
		k->status |= STS_SYS;
		put(k, SELF_TEST_PASSED, 0);
		break;
	case CMD_DISABLE_KBD:
		k->ram[0] |= CTR_KBD_OFF;
		break;
	case CMD_ENABLE_KBD:
		k->ram[0] &= (uint8_t)~CTR_KBD_OFF;
		break;
	case CMD_READ_INPUT:
		put(k, INPUT_UNLOCKED, 0);
		break;
	case CMD_READ_OUTPUT:
		put(k, k->output_port, 0);
		break;
	case CMD_A20_OFF:
		k->output_port &= (uint8_t)~OUT_A20;
		break;
	case CMD_A20_ON:
		k->output_port |= OUT_A20;
		break;
	}
}

static void command(struct i8042 *k, uint8_t cmd)
{
	k->status |= STS_CMD;
	k->pending = 0;
	if (cmd >= CMD_PULSE) {
		if (!(cmd & OUT_RESET_N))
			machine_request(k->dev.machine, MACHINE_RESET, 0);
	} else if ((cmd & ~(N_RAM - 1)) == CMD_READ_RAM) {
		put(k, k->ram[cmd % N_RAM], 0);
	} else if ((cmd & ~(N_RAM - 1)) == CMD_WRITE_RAM) {
		k->pending = cmd;
	} else {
		single_command(k, cmd);
	}
}

static void write_ram(struct i8042 *k, unsigned i, uint8_t value)
{
	k->ram[i] = i ? value : value & CTR_VALID;
	if (i == 0)
		k->status = (uint8_t)((k->status & ~STS_SYS) | (value & CTR_SYS));
	update_line(k);
}

static void data_byte(struct i8042 *k, uint8_t value)
{
	uint8_t pending = k->pending;

	k->pending = 0;
	k->status &= (uint8_t)~STS_CMD;
	switch (pending) {
	case CMD_WRITE_OUTPUT:
		set_output_port(k, value);
		break;
	case CMD_LOOP_KEYBOARD:
	case CMD_LOOP_AUX:
		put(k, value, 0);
		break;
	case CMD_WRITE_AUX: /* for devices that are not there */
	case 0:
		put(k, DEVICE_MISSING, STS_TIMEOUT);
		break;
	default:
		write_ram(k, pending % N_RAM, value);
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
	k->status &= (uint8_t) ~(STS_OBF | STS_TIMEOUT);
	update_line(k);
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
	memset(k->ram, 0, sizeof(k->ram));
	k->ram[0] = CTR_SYS | CTR_KBD_OFF | CTR_AUX_OFF;
	k->output_port = OUT_RESET_N | OUT_A20;
	k->data = 0;
	k->pending = 0;
	update_line(k);
}

static void i8042_save(const struct device *dev, struct state_writer *w)
{
	const struct i8042 *k = (const struct i8042 *)(const void *)dev;

	state_put_u8(w, k->status);
	state_put_u8(w, k->output_port);
	state_put_u8(w, k->data);
	state_put_u8(w, k->pending);
	state_put_bytes(w, k->ram, sizeof(k->ram));
}

static bool takes_a_byte(uint8_t cmd)
{
	return !cmd || (cmd & ~(N_RAM - 1)) == CMD_WRITE_RAM ||
		(cmd >= CMD_WRITE_OUTPUT && cmd <= CMD_WRITE_AUX);
}

static int i8042_load(struct device *dev, struct state_reader *r)
{
	struct i8042 *k = i8042_of(dev), new = *k;

	new.status = state_get_u8(r);
	new.output_port = state_get_u8(r);
	new.data = state_get_u8(r);
	new.pending = state_get_u8(r);
	state_get_bytes(r, new.ram, sizeof(new.ram));
	if (state_reader_end(r) < 0 || new.status & ~STS_VALID || new.ram[0] & ~CTR_VALID ||
		!takes_a_byte(new.pending))
		return -EBADMSG;
	*k = new;
	update_line(k);
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
