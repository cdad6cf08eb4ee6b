/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * mc146818: the real-time clock of a PC, Motorola MC146818A, with 128 bytes of battery-backed memory and the century
 * at 0x32 (ACPI_RTC_CENTURY).
 *
 * The clock does not tick: it is the host's wall clock plus machine->wall_offset_s plus what the guest added by setting
 * it. While the guest sets it (SET, or the divider in reset) it stands, and the registers hold it. Flags are worked
 * out when somebody looks; a loop timer runs only while an interrupt is enabled and its flag not yet set.
 *
 * A device reads no clock but machine_now_ns(); the wall clock here is the one exception, behind wall_ns().
 */
#include <time.h>

#include "devices/legacy/calendar.h"
#include "devices/legacy/legacy.h"
#include "vmm-core/acpi/acpi-hw.h"

#define N_REGS 128

enum {
	SECONDS,
	SECONDS_ALARM,
	MINUTES,
	MINUTES_ALARM,
	HOURS,
	HOURS_ALARM,
	DAY_OF_WEEK,
	DAY,
	MONTH,
	YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D
};
#define CENTURY ACPI_RTC_CENTURY

#define A_UIP     0x80
#define A_DIVIDER 0x70
#define A_RATE    0x0f

#define B_SET    0x80
#define B_PIE    0x40
#define B_AIE    0x20
#define B_UIE    0x10
#define B_SQWE   0x08
#define B_BINARY 0x04
#define B_24H    0x02

#define C_IRQF 0x80
#define C_PF   0x40
#define C_AF   0x20
#define C_UF   0x10

#define D_VALID 0x80

#define HOURS_PM   0x80
#define ALARM_ANY  0xc0 /* both bits set: any value matches */
#define UIP_NS     244141
#define NEVER      INT64_MAX
#define MAX_OFFSET (INT64_C(1) << 45) /* seconds; beyond any pair of four-digit years */

/* A point of the guest's time. */
struct instant {
	int64_t s; /* since 1970 */
	uint32_t ns;
};

struct mc146818 {
	struct device dev;
	int64_t (*clock)(void *opaque);
	void *clock_opaque;
	uint8_t regs[N_REGS];
	uint8_t index;
	struct instant offset;     /* guest time - wall time */
	uint32_t frozen_ns;        /* while it stands: the fraction of the second */
	int64_t seen_s;            /* flags are worked out up to here */
	uint64_t periodic_base_ns; /* machine time of a periodic tick */
	uint64_t seen_ticks;       /* since then */
	struct loop_timer timer;
};

static struct mc146818 *to_rtc(struct device *dev)
{
	return container_of(dev, struct mc146818, dev);
}

/* Time. */

static int64_t host_clock(void *opaque)
{
	struct timespec ts;

	(void)opaque;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * (int64_t)NSEC_PER_SEC + ts.tv_nsec;
}

static struct instant wall(const struct mc146818 *s)
{
	int64_t ns = s->clock(s->clock_opaque), rest = ns % (int64_t)NSEC_PER_SEC;

	if (rest < 0)
		rest += (int64_t)NSEC_PER_SEC;
	return (struct instant){
		.s = (ns - rest) / (int64_t)NSEC_PER_SEC + s->dev.machine->wall_offset_s,
		.ns = (uint32_t)rest,
	};
}

static struct instant add(struct instant a, struct instant b)
{
	uint32_t ns = a.ns + b.ns, carry = ns >= NSEC_PER_SEC;

	return (struct instant){a.s + b.s + carry, ns - carry * (uint32_t)NSEC_PER_SEC};
}

static struct instant subtract(struct instant a, struct instant b)
{
	bool borrow = a.ns < b.ns;

	return (struct instant){
		a.s - b.s - borrow, (uint32_t)(a.ns + (borrow ? NSEC_PER_SEC : 0) - b.ns)};
}

static struct instant guest_now(const struct mc146818 *s)
{
	return add(wall(s), s->offset);
}

/* Registers and numbers. */

static uint8_t encode(const struct mc146818 *s, unsigned n)
{
	return (uint8_t)(s->regs[REG_B] & B_BINARY ? n : n / 10 << 4 | n % 10);
}

static unsigned decode(const struct mc146818 *s, uint8_t reg)
{
	return s->regs[REG_B] & B_BINARY ? reg : (reg >> 4) * 10U + (reg & 15U);
}

static uint8_t encode_hour(const struct mc146818 *s, unsigned hour)
{
	if (s->regs[REG_B] & B_24H)
		return encode(s, hour);
	return encode(s, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOURS_PM : 0);
}

static unsigned decode_hour(const struct mc146818 *s, uint8_t reg)
{
	if (s->regs[REG_B] & B_24H)
		return decode(s, reg);
	return decode(s, reg & (uint8_t)~HOURS_PM) % 12 + (reg & HOURS_PM ? 12 : 0);
}

static bool in_divider_reset(const struct mc146818 *s)
{
	return (s->regs[REG_A] & A_DIVIDER) >= 0x60;
}

static bool stands(const struct mc146818 *s)
{
	return s->regs[REG_B] & B_SET || in_divider_reset(s);
}

static void time_to_regs(struct mc146818 *s, int64_t t)
{
	struct calendar c = calendar_from_seconds(t);

	s->regs[SECONDS] = encode(s, c.second);
	s->regs[MINUTES] = encode(s, c.minute);
	s->regs[HOURS] = encode_hour(s, c.hour);
	s->regs[DAY_OF_WEEK] = encode(s, c.weekday);
	s->regs[DAY] = encode(s, c.day);
	s->regs[MONTH] = encode(s, c.month);
	s->regs[YEAR] = encode(s, c.year % 100);
	s->regs[CENTURY] = encode(s, c.year / 100);
}

/* What is no date is bent into one. */
static int64_t time_from_regs(const struct mc146818 *s)
{
	struct calendar c = {
		.second = MIN(decode(s, s->regs[SECONDS]), 59U),
		.minute = MIN(decode(s, s->regs[MINUTES]), 59U),
		.hour = MIN(decode_hour(s, s->regs[HOURS]), 23U),
		.month = MIN(decode(s, s->regs[MONTH]), 12U),
		.year = MIN(decode(s, s->regs[CENTURY]), 99U) * 100 +
			MIN(decode(s, s->regs[YEAR]), 99U),
	};

	c.month = MAX(c.month, 1U);
	c.day = decode(s, s->regs[DAY]);
	c.day = MIN(c.day, calendar_month_days(c.month, c.year));
	c.day = MAX(c.day, 1U);
	return calendar_to_seconds(&c);
}

/* The guest's time is now what the registers say. */
static void set_time_from_regs(struct mc146818 *s, uint32_t ns)
{
	s->offset = subtract((struct instant){time_from_regs(s), ns}, wall(s));
	s->seen_s = guest_now(s).s;
}

/* Alarm. */

static bool alarm_matches(uint8_t reg, unsigned alarm, unsigned now)
{
	return (reg & ALARM_ANY) == ALARM_ANY || alarm == now;
}

/* The first second after 'after' at which the alarm matches; NEVER if its registers hold no time of day. */
static int64_t next_alarm(const struct mc146818 *s, int64_t after)
{
	const uint8_t *r = s->regs;
	unsigned second = decode(s, r[SECONDS_ALARM]), minute = decode(s, r[MINUTES_ALARM]),
		 hour = decode_hour(s, r[HOURS_ALARM]);
	int64_t t = after + 1, end = t + CALENDAR_DAY_S;

	if (!alarm_matches(r[SECONDS_ALARM], second < 60, true) ||
		!alarm_matches(r[MINUTES_ALARM], minute < 60, true) ||
		!alarm_matches(r[HOURS_ALARM], hour < 24, true))
		return NEVER;
	while (t <= end) {
		int64_t of_day = (t % CALENDAR_DAY_S + CALENDAR_DAY_S) % CALENDAR_DAY_S;

		if (!alarm_matches(r[HOURS_ALARM], hour, (unsigned)(of_day / 3600)))
			t += 3600 - of_day % 3600;
		else if (!alarm_matches(r[MINUTES_ALARM], minute, (unsigned)(of_day / 60 % 60)))
			t += 60 - of_day % 60;
		else if (!alarm_matches(r[SECONDS_ALARM], second, (unsigned)(of_day % 60)))
			t++;
		else
			return t;
	}
	return NEVER;
}

/* Periodic interrupt. */

/* Nanoseconds * 32768 between ticks over NSEC_PER_SEC: the period in 32768ths of a second; 0: off. */
static uint64_t period(const struct mc146818 *s)
{
	unsigned rate = s->regs[REG_A] & A_RATE;

	if (!rate || in_divider_reset(s))
		return 0;
	return UINT64_C(1) << (rate < 3 ? rate + 6 : rate - 1);
}

static uint64_t periodic_ticks(const struct mc146818 *s)
{
	uint64_t p = period(s);

	if (!p)
		return 0;
	return legacy_muldiv(
		machine_now_ns(s->dev.machine) - s->periodic_base_ns, 32768, p * NSEC_PER_SEC);
}

static void restart_periodic(struct mc146818 *s)
{
	s->periodic_base_ns = machine_now_ns(s->dev.machine);
	s->seen_ticks = 0;
}

/* Flags, line and timer. */

static uint8_t due_flags(const struct mc146818 *s)
{
	uint8_t flags = 0;
	int64_t now_s;

	if (periodic_ticks(s) != s->seen_ticks)
		flags |= C_PF;
	if (stands(s))
		return flags;
	now_s = guest_now(s).s;
	if (now_s > s->seen_s) {
		flags |= C_UF;
		if (next_alarm(s, s->seen_s) <= now_s)
			flags |= C_AF;
	}
	return flags;
}

/* Enable bits of register B and flags of register C have the same places. */
static uint8_t enabled(const struct mc146818 *s)
{
	return s->regs[REG_B] & (B_PIE | B_AIE | B_UIE);
}

static void see_flags(struct mc146818 *s)
{
	s->regs[REG_C] |= due_flags(s);
	s->seen_ticks = periodic_ticks(s);
	if (!stands(s))
		s->seen_s = guest_now(s).s;
	s->regs[REG_C] &= (uint8_t)~C_IRQF;
	if (s->regs[REG_C] & enabled(s))
		s->regs[REG_C] |= C_IRQF;
}

/* Machine time at which guest time reaches 't'. */
static uint64_t machine_time_of(const struct mc146818 *s, int64_t t)
{
	struct instant left = subtract((struct instant){t, 0}, guest_now(s));
	uint64_t now_ns = machine_now_ns(s->dev.machine);

	if (left.s < 0)
		return now_ns;
	return now_ns + (uint64_t)MIN(left.s, (int64_t)(2 * CALENDAR_DAY_S)) * NSEC_PER_SEC +
		left.ns;
}

static uint64_t next_event(const struct mc146818 *s)
{
	uint8_t wanted = enabled(s) & (uint8_t)~s->regs[REG_C];
	uint64_t at_ns = LOOP_NEVER, p = period(s);
	int64_t alarm;

	if (wanted & B_PIE && p)
		at_ns = s->periodic_base_ns +
			legacy_muldiv(s->seen_ticks + 1, p * NSEC_PER_SEC, 32768) + 1;
	if (stands(s))
		return at_ns;
	if (wanted & B_UIE)
		at_ns = MIN(at_ns, machine_time_of(s, s->seen_s + 1));
	alarm = wanted & B_AIE ? next_alarm(s, s->seen_s) : NEVER;
	if (alarm != NEVER)
		at_ns = MIN(at_ns, machine_time_of(s, alarm));
	return at_ns;
}

static void update(struct mc146818 *s)
{
	bool line;

	see_flags(s);
	line = s->regs[REG_C] & C_IRQF;
	irq_set_line(s->dev.machine->irq, LAYOUT_GSI_RTC, 0, line);
	/* A line that is up stays up until register C is read: nothing more to say until then. */
	(void)loop_timer_set(&s->timer, line ? LOOP_NEVER : next_event(s));
}

static void on_timer(struct loop_timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	update(container_of(timer, struct mc146818, timer));
}

/* Access. */

static bool is_time(unsigned index)
{
	return index == CENTURY ||
		(index <= YEAR && index != SECONDS_ALARM && index != MINUTES_ALARM &&
			index != HOURS_ALARM);
}

static uint8_t read_reg_a(const struct mc146818 *s)
{
	uint8_t value = s->regs[REG_A];

	if (!stands(s) && guest_now(s).ns >= NSEC_PER_SEC - UIP_NS)
		value |= A_UIP;
	return value;
}

static uint8_t read_reg_c(struct mc146818 *s)
{
	uint8_t value;

	update(s);
	value = s->regs[REG_C];
	s->regs[REG_C] = 0;
	update(s);
	return value;
}

static uint8_t read_data(struct mc146818 *s)
{
	if (is_time(s->index) && !stands(s))
		time_to_regs(s, guest_now(s).s);
	switch (s->index) {
	case REG_A:
		return read_reg_a(s);
	case REG_C:
		return read_reg_c(s);
	}
	return s->regs[s->index];
}

/* Registers A and B: the clock may stop or go on by it, and the format of the registers may change. */
static void write_control(struct mc146818 *s, unsigned index, uint8_t value)
{
	bool stood = stands(s), was_in_reset = in_divider_reset(s);
	uint8_t rate = s->regs[REG_A] & A_RATE;

	if (!stood) {
		struct instant now = guest_now(s);

		time_to_regs(s, now.s);
		s->frozen_ns = now.ns;
	}
	if (index == REG_A)
		s->regs[REG_A] = value & (uint8_t)~A_UIP;
	else /* setting the clock ends update interrupts: data sheet, SET */
		s->regs[REG_B] = value & B_SET ? value & (uint8_t)~B_UIE : value;
	if (in_divider_reset(s))
		s->frozen_ns =
			NSEC_PER_SEC / 2; /* the first second after the reset is half a one */
	if (stood && !stands(s))
		set_time_from_regs(s, s->frozen_ns);
	if (rate != (s->regs[REG_A] & A_RATE) || was_in_reset != in_divider_reset(s))
		restart_periodic(s);
}

static void write_data(struct mc146818 *s, uint8_t value)
{
	update(s);
	if (s->index == REG_A || s->index == REG_B) {
		write_control(s, s->index, value);
	} else if (is_time(s->index) && !stands(s)) {
		struct instant now = guest_now(s);

		time_to_regs(s, now.s);
		s->regs[s->index] = value;
		set_time_from_regs(s, now.ns);
	} else if (s->index != REG_C && s->index != REG_D) {
		s->regs[s->index] = value;
	}
	update(s);
}

static uint8_t read_byte(struct device *dev, uint64_t offset)
{
	return offset ? read_data(to_rtc(dev)) : 0xff;
}

static void write_byte(struct device *dev, uint64_t offset, uint8_t value)
{
	struct mc146818 *s = to_rtc(dev);

	/* Bit 7 of the index masks NMIs on a PC; here nothing but the user sends any. */
	if (offset)
		write_data(s, value);
	else
		s->index = value & (N_REGS - 1);
}

static uint64_t mc146818_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	(void)region;
	return legacy_read_bytes(dev, offset, size, read_byte);
}

static void mc146818_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	(void)region;
	legacy_write_bytes(dev, offset, size, value, write_byte);
}

/* Life. */

void mc146818_set_wall_clock(
	struct device *mc146818, int64_t (*wall_ns)(void *opaque), void *opaque)
{
	struct mc146818 *s = to_rtc(mc146818);

	s->clock = wall_ns;
	s->clock_opaque = opaque;
	if (!stands(s))
		s->seen_s = guest_now(s).s;
	update(s);
}

/* What firmware of a PC leaves in the memory: sizes of RAM in KiB and 64 KiB, and the number of CPUs. */
static void fill_memory(struct mc146818 *s)
{
	uint64_t ram_kib = s->dev.machine->mem->size >> 10;
	uint64_t low_kib = MIN(ram_kib, LAYOUT_LOW_RAM_MAX >> 10);
	uint64_t above_1m = low_kib > 1024 ? MIN(low_kib - 1024, UINT64_C(0xffff)) : 0;
	uint64_t above_16m = low_kib > 16384 ? (low_kib - 16384) / 64 : 0;
	uint64_t above_4g = (ram_kib - low_kib) / 64;

	s->regs[0x15] = 640 & 0xff;
	s->regs[0x16] = 640 >> 8;
	s->regs[0x17] = s->regs[0x30] = (uint8_t)above_1m;
	s->regs[0x18] = s->regs[0x31] = (uint8_t)(above_1m >> 8);
	s->regs[0x34] = (uint8_t)above_16m;
	s->regs[0x35] = (uint8_t)(above_16m >> 8);
	for (unsigned i = 0; i < 3; i++)
		s->regs[0x5b + i] = (uint8_t)(above_4g >> (8 * i));
	s->regs[0x5f] = (uint8_t)(s->dev.machine->config->vcpus - 1);
}

static int mc146818_realize(struct device *dev)
{
	struct mc146818 *s = to_rtc(dev);

	loop_timer_init(&s->timer, dev->machine->loop, on_timer);
	s->clock = host_clock;
	s->regs[REG_A] = 0x26; /* 32768 Hz, 1024 Hz */
	s->regs[REG_B] = B_24H;
	s->regs[REG_D] = D_VALID;
	fill_memory(s);
	restart_periodic(s);
	s->seen_s = guest_now(s).s;
	return 0;
}

static void mc146818_unrealize(struct device *dev)
{
	loop_timer_stop(&to_rtc(dev)->timer);
}

/* The battery keeps time, memory and mode; a reset disables interrupts and clears their flags. A guest that was reset
 * while it set the clock has set it. */
static void mc146818_reset(struct device *dev)
{
	struct mc146818 *s = to_rtc(dev);

	s->index = REG_D;
	s->regs[0x5f] = (uint8_t)(dev->machine->config->vcpus - 1);
	if (in_divider_reset(s))
		write_control(s, REG_A, 0x26);
	write_control(
		s, REG_B, s->regs[REG_B] & (uint8_t) ~(B_SET | B_PIE | B_AIE | B_UIE | B_SQWE));
	see_flags(s);
	s->regs[REG_C] = 0;
	update(s);
}

static void mc146818_save(const struct device *dev, struct state_writer *w)
{
	struct mc146818 s = *(const struct mc146818 *)dev;

	see_flags(&s);
	state_put_bytes(w, s.regs, sizeof(s.regs));
	state_put_u8(w, s.index);
	state_put_u64(w, (uint64_t)s.offset.s);
	state_put_u32(w, s.offset.ns);
	state_put_u32(w, s.frozen_ns);
	state_put_u64(w, (uint64_t)s.seen_s);
	state_put_u64(w, machine_now_ns(dev->machine) - s.periodic_base_ns);
	state_put_u64(w, s.seen_ticks);
}

static int mc146818_load(struct device *dev, struct state_reader *r)
{
	struct mc146818 *s = to_rtc(dev);
	struct mc146818 new = *s;
	uint64_t age_ns;

	state_get_bytes(r, new.regs, sizeof(new.regs));
	new.index = state_get_u8(r);
	new.offset.s = (int64_t)state_get_u64(r);
	new.offset.ns = state_get_u32(r);
	new.frozen_ns = state_get_u32(r);
	new.seen_s = (int64_t)state_get_u64(r);
	age_ns = state_get_u64(r);
	new.seen_ticks = state_get_u64(r);
	if (state_reader_end(r) < 0 || new.index >= N_REGS || new.regs[REG_A] & A_UIP ||
		new.regs[REG_C] & 0x0f || new.regs[REG_D] != D_VALID || new.offset.s > MAX_OFFSET ||
		new.offset.s < -MAX_OFFSET || new.seen_s > MAX_OFFSET || new.seen_s < -MAX_OFFSET ||
		new.offset.ns >= NSEC_PER_SEC || new.frozen_ns >= NSEC_PER_SEC || age_ns >> 60 ||
		new.seen_ticks >> 50)
		return -EBADMSG;
	new.periodic_base_ns = machine_now_ns(dev->machine) - age_ns;
	*s = new;
	update(s);
	return 0;
}

static const struct device_ops mc146818_ops = {
	.realize = mc146818_realize,
	.unrealize = mc146818_unrealize,
	.reset = mc146818_reset,
	.read = mc146818_read,
	.write = mc146818_write,
	.save = mc146818_save,
	.load = mc146818_load,
};

const struct device_class mc146818_class = {
	.name = "mc146818",
	.state_version = 1,
	.size = sizeof(struct mc146818),
	.ops = &mc146818_ops,
};
