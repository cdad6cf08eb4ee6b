/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ACPI name space's processors, and their coming and going: see acpi.h for what a guest finds there, acpi-hw.h for the
 * registers, and devices/legacy/acpi-cpu.c for who keeps their promises. Tested by tests/unit/test-acpi.c.
 *
 * Each processor asks for its own bit (_STA), so what there is now is what a guest sees; the MADT says what there was when
 * it started.
 */
#include "vmm-core/acpi/acpi-internal.h"

#include <stdio.h>

#include "vmm-core/acpi/acpi-hw.h"
#include "vmm-core/cpu-topology.h"

/* Of Notify, ACPI 6.5, 5.6.6. */
#define NOTIFY_DEVICE_CHECK  1
#define NOTIFY_EJECT_REQUEST 3

#define STA_PRESENT  0x0f /* present, enabled, shown, working */
#define NAME_SIZE    8
#define XAPIC_MAX_ID 254
#define N_FIELDS     (4 * ACPI_CPU_BANKS + 1)

static uint32_t bit_of(unsigned i)
{
	return UINT32_C(1) << i % 32;
}

/* "CPP3": the register 'kind' (P, U, D, E) of the bank with processor 'i'. */
static void reg_name(char ret[NAME_SIZE], char kind, unsigned i)
{
	(void)snprintf(ret, NAME_SIZE, "CP%c%u", kind, i / 32 % ACPI_CPU_BANKS);
}

static void cpu_name(char ret[NAME_SIZE], unsigned i)
{
	(void)snprintf(ret, NAME_SIZE, "C%03X", i & 0xfff);
}

static void registers(struct aml *w)
{
	static const char kinds[] = "PUDE";
	char names[N_FIELDS][NAME_SIZE];
	const char *fields[N_FIELDS + 1] = {NULL};

	static_assert(ACPI_CPU_PRESENT == 0 && ACPI_CPU_UP == 4 * ACPI_CPU_BANKS &&
			ACPI_CPU_DOWN == 8 * ACPI_CPU_BANKS &&
			ACPI_CPU_EJECT == 12 * ACPI_CPU_BANKS &&
			ACPI_CPU_OST == 16 * ACPI_CPU_BANKS,
		"the fields in their order");
	for (unsigned i = 0; i < N_FIELDS; i++) {
		if (i < N_FIELDS - 1)
			reg_name(names[i], kinds[i / ACPI_CPU_BANKS], i % ACPI_CPU_BANKS * 32);
		else
			(void)snprintf(names[i], NAME_SIZE, "CPST");
		fields[i] = names[i];
	}
	aml_op_region_io(w, "CPHR", ACPI_CPU_HOTPLUG, ACPI_CPU_HOTPLUG_LEN);
	aml_field_dwords(w, "CPHR", fields);
}

/* And(reg, bit, ) */
static void and_bit(struct aml *w, unsigned i)
{
	aml_int(w, bit_of(i));
	aml_int(w, 0); /* no target */
}

static void status(struct aml *w, unsigned i)
{
	size_t method = aml_method(w, "_STA", 0, false), branch = aml_if(w);
	char reg[NAME_SIZE];

	reg_name(reg, 'P', i);
	aml_op(w, AML_AND);
	aml_path(w, reg);
	and_bit(w, i);
	aml_op(w, AML_RETURN);
	aml_int(w, STA_PRESENT);
	aml_end(w, branch);
	aml_op(w, AML_RETURN);
	aml_int(w, 0);
	aml_end(w, method);
}

/* The processor's entry of the MADT, as it is when the processor is there. */
static void apic_entry(struct aml *w, unsigned i, uint32_t apic_id)
{
	uint8_t data[16];
	struct aml entry = {.data = data, .size = sizeof(data)};

	acpi_madt_processor(&entry, apic_id, i, /* enabled= */ true);
	aml_name(w, "_MAT");
	aml_buffer(w, data, entry.len);
}

static void eject(struct aml *w, unsigned i)
{
	size_t method = aml_method(w, "_EJ0", 1, false);
	char reg[NAME_SIZE];

	reg_name(reg, 'E', i);
	aml_op(w, AML_STORE);
	aml_int(w, bit_of(i));
	aml_path(w, reg);
	aml_end(w, method);
}

/* What became of an event: COST(processor, event, status). */
static void report(struct aml *w, unsigned i)
{
	size_t method = aml_method(w, "_OST", 3, false);

	aml_path(w, "COST");
	aml_int(w, i);
	aml_arg(w, 0);
	aml_arg(w, 1);
	aml_end(w, method);
}

static void cost_method(struct aml *w)
{
	size_t method = aml_method(w, "COST", 3, true);

	for (unsigned arg = 1; arg <= 2; arg++) {
		aml_op(w, AML_AND);
		aml_arg(w, arg);
		aml_int(w, 0xff);
		aml_local(w, arg);
		aml_op(w, AML_SHIFT_LEFT);
		aml_local(w, arg);
		aml_int(w, 8 * arg);
		aml_local(w, arg);
	}
	aml_op(w, AML_OR);
	aml_arg(w, 0);
	aml_local(w, 1);
	aml_local(w, 1);
	aml_op(w, AML_OR);
	aml_local(w, 1);
	aml_local(w, 2);
	aml_path(w, "CPST");
	aml_end(w, method);
}

static void processor(struct aml *w, const struct vm_config *config, unsigned i, uint32_t apic_id)
{
	char name[NAME_SIZE];
	size_t device;

	cpu_name(name, i);
	device = aml_device(w, name);
	aml_name(w, "_HID");
	aml_string(w, "ACPI0007");
	aml_name(w, "_UID");
	aml_int(w, i);
	status(w, i);
	apic_entry(w, i, apic_id);
	if (config->n_cells) {
		aml_name(w, "_PXM");
		aml_int(w, acpi_cell_of(config, i));
	}
	/* The first one stays. */
	if (i > 0) {
		eject(w, i);
		report(w, i);
	}
	aml_end(w, device);
}

/* Take what the registers hold, and tell each processor whose bit is set. */
static void notify(struct aml *w, unsigned n, char kind, unsigned event)
{
	char reg[NAME_SIZE], name[NAME_SIZE];

	for (unsigned i = 0; i < n; i++) {
		size_t branch;

		if (i % 32 == 0) {
			reg_name(reg, kind, i);
			aml_op(w, AML_STORE);
			aml_path(w, reg);
			aml_local(w, 0);
			aml_op(w, AML_STORE);
			aml_local(w, 0);
			aml_path(w, reg);
		}
		branch = aml_if(w);
		aml_op(w, AML_AND);
		aml_local(w, 0);
		and_bit(w, i);
		aml_op(w, AML_NOTIFY);
		cpu_name(name, i);
		aml_path(w, name);
		aml_int(w, event);
		aml_end(w, branch);
	}
}

void acpi_dsdt_cpus(struct aml *w, const struct vm_config *config)
{
	struct cpu_topology topology = cpu_topology_of(config);
	size_t container = aml_device(w, "CPUS"), method;

	aml_name(w, "_HID");
	aml_string(w, "ACPI0010");
	registers(w);
	cost_method(w);
	for (unsigned i = 0; i < config->vcpus_max; i++)
		processor(w, config, i, cpu_apic_id(&topology, i));
	method = aml_method(w, "CSCN", 0, true);
	notify(w, config->vcpus_max, 'U', NOTIFY_DEVICE_CHECK);
	notify(w, config->vcpus_max, 'D', NOTIFY_EJECT_REQUEST);
	aml_end(w, method);
	aml_end(w, container);
}

void acpi_dsdt_cpu_events(struct aml *w)
{
	size_t scope = aml_scope(w, "\\_GPE"), method;

	static_assert(ACPI_GPE_CPU_HOTPLUG == 2, "the method is named after it");
	method = aml_method(w, "_E02", 0, false);
	aml_path(w, "\\_SB.CPUS.CSCN");
	aml_end(w, method);
	aml_end(w, scope);
}
