/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * i8254: the interval timer of a PC, Intel 8254, and port 61, which gates channel 2 and shows its output.
 *
 * Counters do not count: each knows when it was loaded, and what it would show now is computed from that. Only
 * channel 0, whose output is interrupt line 0, has a timer. Interrupts are in phase with the time of loading for
 * ever. Ticks that the host missed are gone (there is no burst of them), and channel 0 interrupts at most once per
 * MIN_PERIOD ticks, whatever a guest writes.
 */
#include "devices/legacy/legacy.h"

#define HZ         1193182
#define MIN_PERIOD 120 /* ticks: 100 µs */
#define REFRESH_NS 15085

#define N_CHANNELS 3

#define PORT61_GATE     0x01
#define PORT61_WRITABLE 0x0f
#define PORT61_REFRESH  0x10
#define PORT61_OUT      0x20

enum { REGION_TIMER, REGION_PORT61 };
enum { RW_LATCH, RW_LOW, RW_HIGH, RW_BOTH };

struct channel {
	uint8_t mode; /* 0 … 5 */
	uint8_t rw;   /* RW_LOW … RW_BOTH */
	bool bcd, gate;
	bool loaded;    /* a count was written since the control word */
	bool running;   /* time goes by: start_ns counts; otherwise held */
	uint32_t count; /* what the counter was loaded with, 1 … 65536 */
	uint32_t
		next_count; /* taken when this period ends (modes 2, 3) or at the next trigger (1, 5); 0: none */
	uint64_t switch_tick; /* modes 2, 3: when next_count is taken */
	uint64_t start_ns;
	uint64_t held; /* ticks that had passed when it stopped */
	bool read_high, write_high;
	uint8_t write_low;
	uint8_t n_latched; /* bytes of 'latched' left to read */
	uint16_t latched;
	bool status_latched;
	uint8_t status;
};

struct i8254 {
	struct device dev;
	struct channel channels[N_CHANNELS];
	uint8_t port61;
	struct loop_timer timer; /* of channel 0 */
};

static struct i8254 *to_i8254(struct device *dev)
{
	return container_of(dev, struct i8254, dev);
}

/* Time. */

static uint64_t ticks_of_ns(uint64_t ns)
{
	return legacy_muldiv(ns, HZ, NSEC_PER_SEC);
}

/* The first nanosecond at which 'ticks' have passed. */
static uint64_t ns_of_ticks(uint64_t ticks)
{
	return (uint64_t)(((unsigned __int128)ticks * NSEC_PER_SEC + HZ - 1) / HZ);
}

static uint64_t elapsed(const struct channel *c, uint64_t now_ns)
{
	return c->running ? ticks_of_ns(now_ns - c->start_ns) : c->held;
}

static void start(struct channel *c, uint64_t now_ns)
{
	if (c->next_count)
		c->count = c->next_count;
	c->next_count = 0;
	c->start_ns = now_ns;
	c->running = true;
}

/* Modes 2 and 3: take the next count if this period is over. */
static void settle(struct channel *c, uint64_t now_ns)
{
	if (c->next_count && (c->mode == 2 || c->mode == 3) && c->running &&
		elapsed(c, now_ns) >= c->switch_tick)
		start(c, c->start_ns + ns_of_ticks(c->switch_tick));
}

/* What the counting element holds, in binary. */
static uint32_t counter(const struct channel *c, uint64_t now_ns)
{
	uint32_t modulus = c->bcd ? 10000 : 0x10000;
	uint64_t t = elapsed(c, now_ns), phase = t % c->count;
	uint32_t half = (c->count + 1) / 2;

	if (c->mode == 2)
		return (uint32_t)(c->count - phase) % modulus;
	if (c->mode == 3)
		return (uint32_t)(c->count - 2 * (phase < half ? phase : phase - half)) % modulus &
			~1U;
	return (uint32_t)(c->count % modulus + modulus - t % modulus) % modulus;
}

static bool output(const struct channel *c, uint64_t now_ns)
{
	uint64_t t = elapsed(c, now_ns);

	if (!c->loaded)
		return c->mode != 0;
	switch (c->mode) {
	case 0:
		return t >= c->count;
	case 1:
		return !c->running || t >= c->count;
	case 2:
		return !c->running || t % c->count != c->count - 1;
	case 3:
		return !c->running || t % c->count < (c->count + 1) / 2;
	default:
		return !c->running || t != c->count;
	}
}

/* Channel 0 and its interrupt. */

static void set_line(const struct i8254 *s, bool level)
{
	irq_set_line(s->dev.machine->irq, LAYOUT_GSI_PIT, 0, level);
}

/* The tick at which the output rises next, UINT64_MAX: never. */
static uint64_t next_rise(const struct channel *c, uint64_t now_ns)
{
	uint64_t t = elapsed(c, now_ns), period = c->count;

	if (!c->loaded || !c->running)
		return UINT64_MAX;
	if (c->mode == 0)
		return t < period ? period : UINT64_MAX;
	if (c->mode == 4)
		return t <= period ? period + 1 : UINT64_MAX;
	if (c->mode != 2 && c->mode != 3)
		return UINT64_MAX;
	if (c->next_count && c->switch_tick > t)
		return c->switch_tick;
	if (period < MIN_PERIOD)
		period *= DIV_ROUND_UP(MIN_PERIOD, period);
	return (t / period + 1) * period;
}

static void arm(struct i8254 *s, uint64_t now_ns)
{
	const struct channel *c = &s->channels[0];
	uint64_t rise = next_rise(c, now_ns);

	if (rise == UINT64_MAX)
		loop_timer_stop(&s->timer);
	else
		(void)loop_timer_set(&s->timer, c->start_ns + ns_of_ticks(rise));
}

static void on_timer(struct loop_timer *timer, uint64_t now_ns)
{
	struct i8254 *s = container_of(timer, struct i8254, timer);

	settle(&s->channels[0], now_ns);
	set_line(s, false);
	set_line(s, true);
	arm(s, now_ns);
}

/* Channel 'c' was programmed. The line shows the output between the edges only where that lasts. */
static void changed(struct i8254 *s, const struct channel *c, uint64_t now_ns)
{
	if (c != &s->channels[0])
		return;
	set_line(s, c->mode != 0 || output(c, now_ns));
	arm(s, now_ns);
}

/* Counting. */

static void load_count(struct i8254 *s, struct channel *c, uint16_t raw)
{
	uint64_t now_ns = machine_now_ns(s->dev.machine);
	uint32_t value = raw;

	settle(c, now_ns);
	if (c->bcd)
		value = (raw & 15U) + (raw >> 4 & 15U) * 10 + (raw >> 8 & 15U) * 100 +
			(raw >> 12) * 1000U;
	if (!value)
		value = c->bcd ? 10000 : 0x10000;
	if (c->loaded && c->running && c->mode != 0 && c->mode != 4) {
		c->next_count = value;
		c->switch_tick = (elapsed(c, now_ns) / c->count + 1) * c->count;
	} else {
		c->count = value;
		c->next_count = 0;
		c->held = 0;
		c->start_ns = now_ns;
		/* Modes 1 and 5 wait for a trigger at the gate. */
		c->running = c->mode != 1 && c->mode != 5 && c->gate;
	}
	c->loaded = true;
	changed(s, c, now_ns);
}

static void set_gate(struct i8254 *s, struct channel *c, bool gate)
{
	uint64_t now_ns = machine_now_ns(s->dev.machine);
	bool pauses = c->mode == 0 || c->mode == 4;

	if (gate == c->gate)
		return;
	settle(c, now_ns);
	c->gate = gate;
	if (!c->loaded || (!gate && (c->mode == 1 || c->mode == 5)))
		return;
	if (!gate) {
		c->held = pauses ? elapsed(c, now_ns) : 0;
		c->running = false;
	} else {
		start(c, pauses ? now_ns - ns_of_ticks(c->held) : now_ns);
	}
}

static void write_control(struct i8254 *s, struct channel *c, uint8_t value)
{
	uint8_t mode = value >> 1 & 7;

	c->mode = mode > 5 ? mode & 3 : mode;
	c->rw = value >> 4 & 3;
	c->bcd = value & 1;
	c->loaded = c->running = false;
	c->next_count = 0;
	c->held = 0;
	c->read_high = c->write_high = false;
	c->n_latched = 0;
	c->status_latched = false;
	changed(s, c, machine_now_ns(s->dev.machine));
}

/* Reading. */

static uint16_t visible_count(const struct i8254 *s, struct channel *c)
{
	uint64_t now_ns = machine_now_ns(s->dev.machine);
	uint32_t n;

	settle(c, now_ns);
	n = counter(c, now_ns);
	if (c->bcd)
		n = n % 10 | n / 10 % 10 << 4 | n / 100 % 10 << 8 | n / 1000 % 10 << 12;
	return (uint16_t)n;
}

static void latch_count(const struct i8254 *s, struct channel *c)
{
	if (c->n_latched)
		return;
	c->latched = visible_count(s, c);
	c->n_latched = c->rw == RW_BOTH ? 2 : 1;
	c->read_high = false;
}

static void latch_status(const struct i8254 *s, struct channel *c)
{
	uint64_t now_ns = machine_now_ns(s->dev.machine);

	if (c->status_latched)
		return;
	settle(c, now_ns);
	c->status = (uint8_t)(output(c, now_ns) << 7 | (!c->loaded || c->next_count) << 6 |
		c->rw << 4 | c->mode << 1 | c->bcd);
	c->status_latched = true;
}

static void write_command(struct i8254 *s, uint8_t value)
{
	unsigned which = value >> 6;

	if (which < N_CHANNELS) {
		if ((value >> 4 & 3) == RW_LATCH)
			latch_count(s, &s->channels[which]);
		else
			write_control(s, &s->channels[which], value);
		return;
	}
	for (unsigned i = 0; i < N_CHANNELS; i++) { /* read-back */
		if (!(value & 2U << i))
			continue;
		if (!(value & 0x20))
			latch_count(s, &s->channels[i]);
		if (!(value & 0x10))
			latch_status(s, &s->channels[i]);
	}
}

static uint8_t read_channel(const struct i8254 *s, struct channel *c)
{
	uint16_t value;
	bool high;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	value = c->n_latched ? c->latched : visible_count(s, c);
	if (c->n_latched)
		c->n_latched--;
	high = c->rw == RW_HIGH || (c->rw == RW_BOTH && c->read_high);
	c->read_high = c->rw == RW_BOTH && !high;
	return (uint8_t)(high ? value >> 8 : value);
}

static void write_channel(struct i8254 *s, struct channel *c, uint8_t value)
{
	if (c->rw == RW_LOW) {
		load_count(s, c, value);
	} else if (c->rw == RW_HIGH) {
		load_count(s, c, (uint16_t)(value << 8));
	} else if (!c->write_high) {
		c->write_low = value;
		c->write_high = true;
	} else {
		c->write_high = false;
		load_count(s, c, (uint16_t)(value << 8 | c->write_low));
	}
}

static uint8_t read_port61(const struct i8254 *s)
{
	uint64_t now_ns = machine_now_ns(s->dev.machine);
	uint8_t value = s->port61;

	if (now_ns / REFRESH_NS & 1)
		value |= PORT61_REFRESH;
	if (output(&s->channels[2], now_ns))
		value |= PORT61_OUT;
	return value;
}

static uint8_t read_byte(struct device *dev, uint64_t offset)
{
	struct i8254 *s = to_i8254(dev);

	return offset < N_CHANNELS ? read_channel(s, &s->channels[offset]) : 0xff;
}

static void write_byte(struct device *dev, uint64_t offset, uint8_t value)
{
	struct i8254 *s = to_i8254(dev);

	if (offset < N_CHANNELS)
		write_channel(s, &s->channels[offset], value);
	else
		write_command(s, value);
}

static uint64_t i8254_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	struct i8254 *s = to_i8254(dev);

	if (region == REGION_TIMER)
		return legacy_read_bytes(dev, offset, size, read_byte);
	settle(&s->channels[2], machine_now_ns(dev->machine));
	return read_port61(s);
}

static void i8254_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	struct i8254 *s = to_i8254(dev);

	if (region == REGION_TIMER) {
		legacy_write_bytes(dev, offset, size, value, write_byte);
		return;
	}
	s->port61 = value & PORT61_WRITABLE;
	set_gate(s, &s->channels[2], value & PORT61_GATE);
}

/* Life. */

static int i8254_realize(struct device *dev)
{
	loop_timer_init(&to_i8254(dev)->timer, dev->machine->loop, on_timer);
	return 0;
}

static void i8254_unrealize(struct device *dev)
{
	loop_timer_stop(&to_i8254(dev)->timer);
}

static void i8254_reset(struct device *dev)
{
	struct i8254 *s = to_i8254(dev);

	for (unsigned i = 0; i < N_CHANNELS; i++)
		s->channels[i] = (struct channel){.rw = RW_BOTH, .gate = i != 2, .count = 0x10000};
	s->port61 = 0;
	changed(s, &s->channels[0], machine_now_ns(dev->machine));
}

static void save_channel(const struct channel *c, uint64_t now_ns, struct state_writer *w)
{
	uint8_t bytes[] = {c->mode, c->rw, c->write_low, c->n_latched, c->status,
		(uint8_t)(c->bcd | c->gate << 1 | c->loaded << 2 | c->running << 3 |
			c->read_high << 4 | c->write_high << 5 | c->status_latched << 6)};

	state_put_bytes(w, bytes, sizeof(bytes));
	state_put_u16(w, c->latched);
	state_put_u32(w, c->count);
	state_put_u32(w, c->next_count);
	state_put_u64(w, c->switch_tick);
	state_put_u64(w, c->running ? now_ns - c->start_ns : 0);
	state_put_u64(w, c->held);
}

static void i8254_save(const struct device *dev, struct state_writer *w)
{
	const struct i8254 *s = (const struct i8254 *)dev;

	for (unsigned i = 0; i < N_CHANNELS; i++)
		save_channel(&s->channels[i], machine_now_ns(dev->machine), w);
	state_put_u8(w, s->port61);
}

static bool load_channel(struct channel *c, bool is_gated, uint64_t now_ns, struct state_reader *r)
{
	uint64_t limit = UINT64_C(1) << 60, age_ns;
	uint8_t b[6];

	state_get_bytes(r, b, sizeof(b));
	*c = (struct channel){
		.mode = b[0],
		.rw = b[1],
		.write_low = b[2],
		.n_latched = b[3],
		.status = b[4],
		.bcd = b[5] & 1,
		.gate = b[5] & 2,
		.loaded = b[5] & 4,
		.running = b[5] & 8,
		.read_high = b[5] & 16,
		.write_high = b[5] & 32,
		.status_latched = b[5] & 64,
	};
	c->latched = state_get_u16(r);
	c->count = state_get_u32(r);
	c->next_count = state_get_u32(r);
	c->switch_tick = state_get_u64(r);
	age_ns = state_get_u64(r);
	c->held = state_get_u64(r);
	c->start_ns = now_ns - age_ns;
	return c->mode <= 5 && c->rw >= RW_LOW && c->rw <= RW_BOTH && c->n_latched <= 2 &&
		b[5] < 128 && c->count && c->count <= 0x10000 && c->next_count <= 0x10000 &&
		c->switch_tick < limit && age_ns < limit && c->held < limit &&
		(is_gated || c->gate) && (c->running ? c->loaded : !age_ns);
}

static int i8254_load(struct device *dev, struct state_reader *r)
{
	struct i8254 *s = to_i8254(dev);
	struct channel new[N_CHANNELS];
	uint64_t now_ns = machine_now_ns(dev->machine);
	bool good = true;
	uint8_t port61;

	for (unsigned i = 0; i < N_CHANNELS; i++)
		good &= load_channel(&new[i], i == 2, now_ns, r);
	port61 = state_get_u8(r);
	if (state_reader_end(r) < 0 || !good || port61 & ~PORT61_WRITABLE ||
		new[2].gate != (port61 & PORT61_GATE))
		return -EBADMSG;
	for (unsigned i = 0; i < N_CHANNELS; i++)
		s->channels[i] = new[i];
	s->port61 = port61;
	changed(s, &s->channels[0], now_ns);
	return 0;
}

static const struct device_ops i8254_ops = {
	.realize = i8254_realize,
	.unrealize = i8254_unrealize,
	.reset = i8254_reset,
	.read = i8254_read,
	.write = i8254_write,
	.save = i8254_save,
	.load = i8254_load,
};

const struct device_class i8254_class = {
	.name = "i8254",
	.state_version = 1,
	.size = sizeof(struct i8254),
	.ops = &i8254_ops,
};
