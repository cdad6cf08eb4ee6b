/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * acpi-pm: the ACPI fixed hardware (ACPI 6.5 section 4.8): PM1a events and control, the power management timer,
 * general-purpose events, and the SCI that they share. Numbers are in vmm-core/acpi/acpi-hw.h.
 *
 * Status bits are set by events and cleared by writing ones; the SCI is up while any enabled one is set. The timer's
 * status (its top bit changed) is worked out when somebody looks; a loop timer runs only while it is enabled.
 */
#include "devices/legacy/legacy.h"
#include "vmm-core/acpi/acpi-hw.h"

enum { REGION_PM, REGION_GPE };
enum { PM1_STS = 0, PM1_EN = 2, PM1_CNT = 4, PM_TMR = 8 };
enum { GPE_STS = 0, GPE_EN = 2 };

#define PM1_EVENTS   (ACPI_PM1_TMR | ACPI_PM1_GBL | ACPI_PM1_PWRBTN | ACPI_PM1_SLPBTN | ACPI_PM1_RTC)
#define PM1_STS_BITS (PM1_EVENTS | ACPI_PM1_WAK)
#define PM1_CNT_BITS (ACPI_PM1_CNT_BM_RLD | ACPI_PM1_CNT_SLP_TYP)
#define HALF_RANGE   (UINT64_C(1) << 31) /* ticks between changes of the timer's top bit */

struct acpi_pm {
	struct device dev;
	uint16_t pm1_sts, pm1_en, pm1_cnt;
	uint16_t gpe_sts, gpe_en;
	uint64_t start_ns;   /* when the timer was 0 */
	uint64_t seen_halfs; /* changes of its top bit that pm1_sts knows of */
	struct loop_timer timer;
};

static struct acpi_pm *to_acpi_pm(struct device *dev)
{
	return container_of(dev, struct acpi_pm, dev);
}

static uint64_t timer_ticks(const struct acpi_pm *s)
{
	return legacy_muldiv(
		machine_now_ns(s->dev.machine) - s->start_ns, ACPI_PM_TMR_HZ, NSEC_PER_SEC);
}

/* Bring TMR_STS up to date and wake up for the next change if somebody wants to be told. */
static void update_timer(struct acpi_pm *s)
{
	uint64_t halfs = timer_ticks(s) / HALF_RANGE;

	if (halfs != s->seen_halfs)
		s->pm1_sts |= ACPI_PM1_TMR;
	s->seen_halfs = halfs;
	if (s->pm1_en & ACPI_PM1_TMR && !(s->pm1_sts & ACPI_PM1_TMR))
		(void)loop_timer_set(&s->timer,
			s->start_ns +
				legacy_muldiv(
					(halfs + 1) * HALF_RANGE, NSEC_PER_SEC, ACPI_PM_TMR_HZ) +
				1);
	else
		loop_timer_stop(&s->timer);
}

static void update(struct acpi_pm *s)
{
	update_timer(s);
	irq_set_line(s->dev.machine->irq, ACPI_SCI_GSI, 0,
		s->pm1_sts & s->pm1_en & PM1_EVENTS || s->gpe_sts & s->gpe_en);
}

static void on_timer(struct loop_timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	update(container_of(timer, struct acpi_pm, timer));
}

void acpi_pm_power_button(struct device *acpi_pm)
{
	struct acpi_pm *s = to_acpi_pm(acpi_pm);

	s->pm1_sts |= ACPI_PM1_PWRBTN;
	update(s);
}

void acpi_pm_gpe_raise(struct device *acpi_pm, unsigned gpe)
{
	struct acpi_pm *s = to_acpi_pm(acpi_pm);

	assert(gpe < ACPI_N_GPES);
	s->gpe_sts |= (uint16_t)(1U << gpe);
	update(s);
}

/* Registers. */

static uint64_t acpi_pm_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	struct acpi_pm *s = to_acpi_pm(dev);
	uint64_t regs[ACPI_PM_LEN / 8 + 1] = {0}, value;

	(void)size;
	if (region == REGION_GPE)
		return (s->gpe_sts | (uint64_t)s->gpe_en << 16) >> (8 * offset);
	update(s);
	regs[0] = s->pm1_sts | (uint64_t)s->pm1_en << 16 |
		(uint64_t)(s->pm1_cnt | ACPI_PM1_CNT_SCI_EN) << 32;
	regs[1] = (uint32_t)timer_ticks(s);
	value = regs[offset / 8] >> (8 * (offset % 8));
	if (offset % 8)
		value |= regs[offset / 8 + 1] << (64 - 8 * (offset % 8));
	return value;
}

static uint16_t set_byte(uint16_t old, uint64_t offset, uint8_t value)
{
	return offset & 1 ? (uint16_t)((old & 0x00ff) | value << 8)
			  : (uint16_t)((old & 0xff00) | value);
}

/* SLP_EN and SLP_TYP lie in the upper byte, so that one access of a byte has both. */
static void write_control(struct acpi_pm *s, uint64_t offset, uint8_t byte)
{
	uint16_t value = set_byte(s->pm1_cnt, offset, byte);

	s->pm1_cnt = value & PM1_CNT_BITS;
	if (!(value & ACPI_PM1_CNT_SLP_EN))
		return;
	if ((value & ACPI_PM1_CNT_SLP_TYP) >> ACPI_PM1_CNT_SLP_TYP_SHIFT == ACPI_SLP_TYP_S5)
		machine_request(s->dev.machine, MACHINE_POWEROFF, 0);
}

static void write_pm(struct device *dev, uint64_t offset, uint8_t value)
{
	struct acpi_pm *s = to_acpi_pm(dev);

	switch (offset & ~UINT64_C(1)) {
	case PM1_STS:
		s->pm1_sts &= (uint16_t)~set_byte(0, offset, value);
		break;
	case PM1_EN:
		s->pm1_en = set_byte(s->pm1_en, offset, value) & PM1_EVENTS;
		break;
	case PM1_CNT:
		write_control(s, offset, value);
		break;
	}
}

static void write_gpe(struct device *dev, uint64_t offset, uint8_t value)
{
	struct acpi_pm *s = to_acpi_pm(dev);

	if (offset < GPE_EN)
		s->gpe_sts &= (uint16_t)~set_byte(0, offset, value);
	else
		s->gpe_en = set_byte(s->gpe_en, offset, value);
}

static void acpi_pm_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	update_timer(to_acpi_pm(dev));
	legacy_write_bytes(dev, offset, size, value, region == REGION_GPE ? write_gpe : write_pm);
	update(to_acpi_pm(dev));
}

/* Life. */

static int acpi_pm_realize(struct device *dev)
{
	loop_timer_init(&to_acpi_pm(dev)->timer, dev->machine->loop, on_timer);
	dev->machine->acpi_pm = dev;
	dev->machine->power_button = acpi_pm_power_button;
	return 0;
}

static void acpi_pm_unrealize(struct device *dev)
{
	loop_timer_stop(&to_acpi_pm(dev)->timer);
	dev->machine->acpi_pm = NULL;
	dev->machine->power_button = NULL;
}

static void acpi_pm_reset(struct device *dev)
{
	struct acpi_pm *s = to_acpi_pm(dev);

	s->pm1_sts = s->pm1_en = s->pm1_cnt = s->gpe_sts = s->gpe_en = 0;
	s->start_ns = machine_now_ns(dev->machine);
	s->seen_halfs = 0;
	update(s);
}

static void acpi_pm_save(const struct device *dev, struct state_writer *w)
{
	const struct acpi_pm *s = (const struct acpi_pm *)dev;
	uint64_t halfs = timer_ticks(s) / HALF_RANGE;

	state_put_u16(w, halfs != s->seen_halfs ? s->pm1_sts | ACPI_PM1_TMR : s->pm1_sts);
	state_put_u16(w, s->pm1_en);
	state_put_u16(w, s->pm1_cnt);
	state_put_u16(w, s->gpe_sts);
	state_put_u16(w, s->gpe_en);
	state_put_u64(w, machine_now_ns(dev->machine) - s->start_ns);
	state_put_u64(w, halfs);
}

static int acpi_pm_load(struct device *dev, struct state_reader *r)
{
	struct acpi_pm *s = to_acpi_pm(dev);
	uint16_t pm1_sts = state_get_u16(r), pm1_en = state_get_u16(r), pm1_cnt = state_get_u16(r),
		 gpe_sts = state_get_u16(r), gpe_en = state_get_u16(r);
	uint64_t age_ns = state_get_u64(r), seen_halfs = state_get_u64(r);

	if (state_reader_end(r) < 0 || pm1_sts & ~PM1_STS_BITS || pm1_en & ~PM1_EVENTS ||
		pm1_cnt & ~PM1_CNT_BITS || age_ns >> 60)
		return -EBADMSG;
	s->pm1_sts = pm1_sts;
	s->pm1_en = pm1_en;
	s->pm1_cnt = pm1_cnt;
	s->gpe_sts = gpe_sts;
	s->gpe_en = gpe_en;
	s->start_ns = machine_now_ns(dev->machine) - age_ns;
	s->seen_halfs = seen_halfs;
	update(s);
	return 0;
}

static const struct device_ops acpi_pm_ops = {
	.realize = acpi_pm_realize,
	.unrealize = acpi_pm_unrealize,
	.reset = acpi_pm_reset,
	.read = acpi_pm_read,
	.write = acpi_pm_write,
	.save = acpi_pm_save,
	.load = acpi_pm_load,
};

const struct device_class acpi_pm_class = {
	.name = "acpi-pm",
	.state_version = 1,
	.size = sizeof(struct acpi_pm),
	.ops = &acpi_pm_ops,
};
