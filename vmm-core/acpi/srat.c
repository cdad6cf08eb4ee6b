/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which processors and which memory are near to each other: the bodies of SRAT and SLIT (ACPI 6.5, 5.2.16 and 5.2.17). A cell of the
 * guest's is a proximity domain of the same number. Tested by tests/unit/test-acpi.c.
 *
 * The SRAT has all vCPUs that there can be, also those that are not there yet: they say it again (_PXM) when they come.
 */
#include "vmm-core/acpi/acpi-internal.h"

#include "vmm-core/cpu-topology.h"
#include "vmm-core/ram-map.h"

#define AFFINITY_APIC   0
#define AFFINITY_MEMORY 1
#define AFFINITY_X2APIC 2
#define ENABLED         1
#define XAPIC_MAX_ID    254

unsigned acpi_cell_of(const struct vm_config *config, unsigned vcpu)
{
	for (unsigned i = 0; i < config->n_cells; i++)
		if (config->cells[i].cpus[vcpu / 64] >> vcpu % 64 & 1)
			return i;
	return 0;
}

static void processor(struct aml *w, uint32_t apic_id, unsigned cell)
{
	bool x2apic = apic_id > XAPIC_MAX_ID;

	aml_u8(w, x2apic ? AFFINITY_X2APIC : AFFINITY_APIC);
	if (x2apic) {
		aml_u8(w, 24);
		aml_u16(w, 0);
		aml_u32(w, cell);
		aml_u32(w, apic_id);
		aml_u32(w, ENABLED);
		aml_u32(w, 0); /* clock domain */
		aml_u32(w, 0);
	} else {
		aml_u8(w, 16);
		aml_u8(w, cell);
		aml_u8(w, apic_id);
		aml_u32(w, ENABLED);
		aml_u32(w, 0); /* no SAPIC; the domain's upper bytes */
		aml_u32(w, 0); /* clock domain */
	}
}

void acpi_srat_memory(struct aml *w, uint64_t base, uint64_t size, unsigned cell, unsigned flags)
{
	aml_u8(w, AFFINITY_MEMORY);
	aml_u8(w, 40);
	aml_u32(w, cell);
	aml_u16(w, 0);
	aml_u64(w, base);
	aml_u64(w, size);
	aml_u32(w, 0);
	aml_u32(w, ENABLED | flags);
	aml_u64(w, 0);
}

void acpi_srat_body(struct aml *w, const struct vm_config *config)
{
	struct cpu_topology topology = cpu_topology_of(config);
	struct ram_map map;

	aml_u32(w, 1); /* reserved, and 1 for those who know the first version */
	aml_u64(w, 0);
	for (unsigned i = 0; i < config->vcpus_max; i++)
		processor(w, cpu_apic_id(&topology, i), acpi_cell_of(config, i));
	ram_map_of(config, &map);
	for (unsigned i = 0; i < map.n; i++)
		acpi_srat_memory(w, map.ranges[i].base, map.ranges[i].size, map.ranges[i].cell, 0);
}

void acpi_slit_body(struct aml *w, const struct vm_config *config)
{
	aml_u64(w, config->n_cells);
	for (unsigned from = 0; from < config->n_cells; from++)
		aml_bytes(w, config->cells[from].distances, config->n_cells);
}
