/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "acpi-cpu-hotplug": processors that come and go while the machine runs. The registers are vmm-core/acpi/acpi-hw.h's; the AML
 * that uses them is made by vmm-core/acpi/dsdt-cpu.c.
 *
 *	more	a vCPU is there at once: its bits in PRESENT and UP, and the event: the guest looks at it
 *	fewer	its bit in DOWN and the event: the guest is asked to let go of it. Nothing else happens until it does, by
 *		writing the bit to EJECT (_EJ0), or is reset: then the vCPU is gone at once, and the vm stops its thread
 *
 * vCPUs come from the lowest number on and are asked for from the highest down; vCPU 0 stays. A guest that says no (_OST) is
 * heard, and the request stays as it is: it can still be obeyed, or taken back. A guest that ejects what nobody wants back is not
 * obeyed, but told that it is there: when a request is taken back the guest may be about to obey, and would not use the vCPU again.
 */
#include <errno.h>
#include <string.h>

#include "devices/legacy/legacy.h"
#include "vmm-core/acpi/acpi-hw.h"

#define BANKS ACPI_CPU_BANKS

static_assert(BANKS * 32 > VM_MAX_VCPUS, "a bit each");

struct acpi_cpu {
	struct device dev;
	uint32_t present[BANKS], up[BANKS], down[BANKS]; /* registers */
	uint32_t asked[BANKS]; /* wanted back, and the guest has not let go of them */
};

static struct acpi_cpu *to_cpu(struct device *dev)
{
	return container_of(dev, struct acpi_cpu, dev);
}

static bool has(const uint32_t bits[BANKS], unsigned i)
{
	return bits[i / 32] >> i % 32 & 1;
}

static void set(uint32_t bits[BANKS], unsigned i)
{
	bits[i / 32] |= UINT32_C(1) << i % 32;
}

static void clear(uint32_t bits[BANKS], unsigned i)
{
	bits[i / 32] &= ~(UINT32_C(1) << i % 32);
}

static void tell_guest(const struct acpi_cpu *s)
{
	if (s->dev.machine->acpi_pm)
		acpi_pm_gpe_raise(s->dev.machine->acpi_pm, ACPI_GPE_CPU_HOTPLUG);
}

/* What the vm asks. */

static void plug(struct acpi_cpu *s, unsigned i)
{
	/* What was asked for and not obeyed is taken back. */
	clear(s->asked, i);
	clear(s->down, i);
	if (has(s->present, i))
		return;
	set(s->present, i);
	set(s->up, i);
}

static void unplug(struct acpi_cpu *s, unsigned i)
{
	if (!has(s->present, i))
		return;
	set(s->asked, i);
	set(s->down, i);
}

static void cpu_set(struct device *dev, unsigned n)
{
	struct acpi_cpu *s = to_cpu(dev);

	assert(n >= 1 && n <= dev->machine->config->vcpus_max);
	for (unsigned i = 0; i < n; i++)
		plug(s, i);
	for (unsigned i = n; i < dev->machine->config->vcpus_max; i++)
		unplug(s, i);
	tell_guest(s);
}

static bool cpu_is_present(const struct device *dev, unsigned i)
{
	const struct acpi_cpu *s = (const struct acpi_cpu *)(const void *)dev;

	return i / 32 < BANKS && has(s->present, i);
}

static const struct machine_cpu_ops cpu_machine_ops = {
	.set = cpu_set,
	.is_present = cpu_is_present,
};

/* What the guest does. */

/* Of these, those that are wanted back. On any thread: the vm stops their threads. */
static void let_go(struct acpi_cpu *s, unsigned bank, uint32_t bits)
{
	uint32_t unasked = bits & s->present[bank] & ~s->asked[bank];

	if (unasked) {
		s->up[bank] |= unasked;
		tell_guest(s);
	}
	bits &= s->asked[bank];
	s->asked[bank] &= ~bits;
	s->present[bank] &= ~bits;
	s->up[bank] &= ~bits;
	s->down[bank] &= ~bits;
	if (bits)
		machine_request(s->dev.machine, MACHINE_VCPUS, 0);
}

/* _OST of an eject request: anything but success is a no. */
static void take_status(const struct acpi_cpu *s, uint32_t value)
{
	unsigned i = value & 0xff, event = value >> 8 & 0xff, status = value >> 16 & 0xff;

	if (event == ACPI_CPU_OST_EJECT && status >= 1 && status != ACPI_CPU_OST_IN_PROGRESS &&
		i < s->dev.machine->config->vcpus_max && has(s->asked, i))
		machine_request(s->dev.machine, MACHINE_VCPU_REFUSED, (int)i);
}

static uint64_t cpu_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	const struct acpi_cpu *s = to_cpu(dev);
	uint8_t bytes[ACPI_CPU_HOTPLUG_LEN + 8] = {0};
	uint64_t value;

	(void)region;
	(void)size;
	memcpy(bytes + ACPI_CPU_PRESENT, s->present, sizeof(s->present));
	memcpy(bytes + ACPI_CPU_UP, s->up, sizeof(s->up));
	memcpy(bytes + ACPI_CPU_DOWN, s->down, sizeof(s->down));
	memcpy(&value, bytes + offset, sizeof(value));
	return value;
}

static void cpu_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	struct acpi_cpu *s = to_cpu(dev);
	unsigned bank = offset / 4 % BANKS;

	(void)region;
	if (size != 4 || offset % 4)
		return;
	if (offset == ACPI_CPU_OST)
		take_status(s, (uint32_t)value);
	else if (offset >= ACPI_CPU_EJECT)
		let_go(s, bank, (uint32_t)value);
	else if (offset >= ACPI_CPU_DOWN)
		s->down[bank] &= ~(uint32_t)value;
	else if (offset >= ACPI_CPU_UP)
		s->up[bank] &= ~(uint32_t)value;
}

/* Life. */

static int cpu_realize(struct device *dev)
{
	struct acpi_cpu *s = to_cpu(dev);

	for (unsigned i = 0; i < dev->machine->config->vcpus; i++)
		set(s->present, i);
	dev->machine->cpu_hotplug = dev;
	dev->machine->cpu_ops = &cpu_machine_ops;
	return 0;
}

static void cpu_unrealize(struct device *dev)
{
	dev->machine->cpu_hotplug = NULL;
	dev->machine->cpu_ops = NULL;
}

/* The guest that was asked is no more, and the next one finds what is there: vCPUs 0 … n - 1, whatever n was asked for. */
static void cpu_reset(struct device *dev)
{
	struct acpi_cpu *s = to_cpu(dev);

	for (unsigned bank = 0; bank < BANKS; bank++)
		let_go(s, bank, s->asked[bank]);
	memset(s->up, 0, sizeof(s->up));
	memset(s->down, 0, sizeof(s->down));
}

static void put_bits(struct state_writer *w, const uint32_t bits[BANKS])
{
	for (unsigned bank = 0; bank < BANKS; bank++)
		state_put_u32(w, bits[bank]);
}

static void cpu_save(const struct device *dev, struct state_writer *w)
{
	const struct acpi_cpu *s = (const struct acpi_cpu *)(const void *)dev;

	put_bits(w, s->present);
	put_bits(w, s->up);
	put_bits(w, s->down);
	put_bits(w, s->asked);
}

/* vCPU 0 is there; what is asked for, up or down is too; nothing is beyond the last. */
static bool is_possible(const struct acpi_cpu *s, unsigned n)
{
	if (!has(s->present, 0) || has(s->asked, 0))
		return false;
	for (unsigned i = 0; i < BANKS * 32; i++) {
		if (has(s->present, i) ? i >= n : has(s->up, i) || has(s->asked, i))
			return false;
		if (has(s->down, i) && !has(s->asked, i))
			return false;
	}
	return true;
}

static int cpu_load(struct device *dev, struct state_reader *r)
{
	struct acpi_cpu *s = to_cpu(dev), loaded;
	uint32_t *const all[] = {loaded.present, loaded.up, loaded.down, loaded.asked};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (unsigned bank = 0; bank < BANKS; bank++)
			all[i][bank] = state_get_u32(r);
	if (state_reader_end(r) < 0 || !is_possible(&loaded, dev->machine->config->vcpus_max))
		return -EBADMSG;
	memcpy(s->present, loaded.present, sizeof(s->present));
	memcpy(s->up, loaded.up, sizeof(s->up));
	memcpy(s->down, loaded.down, sizeof(s->down));
	memcpy(s->asked, loaded.asked, sizeof(s->asked));
	machine_request(dev->machine, MACHINE_VCPUS, 0);
	return 0;
}

static const struct device_ops cpu_ops = {
	.realize = cpu_realize,
	.unrealize = cpu_unrealize,
	.reset = cpu_reset,
	.read = cpu_read,
	.write = cpu_write,
	.save = cpu_save,
	.load = cpu_load,
};

const struct device_class acpi_cpu_class = {
	.name = "acpi-cpu-hotplug",
	.state_version = 1,
	.size = sizeof(struct acpi_cpu),
	.ops = &cpu_ops,
};
