/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shape of the guest's processors: see cpu-topology.h. */
#include "vmm-core/cpu-topology.h"

#include "vmm-core/base/macro.h"

/* How many bits tell 'n' things apart. */
static unsigned width(unsigned n)
{
	unsigned bits = 0;

	while ((1U << bits) < n)
		bits++;
	return bits;
}

struct cpu_topology cpu_topology_of(const struct vm_config *config)
{
	const struct vm_cpu *cpu = &config->cpu;
	struct cpu_topology t = {
		.sockets = cpu->sockets,
		.dies = MAX(cpu->dies, (uint16_t)1),
		.cores = cpu->cores,
		.threads = cpu->threads,
	};

	if (!t.sockets || !t.cores || !t.threads)
		t = (struct cpu_topology){
			.sockets = config->vcpus_max, .dies = 1, .cores = 1, .threads = 1};
	t.thread_bits = width(t.threads);
	t.core_bits = width(t.cores);
	t.die_bits = width(t.dies);
	t.core_shift = t.thread_bits;
	t.die_shift = t.core_shift + t.core_bits;
	t.package_shift = t.die_shift + t.die_bits;
	return t;
}

uint32_t cpu_apic_id(const struct cpu_topology *t, unsigned index)
{
	unsigned thread = index % t->threads, core = index / t->threads;
	unsigned die = core / t->cores, package = die / t->dies;

	return package << t->package_shift | die % t->dies << t->die_shift |
		core % t->cores << t->core_shift | thread;
}
